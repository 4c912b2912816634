//! Who sends is asked for a password, and what comes of the answers.

use std::net::Ipv4Addr;

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::digest::{Login, user};
use crate::support::draft::{Draft, unique};
use crate::support::link::Link;
use crate::support::peer::{Peer, Received};
use crate::support::scene::{Scene, establish, hang_up, invite, start};
use crate::support::wait;
use crate::support::wasm::install;

const ALICE: Login<'_> = Login { name: "alice", password: "secret" };

/// A proxy that asks everybody, and relays to peers; with further keys of its table.
fn asking(keys: &str) -> Config {
    let table = format!("[auth.phones]\nrealm = \"example.test\"\nusers-file = \"phones.users\"\n{keys}");
    Config::new().asking("phones").table(&table).file("phones.users", user("alice", "example.test", "secret")).relay_to("127.0.0.0/8")
}

fn message(from: &Peer, to: &Peer, link: &Link) -> Draft {
    from.request("MESSAGE", &to.uri(&to.name), link)
}

/// The request again, with what its challenge asks for.
fn answered(login: Login<'_>, from: &Peer, request: &Draft, link: &Link) -> Draft {
    from.send(request, link);
    login.answer(request, &from.expect_status(407), &unique())
}

/// Sends a request, which is let through.
fn passes(from: &Peer, to: &Peer, request: &Draft, link: &Link) -> Received {
    from.send(request, link);
    let got = to.next("the request");
    to.reply(&got, 200);
    from.expect_status(200);
    got
}

#[test]
fn a_call_is_challenged_once_and_its_credentials_go_no_further() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&asking(""), &[], &alice);
    let first = invite(&alice, &bob.uri("bob"), &link).header("Proxy-Authorization", "Digest username=\"a\", realm=\"next\"");
    alice.send(&first, &link);
    let challenge = alice.expect_status(407);
    alice.send(&ack_of_failure(&first, &challenge), &link);
    let (at_bob, mut dialog) = establish(&alice, &bob, &ALICE.answer(&first, &challenge, &unique()), &link);
    assert_eq!(at_bob.values("Proxy-Authorization"), ["Digest username=\"a\", realm=\"next\""], "what is for others stays");
    // RFC 3261 22.3: a phone may send what it has sent with the INVITE again and again.
    let info = dialog.request(&alice, "INFO", &link).header("Proxy-Authorization", "Digest username=\"alice\", realm=\"example.test\"");
    let got = passes(&alice, &bob, &info, &link);
    assert!(got.value("Proxy-Authorization").is_empty());
    hang_up(&alice, &bob, &mut dialog, &link);
}

#[test]
fn a_register_is_challenged_as_by_the_registrar_of_its_domain_and_what_is_for_another_passes() {
    let scene = Scene::new();
    let (alice, registrar) = (scene.peer("alice"), scene.peer("registrar"));
    let (_proxy, link) = start(&asking("registrar-domains = [\"127.0.0.1\"]"), &[], &alice);
    let theirs = "Digest username=\"alice\", realm=\"registrar\", nonce=\"n\", uri=\"sip:r\", response=\"0\"";
    let register = alice.request("REGISTER", &registrar.uri("r").replace("r@", ""), &link).header("Authorization", theirs);
    alice.send(&register, &link);
    let challenge = alice.expect_status(401);
    assert!(challenge.value("Proxy-Authenticate").is_empty());
    let got = passes(&alice, &registrar, &ALICE.answer(&register, &challenge, &unique()), &link);
    assert_eq!(got.values("Authorization"), [theirs]);
    let elsewhere = alice.request("REGISTER", "sip:example.com", &link);
    alice.send(&elsewhere, &link);
    alice.expect_status(407);
}

#[test]
fn a_provider_that_is_known_by_its_address_is_not_asked() {
    let scene = Scene::new();
    let [provider, other] = [("provider", 9), ("other", 8)].map(|(name, host)| scene.peer_at(name, Ipv4Addr::new(127, 0, 0, host).into()));
    let bob = scene.peer("bob");
    let trunk = "[trunk.provider]\nprovider = \"provider.test\"\nfrom = [\"127.0.0.9\"]\nprobe.interval = \"off\"";
    let (_proxy, link) = start(&asking("").table(trunk), &[], &provider);
    passes(&provider, &bob, &message(&provider, &bob, &link), &link);
    let hers = other.to(link.remote());
    other.send(&message(&other, &bob, &hers), &hers);
    other.expect_status(407);
}

#[test]
fn credentials_that_have_been_used_are_asked_for_again() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (_proxy, link) = start(&asking(""), &[], &alice);
    let genuine = answered(ALICE, &alice, &message(&alice, &bob, &link), &link);
    passes(&alice, &bob, &genuine, &link);
    let (mallory, again) = (scene.peer("mallory"), genuine.value("Proxy-Authorization"));
    let hers = mallory.to(link.remote());
    for (peer, link) in [(&alice, &link), (&mallory, &hers)] {
        peer.send(&message(peer, &bob, link).header("Proxy-Authorization", again), link);
        let challenge = peer.expect_status(407);
        assert!(challenge.value("Proxy-Authenticate").contains("stale=true"), "{}", challenge.value("Proxy-Authenticate"));
    }
    bob.has_taken_nothing_more();
}

#[test]
fn who_guesses_is_slowed_and_a_phone_at_work_beside_him_is_not() {
    let scene = Scene::new();
    let (alice, mallory, bob) = (scene.peer("alice"), scene.peer("mallory"), scene.peer("bob"));
    let (_proxy, link) = start(&asking("wrong-per-minute = 3"), &[], &alice);
    let hers = mallory.to(link.remote());
    let genuine = answered(ALICE, &alice, &message(&alice, &bob, &link), &link);
    passes(&alice, &bob, &genuine, &link);
    let statuses: Vec<u16> = (0..5)
        .map(|guess| {
            let login = Login { name: "alice", password: &format!("guess {guess}") };
            let request = answered(login, &mallory, &message(&mallory, &bob, &hers), &hers);
            mallory.send(&request, &hers);
            let answer = mallory.expect_final();
            assert_eq!(answer.value("Retry-After").is_empty(), answer.status() == 407);
            answer.status()
        })
        .collect();
    assert_eq!(statuses, [407, 407, 407, 503, 503]);
    let genuine = answered(ALICE, &alice, &message(&alice, &bob, &link), &link);
    passes(&alice, &bob, &genuine, &link);
    bob.has_taken_nothing_more();
}

#[test]
fn a_users_file_that_changes_is_read_again_and_a_broken_one_changes_nothing() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&asking("wrong-per-minute = 0"), &[], &alice);
    let new = Login { name: "alice", password: "changed" };
    let lets_in = |login: Login<'_>| {
        let request = alice.request("MESSAGE", "sip:bob@elsewhere.example", &link);
        alice.send(&answered(login, &alice, &request, &link), &link);
        match alice.expect_final().status() {
            // Whoever is let in learns that nothing is relayed there.
            403 => true,
            status => (assert_eq!(status, 407), false).1,
        }
    };
    assert!(lets_in(ALICE) && !lets_in(new));
    install(&proxy.file("phones.users"), user("alice", "example.test", "changed").as_bytes());
    wait::until("login with the new password", || lets_in(new).then_some(()));
    assert!(!lets_in(ALICE));
    std::fs::write(proxy.file("phones.users"), "alice:example.test:nonsense\n").expect("the proxy's own directory");
    proxy.logged(&["ERROR", "the users stay as they were", "phones.users:1:"]);
    assert!(lets_in(new));
}
