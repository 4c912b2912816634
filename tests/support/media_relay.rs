//! A media relay that does what a test says: it speaks rtpengine's ng protocol (a cookie, a space, a dictionary in bencode), keeps what it
//! was asked, and carries nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_bencode::value::Value;

use super::port::Port;
use super::{PATIENCE, wait};

/// The relay: where it is asked, and what it was asked. It stops when the value goes.
pub(crate) struct MediaRelay {
    /// Its name in the configuration.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _port: Port,
}

/// What it does with questions.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// It takes every offer and answer.
    Takes,
    /// It keeps questions until it takes again.
    Waits,
    /// It says nothing, not even to a ping.
    Silent,
    /// It answers pings, and says this to offers and answers, under this word of the protocol.
    Refuses(&'static str, &'static str),
}

/// An offer, an answer or an order to delete.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) command: String,
    /// What it knows the call by: a copy of an INVITE.
    pub(crate) call: String,
    /// What it has answered; empty if that is no session description.
    pub(crate) answered: String,
    values: HashMap<Vec<u8>, Value>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    questions: Vec<Question>,
    /// How many offers and answers the test has looked at.
    taken: usize,
    /// Calls that were offered or answered, and not deleted.
    calls: BTreeSet<String>,
    /// What was said to the cookies that it knows: a question that comes again is no other one.
    said: HashMap<Vec<u8>, Vec<u8>>,
    waiting: Vec<(Vec<u8>, SocketAddr)>,
}

impl Question {
    /// The session description that it is about.
    pub(crate) fn sdp(&self) -> String {
        self.text("sdp")
    }

    /// A value that is a string; empty without one.
    pub(crate) fn text(&self, key: &str) -> String {
        self.values.get(key.as_bytes()).and_then(string).unwrap_or_default()
    }

    /// A value that is a list of strings; empty without one.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        match self.values.get(key.as_bytes()) {
            Some(Value::List(values)) => values.iter().filter_map(string).collect(),
            _ => Vec::new(),
        }
    }

    fn is_about_media(&self) -> bool {
        self.command == "offer" || self.command == "answer"
    }
}

fn string(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
        _ => None,
    }
}

impl Drop for MediaRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed, and fails the test by what is missing.
            let _ = thread.join();
        }
        if std::thread::panicking() {
            let state = self.state();
            let asked: Vec<String> = state.questions.iter().map(|question| format!("{} {}", question.command, question.call)).collect();
            eprintln!("--- what the relay {} was asked ---\n{}", self.name, asked.join("\n"));
        }
    }
}

