//! Messages for tests, read by the proxy's own parser.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name, NameAddr, Params, Uri};

use crate::{Endpoint, Plan, Transport};

/// See [`crate::Request`].
pub(crate) struct Request {
    message: Message,
    pub(crate) plan: Option<Plan>,
    pub(crate) source: Endpoint,
    pub(crate) arrived_on: (String, Endpoint),
    pub(crate) in_dialog: bool,
    pub(crate) auth_user: Option<String>,
    pub(crate) trunk: Option<String>,
    notes: RefCell<BTreeMap<String, String>>,
}

impl Request {
    /// Reads a request; what it lacks is filled in.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let message = parse(text, |start| if start.contains(" SIP/") { start.to_owned() } else { format!("{start} SIP/2.0") })?;
        if !message.is_request() {
            return Err("this is a response".to_owned());
        }
        let endpoint = |address: &str| Endpoint { address: address.to_owned(), port: 5060, transport: Transport::Udp };
        Ok(Self {
            message,
            plan: None,
            source: endpoint("192.0.2.1"),
            arrived_on: ("test".to_owned(), endpoint("192.0.2.254")),
            in_dialog: false,
            auth_user: None,
            trunk: None,
            notes: RefCell::default(),
        })
    }

    fn parsed_uri(&self) -> Option<Uri<'_>> {
        Uri::parse(self.message.request_uri())
    }

    fn name_addr(&self, header: &str) -> Option<NameAddr<'_>> {
        self.message.field(&Name::from_bytes(header.as_bytes())).and_then(NameAddr::parse)
    }

    pub(crate) fn plan(&self) -> Option<Plan> {
        self.plan.clone()
    }

    pub(crate) fn method(&self) -> String {
        text(self.message.method().as_bytes())
    }

    pub(crate) fn uri(&self) -> String {
        text(self.message.request_uri())
    }

    pub(crate) fn uri_user(&self) -> Option<String> {
        self.parsed_uri().and_then(|uri| uri.user().map(text))
    }

    pub(crate) fn uri_host(&self) -> String {
        self.parsed_uri().map(|uri| text(uri.host())).unwrap_or_default()
    }

    pub(crate) fn uri_param(&self, name: &str) -> Option<String> {
        self.parsed_uri()?.param(name.as_bytes()).map(parameter)
    }

    pub(crate) fn header_uri_param(&self, header: &str, name: &str) -> Option<String> {
        self.name_addr(header)?.uri_parsed()?.param(name.as_bytes()).map(parameter)
    }

    pub(crate) fn header_param(&self, header: &str, name: &str) -> Option<String> {
        let value = self.message.field(&Name::from_bytes(header.as_bytes()))?;
        let param = match NameAddr::parse(value) {
            Some(address) => address.param(name.as_bytes()),
            None => Params::of_value(value).find(|param| param.name.eq_ignore_ascii_case(name.as_bytes())).map(|param| param.value),
        };
        param.map(|value| unquoted(&parameter(value)))
    }

    pub(crate) fn source(&self) -> Endpoint {
        self.source.clone()
    }

    pub(crate) fn arrived_on(&self) -> (String, Endpoint) {
        self.arrived_on.clone()
    }

    pub(crate) fn is_initial(&self) -> bool {
        !self.in_dialog
    }

    pub(crate) fn auth_user(&self) -> Option<String> {
        self.auth_user.clone()
    }

    pub(crate) fn trunk(&self) -> Option<String> {
        self.trunk.clone()
    }

    pub(crate) fn transaction_id(&self) -> String {
        "test".to_owned()
    }

    pub(crate) fn note(&self, key: &str) -> Option<String> {
        self.notes.borrow().get(key).cloned()
    }

    pub(crate) fn notes(&self) -> BTreeMap<String, String> {
        self.notes.borrow().clone()
    }

    pub(crate) fn set_note(&self, key: &str, value: &str) {
        self.notes.borrow_mut().insert(key.to_owned(), value.to_owned());
    }
}

/// See [`crate::Response`].
pub(crate) struct Response {
    message: Message,
    pub(crate) source: Endpoint,
}

