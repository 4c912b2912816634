use std::sync::Arc;

use bytes::Bytes;
use jackfield_auth::Account;
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Edit, Numbering, Target};
use jackfield_proto::time::Timestamp;

use crate::health::{Health, Reason};
use crate::{Forced, Incoming, Origin, Planned, Table, TrunkSettings, Way};

fn request(start: &str, fields: &str) -> Message {
    let method = start.split(' ').next().unwrap();
    let text = format!(
        "{start} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x.test>;tag=f\r\nTo: <sip:b@x.test>\r\nCall-ID: c\r\n\
         CSeq: 1 {method}\r\n{fields}\r\n"
    );
    Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
}

fn trunk(name: &str, provider: &str, hops: &[&str]) -> TrunkSettings {
    let way = |hop: &&str| Way { next_hop: Some(Bytes::copy_from_slice(hop.as_bytes())), ..Way::default() };
    TrunkSettings { name: name.into(), providers: vec![provider.into()], ways: hops.iter().map(way).collect(), ..TrunkSettings::default() }
}

fn table(trunks: Vec<TrunkSettings>) -> Table {
    Table::new(trunks.into_iter().map(|trunk| (Origin::Configuration, trunk)).collect())
}

fn hops(planned: &[Planned]) -> Vec<&str> {
    planned.iter().map(|planned| str::from_utf8(planned.target.next_hop.as_deref().unwrap()).unwrap()).collect()
}

#[test]
fn a_host_belongs_to_one_trunk_in_any_case() {
    let table = table(vec![trunk("a", "p.test", &[]), trunk("b", "192.0.2.7", &[])]);
    let name = |host: &str| table.by_host(host.as_bytes()).map(|trunk| trunk.settings.name.to_string());
    assert_eq!(name("P.Test").as_deref(), Some("a"));
    assert_eq!(name("p.test.").as_deref(), Some("a"));
    assert_eq!(name("192.0.2.7").as_deref(), Some("b"));
    assert_eq!(name("sub.p.test"), None);
    assert_eq!(table.by_id(jackfield_proto::proxy::TrunkId::of("b")).unwrap().settings.name, "b".into());
}

/// The precedence: TOML, then the file, then Consul.
#[test]
fn what_stands_nearer_wins() {
    let table = Table::new(vec![
        (Origin::Consul, trunk("p.test", "p.test", &["sip:consul"])),
        (Origin::File, trunk("p.test", "p.test", &["sip:file"])),
        (Origin::Configuration, trunk("telekom", "p.test", &["sip:toml"])),
        (Origin::Consul, trunk("q.test", "q.test", &["sip:q"])),
    ]);
    assert_eq!(table.by_host(b"p.test").unwrap().settings.name, "telekom".into());
    assert_eq!(table.by_host(b"q.test").unwrap().origin, Origin::Consul);
    let over: Vec<_> = table.overridden().iter().map(|over| (over.origin, &*over.by)).collect();
    assert_eq!(over, [(Origin::File, "telekom"), (Origin::Consul, "telekom")]);
}

#[test]
fn ways_come_in_order_then_those_of_fallbacks_and_what_is_down_comes_last() {
    let first = TrunkSettings { fallback: vec!["b".into()], ..trunk("a", "a.test", &["sip:a1", "sip:a2"]) };
    let second = TrunkSettings { fallback: vec!["a".into(), "c".into()], ..trunk("b", "b.test", &["sip:b1"]) };
    let table = table(vec![first, second, trunk("c", "c.test", &["sip:c1"])]);
    let invite = request("INVITE sip:49@A.test:5070;user=phone", "");
    let a = table.by_name("a").unwrap();
    let plan = table.plan(a, &Target::default(), &invite, &Health::default());
    assert_eq!(hops(&plan), ["sip:a1", "sip:a2", "sip:b1", "sip:c1"]);
    let uris: Vec<_> = plan.iter().map(|planned| planned.target.uri.as_deref()).collect();
    assert_eq!(uris, [None, None, Some(&b"sip:49@b.test;user=phone"[..]), Some(b"sip:49@c.test;user=phone")]);
    let health = Health::default();
    let watched = table.trunks().iter().flat_map(|trunk| trunk.watched.iter().cloned());
    health.reconfigure(Timestamp::ZERO, watched, &mut || 0);
    let b = table.by_name("b").unwrap();
    for (way, times) in [(a.watched[0].id, 3), (b.watched[0].id, 1)] {
        (0..times).for_each(|_| drop(health.failed(Timestamp::ZERO, way, Reason::Silence)));
    }
    // What is suspect comes before what is down.
    assert_eq!(hops(&table.plan(a, &Target::default(), &invite, &health)), ["sip:a2", "sip:c1", "sip:b1", "sip:a1"]);
    let register = request("REGISTER sip:a.test", "");
    assert_eq!(hops(&table.plan(a, &Target::default(), &register, &Health::default())), ["sip:a1", "sip:a2"]);
}

