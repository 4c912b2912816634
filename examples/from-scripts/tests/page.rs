//! The page for people who come from scripts shows what is compiled and tested here, and nothing else.

use std::path::{Path, PathBuf};

fn crate_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page() -> PathBuf {
    crate_file("../../plugin-sdk/docs/from-scripts.md")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the page shows of a file: of a module what stands between its markers, and the imports beyond the prelude; all of a configuration.
fn shown(file: &str) -> String {
    let text = read(&crate_file(file));
    if !file.ends_with(".rs") {
        return text;
    }
    let (head, rest) = text.split_once("// page:begin\n").unwrap_or_else(|| panic!("{file} has the line // page:begin"));
    let (body, _) = rest.split_once("// page:end\n").unwrap_or_else(|| panic!("{file} has the line // page:end"));
    let imports: String =
        head.lines().filter(|line| line.starts_with("use ") && !line.contains("prelude")).map(|line| format!("{line}\n")).collect();
    if imports.is_empty() { body.to_owned() } else { format!("{imports}\n{body}") }
}

/// The page with the blocks that its comments name filled from the files, and the names of these files.
fn filled(page: &str) -> (String, Vec<String>) {
    let (mut text, mut files) = (String::new(), Vec::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(file) = line.strip_prefix("<!-- from-scripts/").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "a block follows the comment about {file}: {fence:?}");
        text.push_str(&format!("{fence}\n{}```\n", shown(file)));
        files.push(file.to_owned());
        lines.by_ref().find(|line| *line == "```").unwrap_or_else(|| panic!("the block of {file} ends"));
    }
    (text, files)
}

#[test]
fn every_block_of_the_page_is_its_file() {
    let present = read(&page());
    let (expected, _) = filled(&present);
    if std::env::var_os("JACKFIELD_RENEW").is_some() {
        std::fs::write(page(), &expected).unwrap();
    } else if present != expected {
        let (at, (line, _)) = present.lines().zip(expected.lines()).enumerate().find(|(_, (is, should))| is != should).unwrap_or_default();
        panic!(
            "plugin-sdk/docs/from-scripts.md differs from examples/from-scripts at line {}: {line:?}\nRenew it with: JACKFIELD_RENEW=1 cargo test -p from-scripts",
            at + 1
        );
    }
}

#[test]
fn every_fragment_is_on_the_page_with_its_script_and_configuration() {
    let page = read(&page());
    let (_, files) = filled(&page);
    let modules = read(&crate_file("src/lib.rs"));
    let modules: Vec<&str> = modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() >= 20, "{modules:?}");
    for module in &modules {
        for file in [format!("src/{module}.rs"), format!("config/{module}.toml")] {
            assert_eq!(files.iter().filter(|named| **named == file).count(), 1, "{file} is on the page once");
        }
    }
    assert_eq!(page.matches("\n```cfg\n").count(), modules.len(), "each fragment has the script that it stands for");
    let blocks = page.matches("\n```rust\n").count() + page.matches("\n```toml\n").count();
    assert_eq!(blocks, files.len(), "no Rust and no TOML on the page but that of files");
}

#[test]
fn grants_are_those_that_the_code_needs() {
    let modules = read(&crate_file("src/lib.rs"));
    for module in modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        let code = shown(&format!("src/{module}.rs"));
        let config: toml::Table = toml::from_str(&read(&crate_file(&format!("config/{module}.toml")))).unwrap();
        let grant = config.get("plugins").and_then(|plugins| plugins.get(module.replace('_', "-"))?.get("grant"));
        let granted: Vec<&str> =
            grant.and_then(toml::Value::as_table).map(|grant| grant.keys().map(String::as_str).collect()).unwrap_or_default();
        for (service, word) in [
            ("kv", "Bucket::open"),
            ("tables", "Table::named"),
            ("http", "http::get"),
            ("state", "state::"),
            ("timers", "timers::"),
            ("dns", "dns::"),
        ] {
            assert_eq!(granted.contains(&service), code.contains(word), "{module}: {service}");
        }
    }
}
