//! The called user agent: rings, answers, and hangs up when told.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::Sender;

use anyhow::{Context, Result};
use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name, ResponseBuilder, respond};

use crate::agent::{receive, session, text};
use crate::ladder::{PROXY, Record};

/// An INVITE that a callee took.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The callee's name.
    pub(crate) callee: String,
    /// The address it listens on.
    pub(crate) address: SocketAddr,
    /// The request as it arrived.
    pub(crate) request: Message,
}

/// Starts a callee on a thread of its own, for as long as the process lives. Every INVITE it takes is told to `taken`.
pub(crate) fn start(name: &str, address: SocketAddr, record: Record, taken: Sender<Taken>) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("the callee {name} cannot listen on {address}"))?;
    let name = name.to_owned();
    std::thread::spawn(move || {
        loop {
            let Some((message, proxy)) = receive(&socket) else { continue };
            record.note(PROXY, &name, &message);
            for answer in answers(&message, &name, address) {
                if let Ok(parsed) = Message::parse(answer.clone(), Framing::Datagram, &Limits::default()) {
                    record.note(&name, PROXY, &parsed);
                }
                if let Err(error) = socket.send_to(&answer, proxy) {
                    eprintln!("{name}: cannot answer {proxy}: {error}");
                }
            }
            if message.is_request() && message.method().is_invite() {
                // Nobody listens when the process is about to end.
                let _ = taken.send(Taken { callee: name.clone(), address, request: message });
            }
        }
    });
    Ok(())
}

fn answers(request: &Message, name: &str, address: SocketAddr) -> Vec<Bytes> {
    if !request.is_request() {
        return Vec::new();
    }
    match request.method().as_bytes() {
        b"INVITE" => {
            let body = session(address.port()).into_bytes();
            vec![answer(request, 180, name, address).finish(), answer(request, 200, name, address).body("application/sdp", body).finish()]
        }
        b"ACK" => Vec::new(),
        b"BYE" | b"CANCEL" | b"OPTIONS" => vec![answer(request, 200, name, address).finish()],
        _ => vec![answer(request, 405, name, address).header("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE").finish()],
    }
}

/// A response with this callee's tag and Contact, and the Record-Route of the request (RFC 3261 12.1.1).
fn answer<'a>(request: &'a Message, status: u16, name: &str, address: SocketAddr) -> ResponseBuilder<'a> {
    let mut response = respond(request, status, None).to_tag(name.as_bytes());
    for hop in request.fields().filter(|field| field.name == Name::RecordRoute) {
        response = response.header("Record-Route", hop.value.to_vec());
    }
    response.header("Contact", format!("<sip:{name}@{address}>"))
}

impl Taken {
    /// The first value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.request.field(&Name::from_bytes(name.as_bytes())).map(text)
    }

    /// The Request-URI.
    pub(crate) fn uri(&self) -> String {
        text(self.request.request_uri())
    }
}