impl MediaRelay {
    /// One that takes everything.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_as(name, Manner::Takes)
    }

    /// One that does this.
    pub(crate) fn start_as(name: &str, manner: Manner) -> Self {
        let port = Port::reserve();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number));
        let socket = UdpSocket::bind(address).expect("a reserved port is free");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a bound socket");
        let (questions, calls, said, waiting) = (Vec::new(), BTreeSet::new(), HashMap::new(), Vec::new());
        let state = Arc::new(Mutex::new(State { manner, questions, taken: 0, calls, said, waiting }));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared, called) = (Arc::clone(&stop), Arc::clone(&state), name.to_owned());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let got = socket.recv_from(&mut buffer).ok();
                let mut state = lock(&shared);
                let mut due = Vec::new();
                if !matches!(state.manner, Manner::Waits) {
                    due.append(&mut state.waiting);
                }
                due.extend(got.and_then(|(count, from)| Some((buffer.get(..count)?.to_vec(), from))));
                for (datagram, from) in due {
                    if let Some(reply) = state.take(&called, &datagram, from) {
                        socket.send_to(&reply, from).expect("the proxy's address is sound");
                    }
                }
            }
        });
        Self { name: name.to_owned(), address, state, stop, thread: Some(thread), _port: port }
    }

    /// Its table in the configuration, with further keys.
    pub(crate) fn table(&self, keys: &str) -> String {
        format!("[media.relay.{}]\naddress = \"{}\"\n{keys}\n", self.name, self.address)
    }

    /// Does this from now on.
    pub(crate) fn is_now(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// The next offer or answer, which has to be this.
    pub(crate) fn expect(&self, command: &str) -> Question {
        let next = || {
            let mut state = self.state();
            let question = state.questions.iter().filter(|question| question.is_about_media()).nth(state.taken)?.clone();
            state.taken += 1;
            Some(question)
        };
        let question = wait::until(&format!("{command} at the relay {}", self.name), next);
        assert_eq!(question.command, command, "{question:?}");
        question
    }

    /// Says that there was no further offer or answer.
    pub(crate) fn has_been_asked_nothing_more(&self) {
        let state = self.state();
        let more: Vec<&Question> = state.questions.iter().filter(|question| question.is_about_media()).skip(state.taken).collect();
        assert!(more.is_empty(), "the relay {} should have been asked nothing: {more:?}", self.name);
    }

    /// Offers and answers so far.
    pub(crate) fn asked(&self) -> usize {
        self.state().questions.iter().filter(|question| question.is_about_media()).count()
    }

    /// Waits for the order to delete a call.
    pub(crate) fn deletes(&self, call: &str) {
        wait::until(&format!("deletion of {call} at the relay {}", self.name), || self.has_deleted(call).then_some(()));
    }

    /// Whether it was told to delete a call.
    pub(crate) fn has_deleted(&self, call: &str) -> bool {
        self.state().questions.iter().any(|question| question.command == "delete" && question.call == call)
    }

    /// The calls that it has.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.iter().cloned().collect()
    }

    /// Waits until it has no call.
    pub(crate) fn has_no_calls(&self) {
        let mut last = Vec::new();
        let seen = || {
            last = self.calls();
            last.is_empty().then_some(())
        };
        wait::within(PATIENCE, &format!("end of the calls at the relay {}", self.name), seen);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What is said to a datagram; none for nothing.
    fn take(&mut self, name: &str, datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let space = datagram.iter().position(|octet| *octet == b' ').expect("a cookie and a space");
        let (cookie, dictionary) = datagram.split_at(space);
        if let Some(said) = self.said.get(cookie) {
            return Some(said.clone());
        }
        let Ok(Value::Dict(values)) = serde_bencode::from_bytes(&dictionary[1..]) else { panic!("no dictionary: {datagram:?}") };
        let command = values.get(&b"command"[..]).and_then(string).expect("a command");
        if command == "ping" {
            return (!matches!(self.manner, Manner::Silent)).then(|| [cookie, b" d6:result4:ponge"].concat());
        }
        let call = values.get(&b"call-id"[..]).and_then(string).expect("a call-id");
        let mut question = Question { command, call, answered: String::new(), values };
        let is_delete = question.command == "delete";
        let answer = match self.manner {
            Manner::Waits => {
                self.waiting.push((datagram.to_vec(), from));
                return None;
            }
            Manner::Silent => return None,
            Manner::Refuses(result, reason) if !is_delete => pairs(&[("result", result), ("error-reason", reason)]),
            Manner::Takes | Manner::Refuses(..) if is_delete => {
                self.calls.remove(&question.call);
                pairs(&[("result", "ok")])
            }
            Manner::Takes | Manner::Refuses(..) => {
                // What it has written is known by its number.
                question.answered = format!("{}a=relayed:{name}-{}\r\n", question.sdp(), self.questions.len());
                self.calls.insert(question.call.clone());
                pairs(&[("result", "ok"), ("sdp", &question.answered)])
            }
        };
        self.questions.push(question);
        let reply = [cookie, b" ", &answer].concat();
        self.said.insert(cookie.to_vec(), reply.clone());
        Some(reply)
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<u8> {
    let value = |(key, value): &(&str, &str)| (key.as_bytes().to_vec(), Value::Bytes(value.as_bytes().to_vec()));
    serde_bencode::to_bytes(&Value::Dict(all.iter().map(value).collect())).expect("strings can be written")
}
