//! An author's first minutes: a new plugin crate, outside the clone, from the program alone, by the commands of the guide.

use std::path::Path;
use std::process::Command;

use crate::support::config::Config;
use crate::support::proxy::{Proxy, program, run_once};
use crate::support::scene::{Scene, invite, whole_call};

/// Runs the first commands of the guide as they stand there, with the program in PATH.
fn follow_the_guide(directory: &Path) {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/docs/guide.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let commands = guide.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the guide begins with commands");
    assert!(commands.starts_with("jackfield plugin new my-routing\n"), "{commands}");
    let folder = program().parent().expect("the program is in a folder").to_owned();
    let paths = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let path = std::env::join_paths(std::iter::once(folder).chain(paths)).expect("a PATH");
    // The crate is on its own: neither this workspace's target folder nor its compiler flags are its.
    let mut command = Command::new("bash");
    command.args(["-euc", commands]).current_dir(directory).env("PATH", path).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let output = command.output().expect("bash starts");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&text));
}

/// The plugin's own word on a configuration that it cannot use reaches the operator with the key.
fn the_check_reads_the_plugins_own_table(directory: &Path) {
    let file = directory.join("proxy.toml");
    let check = |account: &str| {
        let head = "[listen.local]\naddress = \"127.0.0.1:5060\"\n[plugins]\ndirectory = \"plugins\"\nchain = [\"my-routing\"]\n";
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
    follow_the_guide(directory.path());
    let crate_directory = directory.path().join("my-routing");
    let shelf = crate_directory.join("plugins");
    the_check_reads_the_plugins_own_table(&crate_directory);
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
