//! The rules of the house: which module may import which, and what the core must not depend on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::wasm::workspace;

/// All Rust files below a folder, or the one file.
fn sources(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a readable folder").map(|entry| entry.expect("a readable entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "{} holds no Rust source", path.display());
    found.sort();
    found
}

/// The code of a file without comments, line by line.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a readable source");
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every `crate::a`, also out of a group: `use crate::{a::X, b};`.
fn modules_named(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.push(first_segment(&std::mem::take(&mut word))),
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            named.push(first_segment(&word));
        } else {
            named.push(first_segment(rest));
        }
    }
    named
}

fn first_segment(path: &str) -> String {
    path.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Says that no file of `module` names one of the modules in `forbidden`.
fn imports_none_of(root: &Path, module: &str, forbidden: &[&str]) {
    let folder = root.join(module);
    let place = if folder.is_dir() { folder } else { root.join(format!("{module}.rs")) };
    for file in sources(&place) {
        for named in modules_named(&code(&file)) {
            assert!(!forbidden.contains(&named.as_str()), "{} imports {named}, and {module} must not", file.display());
        }
    }
}

#[test]
fn modules_named_sees_plain_and_grouped_imports() {
    let code = "use crate::message::Uri;\nuse crate::{proxy::{Core, Plan}, net, time::Timestamp};\nlet x = crate::transaction::key();";
    assert_eq!(modules_named(code), ["message", "proxy", "net", "time", "transaction"]);
}

#[test]
fn in_the_core_message_knows_no_transaction_and_transaction_no_proxy() {
    let root = workspace().join("host/proto/src");
    imports_none_of(&root, "message", &["transaction", "proxy"]);
    imports_none_of(&root, "transaction", &["proxy"]);
}

#[test]
fn in_the_shell_the_configuration_knows_nothing_above_it() {
    let root = workspace().join("host/src");
    imports_none_of(&root, "config", &["engine", "admin", "cli", "metrics", "plugin", "run", "simulate"]);
}

/// The packages of this workspace that a package is built from.
fn own_dependencies(package: &str) -> Vec<String> {
    dependencies(package).into_iter().filter(|name| name.starts_with("jackfield") && name != package).collect()
}

#[test]
fn the_crates_beside_the_shell_know_the_core_and_not_one_another() {
    assert_eq!(own_dependencies("jackfield-transport"), ["jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-resolver"), ["jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-sipproxy"), ["jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-auth"), ["jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-relay"), ["jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-trunk"), ["jackfield-auth", "jackfield-proto"]);
    assert_eq!(own_dependencies("jackfield-metrics"), ["jackfield-proto"]);
    assert!(own_dependencies("jackfield-watch").is_empty());
    assert_eq!(own_dependencies("jackfield-services"), ["jackfield-proto", "jackfield-watch"]);
    let hosts = ["jackfield-metrics", "jackfield-proto", "jackfield-services", "jackfield-watch"];
    assert_eq!(own_dependencies("jackfield-plugin-host"), hosts);
    let desks = ["jackfield-metrics", "jackfield-plugin-host", "jackfield-proto", "jackfield-services", "jackfield-watch"];
    assert_eq!(own_dependencies("jackfield-desk"), desks);
    let doctors = ["jackfield-auth", "jackfield-proto", "jackfield-resolver", "jackfield-transport"];
    assert_eq!(own_dependencies("jackfield-doctor"), doctors);
}

/// Every package that a package is built from, by name, as cargo resolves it.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_core_depends_neither_on_tokio_nor_on_wasmtime() {
    let names = dependencies("jackfield-proto");
    assert!(names.iter().any(|name| name == "bytes"), "the list is the core's: {names:?}");
    for forbidden in ["tokio", "wasmtime", "mio", "socket2", "toml", "serde", "jackfield"] {
        assert!(!names.iter().any(|name| name == forbidden), "jackfield-proto depends on {forbidden}");
    }
    let shell = dependencies("jackfield");
    assert!(shell.iter().any(|name| name == "tokio"), "the shell does depend on it, so the question is a good one");
}

#[test]
fn the_core_reads_no_clock_opens_no_socket_and_draws_no_random_number() {
    // Its tests may read files.
    let of_tests = |file: &PathBuf| file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    for file in sources(&workspace().join("host/proto/src")).into_iter().filter(|file| !of_tests(file)) {
        let whole = code(&file);
        let code = whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for forbidden in ["SystemTime", "Instant::now", "std::thread", "UdpSocket", "TcpStream", "RandomState", "std::env", "std::fs"] {
            assert!(!code.contains(forbidden), "{} names {forbidden}", file.display());
        }
    }
}

#[test]
fn rsip_is_named_only_inside_message() {
    for folder in ["host", "plugin-sdk", "plugins", "tests/support", "examples"] {
        for file in sources(&workspace().join(folder)) {
            let inside =
                file.starts_with(workspace().join("host/proto/src/message")) || file.starts_with(workspace().join("host/proto/tests"));
            assert!(inside || !code(&file).contains("rsip::"), "{} uses rsip", file.display());
        }
    }
}

#[test]
fn there_is_one_copy_of_the_plugin_interface() {
    let mut found = Vec::new();
    let mut open = vec![workspace().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").map(|entry| entry.expect("a readable entry").path()) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            // The fixtures have wrong ones on purpose.
            if entry.is_dir() && !entry.is_symlink() && !["target", "fixtures"].contains(&name.as_str()) && !name.starts_with('.') {
                open.push(entry);
            // A world of a plugin's own includes what the interface has, and says nothing anew.
            } else if name.ends_with(".wit") && name != "world.wit" {
                found.push(entry.strip_prefix(workspace()).expect("below the workspace").to_owned());
            }
        }
    }
    assert_eq!(found, [PathBuf::from("plugin-sdk/wit/plugin.wit")]);
}

#[test]
fn the_readmes_plugin_is_the_one_that_the_sdks_documentation_compiles() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("a readable README");
    let sdk = std::fs::read_to_string(workspace().join("plugin-sdk/src/lib.rs")).expect("a readable source");
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README shows a plugin");
    let compiled: String = sdk
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(compiled.contains(block), "the README's plugin is not the example in plugin-sdk/src/lib.rs:\n{block}");
}
