//! Who may pass, and who hears what.

use std::path::Path;
use std::time::Duration;

use jackfield_auth::{Account, Challenged, Hash, answer, line};
use jackfield_proto::message::{Framing, Limits, Name, respond};
use jackfield_proto::proxy::{Plan, Watch};

use super::*;
use crate::config::Environment;

fn config(more: &str) -> Config {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    let text = format!(
        "[listen.wan]\naddress = \"127.0.0.1:1\"\nauthenticate = \"phones\"\n[listen.lan]\naddress = \"127.0.0.1:2\"\n\
         [auth.phones]\nrealm = \"r\"\nusers-file = \"u\"\n{more}"
    );
    Config::parse(Path::new("f"), &text, &environment).unwrap()
}

fn users(password: &str) -> Users {
    Users::parse(&line("alice", "r", Hash::Md5, password).unwrap(), "r").unwrap()
}

fn lists(password: &str) -> UserLists {
    UserLists::from([("phones".to_owned(), users(password))])
}

fn parse(text: &[u8]) -> Message {
    Message::parse(text.to_vec().into(), Framing::Datagram, &Limits::default()).unwrap()
}

fn invite(more: &str) -> Message {
    parse(
        format!(
            "INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:bob@example.test>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{more}\r\n"
        )
        .as_bytes(),
    )
}

fn judge(authentication: &Authentication, listener: &str, source: &str, request: &Message) -> Judged {
    let source = source.parse().unwrap();
    authentication.judge(Visit { listener, source, request, now: Timestamp::from_duration(Duration::from_secs(1)) })
}

fn at_wan(authentication: &Authentication, request: &Message) -> Judged {
    judge(authentication, "wan", "192.0.2.1:5060", request)
}

/// The request with credentials for this challenge.
fn signed(judged: Judged, password: &str) -> Message {
    let Judged::Refused(challenge) = judged else { panic!("{judged:?}") };
    assert_eq!(challenge.status, 407);
    let request = invite("");
    let builder = respond(&request, challenge.status, None);
    let response = challenge.headers.iter().fold(builder, |builder, (name, value)| builder.header(name.clone(), value.clone()));
    let response = parse(&response.finish());
    let account = Account { username: "alice".into(), password: password.into(), realm: None };
    let challenged = Challenged { request: &request, uri: request.request_uri(), response: &response, answered: 0, previous: &[] };
    let edits = answer(&account, challenged, "cnonce").unwrap();
    let Some(Edit::Add(name, value)) = edits.first() else { panic!("{edits:?}") };
    assert_eq!(Name::from_bytes(name), Name::ProxyAuthorization);
    invite(&format!("Proxy-Authorization: {}\r\n", str::from_utf8(value).unwrap()))
}

fn counted(authentication: &Authentication, result: &str) -> u64 {
    let samples = authentication.samples();
    let named = |sample: &&Sample| sample.labels == [("result", result.to_owned().into()), ("auth", "phones".into())];
    samples.iter().find(named).unwrap_or_else(|| panic!("{result}: {samples:?}")).value
}

#[test]
fn only_the_listener_that_names_it_asks_and_not_those_who_are_exempt() {
    let authentication = Authentication::start(&config("exempt = [\"10.0.0.0/8\"]"), lists("secret")).unwrap();
    assert!(matches!(at_wan(&authentication, &invite("")), Judged::Refused(_)));
    assert_eq!(judge(&authentication, "lan", "192.0.2.1:5060", &invite("")), Judged::Passed(Passed::default()));
    assert_eq!(judge(&authentication, "wan", "10.1.2.3:5060", &invite("")), Judged::Passed(Passed::default()));
    assert_eq!((counted(&authentication, "challenged"), counted(&authentication, "genuine")), (1, 0));
}

