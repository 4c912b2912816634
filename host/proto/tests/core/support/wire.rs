//! What peers put on the wire, and who they are. A peer is a letter: `a` calls, the others are called.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name, NameAddr};
use jackfield_proto::net::{ConnectionId, Flow, ListenerId, Transport};

/// The address of a peer: lower-case letters are IPv4 hosts, upper-case ones IPv6.
pub(crate) fn address(peer: char) -> SocketAddr {
    let number = peer as u32;
    let text = if peer.is_ascii_uppercase() { format!("[2001:db8::{number}]:5060") } else { format!("192.0.2.{number}:5060") };
    text.parse().unwrap()
}

/// The peer at an address; `?` for a stranger.
pub(crate) fn peer_of(address: SocketAddr) -> char {
    let number = match address.ip() {
        IpAddr::V4(v4) if v4.octets()[..3] == [192, 0, 2] => u32::from(v4.octets()[3]),
        IpAddr::V6(v6) => v6.to_string().trim_start_matches("2001:db8::").parse().unwrap_or(0),
        IpAddr::V4(_) => 0,
    };
    char::from_u32(number).filter(char::is_ascii_alphabetic).unwrap_or('?')
}

/// How a peer's message arrives at the first listener of a transport and its own address family.
pub(crate) fn flow(peer: char, transport: Transport) -> Flow {
    let listener = match (peer.is_ascii_uppercase(), transport) {
        (true, _) => ListenerId(3),
        (false, Transport::Udp) => ListenerId(0),
        (false, _) => ListenerId(1),
    };
    let connection = transport.is_reliable().then_some(ConnectionId(u64::from(peer as u32)));
    Flow { transport, listener, remote: address(peer), connection }
}

pub(crate) fn message(text: impl Into<Bytes>) -> Message {
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

pub(crate) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request that a peer writes.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) via: String,
    pub(crate) branch: String,
    pub(crate) via_params: String,
    pub(crate) from_tag: String,
    pub(crate) to_tag: Option<String>,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) max_forwards: Option<u32>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// A request of `a`, outside a dialog, over UDP.
    pub(crate) fn new(method: &'static str) -> Self {
        Self {
            method,
            uri: "sip:b@callee.test".into(),
            via: format!("SIP/2.0/UDP {}", address('a')),
            branch: "z9hG4bKfirst".into(),
            via_params: String::new(),
            from_tag: "a1".into(),
            to_tag: None,
            call_id: "call-1".into(),
            cseq: 1,
            max_forwards: Some(70),
            fields: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn invite() -> Self {
        Self::new("INVITE").field("Contact", &format!("<sip:a@{}>", address('a')))
    }

    pub(crate) fn uri(self, uri: &str) -> Self {
        Self { uri: uri.into(), ..self }
    }

    pub(crate) fn branch(self, branch: &str) -> Self {
        Self { branch: format!("z9hG4bK{branch}"), ..self }
    }

    /// Sent by another peer, over this transport.
    pub(crate) fn by(self, peer: char, transport: Transport) -> Self {
        Self { via: format!("SIP/2.0/{} {}", transport.via_name(), address(peer)), ..self }
    }

    pub(crate) fn via_params(self, params: &str) -> Self {
        Self { via_params: params.into(), ..self }
    }

    pub(crate) fn tagged(self, tag: &str) -> Self {
        Self { to_tag: Some(tag.into()), ..self }
    }

    pub(crate) fn max_forwards(self, hops: u32) -> Self {
        Self { max_forwards: Some(hops), ..self }
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(self, octets: usize) -> Self {
        Self { body: "x".repeat(octets), ..self }
    }

    /// The CANCEL of this INVITE (RFC 3261 9.1).
    pub(crate) fn cancel(&self) -> Self {
        let fields = self.fields.iter().filter(|(name, _)| name == "Route").cloned().collect();
        Self { method: "CANCEL", fields, body: String::new(), ..self.clone() }
    }

    /// The ACK for a failure, in the transaction of the INVITE (RFC 3261 17.1.1.3).
    pub(crate) fn ack(&self, failure: &Message) -> Self {
        Self { method: "ACK", to_tag: failure.to_tag().map(text_of), ..self.cancel() }
    }

    /// A request in the dialog that `answer` to this request has set up, by the caller (RFC 3261 12.2.1.1).
    pub(crate) fn in_dialog(&self, method: &'static str, answer: &Message, branch: &str) -> Self {
        let contact = answer.field(&Name::Contact).and_then(NameAddr::parse).map(|contact| text_of(contact.uri()));
        let mut routes: Vec<String> = answer.values(&Name::RecordRoute).map(|route| text_of(route.bytes)).collect();
        routes.reverse();
        let request = Self {
            method,
            uri: contact.unwrap_or_else(|| self.uri.clone()),
            to_tag: answer.to_tag().map(text_of),
            cseq: if method == "ACK" { self.cseq } else { self.cseq + 1 },
            fields: Vec::new(),
            body: String::new(),
            ..self.clone()
        };
        routes.iter().fold(request.branch(branch), |request, route| request.field("Route", route))
    }

    /// A request of the callee, in the dialog that it has answered `received` in with its tag.
    pub(crate) fn of_callee(method: &'static str, received: &Message, callee: char, transport: Transport, branch: &str) -> Self {
        let contact = received.field(&Name::Contact).and_then(NameAddr::parse).map(|contact| text_of(contact.uri())).unwrap();
        let request = Self {
            method,
            uri: contact,
            from_tag: callee.to_string(),
            to_tag: received.from_tag().map(text_of),
            call_id: text_of(received.call_id()),
            ..Self::new(method)
        };
        let routes: Vec<String> = received.values(&Name::RecordRoute).map(|route| text_of(route.bytes)).collect();
        routes.iter().fold(request.by(callee, transport).branch(branch), |request, route| request.field("Route", route))
    }

    pub(crate) fn text(&self) -> String {
        let branch = if self.branch.is_empty() { String::new() } else { format!(";branch={}", self.branch) };
        let mut text = format!("{} {} SIP/2.0\r\nVia: {}{branch}{}\r\n", self.method, self.uri, self.via, self.via_params);
        if let Some(hops) = self.max_forwards {
            text += &format!("Max-Forwards: {hops}\r\n");
        }
        let tag = self.to_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        text += &format!("From: <sip:a@caller.test>;tag={}\r\nTo: <sip:b@callee.test>{tag}\r\n", self.from_tag);
        text += &format!("Call-ID: {}\r\nCSeq: {} {}\r\n", self.call_id, self.cseq, self.method);
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        text + &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body)
    }

    pub(crate) fn message(&self) -> Message {
        message(self.text())
    }
}
