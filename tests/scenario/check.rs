//! `jackfield check FILE`, and what `run` says about a file it cannot use.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::proxy::run_once;

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    let path = directory.path().join("proxy.toml");
    std::fs::write(&path, text).expect("a file");
    (directory, path)
}

#[test]
fn check_accepts_a_sound_file() {
    let (_directory, path) = file("[listen.main]\naddress = \"127.0.0.1:5060\"\n");
    let (status, text) = run_once(&["check"], &path);
    assert!(status.success(), "{status}: {text}");
}

#[test]
fn check_names_every_fault_with_line_and_key() {
    let (_directory, path) = file("wrokers = 2\n[listen.main]\naddress = \"not an address\"\ntransports = [\"upd\"]\n[log]\nlevel = 3\n");
    let (status, text) = run_once(&["check"], &path);
    assert!(!status.success());
    for (line, key) in [(1, "wrokers"), (3, "address"), (4, "transports"), (6, "level")] {
        let place = format!("proxy.toml:{line}:");
        let named = text.lines().any(|message| message.contains(&place) && message.contains(key));
        assert!(named, "line {line} and key {key} in:\n{text}");
    }
}

#[test]
fn run_refuses_a_faulty_file_and_says_why() {
    let (_directory, path) = file("[listen.main]\naddress = \"127.0.0.1:5060\"\ntransports = [\"tsl\"]\n");
    let (status, text) = run_once(&["run"], &path);
    assert!(!status.success());
    assert!(text.contains("proxy.toml:3:") && text.contains("did you mean \"tls\""), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (directory, path) = file("");
    let missing = path.with_file_name("missing.toml");
    let (status, text) = run_once(&["check"], &missing);
    assert!(!status.success());
    assert!(text.contains("missing.toml"), "{text}");
    drop(directory);
}
