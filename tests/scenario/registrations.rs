//! REGISTERs that pass to a provider, and the calls that they bring: each to the PBX that registered, whatever the provider writes and
//! whether the proxy has been restarted since.

use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::config::Config;
use crate::support::dialog::{ack_of_failure, uri_of};
use crate::support::digest::Login;
use crate::support::draft::{Draft, unique};
use crate::support::link::Link;
use crate::support::peer::{Peer, Received};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Proxy;
use crate::support::registrar::Registrar;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wait;

/// Where the provider of these scenarios is.
const PROVIDER: [u8; 4] = [127, 0, 0, 2];

fn provider(scene: &Scene) -> Peer {
    scene.peer_at("provider", IpAddr::from(PROVIDER))
}

/// A trunk to a provider, with these further keys.
fn trunk_to(next_hop: &str, keys: &str) -> Config {
    let trunk = format!("[trunk.telekom]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\nnext-hop = {next_hop:?}\n{keys}");
    Config::new().table(&trunk)
}

/// The same where the provider's address is known too.
fn trunk(provider: &Peer, keys: &str) -> Config {
    trunk_to(&provider.uri(""), &format!("from = [\"127.0.0.2\"]\n{keys}"))
}

/// A REGISTER of an account with a Contact URI.
fn register(pbx: &Peer, account: &str, contact: &str, link: &Link) -> Draft {
    let draft = pbx.request("REGISTER", "sip:provider.test", link).header("Expires", "300");
    let of_account = format!("<sip:{account}@provider.test>");
    draft.with("From", format!("{of_account};tag={}", unique())).with("To", of_account).with("Contact", format!("<{contact}>"))
}

/// The next REGISTER of the same user agent: RFC 3261 10.2.4.
fn refresh(draft: &Draft, pbx: &Peer, link: &Link) -> Draft {
    let number: u32 = draft.value("CSeq").split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    draft.clone().with("Via", pbx.via(link)).with("CSeq", format!("{} REGISTER", number + 1))
}

/// Sends a REGISTER, which the provider grants for as long as is asked, or for `granted` seconds. Gives what the provider took and what the
/// PBX heard.
fn registered_for(granted: u32, draft: &Draft, pbx: &Peer, provider: &Peer, link: &Link) -> (Received, Received) {
    pbx.send(draft, link);
    let taken = provider.expect("REGISTER");
    let contact = format!("{};expires={granted}", taken.value("Contact"));
    provider.send(&provider.response(&taken, 200).with("Contact", contact), &taken.link);
    (taken, pbx.expect_status(200))
}

fn registered(draft: &Draft, pbx: &Peer, provider: &Peer, link: &Link) -> (Received, Received) {
    registered_for(300, draft, pbx, provider, link)
}

/// What `jackfield registrations --json` shows.
fn table(proxy: &Proxy) -> Vec<Value> {
    let shown: Value = serde_json::from_str(&proxy.asked(&["registrations", "--json"])).expect("JSON");
    shown["bindings"].as_array().expect("a list of bindings").clone()
}

/// Waits until something would outlast the end of the proxy.
fn is_stored(proxy: &Proxy, words: &str) {
    wait::until(&format!("{words} in the state directory"), || {
        std::fs::read_to_string(proxy.file("state/registrations.jsonl")).ok().filter(|text| text.contains(words))
    });
}

/// An INVITE that is refused with this status and reaches nobody.
fn is_refused(caller: &Peer, draft: &Draft, status: u16, link: &Link, nobody: &[&Peer]) {
    caller.send(draft, link);
    let answer = caller.expect_final();
    assert_eq!(answer.status(), status, "{}", draft.start);
    caller.send(&ack_of_failure(draft, &answer), link);
    nobody.iter().for_each(|peer| peer.has_taken_nothing_more());
}

