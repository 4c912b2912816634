//! The control socket.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use crate::support::config::Config;
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
