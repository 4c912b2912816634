//! What a registration costs in memory, allocator's view: the octets that are live for each.

#[path = "../../proto/benches/call/allocations.rs"]
mod allocations;

use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{ConnectionId, Transport};
use jackfield_trunk::registrations::{Answered, Credentials, NamedFlow};
use jackfield_trunk::{RegistrationSettings, Registrations, UnixTime};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const REGISTRATIONS: usize = 10_000;

fn message(text: String) -> Message {
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

/// As Asterisk writes them, with `line=yes`.
fn register(number: usize, trunk: &Arc<str>, listener: &Arc<str>, now: UnixTime, table: &Registrations) {
    let aor = format!("sip:+4930123{number:05}@tel.provider.example.test");
    let contact = format!("<sip:+4930123{number:05}@192.168.100.5:5060;transport=tcp;line=ylvx{number:05}>");
    let common = format!(
        "Via: SIP/2.0/TCP 192.168.100.5:5060;rport;branch=z9hG4bKPj{number}\r\nFrom: <{aor}>;tag=7f9a{number}\r\nTo: <{aor}>\r\n\
         Call-ID: 0c9d2f9e-6c3c-4a6e-8f52-{number:012}\r\nCSeq: 4711 REGISTER\r\nContact: {contact}"
    );
    let request =
        message(format!("REGISTER sip:tel.provider.example.test SIP/2.0\r\nMax-Forwards: 70\r\n{common}\r\nExpires: 3600\r\n\r\n"));
    let response = message(format!("SIP/2.0 200 OK\r\n{common};expires=600\r\n\r\n"));
    let flow = NamedFlow {
        transport: Transport::Tcp,
        listener: Arc::clone(listener),
        remote: "192.168.100.5:40000".parse().unwrap(),
        connection: Some(ConnectionId(7)),
    };
    let registrar = "198.51.100.9:5060".parse().unwrap();
    let answered = Answered { request: &request, response: &response, trunk, flow: &flow, registrar, credentials: Credentials::Senders };
    assert_eq!(table.answered(now, &answered).len(), 1);
}

#[test]
fn a_registration_costs_less_than_1200_octets() {
    let (trunk, listener): (Arc<str>, Arc<str>) = ("telekom".into(), "lan".into());
    let empty = allocations::live();
    let table = Registrations::new(RegistrationSettings::default());
    let start = UnixTime(1_800_000_000_000);
    let mut cost = Vec::new();
    for round in 0..20 {
        let now = start + Duration::from_secs(round * 300);
        assert_eq!(table.due(now), []);
        (0..REGISTRATIONS).for_each(|number| register(number, &trunk, &listener, now, &table));
        cost.push((allocations::live() - empty) / REGISTRATIONS);
    }
    println!("octets for each registration, first and after each refresh: {cost:?}");
    assert_eq!(table.len(), REGISTRATIONS);
    assert!(cost.iter().all(|cost| *cost < 1200), "{cost:?}");

    // All of it comes back, but for what lists keep ready for the next time.
    assert_eq!(table.due(start + Duration::from_secs(20 * 300 + 600)).len(), REGISTRATIONS);
    table.due(start + Duration::from_secs(20 * 300 + 600 + 3600));
    let left = (allocations::live() - empty) / REGISTRATIONS;
    assert!(table.is_empty() && left < 200, "{left}");
}
