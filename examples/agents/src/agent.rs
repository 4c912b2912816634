//! A user agent on a socket of its own: a thread answers what is asked of it, and whoever holds it places calls and registers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use jackfield_proto::message::{Message, Name};

use crate::answers::Answering;
use crate::digest::{Account, Guard};
use crate::ladder::{PROXY, Record};
use crate::wire::{media_of, parse, receive, text};

/// What an agent is.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in ladders, and the user of its Contact.
    pub name: String,
    /// Where it listens and sends from. Port 0 is any.
    pub address: SocketAddr,
    /// Where it sends everything that it begins itself.
    pub proxy: SocketAddr,
    /// The URI of its From.
    pub identity: String,
    /// A Route that it puts on top of what it begins, like `sip:192.0.2.1;lr`: its outbound proxy.
    pub route: Option<String>,
    /// What it answers challenges with.
    pub account: Option<Account>,
    /// Whom it lets register and call, if not everybody.
    pub guard: Option<Guard>,
}

impl Profile {
    /// An agent that answers everybody and sends everything to the proxy.
    pub fn new(name: &str, address: SocketAddr, proxy: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            identity: format!("sip:{name}@example.test"),
            address,
            proxy,
            route: None,
            account: None,
            guard: None,
        }
    }
}

/// An INVITE that an agent took.
#[derive(Debug)]
pub struct Taken {
    /// The agent's name.
    pub callee: String,
    /// The address it listens on.
    pub address: SocketAddr,
    /// Where the request came from.
    pub source: SocketAddr,
    /// The request as it arrived.
    pub request: Message,
}

impl Taken {
    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<String> {
        self.request.field(&Name::from_bytes(name.as_bytes())).map(text)
    }

    /// The Request-URI.
    pub fn uri(&self) -> String {
        text(self.request.request_uri())
    }
}

/// What an agent that is a registrar has noted of somebody who registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The URI of To.
    pub aor: String,
    /// The URI to reach it at.
    pub contact: String,
    /// The URIs to visit on the way (RFC 3327).
    pub path: Vec<String>,
    /// Where the REGISTER came from.
    pub source: SocketAddr,
    /// The Call-ID of the REGISTER.
    pub call_id: Vec<u8>,
}

/// The bindings of a registrar, or of several that share them.
#[derive(Clone, Debug, Default)]
pub struct Bindings(Arc<Mutex<Vec<Binding>>>);

impl Bindings {
    /// That of an address of record.
    pub fn of(&self, aor: &str) -> Option<Binding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|binding| binding.aor == aor).cloned()
    }

    /// That of who registered last.
    pub fn newest(&self) -> Option<Binding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// Puts a binding in the place of the former one.
    pub(crate) fn note(&self, binding: Binding) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.aor != binding.aor);
        all.push(binding);
    }
}

/// A running agent. Its thread lives as long as the process.
#[derive(Debug)]
pub struct Agent {
    pub(crate) profile: Profile,
    pub(crate) us: SocketAddr,
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) record: Record,
    pub(crate) responses: Receiver<Message>,
    bindings: Bindings,
    silent: Arc<AtomicBool>,
}

impl Agent {
    /// Starts an agent. Every INVITE it takes is told to `taken`; what it registers goes to `bindings`.
    pub fn start(profile: Profile, record: Record, taken: Sender<Taken>, bindings: Bindings) -> Result<Self> {
        let context = || format!("{} cannot listen on {}", profile.name, profile.address);
        let socket = Arc::new(UdpSocket::bind(profile.address).with_context(context)?);
        let us = socket.local_addr()?;
        let silent = Arc::new(AtomicBool::new(false));
        let answering = Answering { name: profile.name.clone(), us, guard: profile.guard.clone(), bindings: bindings.clone() };
        let (tell, responses) = channel();
        let reader =
            Reader { answering, socket: Arc::clone(&socket), record: record.clone(), taken, responses: tell, silent: Arc::clone(&silent) };
        std::thread::spawn(move || reader.run());
        Ok(Self { profile, us, socket, record, responses, bindings, silent })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.us
    }

    /// Where its session descriptions ask for media. Nobody listens there unless the example does.
    pub fn media(&self) -> SocketAddr {
        media_of(self.us)
    }

    /// What it has noted of those who registered.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// From now on it neither hears nor says anything, as if it had lost its power.
    pub fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// It is back.
    pub fn wake(&self) {
        self.silent.store(false, Ordering::Relaxed);
    }
}

/// The thread of an agent.
struct Reader {
    answering: Answering,
    socket: Arc<UdpSocket>,
    record: Record,
    taken: Sender<Taken>,
    responses: Sender<Message>,
    silent: Arc<AtomicBool>,
}

impl Reader {
    fn run(self) {
        loop {
            let Some((message, source)) = receive(&self.socket) else { continue };
            if self.silent.load(Ordering::Relaxed) {
                continue;
            }
            self.record.note(PROXY, &self.answering.name, &message);
            // Nobody listens to either channel when the process is about to end.
            if message.is_request() { self.answer(message, source) } else { drop(self.responses.send(message)) }
        }
    }

    fn answer(&self, request: Message, source: SocketAddr) {
        let answers = self.answering.answers(&request, source);
        let is_taken = request.method().is_invite() && answers.len() > 1;
        for answer in answers {
            if let Some(parsed) = parse(answer.clone()) {
                self.record.note(&self.answering.name, PROXY, &parsed);
            }
            if let Err(error) = self.socket.send_to(&answer, source) {
                eprintln!("{}: cannot answer {source}: {error}", self.answering.name);
            }
        }
        if is_taken {
            drop(self.taken.send(Taken { callee: self.answering.name.clone(), address: self.answering.us, source, request }));
        }
    }
}
