//! No open relay in any combination: all that somebody might try who may use nothing, against each way to configure that others may.
//!
//! Everybody has an address of his own. The proxy is told what the PBX may, and, where that fits, who the provider is; the stranger is
//! named nowhere. (Loopback addresses may use a trunk without lists, so all trunks here have lists.)

mod attempts;

use std::net::{IpAddr, Ipv4Addr};

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure};
use crate::support::digest::user;
use crate::support::draft::Draft;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, invite};
use attempts::{Attempt, Heard, Means, by_dialog, by_route, by_uri};

/// Who is there.
struct Town {
    /// For what passed, if a test fails.
    _scene: Scene,
    pbx: Peer,
    stranger: Peer,
    provider: Peer,
    /// Another provider.
    other: Peer,
    /// Where nobody may send.
    victim: Peer,
    /// Where `[relay]` lets everybody send.
    friend: Peer,
}

const PBX: u8 = 2;
const PROVIDER: u8 = 4;

impl Town {
    fn new() -> Self {
        let scene = Scene::new();
        let at = |name, number| scene.peer_at(name, IpAddr::from(Ipv4Addr::new(127, 0, 0, number)));
        let (pbx, stranger, provider) = (at("pbx", PBX), at("stranger", 3), at("provider", PROVIDER));
        let (other, victim, friend) = (at("other", 5), at("victim", 6), at("friend", 7));
        Self { _scene: scene, pbx, stranger, provider, other, victim, friend }
    }

    /// Trunks for both providers that the PBX may use, the first with further keys.
    fn trunks(&self, keys: &str) -> Config {
        self.trunks_for("allow = [\"127.0.0.2\"]", keys)
    }

    fn trunks_for(&self, callers: &str, keys: &str) -> Config {
        Config::new().table(&format!(
            "[trunk.telekom]\nprovider = [\"provider.test\", \"127.0.0.4\"]\nnext-hop = {:?}\nprobe.interval = \"off\"\n{callers}\n{keys}\n\
             [trunk.other]\nprovider = \"other.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\nallow = [\"127.0.0.2\"]\n",
            self.provider.uri(""),
            self.other.uri("")
        ))
    }

    /// Says that nobody but the sender has got anything: what has come before the end is seen before it.
    fn nobody_heard_anything(&self, case: &str) {
        for peer in [&self.pbx, &self.provider, &self.other, &self.victim, &self.friend] {
            let link = self.stranger.to(peer.address);
            let end = self.stranger.request("MESSAGE", &peer.uri("end"), &link);
            self.stranger.send(&end, &link);
            let got = peer.next("the end");
            assert_eq!(got.value("Call-ID"), end.value("Call-ID"), "{case}: {} has got {}", peer.name, got.uri());
        }
    }
}

/// A way to configure that somebody may do something.
struct Case {
    name: &'static str,
    config: fn(&Town) -> Config,
    plugins: &'static [&'static str],
    /// What whoever is not let in hears of everything that is policed, if the listener itself says so.
    at_the_door: Option<u16>,
    /// How the PBX makes a call, if it may make any.
    call: Option<Call>,
}

/// A call of the PBX, and whom it reaches.
#[derive(Clone, Copy)]
struct Call {
    uri: fn(&Town) -> String,
    callee: fn(&Town) -> &Peer,
}

const TO_PROVIDER: Option<Call> = Some(Call { uri: |_| "sip:49@provider.test".to_owned(), callee: |town| &town.provider });

const INCOMING: &str = "inbound = \"sip:127.0.0.2:9\"";