#[test]
fn a_register_passes_with_its_contact_and_is_shown_logged_and_counted() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let prometheus = Prometheus::reserve();
    let (proxy, link) = start(&trunk(&provider, "").metrics(prometheus.address), &[], &pbx);
    let contact = format!("{};line=ylvx;x-more=1", pbx.uri("s"));
    let draft = register(&pbx, "49301", &contact, &link).with("Contact", format!("\"PBX\" <{contact}>;q=0.5;+sip.foo"));
    let (taken, answer) = registered_for(120, &draft, &pbx, &provider, &link);
    assert_eq!(taken.values("Contact"), [draft.value("Contact")]);
    assert_eq!((taken.uri().as_str(), taken.value("Expires").as_str()), ("sip:provider.test", "300"));
    assert_eq!(answer.value("Contact"), format!("{};expires=120", draft.value("Contact")));

    let line = proxy.logged(&["trunk [telekom]: registered for 120 s"]);
    assert!(!line.contains("49301") && !line.contains("127.0.0.1"), "nobody's number or address: {line}");
    prometheus.counts("jackfield_registrations", &[("trunk", "telekom"), ("state", "registered")], 1);
    let table = table(&proxy);
    assert_eq!(table.len(), 1, "{table:?}");
    let shown = |key: &str| table[0][key].as_str().unwrap_or_default().to_owned();
    assert_eq!([shown("trunk"), shown("aor"), shown("line")], ["telekom", "sip:49301@provider.test", "ylvx"]);
    assert_eq!([shown("contact"), shown("state"), shown("listener")], [contact, "registered".into(), "main".into()]);
    assert_eq!([shown("registrar"), shown("via")], [provider.address.to_string(), format!("udp {}", pbx.address)]);
    assert!(table[0]["expires-in"].as_u64().is_some_and(|left| (100..=120).contains(&left)), "{table:?}");
    let text = proxy.asked(&["registrations"]);
    assert!(text.contains("telekom: 1 registered, 0 failed, 0 overdue, 0 expired"), "{text}");
}

/// How a provider may name the PBX in a call: the Request-URI and the To.
fn names_of(proxy: &Proxy, account: &str, line: &str) -> [(&'static str, String, String); 3] {
    let us = proxy.address();
    [
        ("line in the Request-URI", format!("sip:{account}@{us};line={line}"), format!("sip:{account}@provider.test")),
        ("line in To", format!("sip:{account}@{us}"), format!("sip:{account}@provider.test;line={line}")),
        ("account alone", format!("sip:{account}@{us}"), format!("sip:{account}@provider.test")),
    ]
}

/// Has each of these calls reach the PBX, with a Request-URI that has its own address and line; gives how the last one came.
fn reach(names: &[(&str, String, String)], provider: &Peer, pbx: &Peer, contact: &str) -> Link {
    let (_, address) = contact.split_once('@').expect("a Contact with a user");
    let mut last = None;
    for (what, uri, to) in names {
        let link = provider.to(host_of(uri));
        let taken = whole_call(provider, pbx, &invite(provider, uri, &link).with("To", format!("<{to}>")), &link);
        assert!(taken.uri().ends_with(&format!("@{address}")), "{what}: {} instead of {contact}", taken.uri());
        last = Some(taken.link);
    }
    last.expect("at least one call")
}

fn host_of(uri: &str) -> std::net::SocketAddr {
    crate::support::home::host_port(uri)
}

/// Line by line as the provider may write it; after the restart only what is on the disk tells.
#[test]
fn a_call_finds_the_pbx_over_udp_and_still_does_after_the_proxy_was_killed() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let (mut proxy, link) = start(&trunk(&provider, ""), &[], &pbx);
    let contact = format!("{};line=ylvx", pbx.uri("s"));
    registered(&register(&pbx, "49301", &contact, &link), &pbx, &provider, &link);
    let names = names_of(&proxy, "49301", "ylvx");
    reach(&names, &provider, &pbx, &contact);
    is_stored(&proxy, "line=ylvx");
    proxy.restart_after_kill();
    proxy.logged(&["registrations are known from before", "restored=1"]);
    reach(&names, &provider, &pbx, &contact);
    assert_eq!(table(&proxy)[0]["line"], "ylvx");
}

