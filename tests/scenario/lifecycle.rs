//! Start, signals and end of the process.

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::peer::Peer;
use crate::support::proxy::run_once;
use crate::support::scene::{Scene, establish, invite, start, whole_call};
use crate::support::wait;

fn to_callee(bob: &Peer, label: &str) -> Config {
    Config::new().key("drain = \"5s\"").plugin("mark", format!("next_hop = {:?}\nlabel = {label:?}", bob.uri("bob")))
}

#[test]
fn drain_on_sigterm_takes_no_new_call_and_finishes_those_that_ring() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (mut proxy, link) = start(&to_callee(&bob, ""), &["mark"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    alice.expect_status(180);
    proxy.signal(Signal::TERM);
    let late = carol.to(proxy.address());
    // The signal and a datagram may overtake each other: carol is turned away from the moment that the proxy has seen the signal.
    wait::until("503 for a new call", || {
        carol.send(&carol.request("OPTIONS", "sip:bob@example.test;new", &late), &late);
        (carol.expect_final().status() == 503).then_some(())
    });
    bob.reply(&at_bob, 200);
    let answer = alice.expect_status(200);
    let mut dialog = Dialog::of_caller(&answer);
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    bob.expect("ACK");
    let status = proxy.ended();
    assert!(status.success(), "{status}");
}

#[test]
fn a_proxy_without_calls_ends_at_once_on_sigterm() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (mut proxy, _) = start(&Config::new().key("drain = \"1h\""), &[], &alice);
    proxy.signal(Signal::TERM);
    let status = proxy.ended();
    assert!(status.success(), "{status}");
    assert!(!proxy.file("control.sock").exists(), "the control socket goes with the process");
}

#[test]
fn sighup_re_reads_the_configuration() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob, "before"), &["mark"], &alice);
    let call = || invite(&alice, "sip:bob@example.test", &link);
    assert_eq!(whole_call(&alice, &bob, &call(), &link).value("X-Label"), "before");
    proxy.write_config(&to_callee(&bob, "after"));
    assert_eq!(whole_call(&alice, &bob, &call(), &link).value("X-Label"), "before", "nobody has told the proxy yet");
    proxy.signal(Signal::HUP);
    wait::until("call with the new label", || (whole_call(&alice, &bob, &call(), &link).value("X-Label") == "after").then_some(()));
}

/// The key is replaced while a call is up: its Record-Route is believed until its key has left the ring.
#[test]
fn a_rotated_key_costs_no_call_while_the_ring_holds_the_old_one() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob, ""), &["mark"], &alice);
    let (_, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    let read_again = || proxy.log().matches("the configuration has been read again").count();
    for rotation in 1..=4 {
        let (status, said) = run_once(&["rotate-key", "--config"], &proxy.file("proxy.toml"));
        assert!(status.success(), "{said}");
        let before = read_again();
        proxy.signal(Signal::HUP);
        wait::until("the new keys", || (read_again() > before).then_some(()));
        alice.send(&dialog.request(&alice, "INFO", &link), &link);
        if rotation < 4 {
            let info = bob.expect("INFO");
            bob.reply(&info, 200);
            alice.expect_status(200);
        } else {
            alice.expect_status(403);
        }
    }
}

/// Nothing of the state is left: what comes with the environment is enough to know the dialogs of before, and a key that is put before it
/// costs none of them.
#[test]
fn keys_from_the_environment_outlive_the_state_directory() {
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = to_callee(&bob, "").key("token-key-env = \"TOKEN_KEYS\"").variable("TOKEN_KEYS", old);
    let (mut proxy, link) = start(&config, &["mark"], &alice);
    let (_, mut dialog) = establish(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    for (keys, is_known) in [(old.to_owned(), true), (format!("{new},{old}"), true), (new.to_owned(), false)] {
        proxy.restart_after_kill_with(&[("TOKEN_KEYS", &keys)]);
        alice.send(&dialog.request(&alice, "INFO", &link), &link);
        if is_known {
            let info = bob.expect("INFO");
            bob.reply(&info, 200);
            alice.expect_status(200);
        } else {
            alice.expect_status(403);
        }
    }
    assert!(!proxy.file("state/token.key").exists(), "no key is made where some are given");
}

#[test]
fn bad_toml_on_sighup_changes_nothing_and_names_line_and_key() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob, "before"), &["mark"], &alice);
    proxy.write_config(&to_callee(&bob, "after").table("[limits]\nmesage = 1"));
    let text = std::fs::read_to_string(proxy.file("proxy.toml")).expect("the file just written");
    let line = text.lines().position(|line| line.starts_with("mesage")).expect("the key just written") + 1;
    proxy.signal(Signal::HUP);
    proxy.logged(&["mesage", &format!("proxy.toml:{line}:")]);
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert_eq!(got.value("X-Label"), "before");
}

#[test]
fn a_config_that_a_plugin_refuses_leaves_the_old_one_serving() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob, "before"), &["mark"], &alice);
    proxy.write_config(&Config::new().plugin("mark", "next_hop = 7"));
    proxy.signal(Signal::HUP);
    proxy.logged(&["mark", "next_hop"]);
    let got = whole_call(&alice, &bob, &invite(&alice, "sip:bob@example.test", &link), &link);
    assert_eq!(got.value("X-Label"), "before");
}
