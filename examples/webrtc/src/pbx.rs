//! An old PBX in the least form: a registrar that keeps Contact and Path (RFC 3327), and a stateless proxy (RFC 3261 16.11) that sends
//! each request to where its user is registered. It stays in no dialog.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use example_agents::text;
use jackfield_proto::message::{Framing, Limits, Message, Name, Uri, respond};

/// Where a user is.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The URI of Contact.
    pub(crate) contact: String,
    /// The URIs to visit on the way.
    pub(crate) path: Vec<String>,
}

/// A running PBX. Its thread lives as long as the process.
#[derive(Clone, Debug)]
pub(crate) struct Pbx {
    bindings: Arc<Mutex<BTreeMap<String, Binding>>>,
}

impl Pbx {
    /// Starts it.
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("the PBX cannot listen on {address}"))?;
        let pbx = Self { bindings: Arc::default() };
        let ours = pbx.clone();
        std::thread::spawn(move || ours.serve(&socket, address));
        Ok(pbx)
    }

    /// Where a user is registered.
    pub(crate) fn binding_of(&self, user: &str) -> Option<Binding> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    fn serve(&self, socket: &UdpSocket, us: SocketAddr) {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
            let octets = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            let Ok(message) = Message::parse(octets, Framing::Datagram, &Limits::default()) else { continue };
            let sent = match (message.is_request(), message.method().as_bytes()) {
                (true, b"REGISTER") => Some((self.register(&message), from)),
                (true, _) => Some(self.forward(&message, us, from)),
                (false, _) => back(&message),
            };
            if let Some((octets, to)) = sent
                && let Err(error) = socket.send_to(&octets, to)
            {
                eprintln!("the PBX cannot send to {to}: {error}");
            }
        }
    }

    fn register(&self, request: &Message) -> Bytes {
        let field = request.field(&Name::Contact).map(text).unwrap_or_default();
        let path: Vec<String> = request.values(&Name::Path).map(|value| text(value.bytes)).collect();
        let binding = Binding { contact: bare(&field).to_owned(), path: path.iter().map(|hop| bare(hop).to_owned()).collect() };
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner).insert(user_of(request), binding);
        let mut response = respond(request, 200, None).to_tag(b"pbx");
        for hop in path {
            response = response.header("Path", hop);
        }
        // Without the parameter the binding would live as long as this says nothing else.
        let lasts = if field.contains("expires=") { field } else { format!("{field};expires=600") };
        response.header("Contact", lasts).finish()
    }

    /// On the way to the user in To, with our Via on top; the branch comes of the one that came, so that CANCEL and ACK follow their INVITE.
    fn forward(&self, request: &Message, us: SocketAddr, from: SocketAddr) -> (Bytes, SocketAddr) {
        let found = self.binding_of(&user_of(request));
        let hop = found.as_ref().and_then(|binding| address_of(binding.path.first().unwrap_or(&binding.contact)));
        let (Some(binding), Some(hop)) = (found, hop) else {
            return (respond(request, 404, None).to_tag(b"pbx").finish(), from);
        };
        let branch = request.top_via().and_then(|via| via.branch().map(text)).unwrap_or_default();
        let mut head = format!("{} {} SIP/2.0\r\n", text(request.method().as_bytes()), binding.contact);
        head += &format!("Via: SIP/2.0/UDP {us};branch={branch}pbx\r\n");
        for hop in &binding.path {
            head += &format!("Route: <{hop}>\r\n");
        }
        for field in request.fields().filter(|field| field.name != Name::Route) {
            head += &format!("{}: {}\r\n", text(field.name.as_bytes()), text(field.value));
        }
        (message(head, request.body()), hop)
    }
}

/// A response goes on to the Via below ours (RFC 3261 16.7 item 3).
fn back(response: &Message) -> Option<(Bytes, SocketAddr)> {
    let mut head = format!("SIP/2.0 {} {}\r\n", response.status(), text(response.reason()));
    let mut is_ours = true;
    for field in response.fields() {
        let passed = !(is_ours && field.name == Name::Via);
        is_ours &= passed;
        if passed {
            head += &format!("{}: {}\r\n", text(field.name.as_bytes()), text(field.value));
        }
    }
    let next = response.vias().nth(1)?;
    let to = SocketAddr::new(next.host_ip()?, next.port().unwrap_or(5060));
    Some((message(head, response.body()), to))
}

fn message(head: String, body: &[u8]) -> Bytes {
    [head.as_bytes(), b"\r\n", body].concat().into()
}

fn user_of(request: &Message) -> String {
    request.to().and_then(|to| to.uri_parsed()).and_then(|uri| uri.user().map(text)).unwrap_or_default()
}

/// The URI inside the angle brackets.
fn bare(name_addr: &str) -> &str {
    name_addr.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(name_addr, |(uri, _)| uri)
}

fn address_of(uri: &str) -> Option<SocketAddr> {
    let uri = Uri::parse(uri.as_bytes())?;
    Some(SocketAddr::new(uri.host_ip()?, uri.port().unwrap_or(5060)))
}