/// RFC 5923 would have the PBX say so; many do not listen for connections at all, and are still to be called.
#[test]
fn a_call_finds_a_pbx_that_does_not_listen_by_the_connection_it_registered_over() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let (proxy, _) = start(&trunk(&provider, ""), &[], &pbx);
    let connection = pbx.connect(proxy.address());
    let contact = format!("{};line=ylvx", pbx.uri("s") + ";transport=tcp");
    registered(&register(&pbx, "49301", &contact, &connection), &pbx, &provider, &connection);
    let last = reach(&names_of(&proxy, "49301", "ylvx"), &provider, &pbx, &contact);
    assert_eq!((last.local(), last.remote()), (connection.local(), connection.remote()));
}

#[test]
fn a_call_finds_a_pbx_at_the_address_of_its_contact_when_the_connection_has_ended_with_the_proxy() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer_with_connections("pbx"), provider(&scene));
    let (mut proxy, _) = start(&trunk(&provider, ""), &[], &pbx);
    let connection = pbx.connect(proxy.address());
    let contact = format!("{};line=ylvx", pbx.uri("s") + ";transport=tcp");
    registered(&register(&pbx, "49301", &contact, &connection), &pbx, &provider, &connection);
    let names = names_of(&proxy, "49301", "ylvx");
    let last = reach(&names, &provider, &pbx, &contact);
    assert_eq!(last.local(), connection.local());
    is_stored(&proxy, "line=ylvx");
    proxy.restart_after_kill();
    let last = reach(&names, &provider, &pbx, &contact);
    assert_eq!((last.local(), last.transport()), (pbx.address, connection.transport()));
}

/// Two PBXs at one account are told apart by nothing but the line.
#[test]
fn a_line_leads_to_the_pbx_that_chose_it() {
    let scene = Scene::new();
    let (one, other, provider) = (scene.peer("one"), scene.peer("other"), provider(&scene));
    let (mut proxy, link) = start(&trunk(&provider, ""), &[], &provider);
    let pbxs = [(&one, "first"), (&other, "second")];
    for (pbx, line) in pbxs {
        let to = pbx.to(proxy.address());
        registered(&register(pbx, "49301", &format!("{};line={line}", pbx.uri("s")), &to), pbx, &provider, &to);
    }
    assert_eq!(table(&proxy).len(), 2);
    let calls = |proxy: &Proxy| {
        for (pbx, line) in [pbxs[1], pbxs[0], pbxs[1]] {
            for (what, uri, to) in &names_of(proxy, "49301", line)[..2] {
                let taken = whole_call(&provider, pbx, &invite(&provider, uri, &link).with("To", format!("<{to}>")), &link);
                assert!(taken.uri().ends_with(&format!(";line={line}")), "{what}: {}", taken.uri());
            }
        }
        let unknown = invite(&provider, &format!("sip:49301@{};line=third", proxy.address()), &link);
        is_refused(&provider, &unknown, 404, &link, &[&one, &other]);
    };
    calls(&proxy);
    is_stored(&proxy, "line=second");
    proxy.restart_after_kill();
    calls(&proxy);
}

/// A line is a secret of the provider's, and not the only thing that is asked for where its networks are known.
#[test]
fn a_line_helps_nobody_from_elsewhere() {
    let scene = Scene::new();
    let (pbx, provider, stranger) = (scene.peer("pbx"), provider(&scene), scene.peer_at("stranger", IpAddr::from([127, 0, 0, 3])));
    let (proxy, link) = start(&trunk(&provider, ""), &[], &pbx);
    let contact = format!("{};line=ylvx", pbx.uri("s"));
    registered(&register(&pbx, "49301", &contact, &link), &pbx, &provider, &link);
    let [by_uri, by_to, by_account] = names_of(&proxy, "49301", "ylvx");
    let way = stranger.to(proxy.address());
    for ((_, uri, to), status) in [(&by_uri, 403), (&by_to, 403), (&by_account, 404)] {
        let call = invite(&stranger, uri, &way).with("To", format!("<{to}>"));
        is_refused(&stranger, &call, status, &way, &[&pbx, &provider]);
    }
    reach(&[by_uri, by_to, by_account], &provider, &pbx, &contact);
}