#[test]
fn what_a_trunk_forces_comes_after_what_a_plugin_wants() {
    let forced = Forced { transport: Some(Transport::Tcp), edits: vec![Edit::Set("X-A".into(), "trunk".into())] };
    let account = Account { username: "u".into(), password: "p".into(), realm: None };
    let table = table(vec![TrunkSettings { forced, account: Some(Arc::new(account)), ..trunk("a", "a.test", &[]) }]);
    let base = Target {
        uri: Some("sip:x@a.test".into()),
        edits: vec![Edit::Set("X-A".into(), "plugin".into())],
        tag: "gold".into(),
        ..Target::default()
    };
    let plan = table.plan(table.by_name("a").unwrap(), &base, &request("INVITE sip:x@h", ""), &Health::default());
    let target = &plan[0].target;
    assert_eq!((target.uri.as_deref(), &*target.tag, target.transport), (Some(&b"sip:x@a.test"[..]), "gold", Some(Transport::Tcp)));
    assert_eq!(target.edits, [Edit::Set("X-A".into(), "plugin".into()), Edit::Set("X-A".into(), "trunk".into())]);
    assert_eq!(target.trunk.unwrap().numbering, Numbering::Spaced);
}

#[test]
fn a_request_is_known_by_all_that_marks_its_trunk() {
    let incoming = |networks: &[&str], listeners: &[&str], header: Option<(&'static str, Option<&'static str>)>| Incoming {
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        listeners: listeners.iter().map(|name| (*name).into()).collect(),
        header: header.map(|(name, value)| (name.into(), value.map(Bytes::from))),
        ..Incoming::default()
    };
    let with = |name: &str, incoming: Incoming| TrunkSettings { incoming, ..trunk(name, name, &[]) };
    let table = table(vec![
        with("none", Incoming::default()),
        with("both", incoming(&["192.0.2.0/24"], &["wan"], None)),
        with("header", incoming(&["198.51.100.0/24"], &[], Some(("X-Trunk", Some("h"))))),
        with("any", incoming(&[], &["dmz"], Some(("X-Any", None)))),
        with("marked", incoming(&[], &[], Some(("X-Mark", Some("1"))))),
    ]);
    let found = |source: &str, listener: &str, fields: &str| {
        let invite = request("INVITE sip:b@h", fields);
        table.of_source(source.parse().unwrap(), listener, &invite).map(|trunk| trunk.settings.name.to_string())
    };
    assert_eq!(found("192.0.2.1", "wan", "").as_deref(), Some("both"));
    assert_eq!(found("192.0.2.1", "lan", ""), None);
    assert_eq!(found("198.51.100.9", "lan", "x-trunk: h\r\n").as_deref(), Some("header"));
    assert_eq!(found("198.51.100.9", "lan", "X-Trunk: other\r\n"), None);
    assert_eq!(found("203.0.113.1", "dmz", "X-Any: 1\r\n").as_deref(), Some("any"));
    assert_eq!(found("203.0.113.1", "dmz", ""), None);
    // What anybody can write says only where a request for us goes.
    assert_eq!(found("203.0.113.1", "lan", "X-Mark: 1\r\n"), None);
    let by_header = |fields: &str| table.of_header(&request("INVITE sip:b@h", fields)).map(|trunk| trunk.settings.name.to_string());
    assert_eq!(
        (by_header("x-mark: 1\r\n").as_deref(), by_header("X-Mark: 2\r\n"), by_header("X-Any: 1\r\n")),
        (Some("marked"), None, None)
    );
}
