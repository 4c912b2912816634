//! Who may send to a listener, and through a trunk: lists by network, and who has said a password.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure, cancel_of};
use crate::support::digest::{Login, user};
use crate::support::draft::{Draft, unique};
use crate::support::link::Link;
use crate::support::load::AnsweringMachine;
use crate::support::netns::{Namespace, address, can_be_made};
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, reinvite, start, whole_call};

const ALICE: &str = "127.0.0.2";
const MALLORY: &str = "127.0.0.3";

/// Who may, who may not, and where both would like to send.
fn people(scene: &Scene) -> [Peer; 3] {
    [("alice", 2), ("mallory", 3), ("bob", 4)].map(|(name, number)| scene.peer_at(name, IpAddr::from(Ipv4Addr::new(127, 0, 0, number))))
}

fn relaying(keys: &str) -> Config {
    Config::new().relay_to("127.0.0.0/8").at_listener(keys)
}

/// A trunk to a peer with these lists.
fn trunk(provider: &Peer, keys: &str) -> Config {
    let next_hop = provider.uri("");
    let table = format!("[trunk.telekom]\nprovider = \"provider.test\"\nnext-hop = {next_hop:?}\nprobe.interval = \"off\"\n{keys}");
    Config::new().table(&table)
}

fn message(from: &Peer, uri: &str, link: &Link) -> Draft {
    from.request("MESSAGE", uri, link)
}

fn passes(from: &Peer, to: &Peer, draft: &Draft, link: &Link) {
    from.send(draft, link);
    let got = to.next("what may pass");
    assert_eq!(got.value("Call-ID"), draft.value("Call-ID"));
    to.reply(&got, 200);
    from.expect_status(200);
}

fn is_refused(from: &Peer, draft: &Draft, link: &Link, status: u16) {
    from.send(draft, link);
    let answer = from.expect_final();
    assert_eq!((answer.value("Call-ID").as_str(), answer.status()), (draft.value("Call-ID"), status), "{}", draft.start);
    if draft.start.starts_with("INVITE") {
        from.send(&ack_of_failure(draft, &answer), link);
    }
}

/// Says that a peer hears nothing of what it has sent before somebody else is answered.
fn hears_nothing(peer: &Peer, other: &Peer) {
    let link = other.to(peer.address);
    let end = other.request("MESSAGE", &peer.uri("end"), &link);
    other.send(&end, &link);
    let got = peer.next("the end");
    assert_eq!(got.value("Call-ID"), end.value("Call-ID"), "{} has heard {}", peer.name, got.status());
}

/// Reads a changed configuration.
fn reload(proxy: &Proxy, config: &Config) {
    proxy.write_config(config);
    proxy.signal(Signal::HUP);
    proxy.logged(&["the configuration has been read again"]);
}

#[test]
fn whom_a_listener_does_not_let_in_hears_403_whatever_he_sends() {
    for lists in [
        format!("deny = [{MALLORY:?}]"),
        format!("allow = [\"127.0.0.1\", \"{ALICE}/32\"]"),
        format!("allow = \"127.0.0.0/8\"\ndeny = {MALLORY:?}\nrefuse = \"403\""),
    ] {
        let scene = Scene::new();
        let [alice, mallory, bob] = people(&scene);
        let (_proxy, link) = start(&relaying(&lists), &[], &alice);
        let hers = mallory.to(link.remote());
        for method in ["MESSAGE", "INVITE", "REGISTER", "OPTIONS"] {
            is_refused(&mallory, &mallory.request(method, &bob.uri("bob"), &hers), &hers, 403);
        }
        is_refused(&mallory, &mallory.request("OPTIONS", "sip:example.test", &hers), &hers, 403);
        mallory.send(&mallory.request("ACK", &bob.uri("bob"), &hers), &hers);
        passes(&alice, &bob, &message(&alice, &bob.uri("bob"), &link), &link);
        hears_nothing(&mallory, &alice);
    }
}

