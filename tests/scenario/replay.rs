//! `jackfield record` and `jackfield replay`: a changed rule against the calls that came.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::config::Config;
use crate::support::peer::Peer;
use crate::support::proxy::program;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wasm;

/// Accounts that begin with one of these go to carol, all others to bob.
fn rules(bob: &Peer, carol: &Peer, prefixes: &[&str]) -> String {
    let rule =
        |prefix: &&str| format!("[[plugins.header-match.config.rule]]\nheader = \"X-Account\"\nprefix = {prefix:?}\nto = \"carol\"\n");
    let targets = format!(
        "[plugins.header-match.config.targets.bob]\nnext-hop = {:?}\n[plugins.header-match.config.targets.carol]\nnext-hop = {:?}\n",
        bob.uri("bob"),
        carol.uri("carol")
    );
    format!("default = \"bob\"\n{}{targets}", prefixes.iter().map(rule).collect::<String>())
}

#[test]
fn replay_finds_exactly_the_calls_that_a_changed_rule_changes() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let before = Config::new().plugin("header-match", rules(&bob, &carol, &["1"]));
    let (proxy, link) = start(&before, &["header-match"], &alice);
    proxy.asked(&["record", "start"]);
    let mut changing = Vec::new();
    for account in ["10", "20", "21", "30", "25", "11"] {
        let call = invite(&alice, "sip:x@example.test", &link).header("X-Account", account).header("Authorization", "Basic hush-hush");
        let callee = if account.starts_with('1') { &carol } else { &bob };
        whole_call(&alice, callee, &call, &link);
        if account.starts_with('2') {
            changing.push(call.value("Call-ID").to_owned());
        }
    }
    let status = proxy.asked(&["record", "stop", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let file = status["file"].as_str().expect("a file").to_owned();
    assert_eq!(std::fs::metadata(&file).expect("the recording").permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("the recording");
    assert!(!text.contains("hush") && text.contains("Authorization: Basic xxxx"), "credentials do not go into it");
    let component = wasm::component("header-match");
    let replay = |config: Option<&std::path::Path>| {
        let mut command = Command::new(program());
        command.arg("replay").arg(&file).arg("--with").arg(&component).arg("--json");
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let output = command.output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, told) = replay(None);
    assert_eq!(code, Some(0), "the same version decides as it did: {told}");
    proxy.write_config(&Config::new().plugin("header-match", rules(&bob, &carol, &["1", "2"])));
    let (code, told) = replay(Some(&proxy.file("proxy.toml")));
    assert_eq!(code, Some(1), "{told}");
    let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (counts, differences) = lines.split_last().expect("counts");
    let mut found: Vec<String> = differences.iter().map(|line| line["call-id"].as_str().expect("a Call-ID").to_owned()).collect();
    found.dedup();
    assert_eq!(found, changing, "{told}");
    assert_eq!((&counts["calls-that-change"], &counts["failed"], &counts["asked-something-new"]), (&3.into(), &0.into(), &0.into()));
}

/// As the fixture `faulty` counts.
fn is_meant_to_fail(call_id: &str, percent: u64) -> bool {
    let hash = call_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3));
    hash % 10_000 < percent * 100
}

#[test]
fn replay_finds_exactly_the_calls_that_a_changed_program_fails_at() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = format!("uri = {:?}\npercent = 30.0\nmode = \"panic\"\nonly = \"fixture-version-0002\"", bob.uri("bob"));
    let (proxy, link) = start(&Config::new().plugin("faulty", config), &["faulty"], &alice);
    proxy.asked(&["record", "start"]);
    let calls: Vec<String> = (0..30)
        .map(|_| {
            let call = invite(&alice, "sip:x@example.test", &link);
            whole_call(&alice, &bob, &call, &link);
            call.value("Call-ID").to_owned()
        })
        .collect();
    let status: serde_json::Value = serde_json::from_str(&proxy.asked(&["record", "stop", "--json"])).expect("JSON");
    let recording = status["file"].as_str().expect("a file").to_owned();
    let replay = |component: Vec<u8>| {
        let file = proxy.file("new.wasm");
        std::fs::write(&file, component).expect("a file of the test");
        let output = Command::new(program()).args(["replay", &recording, "--json", "--with"]).arg(&file).output();
        let output = output.expect("the program starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (output.status.code(), lines)
    };
    let (code, lines) = replay(wasm::with_note(wasm::octets("faulty"), "built again"));
    assert_eq!((code, lines.len()), (Some(0), 1), "another file of the same program decides the same: {lines:?}");
    let (code, lines) = replay(wasm::with_text(wasm::octets("faulty"), "fixture-version-0000", "fixture-version-0002"));
    assert_eq!(code, Some(1));
    let (counts, differences) = lines.split_last().expect("counts");
    let found: Vec<&str> =
        differences.iter().filter(|line| line["became"] == "failed").map(|line| line["call-id"].as_str().expect("a Call-ID")).collect();
    let expected: Vec<&str> = calls.iter().map(String::as_str).filter(|call_id| is_meant_to_fail(call_id, 30)).collect();
    assert_eq!(found, expected, "{lines:?}");
    // All others get the new version's mark.
    assert_eq!(counts["calls-that-change"], calls.len(), "{counts}");
}
