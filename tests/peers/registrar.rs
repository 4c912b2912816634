//! The smallest registrar that a phone believes (RFC 3261 10.3): it takes every binding.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};

use crate::support::draft::Draft;
use crate::support::wait;

/// A binding, and how its REGISTER came.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) contact: String,
    /// Vias of the REGISTER: more than one when a proxy was on the way.
    pub(super) hops: usize,
}

/// A registrar on 127.0.0.1, on a thread of its own.
pub(super) struct Registrar {
    pub(super) address: SocketAddr,
    bindings: Arc<Mutex<BTreeMap<String, Binding>>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Registrar {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a bound socket");
        let address = socket.local_addr().expect("a bound socket");
        let bindings: Arc<Mutex<BTreeMap<String, Binding>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (Arc::clone(&bindings), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                let octets = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                let Ok(request) = Message::parse(octets, Framing::Datagram, &Limits::default()) else { continue };
                let (answer, binding) = register(&request);
                if let Some((user, binding)) = binding {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(user, binding);
                }
                socket.send_to(&answer, from).expect("the proxy's address is sound");
            }
        });
        Self { address, bindings, stop }
    }

    /// Waits until a user is registered.
    pub(super) fn binding_of(&self, user: &str) -> Binding {
        wait::until(&format!("REGISTER of {user}"), || self.bindings.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned())
    }
}

fn register(request: &Message) -> (Vec<u8>, Option<(String, Binding)>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_register = request.method().as_bytes() == b"REGISTER";
    let mut answer = Draft::new(if is_register { "SIP/2.0 200 OK" } else { "SIP/2.0 405 Method Not Allowed" });
    for field in request.fields() {
        match field.name {
            Name::Via | Name::From | Name::CallId | Name::CSeq => answer = answer.header(&text(field.name.as_bytes()), text(field.value)),
            Name::To => answer = answer.header("To", text(field.value) + ";tag=registrar"),
            Name::Contact if is_register => answer = answer.header("Contact", text(field.value)),
            _ => {}
        }
    }
    let user = request.to().and_then(|to| to.uri_parsed()).and_then(|uri| uri.user().map(text));
    let contact = request.field(&Name::Contact).map(text).unwrap_or_default();
    let binding = user.filter(|_| is_register).map(|user| (user, Binding { contact, hops: request.vias().count() }));
    (answer.bytes(), binding)
}
