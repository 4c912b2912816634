//! What an agent answers: it takes every call, keeps registrations, and asks for credentials if it has a guard.

use std::net::SocketAddr;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name, ResponseBuilder, respond};

use crate::agent::{Binding, Bindings};
use crate::digest::Guard;
use crate::wire::{session, text, uri_in};

/// The answering half of an agent.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) name: String,
    pub(crate) us: SocketAddr,
    pub(crate) guard: Option<Guard>,
    pub(crate) bindings: Bindings,
}

impl Answering {
    /// The responses to a request. An INVITE that is taken has two, one that is refused has one.
    pub(crate) fn answers(&self, request: &Message, source: SocketAddr) -> Vec<Bytes> {
        match request.method().as_bytes() {
            b"INVITE" => match self.refusal(request) {
                Some(refusal) => vec![refusal],
                None => {
                    let body = session(self.us).into_bytes();
                    vec![self.answer(request, 180).finish(), self.answer(request, 200).body("application/sdp", body).finish()]
                }
            },
            b"REGISTER" => vec![self.refusal(request).unwrap_or_else(|| self.register(request, source))],
            b"ACK" => Vec::new(),
            b"BYE" | b"CANCEL" | b"OPTIONS" => vec![self.answer(request, 200).finish()],
            _ => vec![self.answer(request, 405).header("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE, REGISTER").finish()],
        }
    }

    /// A response with this agent's tag and Contact, and the Record-Route of the request (RFC 3261 12.1.1).
    fn answer<'a>(&self, request: &'a Message, status: u16) -> ResponseBuilder<'a> {
        let mut response = respond(request, status, None).to_tag(self.name.as_bytes());
        for hop in request.fields().filter(|field| field.name == Name::RecordRoute) {
            response = response.header("Record-Route", hop.value.to_vec());
        }
        response.header("Contact", format!("<sip:{}@{}>", self.name, self.us))
    }

    /// The challenge to who has not proved to be the one that may (RFC 3261 22.2).
    fn refusal(&self, request: &Message) -> Option<Bytes> {
        let guard = self.guard.as_ref()?;
        let method = text(request.method().as_bytes());
        let credentials = request.field(&Name::Authorization).map(text).unwrap_or_default();
        let refusal = || respond(request, 401, None).to_tag(b"challenge").header("WWW-Authenticate", guard.challenge()).finish();
        (!guard.admits(&method, &credentials)).then(refusal)
    }

    /// Notes the binding, and confirms it with its Path (RFC 3327 5.3).
    fn register(&self, request: &Message, source: SocketAddr) -> Bytes {
        let contact = request.field(&Name::Contact).map(text).unwrap_or_default();
        let path: Vec<String> = request.values(&Name::Path).map(|value| text(value.bytes)).collect();
        let aor = uri_in(&request.field(&Name::To).map(text).unwrap_or_default());
        let (hops, call_id) = (path.iter().map(|value| uri_in(value)).collect(), request.call_id().to_vec());
        self.bindings.note(Binding { aor, contact: uri_in(&contact), path: hops, source, call_id });
        let mut response = respond(request, 200, None).to_tag(self.name.as_bytes());
        for value in path {
            response = response.header("Path", value);
        }
        response.header("Contact", format!("{contact};expires=60")).finish()
    }
}