fn cases() -> Vec<Case> {
    let case = |name, config| Case { name, config, plugins: &[], at_the_door: None, call: TO_PROVIDER };
    let account = |town: &Town| town.trunks("username = \"u\"\npassword-file = \"secret\"").file("secret", "pass\n");
    vec![
        Case { call: None, ..case("nothing", |_| Config::new()) },
        case("a trunk", |town| town.trunks("")),
        case("a trunk that names who may not", |town| town.trunks_for("deny = [\"127.0.0.3\", \"127.0.0.4\"]", "")),
        case("a trunk with an account", account),
        case("a trunk that knows its provider by address", |town| town.trunks(&format!("from = [\"127.0.0.4\"]\n{INCOMING}"))),
        case("a trunk that has a listener", |town| {
            let table = format!("[listen.wan]\naddress = \"127.0.0.1:{}\"\ntransports = [\"udp\"]", Port::reserve().number);
            town.trunks(&format!("from-listeners = [\"wan\"]\n{INCOMING}")).table(&table)
        }),
        case("a trunk that is marked by a header", |town| {
            town.trunks(&format!("from-header = {{ name = \"X-Trunk\", value = \"telekom\" }}\n{INCOMING}"))
        }),
        case("a trunk with contacts of ours", |town| town.trunks("contact = \"token\"")),
        Case {
            at_the_door: Some(403),
            ..case("a listener that names who may not", |town| town.trunks("").at_listener("deny = [\"127.0.0.3\"]"))
        },
        Case {
            call: Some(Call { uri: |town| town.friend.uri("friend"), callee: |town| &town.friend }),
            ..case("a relay", |_| Config::new().relay_to("127.0.0.7"))
        },
        Case {
            call: Some(Call { uri: |_| "sip:49@anywhere.test".to_owned(), callee: |town| &town.provider }),
            ..case("an outbound proxy", |town| {
                Config::new().table(&format!("[outbound-proxy]\nrules = [{{ from = \"127.0.0.2\", to = {:?} }}]", town.provider.uri("")))
            })
        },
        Case { at_the_door: Some(407), ..case("passwords", |town| asking(town.trunks(""))) },
        Case { plugins: &["header-match"], ..case("a plugin", |town| choosing(town.trunks(""))) },
        Case { plugins: &["header-match"], ..case("nearly everything", everything) },
    ]
}

fn everything(town: &Town) -> Config {
    let keys = format!(
        "from = [\"127.0.0.4\"]\nfrom-header = {{ name = \"X-Trunk\", value = \"telekom\" }}\ncontact = \"token\"\n{INCOMING}\n\
                 username = \"u\"\npassword-file = \"secret\"\nfallback = [\"other\"]"
    );
    let outbound = format!("[outbound-proxy]\nrules = [{{ from = \"127.0.0.2\", to = {:?} }}]", town.provider.uri(""));
    choosing(town.trunks(&keys)).file("secret", "pass\n").table(&outbound).relay_to("127.0.0.7")
}

/// The listener asks for a password.
fn asking(config: Config) -> Config {
    let table = "[auth.phones]\nrealm = \"example.test\"\nusers-file = \"phones.users\"\nexempt = [\"127.0.0.2\"]";
    config.asking("phones").table(table).file("phones.users", user("alice", "example.test", "secret"))
}

/// A plugin that chooses the trunk by a header field.
fn choosing(config: Config) -> Config {
    let table = "header = \"X-Account\"\nmatch = { \"1\" = \"telekom\" }\ntargets.telekom = { trunk = \"telekom\" }\n";
    config.plugin("header-match", table)
}

/// Two calls of the PBX, which stay up.
fn calls(town: &Town, call: Call, proxy: &Proxy) -> [Dialog; 2] {
    let link = town.pbx.to(proxy.address());
    [(); 2].map(|()| establish(&town.pbx, (call.callee)(town), &invite(&town.pbx, &(call.uri)(town), &link), &link).1)
}

fn tried(means: &Means<'_>, attempt: &Attempt, at_the_door: Option<u16>, case: &str) {
    let stranger = &means.town.stranger;
    let Some(draft) = (attempt.draft)(means) else { return };
    stranger.send(&draft, means.link);
    let status = match attempt.heard {
        Heard::Policed(status) => at_the_door.unwrap_or(status),
        Heard::Always(status) => status,
        Heard::Nothing => return,
    };
    let answer = stranger.expect_final();
    let what = attempt.what;
    assert_eq!((answer.value("Call-ID").as_str(), answer.status()), (draft.value("Call-ID"), status), "{case}: {what}");
    if draft.start.starts_with("INVITE") {
        stranger.send(&ack_of_failure(&draft, &answer), means.link);
    }
}

#[test]
fn a_stranger_gets_nothing_anywhere() {
    for case in cases() {
        let town = Town::new();
        let proxy = Proxy::start(&(case.config)(&town), case.plugins);
        let dialogs = case.call.map(|call| calls(&town, call, &proxy));
        let link = town.stranger.to(proxy.address());
        let means = Means { town: &town, proxy: proxy.address(), link: &link, dialogs };
        for attempt in by_uri().iter().chain(&by_route()).chain(&by_dialog()) {
            tried(&means, attempt, case.at_the_door, case.name);
        }
        town.nobody_heard_anything(case.name);
    }
}