#[test]
fn whom_a_listener_does_not_let_in_hears_nothing_where_that_is_configured() {
    let scene = Scene::new();
    let [alice, mallory, bob] = people(&scene);
    let (_proxy, link) = start(&relaying(&format!("deny = {MALLORY:?}\nrefuse = \"silence\"")), &[], &alice);
    let hers = mallory.to(link.remote());
    let request = |method, uri: &str| mallory.request(method, uri, &hers);
    for draft in [
        request("MESSAGE", &bob.uri("bob")),
        request("INVITE", &bob.uri("bob")),
        request("CANCEL", &bob.uri("bob")),
        request("OPTIONS", "sip:example.test"),
        request("MESSAGE", &bob.uri("bob")).with("Max-Forwards", "0"),
        request("MESSAGE", &bob.uri("bob")).without("CSeq"),
        request("MESSAGE", &format!("sip:jc-aaaa@{}", link.remote())),
    ] {
        mallory.send(&draft, &hers);
    }
    passes(&alice, &bob, &message(&alice, &bob.uri("bob"), &link), &link);
    hears_nothing(&mallory, &alice);
}

/// What belongs to a dialog or to a transaction of ours goes on, whoever may begin none any more.
#[test]
fn calls_go_on_at_a_listener_that_lets_their_ends_in_no_longer() {
    for refuse in ["403", "silence"] {
        let scene = Scene::new();
        let [alice, mallory, bob] = people(&scene);
        let (proxy, link) = start(&relaying(""), &[], &alice);
        let (at_bob, mut dialog) = establish(&alice, &bob, &invite(&alice, &bob.uri("bob"), &link), &link);
        let ringing = invite(&alice, &bob.uri("bob"), &link);
        alice.send(&ringing, &link);
        let at_bob_ringing = bob.expect("INVITE");
        bob.reply(&at_bob_ringing, 180);
        alice.expect_status(180);
        reload(&proxy, &relaying(&format!("allow = [\"127.0.0.1\", {MALLORY:?}]\nrefuse = {refuse:?}")));
        if refuse == "403" {
            is_refused(&alice, &message(&alice, &bob.uri("bob"), &link), &link, 403);
        } else {
            alice.send(&message(&alice, &bob.uri("bob"), &link), &link);
        }
        alice.send(&cancel_of(&ringing), &link);
        alice.expect_status(200);
        let cancel = bob.expect("CANCEL");
        bob.reply(&cancel, 200);
        bob.reply(&at_bob_ringing, 487);
        bob.expect("ACK");
        let cancelled = alice.expect_status(487);
        alice.send(&ack_of_failure(&ringing, &cancelled), &link);
        reinvite(&alice, &bob, &mut dialog, &link);
        let back = bob.to(proxy.address());
        let mut of_bob = Dialog::of_callee(&at_bob, &bob);
        bob.send(&of_bob.request(&bob, "INFO", &back), &back);
        alice.reply(&alice.expect("INFO"), 200);
        bob.expect_status(200);
        hang_up(&alice, &bob, &mut dialog, &link);
        passes(&mallory, &bob, &message(&mallory, &bob.uri("bob"), &mallory.to(link.remote())), &mallory.to(link.remote()));
    }
}

#[test]
fn a_trunk_has_lists_of_its_own() {
    for (lists, refusal) in [
        (format!("allow = {ALICE:?}"), Some(403)),
        (format!("deny = {MALLORY:?}"), Some(403)),
        (format!("deny = {MALLORY:?}\nrefuse = \"silence\""), None),
    ] {
        let scene = Scene::new();
        let [alice, mallory, provider] = people(&scene);
        let (_proxy, link) = start(&trunk(&provider, &lists), &[], &alice);
        let hers = mallory.to(link.remote());
        for method in ["INVITE", "REGISTER", "MESSAGE"] {
            let draft = mallory.request(method, "sip:49@provider.test", &hers);
            match refusal {
                Some(status) => is_refused(&mallory, &draft, &hers, status),
                None => mallory.send(&draft, &hers),
            }
        }
        whole_call(&alice, &provider, &invite(&alice, "sip:49@provider.test", &link), &link);
        hears_nothing(&mallory, &alice);
        is_refused(&mallory, &message(&mallory, "sip:49@elsewhere.test", &hers), &hers, 403);
    }
}

