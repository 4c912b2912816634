//! Dialogs, and an edge that speaks every transport.

use jackfield_proto::message::Message;
use jackfield_proto::net::{ConnectionId, Flow, Listener, ListenerId, ListenerState, Transport};
use jackfield_proto::proxy::Settings;

use super::bench::{Bench, Sent, settings};
use super::wire::{Request, address};

/// A call that the callee has answered: the INVITE as it arrived, and the 200 as it came back.
pub(crate) fn call(bench: &mut Bench, invite: &Request, arrives: Flow, callee: char) -> (Sent, Sent) {
    call_of(bench, invite.message(), arrives, callee)
}

fn call_of(bench: &mut Bench, invite: Message, arrives: Flow, callee: char) -> (Sent, Sent) {
    bench.receive(invite, arrives);
    let arrived = bench.sent.iter().rfind(|sent| sent.message.method().is_invite() && sent.message.is_request()).unwrap().clone();
    bench.answer(callee, 200);
    let answer = bench.sent.last().unwrap().clone();
    assert_eq!(answer.message.status(), 200);
    bench.ladder();
    (arrived, answer)
}

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Every transport over IPv4 and IPv6, sharing ports as they may: numbers 0 to 4 are IPv4, 5 to 9 IPv6; number 10 is UDP elsewhere.
pub(crate) fn edge_settings() -> Settings {
    let mut settings = settings();
    settings.listeners.clear();
    let mut add = |name: &str, transport: Transport, address: String| {
        let sent_by = address.as_str().into();
        settings.listeners.push(Listener {
            name: name.into(),
            transport,
            address: address.parse().unwrap(),
            sent_by,
            state: ListenerState::Open,
        });
    };
    for host in ["192.0.2.1", "[2001:db8::1]"] {
        for transport in TRANSPORTS {
            let port = if transport.is_secure() { 5061 } else { 5060 };
            add(if host.starts_with('[') { "six" } else { "four" }, transport, format!("{host}:{port}"));
        }
    }
    add("wan", Transport::Udp, "198.51.100.1:5070".into());
    settings
}

/// How a peer's message arrives at such an edge.
pub(crate) fn edge_flow(peer: char, transport: Transport) -> Flow {
    let index = TRANSPORTS.iter().position(|other| *other == transport).unwrap() + if peer.is_ascii_uppercase() { 5 } else { 0 };
    let connection = transport.is_reliable().then_some(ConnectionId(u64::from(peer as u32)));
    Flow { transport, listener: ListenerId(index as u16), remote: address(peer), connection }
}
