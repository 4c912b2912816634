//! REGISTERs and their responses as user agents and registrars write them, against the table.

mod bounds;
mod carrying;
mod deadlines;
mod finding;
mod storing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{ConnectionId, Transport};
use jackfield_proto::proxy::{Cause, TrunkId};

use super::*;

/// Some day, so that zero is long ago.
const START: UnixTime = UnixTime(1_800_000_000_000);

pub(super) fn after(seconds: u64) -> UnixTime {
    START + Duration::from_secs(seconds)
}

pub(super) fn message(text: &str) -> Message {
    let message = Message::parse(text.to_owned().into(), Framing::Datagram, &Limits { headers: 10_000, ..Limits::default() }).unwrap();
    assert_eq!(message.defect(), None, "{text}");
    message
}

/// A user agent that registers, and the registrar that answers.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) aor: String,
    pub(super) call_id: String,
    /// The values of Contact, as they go into the request.
    pub(super) contacts: Vec<String>,
    /// Further header fields of the request.
    pub(super) headers: String,
    pub(super) trunk: Arc<str>,
    pub(super) flow: NamedFlow,
    pub(super) registrar: SocketAddr,
    pub(super) credentials: Credentials,
}

impl Agent {
    /// One at trunk `telekom` with one contact.
    pub(super) fn new(aor: &str, contact: &str) -> Self {
        let remote = "10.0.0.5:5060".parse().unwrap();
        Self {
            aor: aor.to_owned(),
            call_id: format!("call-of-{contact}"),
            contacts: vec![contact.to_owned()],
            headers: String::new(),
            trunk: "telekom".into(),
            flow: NamedFlow { transport: Transport::Udp, listener: "lan".into(), remote, connection: None },
            registrar: "198.51.100.9:5060".parse().unwrap(),
            credentials: Credentials::Senders,
        }
    }

    pub(super) fn contact(mut self, contact: &str) -> Self {
        self.contacts = vec![contact.to_owned()];
        self
    }

    pub(super) fn header(mut self, header: &str) -> Self {
        self.headers += &format!("{header}\r\n");
        self
    }

    pub(super) fn trunk(mut self, trunk: &str) -> Self {
        self.trunk = trunk.into();
        self
    }

    pub(super) fn over_tcp(mut self, remote: &str, connection: u64) -> Self {
        let (remote, connection) = (remote.parse().unwrap(), Some(ConnectionId(connection)));
        self.flow = NamedFlow { transport: Transport::Tcp, remote, connection, ..self.flow };
        self
    }

    pub(super) fn request(&self) -> Message {
        let contacts: String = self.contacts.iter().map(|contact| format!("Contact: {contact}\r\n")).collect();
        message(&format!(
            "REGISTER sip:provider.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <{0}>;tag=1\r\nTo: <{0}>\r\n\
             Call-ID: {1}\r\nCSeq: 1 REGISTER\r\n{contacts}{2}\r\n",
            self.aor, self.call_id, self.headers
        ))
    }

    pub(super) fn response(&self, status: u16, headers: &[&str]) -> Message {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        message(&format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1\r\nFrom: <{0}>;tag=1\r\nTo: <{0}>;tag=2\r\nCall-ID: {1}\r\n\
             CSeq: 1 REGISTER\r\n{headers}\r\n",
            self.aor, self.call_id
        ))
    }

    /// Registers and gets this answer, with these header fields.
    pub(super) fn answered(&self, table: &Registrations, now: UnixTime, status: u16, headers: &[&str]) -> Vec<Event> {
        let (request, response) = (self.request(), self.response(status, headers));
        let Self { trunk, flow, registrar, credentials, .. } = self;
        let answered = Answered { request: &request, response: &response, trunk, flow, registrar: *registrar, credentials: *credentials };
        table.answered(now, &answered).into_vec()
    }

    /// Registers for so many seconds.
    pub(super) fn granted(&self, table: &Registrations, now: UnixTime, seconds: u32) -> Vec<Event> {
        self.answered(table, now, 200, &[&format!("Expires: {seconds}")])
    }

    pub(super) fn unanswered(&self, table: &Registrations, now: UnixTime, cause: Cause) -> Vec<Event> {
        let request = self.request();
        table.unanswered(now, &Unanswered { request: &request, trunk: &self.trunk, flow: &self.flow, cause }).into_vec()
    }
}

pub(super) fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

/// What a request from nowhere in particular finds, its contacts.
pub(super) fn found(table: &Registrations, now: UnixTime, request_uri: &str, to: &str, trunk: Option<&str>) -> Vec<String> {
    let source = "192.0.2.200".parse().unwrap();
    let sought = Sought { request_uri: request_uri.as_bytes(), to_uri: to.as_bytes(), source, trunk: trunk.map(TrunkId::of) };
    table.find(now, &sought).into_iter().map(|found| String::from_utf8(found.contact.to_vec()).unwrap()).collect()
}

/// Registered, failed, overdue, expired of the only trunk.
pub(super) fn counted(table: &Registrations) -> [u32; 4] {
    match table.counts().as_slice() {
        [] => [0; 4],
        [TrunkCount { registered, failed, overdue, expired, .. }] => [*registered, *failed, *overdue, *expired],
        more => panic!("{more:?}"),
    }
}
