//! `jackfield explain`: what happened to a call, and why.

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::scene::{Scene, establish, hang_up, invite, start};

/// The timeline has these words, one after the other.
fn in_order(told: &str, words: &[&str]) {
    let mut rest = told;
    for words in words {
        let at = rest.find(words).unwrap_or_else(|| panic!("`{words}` is not in its place:\n{told}"));
        rest = &rest[at + words.len()..];
    }
}

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
    in_order(
        &told,
        &[
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
        ],
    );
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

/// A call that is turned away says which limit it met, and the ways of a trunk say which of them nobody tries, and why.
#[test]
fn the_ways_of_a_trunk_and_the_limit_that_turns_a_call_away_are_told() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let trunks = format!(
        "[trunk.telekom]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\nnext-hop = {:?}\ncalls = 1\nfallback = [\"second\"]\n\
         [trunk.second]\nprovider = \"second.test\"\nprobe.interval = \"off\"\nnext-hop = \"sip:192.0.2.9\"\ndeny = [\"127.0.0.0/8\"]",
        provider.uri("")
    );
    let (proxy, link) = start(&Config::new().table(&trunks), &[], &pbx);
    proxy.asked(&["explain", "--on", "10"]);
    establish(&pbx, &provider, &invite(&pbx, "sip:49@provider.test", &link), &link);
    let second = invite(&pbx, "sip:50@provider.test", &link);
    pbx.send(&second, &link);
    let refused = pbx.expect_final();
    pbx.send(&ack_of_failure(&second, &refused), &link);
    let told = proxy.asked(&["explain", second.value("Call-ID")]);
    in_order(
        &told,
        &[
            "ways of trunk telekom: trunk telekom (up)",
            "left out: trunk second (up)",
            "its allow and deny lists keep the sender from it",
            "verdict: forward to trunk telekom",
            "not admitted to telekom: trunk telekom has as many calls as it may have",
            "done: final answer",
        ],
    );
}

#[test]
fn a_call_that_a_timer_answers_ends_with_its_answer() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let trunk = format!(
        "[trunk.telekom]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\nnext-hop = {:?}\nresponse-timeout = \"700ms\"",
        provider.uri("")
    );
    let (proxy, link) = start(&Config::new().table(&trunk), &[], &pbx);
    proxy.asked(&["explain", "--on", "10"]);
    let call = invite(&pbx, "sip:49@provider.test", &link);
    pbx.send(&call, &link);
    provider.expect("INVITE");
    let answer = pbx.expect_final();
    pbx.send(&ack_of_failure(&call, &answer), &link);
    let told = proxy.asked(&["explain", call.value("Call-ID")]);
    let done = format!("done: final answer {}", answer.status());
    in_order(&told, &["sent INVITE", "as a timer ran out", "target 1 (telekom) has failed: its time ran out", &done]);
}
