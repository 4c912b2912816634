//! Requests within a dialog (RFC 3261 12 and 16.12): the route set leads them, through our Record-Route, and no plugin is asked.

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::draft::sdp;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, start, whole_call};

fn to_callee(next_hop: &str) -> Config {
    Config::new().plugin("mark", format!("next_hop = {next_hop:?}"))
}

#[test]
fn a_plugin_decides_the_first_request_and_the_call_runs_to_its_end() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob.uri("bob")), &["mark"], &alice);
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert_eq!(got.uri(), "sip:bob@example.test", "a next hop appears nowhere in the message");
    assert_eq!(got.value("X-Version"), "fixture-version-0000");
    assert_eq!(got.value("Max-Forwards"), "69", "RFC 3261 16.6 item 3");
    assert_eq!(got.values("Via").len(), 2, "RFC 3261 16.6 item 8");
}

#[test]
fn in_dialog_requests_skip_plugins() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob.uri("bob")), &["mark"], &alice);
    let (_, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    alice.send(&dialog.request(&alice, "INVITE", &link).body("application/sdp", sdp(40_002)), &link);
    let again = bob.expect("INVITE");
    assert_eq!(again.values("X-Version"), Vec::<String>::new(), "the plugin would have added its version");
    assert_eq!(again.uri(), bob.uri("bob"), "the remote target (RFC 3261 12.2.1.1)");
    assert!(again.values("Route").is_empty(), "our own Route is taken off (RFC 3261 16.4)");
    bob.reply(&again, 200);
    alice.expect_status(200);
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    bob.expect("ACK");
    hang_up(&alice, &bob, &mut dialog, &link);
}

#[test]
fn the_callee_can_hang_up_through_the_recorded_route() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob.uri("bob")), &["mark"], &alice);
    let (at_bob, _) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let mut dialog = Dialog::of_callee(&at_bob, &bob);
    let back = bob.to(proxy.address());
    bob.send(&dialog.request(&bob, "BYE", &back), &back);
    let bye = alice.expect("BYE");
    alice.reply(&bye, 200);
    bob.expect_status(200);
}

#[test]
fn a_call_from_ipv6_to_ipv4_can_be_ended_from_both_sides() {
    for hanging_up in ["caller", "callee"] {
        let scene = Scene::new();
        let (alice, bob) = (scene.peer_v6("alice"), scene.peer("bob"));
        let proxy = Proxy::start(&to_callee(&bob.uri("bob")).ipv6(), &["mark"]);
        let (link, back) = (alice.to(proxy.address_v6()), bob.to(proxy.address()));
        let (at_bob, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
        if hanging_up == "caller" {
            hang_up(&alice, &bob, &mut dialog, &link);
        } else {
            bob.send(&Dialog::of_callee(&at_bob, &bob).request(&bob, "BYE", &back), &back);
            let bye = alice.expect("BYE");
            alice.reply(&bye, 200);
            bob.expect_status(200);
        }
    }
}

#[test]
fn every_octet_that_nobody_edited_arrives_as_it_was_sent() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&to_callee(&bob.uri("bob")), &["mark"], &alice);
    let odd = "  spaces,, \"quo\\\"ted\" ;x = 1, \u{e9}\u{2192} ";
    let body = [0_u8, 1, 2, 13, 10, 255, 254].to_vec();
    let draft = invite(&alice, "sip:bob@example.test", &link).header("x-ODD", odd).body("application/octet-stream", body.clone());
    alice.send(&draft, &link);
    let got = bob.expect("INVITE");
    let sent = format!("x-ODD: {odd}\r\n");
    let found = got.message.bytes().windows(sent.len()).any(|window| window == sent.as_bytes());
    assert!(found, "the field as it was sent:\n{}", String::from_utf8_lossy(got.message.bytes()));
    assert_eq!(got.message.body(), body);
}
