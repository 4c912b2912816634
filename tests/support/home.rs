//! The proxy of a domain behind ours, with its registrar: it keeps the bindings with their Path (RFC 3327), and sends a request for a
//! user to where the user's phone is, over the Path.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};

use super::draft::Draft;
use super::wait;

/// A binding, and how its REGISTER came.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The Contact with all its parameters.
    pub(crate) contact: String,
    /// The Path, the first to visit first.
    pub(crate) path: Vec<String>,
    /// Vias of the REGISTER: more than one when a proxy was on the way.
    pub(crate) hops: usize,
}

type Bindings = Arc<Mutex<BTreeMap<String, Binding>>>;

/// It runs on a thread of its own, until it goes.
pub(crate) struct Home {
    pub(crate) address: SocketAddr,
    bindings: Bindings,
    stop: Arc<AtomicBool>,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Home {
    /// One on 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// One at an address.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a bound socket");
        let address = socket.local_addr().expect("a bound socket");
        let (bindings, stop) = (Bindings::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&bindings), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                let octets = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                let Ok(message) = Message::parse(octets, Framing::Datagram, &Limits::default()) else { continue };
                let sent = match (message.is_request(), message.method().as_bytes()) {
                    (true, b"REGISTER") => Some((register(&message, &mut lock(&kept)), from)),
                    (true, _) => Some(forward(&message, &lock(&kept), address, from)),
                    (false, _) => back(&message, from),
                };
                if let Some((draft, to)) = sent {
                    socket.send_to(&draft.bytes(), to).expect("the proxy's address is sound");
                }
            }
        });
        Self { address, bindings, stop }
    }

    /// Waits until a user is registered.
    pub(crate) fn binding_of(&self, user: &str) -> Binding {
        wait::until(&format!("REGISTER of {user}"), || lock(&self.bindings).get(user).cloned())
    }

    /// Forgets a user.
    pub(crate) fn forget(&self, user: &str) {
        lock(&self.bindings).remove(user);
    }
}

fn lock(bindings: &Bindings) -> MutexGuard<'_, BTreeMap<String, Binding>> {
    bindings.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn list(message: &Message, name: &Name<'_>) -> Vec<String> {
    message.values(name).map(|value| text(value.bytes)).collect()
}

/// The URI inside the angle brackets.
fn bare(name_addr: &str) -> &str {
    name_addr.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(name_addr, |(uri, _)| uri)
}

fn register(request: &Message, bindings: &mut BTreeMap<String, Binding>) -> Draft {
    let mut answer = Draft::new("SIP/2.0 200 OK");
    for field in request.fields() {
        match field.name {
            // RFC 3327 5.3: the registrar shows the Path that it has stored.
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::Contact | Name::Path => {
                answer = answer.header(&text(field.name.as_bytes()), text(field.value));
            }
            Name::To => answer = answer.header("To", text(field.value) + ";tag=registrar"),
            _ => {}
        }
    }
    let user = request.to().and_then(|to| to.uri_parsed()).and_then(|uri| uri.user().map(text)).unwrap_or_default();
    let contact = request.field(&Name::Contact).map(text).unwrap_or_default();
    bindings.insert(user, Binding { contact, path: list(request, &Name::Path), hops: request.vias().count() });
    answer
}

/// RFC 3261 16.6, as far as one hop needs it: Request-URI, Route, Via. The branch is made from the one that came (16.11), so that an ACK
/// or a CANCEL follows its INVITE.
fn forward(request: &Message, bindings: &BTreeMap<String, Binding>, us: SocketAddr, from: SocketAddr) -> (Draft, SocketAddr) {
    let user = request.to().and_then(|to| to.uri_parsed()).and_then(|uri| uri.user().map(text)).unwrap_or_default();
    let Some(binding) = bindings.get(&user) else {
        let mut refusal = Draft::new("SIP/2.0 404 Not Found");
        for field in request.fields().filter(|f| matches!(f.name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq)) {
            refusal = refusal.header(&text(field.name.as_bytes()), text(field.value));
        }
        return (refusal, from);
    };
    let branch = request.top_via().and_then(|via| via.branch().map(text)).unwrap_or_default();
    let mut sent = Draft::new(format!("{} {} SIP/2.0", text(request.method().as_bytes()), bare(&binding.contact)))
        .header("Via", format!("SIP/2.0/UDP {us};branch={branch}home"));
    for hop in &binding.path {
        sent = sent.header("Route", hop);
    }
    for field in request.fields() {
        let name = text(field.name.as_bytes());
        // What said to our neighbour that the request is for us has served its turn.
        if !matches!(field.name, Name::Route | Name::ContentLength) && !name.eq_ignore_ascii_case("X-Callee") {
            sent = sent.header(&name, text(field.value));
        }
    }
    let next = binding.path.first().map_or_else(|| bare(&binding.contact), |hop| bare(hop));
    (sent.octets(request.body()), host_port(next))
}

/// RFC 3261 16.7 item 3: our Via goes, and the next one says where to; our only neighbour is the proxy.
fn back(response: &Message, from: SocketAddr) -> Option<(Draft, SocketAddr)> {
    let mut sent = Draft::new(format!("SIP/2.0 {} {}", response.status(), text(response.reason())));
    let mut vias = 0;
    for field in response.fields() {
        vias += usize::from(matches!(field.name, Name::Via));
        if !(matches!(field.name, Name::Via) && vias == 1 || matches!(field.name, Name::ContentLength)) {
            sent = sent.header(&text(field.name.as_bytes()), text(field.value));
        }
    }
    let via = response.vias().nth(1)?;
    let sent_by = text(via.host());
    let to = format!("{sent_by}:{}", via.port().unwrap_or(5060)).parse().unwrap_or(from);
    Some((sent.octets(response.body()), to))
}

/// The address in a URI that names one.
pub(crate) fn host_port(uri: &str) -> SocketAddr {
    let rest = uri.trim_start_matches("sips:").trim_start_matches("sip:");
    let rest = rest.split([';', '?', '>']).next().unwrap_or_default();
    let host = rest.rsplit('@').next().unwrap_or_default();
    let with_port =
        if host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) { host.to_owned() } else { format!("{host}:5060") };
    with_port.parse().unwrap_or_else(|error| panic!("{uri} names no address: {error}"))
}