impl Response {
    /// Reads a response; what it lacks is filled in.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let message = parse(text, |start| if start.starts_with("SIP/") { start.to_owned() } else { format!("SIP/2.0 {start}") })?;
        if message.is_request() {
            return Err("this is a request".to_owned());
        }
        Ok(Self { message, source: Endpoint { address: "192.0.2.2".to_owned(), port: 5060, transport: Transport::Udp } })
    }

    pub(crate) fn status(&self) -> u16 {
        self.message.status()
    }

    pub(crate) fn reason(&self) -> String {
        text(self.message.reason())
    }

    pub(crate) fn source(&self) -> Endpoint {
        self.source.clone()
    }
}

/// What requests and responses are asked alike.
macro_rules! message {
    ($type:ty) => {
        impl $type {
            pub(crate) fn header(&self, name: &str) -> Option<String> {
                self.message.field(&Name::from_bytes(name.as_bytes())).map(unfolded)
            }

            pub(crate) fn headers<T: AsRef<str>>(&self, names: &[T]) -> Vec<Option<String>> {
                names.iter().map(|name| self.header(name.as_ref())).collect()
            }

            pub(crate) fn header_all(&self, name: &str) -> Vec<String> {
                self.message.values(&Name::from_bytes(name.as_bytes())).map(|value| unfolded(value.bytes)).collect()
            }

            pub(crate) fn header_names(&self) -> Vec<String> {
                let mut names = Vec::new();
                for field in self.message.fields() {
                    let name = text(field.name.as_bytes());
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                names
            }

            pub(crate) fn body(&self) -> Vec<u8> {
                self.message.body().to_vec()
            }

            pub(crate) fn raw(&self) -> Vec<u8> {
                self.message.bytes().to_vec()
            }
        }
    };
}

message!(Request);
message!(Response);

/// Reads a message, with the fields that RFC 3261 8.1.1 demands added where they are missing.
fn parse(text: &str, start_line: impl FnOnce(&str) -> String) -> Result<Message, String> {
    let message = read(wire_form(text, start_line))?;
    let method = if message.is_request() { String::from_utf8_lossy(message.method().as_bytes()).into_owned() } else { "INVITE".to_owned() };
    let cseq = format!("1 {method}");
    let defaults = [
        (Name::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtest"),
        (Name::MaxForwards, "70"),
        (Name::From, "<sip:caller@test.invalid>;tag=test"),
        (Name::To, "<sip:callee@test.invalid>"),
        (Name::CallId, "test@test.invalid"),
        (Name::CSeq, cseq.as_str()),
    ];
    let mut splice = message.splice();
    for (name, value) in defaults {
        if !message.has(&name) {
            splice.append(name.as_bytes(), value.to_owned());
        }
    }
    read(splice.finish())
}

fn read(octets: Bytes) -> Result<Message, String> {
    Message::parse(octets, Framing::Datagram, &Limits::default()).map_err(|error| error.to_string())
}

/// Line ends as on the wire, the indentation of the test's source taken off, an empty line after the header fields.
fn wire_form(text: &str, start_line: impl FnOnce(&str) -> String) -> Bytes {
    let mut lines = text.trim_start().lines();
    let mut wire = start_line(lines.next().unwrap_or_default().trim_end());
    let rest: Vec<&str> = lines.collect();
    let indentation = rest.first().map_or(0, |line| line.len() - line.trim_start().len());
    for line in &rest {
        wire.push_str("\r\n");
        let margin = line.len() - line.trim_start().len();
        wire.push_str(line.get(indentation.min(margin)..).unwrap_or_default());
    }
    if !wire.contains("\r\n\r\n") {
        wire.truncate(wire.trim_end().len());
        wire.push_str("\r\n\r\n");
    }
    wire.into()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// RFC 3261 7.3.1: a line end with the white space around it stands for one space.
fn unfolded(value: &[u8]) -> String {
    let value = text(value);
    if value.contains(['\r', '\n']) { value.lines().map(str::trim).collect::<Vec<_>>().join(" ") } else { value }
}

/// RFC 3261 25.1: the text of a quoted-string; anything else as it is.
fn unquoted(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    let kept = inside.chars().filter(|c| {
        escaped = !escaped && *c == '\\';
        !escaped
    });
    kept.collect()
}

fn parameter(value: Option<&[u8]>) -> String {
    value.map(text).unwrap_or_default()
}