/// What comes from a provider is for the PBX, and goes to no other provider, nor anywhere else.
#[test]
fn a_provider_gets_through_to_no_other() {
    for case in cases() {
        let town = Town::new();
        let proxy = Proxy::start(&(case.config)(&town), case.plugins);
        let link = town.provider.to(proxy.address());
        let request = |method, uri: &str| town.provider.request(method, uri, &link);
        let transits = [
            request("MESSAGE", "sip:49@other.test"),
            invite(&town.provider, "sip:49@other.test", &link),
            request("REGISTER", "sip:other.test"),
            request("MESSAGE", "sip:49@example.test;maddr=other.test"),
            request("MESSAGE", "sip:49@example.test").header("Route", "<sip:other.test;lr>"),
            request("MESSAGE", "sip:49@other.test").header("X-Trunk", "telekom"),
            request("MESSAGE", &town.other.uri("49")),
            request("MESSAGE", &town.victim.uri("v")),
            request("MESSAGE", "sip:49@example.test").header("Route", format!("<sip:{};lr>", town.victim.address)),
        ];
        for draft in transits {
            town.provider.send(&draft, &link);
            let answer = town.provider.expect_final();
            assert!(matches!(answer.status(), 403 | 407), "{}: {} {draft:?}", case.name, answer.status());
            if draft.start.starts_with("INVITE") {
                town.provider.send(&ack_of_failure(&draft, &answer), &link);
            }
        }
        town.nobody_heard_anything(case.name);
    }
}

/// The PBX registers at its provider. Gives the Contact that the provider has got.
fn register(town: &Town, proxy: &Proxy, parameters: &str) -> String {
    let link = town.pbx.to(proxy.address());
    let contact = format!("<{}{parameters}>", town.pbx.uri("s"));
    let account = "<sip:4930@provider.test>";
    let draft = town.pbx.request("REGISTER", "sip:provider.test", &link).with("To", account).with("Contact", contact);
    town.pbx.send(&draft, &link);
    let got = town.provider.expect("REGISTER");
    let contact = got.value("Contact");
    town.provider.send(&town.provider.response(&got, 200).with("Contact", format!("{contact};expires=600")), &got.link);
    town.pbx.expect_status(200);
    contact
}

/// Sends a request that the PBX takes.
fn reaches_the_pbx(from: &Peer, town: &Town, draft: &Draft, link: &Link) {
    from.send(draft, link);
    let got = town.pbx.expect("MESSAGE");
    assert!(got.uri().contains(&town.pbx.address.to_string()), "its own contact: {}", got.uri());
    town.pbx.reply(&got, 200);
    from.expect_status(200);
}

fn is_refused(from: &Peer, draft: &Draft, link: &Link, status: u16) {
    from.send(draft, link);
    let answer = from.expect_final();
    assert_eq!((answer.value("Call-ID").as_str(), answer.status()), (draft.value("Call-ID"), status), "{draft:?}");
}

#[test]
fn a_line_leads_to_its_pbx_alone_and_only_its_provider() {
    let town = Town::new();
    let proxy = Proxy::start(&town.trunks("from = [\"127.0.0.4\"]"), &[]);
    register(&town, &proxy, ";line=s3cr3t");
    let (links, victim) = ([&town.provider, &town.stranger].map(|peer| peer.to(proxy.address())), town.victim.address);
    let here = format!("sip:4930@{}", proxy.address());
    let by_provider = |uri: &str| town.provider.request("MESSAGE", uri, &links[0]);
    reaches_the_pbx(&town.provider, &town, &by_provider(&format!("{here};line=s3cr3t")), &links[0]);
    reaches_the_pbx(&town.provider, &town, &by_provider(&here).with("To", format!("<{here};line=s3cr3t>")), &links[0]);
    reaches_the_pbx(&town.provider, &town, &by_provider(&here), &links[0]);
    for (peer, link, line) in [(&town.provider, &links[0], 404), (&town.stranger, &links[1], 403)] {
        let message = |uri: &str| peer.request("MESSAGE", uri, link);
        is_refused(peer, &message(&format!("{here};line=s3cr3t")).header("Route", format!("<sip:{victim};lr>")), link, 403);
        is_refused(peer, &message(&format!("{here};line=s3cr3t;maddr=127.0.0.6")), link, 403);
        is_refused(peer, &message(&format!("sip:4930@{victim};line=s3cr3t")), link, 403);
        is_refused(peer, &message(&format!("sip:nobody@{};line=guess", proxy.address())), link, 404);
        if line == 403 {
            is_refused(peer, &message(&format!("{here};line=s3cr3t")), link, line);
            is_refused(peer, &message(&here).with("To", format!("<{here};line=s3cr3t>")), link, line);
            is_refused(peer, &message(&here), link, 404);
        }
    }
    town.nobody_heard_anything("a line");
}

