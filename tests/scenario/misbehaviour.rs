//! Plugins that fail: the call they hit gets the configured answer, and no other call notices.

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::{full, wait};

fn hostile(fault: &str, at: &str, bobs: &[&Peer]) -> String {
    let hops: Vec<String> = bobs.iter().map(|bob| bob.uri("bob")).collect();
    format!("account = \"666\"\nfault = {fault:?}\nat = {at:?}\nnext_hops = {hops:?}")
}

/// One call that the plugin mistreats and one that it serves, again and again, so that a lost instance would show.
fn mistreated_calls_get(fault: &str, words: &[&str]) {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin_with("hostile", "on-error = \"reply 480\"", hostile(fault, "request", &[&bob]));
    let (proxy, link) = start(&config, &["hostile"], &alice);
    for _ in 0..5 {
        let bad = invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666");
        alice.send(&bad, &link);
        let answer = alice.expect_final();
        assert_eq!(answer.status(), 480, "the configured answer");
        alice.send(&ack_of_failure(&bad, &answer), &link);
        let good = invite(&alice, "sip:bob@example.test", &link).header("X-Account", "1");
        let got = whole_call(&alice, &bob, &good, &link);
        assert_eq!(got.value("X-Account"), "1", "the mistreated call has not reached bob");
    }
    proxy.logged(&["a plugin failed", "hostile", "on-request"]);
    proxy.logged(&[&["hostile"], words].concat());
}

#[test]
fn looping_plugin_gets_the_configured_answer() {
    mistreated_calls_get("loop", &["CPU"]);
}

#[test]
fn panicking_plugin_gets_the_configured_answer_and_its_words_are_logged() {
    mistreated_calls_get("panic", &["this plugin panics on purpose"]);
}

#[test]
fn memory_eating_plugin_gets_the_configured_answer() {
    mistreated_calls_get("memory", &[]);
}

#[test]
fn endlessly_recursing_plugin_gets_the_configured_answer() {
    mistreated_calls_get("recursion", &[]);
}

#[test]
fn plugin_that_returns_an_error_gets_the_configured_answer() {
    mistreated_calls_get("error", &["this plugin fails on purpose"]);
}

#[test]
fn an_edit_of_a_header_that_is_the_proxys_is_refused() {
    mistreated_calls_get("edit-via", &[]);
}

#[test]
fn a_line_break_in_a_header_value_is_refused() {
    mistreated_calls_get("line-break", &["line break"]);
}

#[test]
fn an_option_that_nobody_knows_is_refused() {
    mistreated_calls_get("unknown-option", &["teleport"]);
}

#[test]
fn a_target_that_is_no_uri_is_refused() {
    mistreated_calls_get("no-uri", &["no uri at all"]);
}

#[test]
fn the_configured_answer_is_503_by_default() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("hostile", hostile("panic", "request", &[&bob]));
    let (_proxy, link) = start(&config, &["hostile"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666"), &link);
    assert_eq!(alice.expect_final().status(), 503);
    bob.has_taken_nothing_more();
}

#[test]
fn on_error_next_hands_the_request_to_the_next_plugin() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new()
        .plugin_with("hostile", "on-error = \"next\"", hostile("panic", "request", &[&bob]))
        .plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (_proxy, link) = start(&config, &["hostile", "mark"], &alice);
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666"), &link);
    assert_eq!(got.value("X-Version"), "fixture-version-0000", "the second plugin has decided");
}

#[test]
fn a_plugin_that_fails_at_a_response_lets_it_pass_as_it_is() {
    for fault in ["panic", "loop", "error"] {
        let scene = Scene::new();
        let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
        let config = Config::new().plugin("hostile", hostile(fault, "response", &[&bob]));
        let (_proxy, link) = start(&config, &["hostile"], &alice);
        alice.send(&invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666"), &link);
        let at_bob = bob.expect("INVITE");
        bob.reply(&at_bob, 200);
        let answer = alice.expect_status(200);
        assert!(answer.values("X-Seen").is_empty(), "{fault}: nothing of the hook's work is applied");
    }
}

#[test]
fn a_2xx_to_invite_is_never_replaced_and_a_failure_may_be() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("hostile", hostile("replace", "response", &[&bob]));
    let (_proxy, link) = start(&config, &["hostile"], &alice);
    let call = || invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666");
    alice.send(&call(), &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 200);
    alice.expect_status(200);
    alice.send(&call(), &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 486);
    bob.expect("ACK");
    let replaced = alice.expect_final();
    assert_eq!((replaced.status(), replaced.value("X-Was")), (603, "486".to_owned()));
}

#[test]
fn a_plugin_that_fails_at_a_failure_leads_to_the_next_target() {
    for fault in ["panic", "loop", "error"] {
        let scene = Scene::new();
        let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
        let config = Config::new().plugin("hostile", hostile(fault, "failure", &[&bob, &carol]));
        let (_proxy, link) = start(&config, &["hostile"], &alice);
        alice.send(&invite(&alice, "sip:bob@example.test", &link).header("X-Account", "666"), &link);
        let at_bob = bob.expect("INVITE");
        bob.reply(&at_bob, 503);
        bob.expect("ACK");
        let at_carol = carol.expect("INVITE");
        carol.reply(&at_carol, 200);
        alice.expect_status(200);
    }
}

#[test]
fn looping_plugin_gets_the_configured_answer_while_all_other_calls_succeed() {
    let machine = AnsweringMachine::start();
    let (rate, calls) = if full() { (300, 6000) } else { (100, 400) };
    let config = format!("account = \"666\"\nfault = \"loop\"\nnext_hops = [\"sip:machine@{}\"]", machine.address);
    let mut proxy = Proxy::start(&Config::new().plugin_with("hostile", "on-error = \"reply 480\"", config), &["hostile"]);
    let load = Load::start(proxy.address(), rate, |number| {
        let (class, account) = if number % 10 == 0 { ("looping", "666") } else { ("innocent", "1") };
        Order { uri: "sip:bob@example.test".to_owned(), headers: vec![("X-Account", account.to_owned())], class }
    });
    wait::within(std::time::Duration::from_secs(120), "end of the load", || (load.placed() >= calls).then_some(()));
    let tallies = load.finish();
    let (looping, innocent) = (&tallies["looping"], &tallies["innocent"]);
    assert_eq!(innocent.failed(), 0, "{tallies:?}");
    assert_eq!(looping.completed, 0, "{tallies:?}");
    assert_eq!(looping.refused.keys().copied().collect::<Vec<_>>(), [480], "{tallies:?}");
    assert_eq!(looping.lost, 0, "{tallies:?}");
    assert!(proxy.runs());
}