#[test]
fn a_trunk_that_a_plugin_chooses_keeps_its_lists() {
    let table = "header = \"X-Account\"\nmatch = { \"1\" = \"telekom\" }\ntargets.telekom = { trunk = \"telekom\" }\n";
    for refuse in ["403", "silence"] {
        let scene = Scene::new();
        let [alice, mallory, provider] = people(&scene);
        let config = trunk(&provider, &format!("allow = {ALICE:?}\nrefuse = {refuse:?}")).plugin("header-match", table);
        let (_proxy, link) = start(&config, &["header-match"], &alice);
        let hers = mallory.to(link.remote());
        let draft = message(&mallory, "sip:49@example.test", &hers).header("X-Account", "1");
        if refuse == "403" {
            is_refused(&mallory, &draft, &hers, 403);
        } else {
            mallory.send(&draft, &hers);
        }
        passes(&alice, &provider, &message(&alice, "sip:49@example.test", &link).header("X-Account", "1"), &link);
        hears_nothing(&mallory, &alice);
    }
}

/// Who may use one trunk comes no further than that: not to the trunks behind it that keep him out.
#[test]
fn a_fallback_trunk_keeps_its_lists() {
    let scene = Scene::new();
    let [alice, mallory, second] = people(&scene);
    let unavailable = AnsweringMachine::refusing(500);
    let first = format!(
        "[trunk.first]\nprovider = \"first.test\"\nnext-hop = \"sip:{}\"\nprobe.interval = \"off\"\nfallback = \"telekom\"",
        unavailable.address
    );
    let (_proxy, link) = start(&trunk(&second, &format!("deny = {MALLORY:?}")).table(&first), &[], &alice);
    let hers = mallory.to(link.remote());
    is_refused(&mallory, &invite(&mallory, "sip:49@first.test", &hers), &hers, 500);
    whole_call(&alice, &second, &invite(&alice, "sip:49@first.test", &link), &link);
}

#[test]
fn other_lists_of_a_trunk_hold_for_new_calls() {
    let scene = Scene::new();
    let [alice, mallory, provider] = people(&scene);
    let (proxy, link) = start(&trunk(&provider, &format!("deny = {MALLORY:?}")), &[], &alice);
    let uri = "sip:49@provider.test";
    let (_, mut dialog) = establish(&alice, &provider, &invite(&alice, uri, &link), &link);
    reload(&proxy, &trunk(&provider, &format!("deny = {ALICE:?}")));
    is_refused(&alice, &invite(&alice, uri, &link), &link, 403);
    let hers = mallory.to(link.remote());
    whole_call(&mallory, &provider, &invite(&mallory, uri, &hers), &hers);
    reinvite(&alice, &provider, &mut dialog, &link);
    hang_up(&alice, &provider, &mut dialog, &link);
}

/// A public address may use a trunk that says nothing of who may, once it has said a password, and not before.
#[test]
fn who_has_said_a_password_may_use_a_trunk_without_lists() {
    if !can_be_made("who_has_said_a_password_may_use_a_trunk_without_lists") {
        return;
    }
    let scene = Scene::new();
    let [phones, host, outside] = ["a", "p", "o"].map(Namespace::new);
    phones.cable("eth0", &["203.0.113.2/24"], &host, "eth0", &["203.0.113.1/24"]);
    host.cable("eth1", &["198.51.100.1/24"], &outside, "eth0", &["198.51.100.2/24"]);
    let phone = phones.inside(|| scene.peer_at("phone", address("203.0.113.2")));
    let provider = outside.inside(|| scene.peer_at("provider", address("198.51.100.2")));
    let [open, asking] = [5060, 5070].map(|port| SocketAddr::new(address("203.0.113.1"), port));
    let listener = |name: &str, address, keys: &str| format!("[listen.{name}]\naddress = \"{address}\"\ntransports = [\"udp\"]\n{keys}");
    let config = trunk(&provider, "")
        .listening_only_as_its_tables_say(open)
        .table(&listener("open", open, ""))
        .table(&listener("asking", asking, "authenticate = \"phones\""))
        .table(&listener("wan", SocketAddr::new(address("198.51.100.1"), 5060), ""))
        .table("[auth.phones]\nrealm = \"example.test\"\nusers-file = \"phones.users\"")
        .file("phones.users", user("alice", "example.test", "secret"));
    let _proxy = host.inside(|| Proxy::start(&config, &[]));
    let (unasked, asked) = (phone.to(open), phone.to(asking));
    is_refused(&phone, &message(&phone, "sip:49@provider.test", &unasked), &unasked, 403);
    let first = message(&phone, "sip:49@provider.test", &asked);
    phone.send(&first, &asked);
    let challenge = phone.expect_status(407);
    let alice = Login { name: "alice", password: "secret" };
    passes(&phone, &provider, &alice.answer(&first, &challenge, &unique()), &asked);
}
