//! The plugins that come with the product, used from TOML alone, through real wasm.

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::draft::Draft;
use crate::support::link::Link;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::peer::{Peer, Received};
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wait;

/// The table of a set with one target that says its own name.
fn set(plugin: &str, name: &str, peer: &Peer) -> String {
    format!("[plugins.{plugin}.config.targets.{name}]\nnext-hop = {:?}\nset-headers = {{ X-Trunk = {name:?} }}\n", peer.uri(name))
}

/// Sends an INVITE and refuses it where it arrives, so that the next one is new.
fn arrival(caller: &Peer, draft: &Draft, callee: &Peer, link: &Link) -> Received {
    caller.send(draft, link);
    let got = callee.expect("INVITE");
    callee.reply(&got, 486);
    callee.expect("ACK");
    let answer = caller.expect_final();
    assert_eq!(answer.status(), 486);
    caller.send(&ack_of_failure(draft, &answer), link);
    got
}

#[test]
fn header_match_routes_by_account_header() {
    let scene = Scene::new();
    let (alice, telekom, other) = (scene.peer("alice"), scene.peer("telekom"), scene.peer("other"));
    let config = [
        "header = \"X-My-Account-Number\"\nmatch = { \"12345678\" = \"telekom\" }\ndefault = \"other\"\n".to_owned(),
        set("header-match", "telekom", &telekom),
        set("header-match", "other", &other),
    ];
    let (_proxy, link) = start(&Config::new().plugin("header-match", config.concat()), &["header-match"], &alice);
    let call = || invite(&alice, "sip:+4930123456@example.test", &link);
    let got = whole_call(&alice, &telekom, &call().header("X-My-Account-Number", "12345678"), &link);
    assert_eq!(got.value("X-Trunk"), "telekom");
    assert_eq!(arrival(&alice, &call().header("x-my-account-number", "12345678"), &telekom, &link).value("X-Trunk"), "telekom");
    assert_eq!(arrival(&alice, &call().header("X-My-Account-Number", "123456789"), &other, &link).value("X-Trunk"), "other");
    assert_eq!(arrival(&alice, &call(), &other, &link).value("X-Trunk"), "other");
}

#[test]
fn header_match_takes_the_first_rule_that_matches() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let rules = "[[plugins.header-match.config.rule]]\nheader = \"X-Class\"\nexact = \"gold\"\nto = \"exact\"\n\
                 [[plugins.header-match.config.rule]]\nheader = \"X-Class\"\nprefix = \"gold\"\nto = \"prefix\"\n\
                 [[plugins.header-match.config.rule]]\nheader = \"X-Class\"\nregex = \"^[a-z]+-[0-9]{3}$\"\nto = \"regex\"\n";
    let sets = ["exact", "prefix", "regex"].map(|name| set("header-match", name, &bob)).concat();
    let (_proxy, link) = start(&Config::new().plugin("header-match", rules.to_owned() + &sets), &["header-match"], &alice);
    for (value, name) in [("gold", "exact"), ("golden", "prefix"), ("gold-123", "prefix"), ("silver-123", "regex")] {
        let draft = invite(&alice, "sip:bob@example.test", &link).header("X-Class", value);
        assert_eq!(arrival(&alice, &draft, &bob, &link).value("X-Trunk"), name, "{value}");
    }
    let unmatched = invite(&alice, "sip:bob@example.test", &link).header("X-Class", "silver-12");
    alice.send(&unmatched, &link);
    assert!(alice.expect_final().status() >= 400, "nobody routes it");
    bob.has_taken_nothing_more();
}

#[test]
fn line_match_uses_the_request_uri_and_to_uri() {
    let scene = Scene::new();
    let (alice, desk, lobby) = (scene.peer("alice"), scene.peer("desk"), scene.peer("lobby"));
    let config = "line = { eylpkkv = \"desk\", qwertz = \"lobby\" }\n".to_owned()
        + &set("line-match", "desk", &desk)
        + &set("line-match", "lobby", &lobby);
    let (_proxy, link) = start(&Config::new().plugin("line-match", config), &["line-match"], &alice);
    let in_request_uri = invite(&alice, "sip:bob@example.test;line=eylpkkv", &link).with("To", "<sip:bob@example.test>");
    assert_eq!(arrival(&alice, &in_request_uri, &desk, &link).value("X-Trunk"), "desk");
    let in_to_uri = invite(&alice, "sip:bob@example.test", &link).with("To", "<sip:bob@example.test;line=qwertz>");
    assert_eq!(arrival(&alice, &in_to_uri, &lobby, &link).value("X-Trunk"), "lobby");
    let of_the_header = invite(&alice, "sip:bob@example.test", &link).with("To", "<sip:bob@example.test>;line=qwertz");
    alice.send(&of_the_header, &link);
    assert!(alice.expect_final().status() >= 400, "a parameter of the header field is none of its URI");
    lobby.has_taken_nothing_more();
}

#[test]
fn forced_option_overrides_the_sender() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer_with_connections("bob"));
    let matcher = "header = \"X-Account\"\nmatch = { 1 = \"bob\" }\n".to_owned() + &set("header-match", "bob", &bob);
    let forced = "[plugins.option-injection.config.host.\"example.test\"]\nuri-params = { privacy = \"id\" }\n\
                  remove-uri-params = [\"debug\"]\nset-headers = { X-Codec-Policy = \"g711-only\" }\nremove-headers = [\"X-Account\"]\n\
                  transport = \"tcp\"\n";
    let config = Config::new().plugin("header-match", matcher).plugin("option-injection", forced);
    let (_proxy, link) = start(&config, &["header-match", "option-injection"], &alice);
    let draft = invite(&alice, "sip:bob@example.test;privacy=none;debug=1;keep=yes", &link)
        .header("X-Account", "1")
        .header("X-Codec-Policy", "anything")
        .header("x-codec-policy", "at all");
    let got = whole_call(&alice, &bob, &draft, &link);
    assert_eq!(got.values("X-Codec-Policy"), ["g711-only"]);
    assert!(got.values("X-Account").is_empty());
    assert_eq!(got.value("X-Trunk"), "bob", "what the matcher said stays");
    let uri = got.uri();
    assert!(uri.contains(";privacy=id") && uri.contains(";keep=yes"), "{uri}");
    assert!(!uri.contains("none") && !uri.contains("debug"), "{uri}");
    assert!(matches!(got.link, Link::Stream(_)), "the transport is forced too");
}

