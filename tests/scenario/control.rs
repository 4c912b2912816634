//! What an operator can ask: the control socket, and the Prometheus listener where it is configured.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use crate::support::config::Config;
use crate::support::prometheus::Prometheus;
use crate::support::scene::{Scene, invite, start, whole_call};

#[test]
fn control_socket_is_its_owners_alone() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, _) = start(&Config::new(), &[], &alice);
    let metadata = std::fs::metadata(proxy.file("control.sock")).expect("the socket is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn status_names_the_listeners_and_plugin_status_the_plugins() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (proxy, link) = start(&config, &["mark"], &alice);
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let status = proxy.asked(&["status"]);
    assert!(status.contains(&proxy.address().to_string()), "{status}");
    let plugins = proxy.asked(&["plugin", "status"]);
    assert!(plugins.lines().any(|line| line.contains("mark")), "{plugins}");
}

#[test]
fn metrics_count_calls_and_the_plugins_part_in_them() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let prometheus = Prometheus::reserve();
    let config = Config::new().metrics(prometheus.address).plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["mark"], &alice);
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let text = prometheus.answer();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let calls = text.lines().find(|line| line.contains("plugin=\"mark\"") && line.contains("on-request") && line.contains("calls"));
    assert!(calls.is_some_and(|line| line.ends_with(" 1")), "one call of the hook:\n{text}");
}

#[test]
fn a_status_as_json_has_the_state_and_the_version_of_each_plugin() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (proxy, _) = start(&config, &["mark"], &alice);
    let plugins: serde_json::Value = serde_json::from_str(&proxy.asked(&["plugin", "status", "--json"])).expect("JSON");
    assert_eq!((&plugins[0]["name"], &plugins[0]["state"]), (&"mark".into(), &"serving".into()), "{plugins}");
    assert!(plugins[0]["version"].as_str().is_some_and(|version| !version.is_empty()), "{plugins}");
    let status: serde_json::Value = serde_json::from_str(&proxy.asked(&["status", "--json"])).expect("JSON");
    assert_eq!((&status["state"], &status["chain"][0]), (&"serving".into(), &"mark".into()), "{status}");
}
