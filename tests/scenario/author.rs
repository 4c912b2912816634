//! An author's first minutes: a new plugin crate, outside the clone, from the program alone.

use std::path::Path;
use std::process::Command;

use crate::support::config::Config;
use crate::support::proxy::{Proxy, program, run_once};
use crate::support::scene::{Scene, invite, whole_call};

fn run(command: &mut Command, directory: &Path) {
    // The crate is on its own: neither this workspace's target folder nor its compiler flags are its.
    let command = command.current_dir(directory).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let output = command.output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&text));
}

/// The plugin's own word on a configuration that it cannot use reaches the operator with the key.
fn the_check_reads_the_plugins_own_table(directory: &Path) {
    let file = directory.join("proxy.toml");
    let check = |account: &str| {
        let head = "[listen.local]\naddress = \"127.0.0.1:5060\"\n[plugins]\ndirectory = \"shelf\"\nchain = [\"my-routing\"]\n";
        let text = format!("state-directory = \"state\"\n{head}[plugins.my-routing.config.account]\n12345678 = {account}\n");
        std::fs::write(&file, text).expect("a file in the test's own directory");
        run_once(&["check"], &file)
    };
    let (status, text) = check("\"sip:127.0.0.1:5080\"");
    assert!(status.success(), "{text}");
    let (status, text) = check("5080");
    assert!(!status.success() && text.contains("account.12345678"), "{text}");
}

#[test]
fn a_new_plugin_crate_tests_builds_and_routes_calls_outside_the_clone() {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    let (crate_directory, shelf) = (directory.path().join("my-routing"), directory.path().join("shelf"));
    std::fs::create_dir(&shelf).expect("a directory for the component");
    run(Command::new(program()).args(["plugin", "new", "my-routing"]), directory.path());
    run(Command::new("cargo").args(["test", "--quiet"]), &crate_directory);
    run(Command::new(program()).args(["plugin", "build", "--to"]).arg(&shelf), &crate_directory);
    the_check_reads_the_plugins_own_table(directory.path());
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("my-routing", format!("account = {{ 12345678 = {:?} }}", bob.uri("bob")));
    let proxy = Proxy::start_with_files(&config, &[("my-routing", shelf.join("my-routing.wasm"))]);
    let link = alice.to(proxy.address());
    let call = |account: &str| invite(&alice, "sip:bob@example.test", &link).header("X-Account", account);
    assert_eq!(whole_call(&alice, &bob, &call("12345678"), &link).value("X-Routed-By"), "my-routing");
    alice.send(&call("1"), &link);
    assert_eq!(alice.expect_final().status(), 403);
}