/// A key file that only its owner can read, as the proxy wants it.
pub(super) fn key_file() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    let path = directory.path().join("token.keys");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").expect("a key file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of ours");
    (directory, format!("token-key-file = {path:?}"))
}

/// Our Contact in a REGISTER that a provider took.
fn token_in(taken: &Received, proxy: &Proxy) -> String {
    let token = uri_of(&taken.value("Contact"));
    let host = format!("@{}", proxy.address());
    assert!(token.starts_with("sip:jc-") && token.contains(&host), "{token}");
    token
}

/// RFC 3261 10.2.1: what the provider is told is an address of ours, which needs no table to be understood again.
#[test]
fn a_contact_of_ours_leads_back_to_the_pbx_even_when_the_proxy_has_forgotten_everything() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let (_kept, key) = key_file();
    let (mut proxy, link) = start(&trunk(&provider, "contact = \"token\"").key(&key), &[], &pbx);
    let contact = format!("{};line=ylvx", pbx.uri("s"));
    let draft = register(&pbx, "49301", &contact, &link);
    let (taken, answer) = registered(&draft, &pbx, &provider, &link);
    let token = token_in(&taken, &proxy);
    assert!(token.ends_with(";line=ylvx"), "{token}");
    assert_eq!(answer.value("Contact"), format!("<{contact}>;expires=300"));
    assert_eq!(table(&proxy)[0]["contact"], contact.as_str());

    let to_proxy = provider.to(proxy.address());
    let call = || invite(&provider, &token, &to_proxy);
    assert_eq!(whole_call(&provider, &pbx, &call(), &to_proxy).uri(), contact);
    let (again, _) = registered(&refresh(&draft, &pbx, &link), &pbx, &provider, &link);
    assert_eq!(token_in(&again, &proxy), token);
    proxy.restart_after_kill_without(&["state"]);
    assert_eq!(table(&proxy), [Value::Null; 0]);
    assert_eq!(whole_call(&provider, &pbx, &call(), &to_proxy).uri(), contact);
    let (again, _) = registered(&refresh(&refresh(&draft, &pbx, &link), &pbx, &link), &pbx, &provider, &link);
    assert_eq!(token_in(&again, &proxy), token);
}

/// RFC 3261 10.3 item 7: another URI would be another binding, and the PBX would be called twice.
#[test]
fn a_refresh_over_a_new_connection_gives_the_same_contact_of_ours() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer_with_connections("pbx"), provider(&scene));
    let (_kept, key) = key_file();
    let (mut proxy, to_proxy) = start(&trunk(&provider, "contact = \"token\"").key(&key), &[], &provider);
    let contact = pbx.uri("s") + ";transport=tcp";
    let first = pbx.connect(proxy.address());
    let draft = register(&pbx, "49301", &contact, &first);
    let (taken, _) = registered(&draft, &pbx, &provider, &first);
    let token = token_in(&taken, &proxy);
    let second = pbx.connect(proxy.address());
    let (again, answer) = registered(&refresh(&draft, &pbx, &second), &pbx, &provider, &second);
    assert_eq!(token_in(&again, &proxy), token);
    assert_eq!(answer.value("Contact"), format!("<{contact}>;expires=300"));
    assert_eq!(whole_call(&provider, &pbx, &invite(&provider, &token, &to_proxy), &to_proxy).uri(), contact);
    proxy.restart_after_kill_without(&["state"]);
    let taken = whole_call(&provider, &pbx, &invite(&provider, &token, &to_proxy), &to_proxy);
    assert_eq!((taken.uri(), taken.link.transport()), (contact, first.transport()));
}