/// A failover over these targets, the first one first.
fn failover(targets: &[String]) -> Config {
    let list: Vec<String> =
        targets.iter().enumerate().map(|(at, hop)| format!("{{ next-hop = {hop:?}, timeout-ms = 700, tag = \"t{at}\" }}")).collect();
    let config = format!("default = \"all\"\n[plugins.failover.config.targets.all]\ntarget = [{}]\n", list.join(", "));
    Config::new().plugin("failover", config)
}

#[test]
fn failover_takes_the_next_target_on_503() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&failover(&[bob.uri("bob"), carol.uri("carol")]), &["failover"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let first = bob.expect("INVITE");
    bob.reply(&first, 503);
    bob.expect("ACK");
    let second = carol.expect("INVITE");
    carol.reply(&second, 200);
    alice.expect_status(200);
    assert_ne!(first.value("Via"), second.value("Via"), "each branch has its own (RFC 3261 16.6 item 8)");
}

#[test]
fn failover_takes_the_next_target_when_one_is_silent() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&failover(&[bob.uri("bob"), carol.uri("carol")]), &["failover"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    bob.expect("INVITE");
    let second = carol.expect("INVITE");
    carol.reply(&second, 200);
    alice.expect_status(200);
}

#[test]
fn failover_takes_the_next_target_when_one_is_unreachable() {
    let scene = Scene::new();
    let (alice, nobody, carol) = (scene.peer("alice"), scene.peer("nobody"), scene.peer("carol"));
    // A peer for datagrams refuses connections.
    let refused = format!("{};transport=tcp", nobody.uri("nobody"));
    let (_proxy, link) = start(&failover(&[refused, carol.uri("carol")]), &["failover"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let second = carol.expect("INVITE");
    carol.reply(&second, 200);
    alice.expect_status(200);
}

#[test]
fn failover_leaves_a_busy_callee_alone() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&failover(&[bob.uri("bob"), carol.uri("carol")]), &["failover"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let first = bob.expect("INVITE");
    bob.reply(&first, 486);
    assert_eq!(alice.expect_final().status(), 486);
    carol.has_taken_nothing_more();
}

#[test]
fn failover_answers_500_when_every_target_said_503() {
    let scene = Scene::new();
    let (alice, bob, carol) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carol"));
    let (_proxy, link) = start(&failover(&[bob.uri("bob"), carol.uri("carol")]), &["failover"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    for callee in [&bob, &carol] {
        let got = callee.expect("INVITE");
        callee.reply(&got, 503);
    }
    assert_eq!(alice.expect_final().status(), 500, "RFC 3261 16.7 item 6: a 503 does not go upstream");
}

#[test]
fn failover_draws_weighted_targets_by_their_shares() {
    let [heavy, light, last] = [(); 3].map(|()| AnsweringMachine::start());
    let target = |machine: &AnsweringMachine, weight: u32| format!("{{ next-hop = \"sip:{}\", weight = {weight} }}", machine.address);
    let list = [target(&heavy, 3), target(&light, 1), target(&last, 0)].join(", ");
    let config = format!("default = \"all\"\n[plugins.failover.config.targets.all]\nmode = \"weighted\"\ntarget = [{list}]\n");
    let proxy = Proxy::start(&Config::new().plugin("failover", config), &["failover"]);
    let load = Load::start(proxy.address(), 150, |_| Order { uri: "sip:bob@example.test".to_owned(), headers: Vec::new(), class: "all" });
    wait::until("end of the load", || (load.placed() >= 300).then_some(()));
    let tallies = load.finish();
    assert_eq!(tallies["all"].failed(), 0, "{tallies:?}");
    let share = heavy.invites() as f64 / (heavy.invites() + light.invites()) as f64;
    // 300 draws with a chance of 0.75: further than 0.13 away once in ten million runs.
    assert!((0.62..0.88).contains(&share), "{share} of the calls went to the target with weight 3 of 4");
    assert_eq!(last.invites(), 0, "weight 0 is the last resort");
}

#[test]
fn matcher_chooses_and_injection_forces_in_one_chain() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let matcher = "line = { desk = \"bob\" }\n".to_owned() + &set("line-match", "bob", &bob);
    let forced = "[plugins.option-injection.config.host.\"*.example.test\"]\nset-headers = { X-Forced = \"yes\" }\n";
    let config = Config::new().plugin("line-match", matcher).plugin("option-injection", forced);
    let (_proxy, link) = start(&config, &["line-match", "option-injection"], &alice);
    let below = arrival(&alice, &invite(&alice, "sip:bob@pbx.example.test;line=desk", &link), &bob, &link);
    assert_eq!((below.value("X-Trunk"), below.value("X-Forced")), ("bob".to_owned(), "yes".to_owned()));
    let beside = arrival(&alice, &invite(&alice, "sip:bob@example.test;line=desk", &link), &bob, &link);
    assert_eq!((beside.value("X-Trunk"), beside.value("X-Forced")), ("bob".to_owned(), String::new()));
}
