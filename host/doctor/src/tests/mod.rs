//! Whole examinations, of scripted providers on the loopback address.

mod addresses;
mod names;
mod provider;
mod registering;
mod requests;
mod through_proxy;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::{Listener, ListenerState, Transport};
use jackfield_proto::proxy::Timers;

use crate::{Egress, Finding, Grade, Kind, Registered, Registration, Sending, Subject, Times, Way, examine};

/// A time that an answer never takes, and a test rarely waits for.
const LONG: Duration = Duration::from_secs(10);

/// A time that silence is waited for.
const SHORT: Duration = Duration::from_millis(200);

fn listener(transport: Transport) -> Egress {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let listener = Listener { name: "wan".into(), transport, address, sent_by: "127.0.0.1:5060".into(), state: ListenerState::Open };
    Egress { listener, tls: None }
}

/// A trunk with one way: this route, from a listener that speaks UDP and TCP.
fn subject(route: impl Into<String>) -> Subject {
    let resolver = jackfield_resolver::Settings { hosts: "/nowhere/hosts".into(), ..Default::default() };
    Subject {
        trunk: "telekom".into(),
        provider: "provider.test".into(),
        ways: vec![Way { route: vec![route.into().into()], egress: Some("wan".into()), ..Way::default() }],
        edits: Vec::new(),
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        from: Vec::new(),
        account: None,
        aor: None,
        resolver,
        times: Times { connect: LONG, handshake: LONG, answer: LONG },
        sending: Sending::default(),
        count: 2,
        registration: Registration::Leave,
        registered: Registered::Nobody,
        running: None,
    }
}

/// The same for who is going to be silent.
fn impatient(subject: Subject) -> Subject {
    let timers = Timers { t1: SHORT / 4, ..Timers::default() };
    Subject { times: Times { connect: SHORT, handshake: SHORT, answer: SHORT }, sending: Sending { timers, ..subject.sending }, ..subject }
}

async fn findings(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bad = examine(subject, &mut findings).await;
    check(&findings, bad);
    findings
}

/// What holds for all findings.
fn check(findings: &[Finding], bad: usize) {
    assert_eq!(bad, findings.iter().filter(|finding| finding.grade == Grade::Bad).count());
    for finding in findings {
        assert!(finding.grade != Grade::Bad || finding.remedy.is_some(), "nothing to do about it: {finding}");
        let lines = finding.what.lines().count() + finding.remedy.iter().map(|remedy| remedy.lines().count()).sum::<usize>();
        assert_eq!(lines, 1 + usize::from(finding.remedy.is_some()), "{finding}");
    }
}

fn kinds(findings: &[Finding], grade: Grade) -> Vec<Kind> {
    findings.iter().filter(|finding| finding.grade == grade).map(|finding| finding.kind).collect()
}

/// All that is bad, in order.
fn bad(findings: &[Finding]) -> Vec<Kind> {
    kinds(findings, Grade::Bad)
}

/// The finding of that kind; there has to be exactly one.
fn the(findings: &[Finding], kind: Kind) -> &Finding {
    let all: Vec<_> = findings.iter().filter(|finding| finding.kind == kind).collect();
    assert_eq!(all.len(), 1, "{kind:?} among {findings:#?}");
    all[0]
}

/// Whether the text of a finding, with what to do, holds these words.
#[track_caller]
fn says(finding: &Finding, words: &[&str]) {
    let text = finding.to_string();
    words.iter().for_each(|word| assert!(text.contains(word), "`{word}` is not in `{text}`"));
}

fn account() -> Option<Arc<jackfield_auth::Account>> {
    Some(Arc::new(jackfield_auth::Account { username: "4930".to_owned(), password: "secret".to_owned(), realm: None }))
}