#[test]
fn a_contact_that_only_looks_like_ours_leads_nowhere() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let (proxy, link) = start(&trunk(&provider, "contact = \"token\""), &[], &pbx);
    let (taken, _) = registered(&register(&pbx, "49301", &pbx.uri("s"), &link), &pbx, &provider, &link);
    let token = token_in(&taken, &proxy);
    let to_proxy = provider.to(proxy.address());
    let (user, host) = token.split_once('@').expect("a user");
    for at in ["sip:jc-".len(), user.len() / 2, user.len() - 1] {
        let other = if user.as_bytes()[at] == b'a' { "b" } else { "a" };
        let forged = format!("{}{other}{}@{host}", &user[..at], &user[at + 1..]);
        is_refused(&provider, &invite(&provider, &forged, &to_proxy), 403, &to_proxy, &[&pbx]);
    }
    whole_call(&provider, &pbx, &invite(&provider, &token, &to_proxy), &to_proxy);
}

/// RFC 3327: where the PBX knows Path, its Contact may stay its own.
#[test]
fn a_path_takes_the_place_of_a_contact_of_ours_where_it_is_supported() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let (proxy, link) = start(&trunk(&provider, "contact = \"token-without-path\""), &[], &pbx);
    let to_proxy = provider.to(proxy.address());
    let contact = format!("{};line=ylvx", pbx.uri("s"));
    let with_path = register(&pbx, "49301", &contact, &link).header("Supported", "path");
    let (taken, answer) = registered(&with_path, &pbx, &provider, &link);
    assert_eq!((taken.value("Contact"), uri_of(&answer.value("Contact"))), (format!("<{contact}>"), contact.clone()));
    let path = taken.values("Path");
    assert_eq!(path.len(), 1, "{path:?}");
    let call = invite(&provider, &contact, &to_proxy).header("Route", &path[0]);
    assert_eq!(whole_call(&provider, &pbx, &call, &to_proxy).uri(), contact);

    let without = register(&pbx, "49302", &contact, &link);
    let (taken, answer) = registered(&without, &pbx, &provider, &link);
    assert_eq!((taken.values("Path"), uri_of(&answer.value("Contact"))), (Vec::new(), contact.clone()));
    let call = invite(&provider, &token_in(&taken, &proxy), &to_proxy);
    assert_eq!(whole_call(&provider, &pbx, &call, &to_proxy).uri(), contact);
}

/// One line for each fate of a registration. What comes of it is seen in the log, in the table, and by a plugin.
#[test]
fn what_becomes_of_registrations_is_told_to_the_log_and_to_plugins() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), provider(&scene));
    let prometheus = Prometheus::reserve();
    let config = trunk(&provider, "").plugin("ledger", "").metrics(prometheus.address);
    // RFC 3261 17.1.2.2: 64 T1 until nobody answers any more.
    let config = config.table("[registrations]\nrefresh-grace = \"200ms\"").table("[timers]\nt1 = \"20ms\"\nt2 = \"80ms\"");
    let (proxy, link) = start(&config, &["ledger"], &pbx);
    let told = |kind: &str, line: &str, times: u64| {
        let labels = [("plugin", "ledger"), ("kind", kind), ("trunk", "telekom"), ("line", line)];
        prometheus.counts("jackfield_custom_registrations_total", &labels, times);
    };
    let of_line = |line: &str| register(&pbx, "49301", &format!("{};line={line}", pbx.uri("s")), &link);

    // Refreshed four times at short intervals and then no more.
    let mut late = of_line("late");
    registered_for(3, &late, &pbx, &provider, &link);
    for _ in 0..4 {
        late = refresh(&late, &pbx, &link);
        registered_for(3, &late, &pbx, &provider, &link);
    }
    // Ended by the PBX.
    let ended = of_line("ended");
    registered(&ended, &pbx, &provider, &link);
    registered_for(0, &refresh(&ended, &pbx, &link).with("Expires", "0"), &pbx, &provider, &link);
    // Refused, twice: what was granted lasts.
    let mut refused = of_line("refused");
    registered(&refused, &pbx, &provider, &link);
    for _ in 0..2 {
        refused = refresh(&refused, &pbx, &link);
        pbx.send(&refused, &link);
        let taken = provider.expect("REGISTER");
        provider.reply(&taken, 403);
        pbx.expect_status(403);
    }
    // Not answered at all, of which the PBX hears nothing either (RFC 4320 4.2).
    pbx.send(&of_line("unheard"), &link);
    provider.expect("REGISTER");

    for (kind, line, times) in [
        ("registered", "late", 1),
        ("refreshed", "late", 4),
        ("overdue", "late", 1),
        ("expired", "late", 1),
        ("registered", "ended", 1),
        ("removed", "ended", 1),
        ("registered", "refused", 1),
        ("failed", "refused", 2),
        ("failed", "unheard", 1),
    ] {
        told(kind, line, times);
    }
    for words in [
        "trunk [telekom]: a registration is not refreshed any more and lasts ",
        "trunk [telekom]: a registration has expired",
        "trunk [telekom]: a registration was ended",
        "trunk [telekom]: REGISTER failed (403), the registration lasts ",
        "trunk [telekom]: REGISTER failed (no answer)",
    ] {
        assert_eq!(proxy.log().matches(words).count(), 1, "{words}");
    }
    let table = table(&proxy);
    let states: Vec<_> = table.iter().map(|binding| (binding["line"].as_str(), binding["state"].as_str())).collect();
    assert_eq!(states, [(Some("late"), Some("expired")), (Some("refused"), Some("failed")), (Some("unheard"), Some("failed"))]);
    assert_eq!(prometheus.sum("jackfield_registrations", &[("state", "failed")]), 2);
    // Five of line `late`, two each of `ended` and `refused`, and the failures: nothing was told twice.
    assert_eq!(prometheus.sum("jackfield_custom_registrations_total", &[]), 13);
}