/// Who has seen it can send to whom it stands for, and nowhere else.
#[test]
fn a_contact_of_ours_leads_to_its_pbx_alone() {
    let town = Town::new();
    let proxy = Proxy::start(&town.trunks("contact = \"token\""), &[]);
    let contact = register(&town, &proxy, "");
    let uri = contact.trim_matches(['<', '>']);
    let (user, host) = uri.split_once('@').expect("a contact of ours has a user part");
    let link = town.stranger.to(proxy.address());
    let message = |uri: &str| town.stranger.request("MESSAGE", uri, &link);
    for parameters in ["", ";maddr=127.0.0.6", ";transport=tcp", ";line=other", ";lr"] {
        reaches_the_pbx(&town.stranger, &town, &message(&format!("{uri}{parameters}")), &link);
    }
    let (head, tail) = user.split_at(user.len() - 1);
    let other = if tail == "a" { "b" } else { "a" };
    let victim = format!("<sip:{};lr>", town.victim.address);
    is_refused(&town.stranger, &message(&format!("{uri}?Route=%3Csip:127.0.0.6%3E")), &link, 400);
    // What can no longer be read is a user whom nobody knows, and what can is forged.
    for spoiled in [format!("{head}{other}@{host}"), format!("{head}@{host}")] {
        town.stranger.send(&message(&spoiled), &link);
        let status = town.stranger.expect_final().status();
        assert!(matches!(status, 403 | 404), "{status}: {spoiled}");
    }
    is_refused(&town.stranger, &message(&format!("{}@{host}", user.replace("sip:jc-", "sip:%6ac-"))), &link, 404);
    is_refused(&town.stranger, &message(&format!("{user}@{}", town.victim.address)), &link, 403);
    is_refused(&town.stranger, &message(uri).header("Route", victim), &link, 403);
    town.nobody_heard_anything("a contact");
}

/// Where a request in a dialog goes is for its ends to say. A challenge that comes from there is answered only if that is the provider: with
/// the answer to a nonce of his choice anybody could call on the trunk's account.
#[test]
fn the_account_of_a_trunk_answers_its_provider_alone() {
    let town = Town::new();
    let config = town.trunks("username = \"u\"\npassword-file = \"secret\"").file("secret", "pass\n");
    let proxy = Proxy::start(&config, &[]);
    let link = town.pbx.to(proxy.address());
    let [mut dialog, _] = calls(&town, TO_PROVIDER.expect("a call"), &proxy);
    let challenge = "Digest realm=\"provider.test\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let info = |dialog: &mut Dialog, target: String, way: Option<String>| {
        dialog.target = target;
        let draft = dialog.request(&town.pbx, "INFO", &link);
        way.into_iter().fold(draft, |draft, way| draft.header("Route", way))
    };
    let to_victim = format!("<sip:{};lr>", town.victim.address);
    for (target, way) in [(town.victim.uri("v"), None), ("sip:49@provider.test".to_owned(), Some(to_victim))] {
        town.pbx.send(&info(&mut dialog, target, way), &link);
        let got = town.victim.expect("INFO");
        town.victim.send(&town.victim.response(&got, 407).header("Proxy-Authenticate", challenge), &got.link);
        town.pbx.expect_status(407);
        town.victim.has_taken_nothing_more();
    }
    proxy.logged(&["WARN", "[telekom]", "127.0.0.6"]);
    town.pbx.send(&info(&mut dialog, town.provider.uri("49"), None), &link);
    let got = town.provider.expect("INFO");
    town.provider.send(&town.provider.response(&got, 407).header("Proxy-Authenticate", challenge), &got.link);
    let again = town.provider.expect("INFO");
    assert!(again.value("Proxy-Authorization").contains("username=\"u\""), "the provider itself");
    town.provider.reply(&again, 200);
    town.pbx.expect_status(200);
}
