//! Both sides against each other and against the letter of the RFCs.

mod authenticator;
mod client;
mod garbage;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name, respond};
use jackfield_proto::proxy::{Edit, Reply};

use crate::Account;

fn parse(text: impl Into<Bytes>) -> Message {
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

/// A request to `sip:bob@example.test` with more header fields, each with its line end.
fn request(method: &str, more: &str) -> Message {
    request_to(method, "sip:bob@example.test", more)
}

fn request_to(method: &str, uri: &str, more: &str) -> Message {
    parse(format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.test>;tag=1\r\n\
         To: <sip:bob@example.test>\r\nCall-ID: 42\r\nCSeq: 1 {method}\r\n{more}Content-Length: 3\r\n\r\nv=0"
    ))
}

fn response(request: &Message, reply: &Reply) -> Message {
    let builder = respond(request, reply.status, reply.reason.as_deref());
    parse(reply.headers.iter().fold(builder, |builder, (name, value)| builder.header(name.clone(), value.clone())).finish())
}

/// The message with these edits.
fn edited(message: &Message, edits: &[Edit]) -> Message {
    let mut splice = message.splice();
    for edit in edits {
        match edit {
            Edit::Add(name, value) => splice.append(name, value.clone()),
            Edit::Set(name, value) => splice.set(name, value.clone()),
            Edit::Remove(name) => splice.remove(name),
            Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => panic!("an edit of the Request-URI"),
        }
    }
    parse(splice.finish())
}

fn fields(message: &Message, name: Name<'_>) -> Vec<String> {
    message.fields().filter(|field| field.name == name).map(|field| String::from_utf8(field.value.to_vec()).unwrap()).collect()
}

fn account(realm: Option<&str>) -> Account {
    Account { username: "alice".into(), password: "secret".into(), realm: realm.map(str::to_owned) }
}
