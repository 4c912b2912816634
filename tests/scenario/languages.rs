//! Plugins in other languages than Rust: made by `jackfield plugin new`, tested by `jackfield plugin test`, which builds them, and then a
//! call through the running proxy. `tests/run` installs what the languages need, in target/languages; nothing here asks the network for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::config::Config;
use crate::support::proxy::{Proxy, program};
use crate::support::scene::{Scene, invite, whole_call};
use crate::support::wasm::workspace;

/// The file that names what a language needs, and its copy in target/languages, which stands there once all of that has been installed.
const PACKAGES: [(&str, &str, &str); 2] =
    [("javascript", "package-lock.json", "node_modules/package-lock.json"), ("python", "requirements.txt", "venv/requirements.txt")];

/// A build would fetch what is missing, which takes long where there is no network.
fn assert_packages(language: &str) {
    let read = |path: PathBuf| std::fs::read(path).ok();
    for (_, names, installed) in PACKAGES.iter().filter(|(of, ..)| *of == language) {
        let names = workspace().join("plugins/languages").join(language).join(names);
        let installed = workspace().join("target/languages").join(installed);
        assert!(
            read(names.clone()) == read(installed.clone()),
            "what {} names is not installed in target/languages ({} is not the same): tests/run installs it",
            names.display(),
            installed.display()
        );
    }
}

/// A new plugin of a language, in a directory where its packages are found.
fn new_plugin(language: &str) -> (TempDir, PathBuf) {
    let packages = workspace().join("target/languages");
    std::fs::create_dir_all(&packages).expect("a directory for packages");
    let parent = tempfile::Builder::new().prefix("new-").tempdir_in(&packages).expect("a directory of the test's own");
    let name = "my-routing";
    jackfield(&["plugin", "new", name, "--language", language, "--to"], parent.path());
    let directory = parent.path().join(name);
    (parent, directory)
}

fn jackfield(arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new(program());
    command.args(arguments).arg(path).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let environment = workspace().join("target/languages/venv");
    if environment.is_dir() {
        command.env("VIRTUAL_ENV", environment);
    }
    let output = command.output().expect("the program starts");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// Its own tests and the fixtures, which are those of every language, and a call.
fn tests_builds_and_routes_calls(language: &str) {
    assert_packages(language);
    let (_kept, directory) = new_plugin(language);
    let text = jackfield(&["plugin", "test"], &directory);
    assert!(text.contains("fixtures: 10 passed, 0 failed"), "{text}");
    let built = directory.join("build/my-routing.wasm");
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let keys = "memory = \"64MiB\"\ncpu = \"100ms\"\ninit-cpu = \"10s\"\n";
    let config = Config::new().plugin_with("my-routing", keys, format!("account = {{ 12345678 = {:?} }}", bob.uri("bob")));
    let proxy = Proxy::start_with_files(&config, &[("my-routing", built)]);
    let link = alice.to(proxy.address());
    let call = |account: &str| invite(&alice, "sip:bob@example.test", &link).header("X-Account", account);
    assert_eq!(whole_call(&alice, &bob, &call("12345678"), &link).value("X-Routed-By"), "my-routing");
    alice.send(&call("1"), &link);
    assert_eq!(alice.expect_final().status(), 403);
}

#[test]
fn javascript_plugin_tests_builds_and_routes_calls() {
    tests_builds_and_routes_calls("javascript");
}

#[test]
fn python_plugin_tests_builds_and_routes_calls() {
    tests_builds_and_routes_calls("python");
}

#[test]
fn c_plugin_tests_builds_and_routes_calls() {
    tests_builds_and_routes_calls("c");
}
