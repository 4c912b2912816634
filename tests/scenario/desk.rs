//! What an author sees on the desk: `jackfield plugin test`, `inspect` and `bench`, with components that are built already.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::proxy::program;
use crate::support::wasm::{component, workspace};

fn plugin(arguments: &[&str], paths: &[&Path]) -> (Option<i32>, String) {
    let cache = tempfile::tempdir().expect("a directory of the test's own");
    let output = Command::new(program()).arg("plugin").args(arguments).args(paths).env("XDG_CACHE_HOME", cache.path()).output();
    let Output { status, stdout, stderr } = output.expect("the program starts");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn earliest() -> PathBuf {
    workspace().join("tests/fixtures/interface/0.1.0-earliest.wasm")
}

#[test]
fn a_fixture_that_fails_shows_expected_beside_found_and_the_exit_status_says_so() {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    let fixtures = directory.path().join("fixtures");
    std::fs::create_dir(&fixtures).expect("a directory for fixtures");
    let text =
        "[[case]]\nname = \"wrong\"\nmessage = \"INVITE sip:1@example.test SIP/2.0\"\nexpect.forward.target = [{ tag = \"latest\" }]\n";
    std::fs::write(fixtures.join("a.toml"), text).expect("a file of the test's own");
    let (status, text) = plugin(&["test", "--component"], &[&earliest(), directory.path()]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(" -> target 1 tag  latest    earliest\n") && text.contains("fixtures: 0 passed, 1 failed"), "{text}");

    std::fs::write(fixtures.join("a.toml"), "[[case]]\nname = 1\n").expect("a file of the test's own");
    let (status, text) = plugin(&["test", "--component"], &[&earliest(), directory.path()]);
    assert!(status == Some(3) && text.contains("a.toml") && text.contains("line 2"), "{text}");
}

#[test]
fn inspect_tells_hooks_interface_and_whether_it_fits() {
    let (status, text) = plugin(&["inspect"], &[&earliest()]);
    assert_eq!(status, Some(0), "{text}");
    for part in ["interface  0.1.0", "on-failure", "grants     none needed", "fits       yes; it has subscribed to on-request"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = plugin(&["inspect", "--json"], &[&workspace().join("tests/fixtures/interface/0.1.2-services.wasm")]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(status == Some(0) && json["grants"][1].as_str().expect("a line").contains("kv = ["), "{text}");
    let (status, text) = plugin(&["inspect"], &[&workspace().join("README.md")]);
    assert!(status == Some(1) && text.contains("fits       no: it is no WebAssembly file"), "{text}");
}

#[test]
fn bench_measures_a_hook_beside_the_no_op() {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "next_hop = \"sip:127.0.0.1:5080\"\n").expect("a file of the test's own");
    let (status, text) = plugin(&["bench", "--json", "--config"], &[&config, &component("mark")]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fuel = |of: &str| json[of]["fuel"].as_u64().expect("fuel");
    assert!(fuel("plugin") > fuel("no-op") && json["plugin"]["median-ns"].as_f64().expect("a time") > 0.0, "{text}");
}
