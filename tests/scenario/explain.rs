//! `jackfield explain`: what happened to a call, and why.

use crate::support::config::Config;
use crate::support::scene::{Scene, establish, hang_up, invite, start};

#[test]
fn the_timeline_of_a_call_says_who_decided_what_and_why_it_failed_over() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let rules = format!(
        "[[plugins.header-match.config.rule]]\npart = \"method\"\nto = \"all\"\n[plugins.header-match.config.targets.all]\n\
         target = [{{ next-hop = {:?} }}, {{ next-hop = {:?} }}]",
        bob.uri("bob"),
        carol.uri("carol")
    );
    let (proxy, link) = start(&Config::new().plugin("header-match", rules), &["header-match"], &alice);
    proxy.asked(&["explain", "--on", "10"]);
    let call = invite(&alice, "sip:all@example.test", &link);
    alice.send(&call, &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 503);
    bob.expect("ACK");
    let at_carol = carol.expect("INVITE");
    carol.reply(&at_carol, 200);
    let answer = alice.expect_status(200);
    let mut dialog = crate::support::dialog::Dialog::of_caller(&answer);
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    carol.expect("ACK");
    hang_up(&alice, &carol, &mut dialog, &link);
    let told = proxy.asked(&["explain", call.value("Call-ID")]);
    let mut rest = told.as_str();
    for words in [
        "received INVITE sip:all@example.test",
        "header-match (",
        "on-request: route to",
        "verdict: forward to",
        "sent INVITE",
        "received 503",
        "target 1",
        "has failed: 503",
        "sent INVITE",
        "received 200",
        "sent 200",
        "received BYE",
    ] {
        let at = rest.find(words).unwrap_or_else(|| panic!("`{words}` is not in its place:\n{told}"));
        rest = &rest[at + words.len()..];
    }
}

#[test]
fn what_is_not_kept_is_not_known_and_the_answer_says_why() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")));
    let (proxy, link) = start(&config, &["mark"], &alice);
    let call = invite(&alice, "sip:bob@example.test", &link);
    establish(&alice, &bob, &call, &link);
    assert!(proxy.asked(&["explain", "--status"]).contains("No timelines are kept"));
    assert!(proxy.asked(&["explain", "--on"]).contains("the last 1,000 calls"));
    assert!(proxy.asked(&["explain", "--off"]).contains("No timelines are kept"));
}