#[test]
fn a_reload_keeps_nonces_and_what_was_replayed_or_guessed() {
    let authentication = Authentication::start(&config("wrong-per-minute = 1"), lists("secret")).unwrap();
    let first = signed(at_wan(&authentication, &invite("")), "secret");
    let second = signed(at_wan(&authentication, &invite("")), "secret");
    assert!(matches!(at_wan(&authentication, &first), Judged::Passed(passed) if passed.user.as_deref() == Some("alice")));
    authentication.reconfigure(&config("wrong-per-minute = 1\nexempt = [\"10.0.0.0/8\"]"), lists("secret"));
    assert!(matches!(at_wan(&authentication, &first), Judged::Refused(_)), "a replay");
    assert!(matches!(at_wan(&authentication, &second), Judged::Passed(_)), "its nonce is from before");
    let guess = |source| judge(&authentication, "wan", source, &signed(judge(&authentication, "wan", source, &invite("")), "guess"));
    assert!(matches!(guess("192.0.2.9:1"), Judged::Refused(reply) if reply.status == 407));
    authentication.replace_users("phones", users("guess"));
    assert!(matches!(guess("192.0.2.9:1"), Judged::Refused(reply) if reply.status == 503), "the number of wrong ones stays");
    assert!(matches!(guess("192.0.2.10:1"), Judged::Passed(_)), "the users are new");
    let each = ["genuine", "replayed", "wrong", "slowed", "stale", "other-uri"].map(|result| counted(&authentication, result));
    assert_eq!(each, [3, 1, 1, 1, 0, 0]);
}

#[test]
fn credentials_for_us_are_taken_out_of_what_nobody_is_asked_for() {
    let authentication = Authentication::start(&config("exempt = [\"10.0.0.0/8\"]"), lists("secret")).unwrap();
    let request = invite(
        "Proxy-Authorization: Digest realm=\"r\"\r\nProxy-Authorization: Digest realm=\"s\"\r\nAuthorization: Digest realm=\"r\"\r\n",
    );
    let next = Edit::Add("Proxy-Authorization".into(), "Digest realm=\"s\"".into());
    let edits = vec![Edit::Remove("Authorization".into()), Edit::Remove("Proxy-Authorization".into()), next];
    let passed = Passed { user: None, edits };
    assert_eq!(judge(&authentication, "wan", "10.1.2.3:5060", &request), Judged::Passed(passed.clone()));
    assert_eq!(authentication.pass(&request), passed);
    assert_eq!(authentication.pass(&invite("")), Passed::default());
}

/// A re-INVITE of the callee comes in at his side, and may repeat what he has told another listener.
#[test]
fn in_a_dialog_credentials_for_every_realm_of_ours_are_taken_out() {
    let authentication = Authentication::start(&config("[auth.pbxs]\nrealm = \"p\"\nusers-file = \"v\"\n"), lists("secret")).unwrap();
    let credentials = |realm| format!("Proxy-Authorization: Digest username=\"u\", realm=\"{realm}\"\r\n");
    for ours in ["r", "p"] {
        let passed = authentication.pass(&invite(&credentials(ours)));
        assert_eq!(passed.edits, [Edit::Remove("Proxy-Authorization".into())], "{ours}");
    }
    assert_eq!(authentication.pass(&invite(&credentials("s"))), Passed::default());
}

#[test]
fn without_users_nobody_is_let_in() {
    let authentication = Authentication::start(&config(""), UserLists::new()).unwrap();
    assert_eq!(at_wan(&authentication, &invite("")), Judged::Refused(Reply::status(503)));
}

#[test]
fn credentials_go_before_anything_that_is_decided() {
    let ours = Edit::Remove("Proxy-Authorization".into());
    let theirs = Edit::Add("Proxy-Authorization".into(), "Digest for=the-next".into());
    let passed = Passed { user: Some("alice".into()), edits: vec![ours.clone()] };
    let decisions = [
        Decision::Undecided { edits: vec![theirs.clone()], kept: None },
        Decision::Forward { plan: Plan { edits: vec![theirs.clone()], ..Plan::default() }, state: (), watch: Watch::default() },
    ];
    for decision in decisions {
        let edits = match passed.cleaned(decision) {
            Decision::Undecided { edits, .. } => edits,
            Decision::Forward { plan, .. } => plan.edits,
            Decision::Reply { .. } | Decision::Drop => panic!("another decision"),
        };
        assert_eq!(edits, [ours.clone(), theirs.clone()]);
    }
    assert!(matches!(passed.cleaned(Decision::<()>::Drop), Decision::Drop));
}