/// RFC 3261 22.3: with the account of the trunk. What the registrar counts has to grow, though the PBX knows nothing of the second REGISTERs.
#[test]
fn a_pbx_without_a_password_is_registered_with_the_trunks_account_before_and_after_a_restart() {
    let scene = Scene::new();
    let pbx = scene.peer("pbx");
    let registrar = Registrar::asking(Some(Login { name: "49301", password: "pass word" }));
    let keys = "username = \"49301\"\npassword-file = \"secret\"";
    let config = trunk_to(&format!("sip:{}", registrar.address), keys).file("secret", "pass word\n");
    let (mut proxy, link) = start(&config, &[], &pbx);
    let mut draft = register(&pbx, "49301", &format!("{};line=ylvx", pbx.uri("s")), &link);
    let mut numbers = Vec::new();
    for round in 1..=6 {
        pbx.send(&draft, &link);
        let answer = pbx.expect_final();
        assert_eq!((answer.status(), answer.value("CSeq").as_str()), (200, draft.value("CSeq")));
        let account = registrar.account("49301");
        assert_eq!((account.granted, account.challenged), (round, round), "each is asked once and answered");
        numbers.push(account.number);
        draft = refresh(&draft, &pbx, &link);
        if round == 3 {
            is_stored(&proxy, "line=ylvx");
            proxy.restart_after_kill();
        }
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(registrar.complaints(), [""; 0]);
    let table = table(&proxy);
    assert_eq!((table.len(), &table[0]["state"], &table[0]["failures"]), (1, &"registered".into(), &0.into()));
    assert!(!proxy.log().contains("pass word"));
}

/// A wrong password is no reason to ask for ever.
#[test]
fn a_wrong_account_of_the_trunk_fails_once_and_is_told() {
    let scene = Scene::new();
    let pbx = scene.peer("pbx");
    let registrar = Registrar::asking(Some(Login { name: "49301", password: "right" }));
    let keys = "username = \"49301\"\npassword-file = \"secret\"";
    let config = trunk_to(&format!("sip:{}", registrar.address), keys).file("secret", "wrong\n");
    let (proxy, link) = start(&config, &[], &pbx);
    pbx.send(&register(&pbx, "49301", &pbx.uri("s"), &link), &link);
    assert_eq!(pbx.expect_final().status(), 400, "what this registrar says to wrong credentials");
    assert_eq!((registrar.account("49301").challenged, registrar.complaints().len()), (1, 1));
    proxy.logged(&["trunk [telekom]: REGISTER failed (400)"]);
}
