//! The registrar of a provider, for thousands of REGISTERs: it asks for a password where it has been told one, grants what it is asked for,
//! and remembers what. It minds the numbers of the requests (RFC 3261 10.3 item 7).

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};
use socket2::SockRef;

use super::digest::{Login, md5, of_credentials};
use super::draft::{Draft, unique};

/// Octets that may wait for it, so that what is lost in a burst is lost at the proxy.
pub(crate) const RECEIVE_BUFFER: usize = 4 << 20;

/// The realm that it asks in.
const REALM: &str = "provider.test";

/// An account and what it has been granted last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// The Contact with all its parameters.
    pub(crate) contact: String,
    /// How many REGISTERs have been granted, and the number of the last of any that came.
    pub(crate) granted: u32,
    pub(crate) number: u32,
    /// How many times it was asked for a password.
    pub(crate) challenged: u32,
    call_id: String,
    nonce: String,
    /// The branch of the last request and its answer: it may come again (17.2.2).
    answered: (Bytes, Vec<u8>),
}

#[derive(Default)]
struct Book {
    accounts: HashMap<String, Account>,
    /// Numbers that had not grown, and answers to challenges that were wrong.
    complaints: Vec<String>,
}

/// It runs on a thread of its own, until it goes.
pub(crate) struct Registrar {
    pub(crate) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; what it did not answer fails the test.
            let _ = thread.join();
        }
    }
}

impl Registrar {
    /// One that asks for nobody's password.
    pub(crate) fn start() -> Self {
        Self::asking(None)
    }

    /// One at which a login, the same for all accounts, has to be shown anew with every REGISTER.
    pub(crate) fn asking(login: Option<Login<'static>>) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a bound socket");
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).expect("a bound socket");
        let address = socket.local_addr().expect("a bound socket");
        let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&book), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                let octets = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                let Ok(request) = Message::parse(octets, Framing::Datagram, &Limits::default()) else { continue };
                let answer = lock(&kept).answer(&request, login);
                // What does not fit into the buffer is lost, as on any network.
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { address, book, stop, thread: Some(thread) }
    }

    /// What it has for an account.
    pub(crate) fn account(&self, user: &str) -> Account {
        lock(&self.book).accounts.get(user).cloned().unwrap_or_else(|| panic!("{user} has never registered"))
    }

    /// How many accounts have been granted a REGISTER so many times at least.
    pub(crate) fn granted(&self, times: u32) -> usize {
        lock(&self.book).accounts.values().filter(|account| account.granted >= times).count()
    }

    /// What it had to complain about.
    pub(crate) fn complaints(&self) -> Vec<String> {
        lock(&self.book).complaints.clone()
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Book {
    fn answer(&mut self, request: &Message, login: Option<Login<'_>>) -> Vec<u8> {
        let user = request.to().and_then(|to| to.uri_parsed()).and_then(|uri| uri.user().map(text)).unwrap_or_default();
        let account = self.accounts.entry(user).or_default();
        let branch = request.top_via().and_then(|via| via.branch().map(Bytes::copy_from_slice)).unwrap_or_default();
        if account.answered.0 == branch {
            return account.answered.1.clone();
        }
        let answer = match account.judge(request, login) {
            Ok(answer) => answer,
            Err(complaint) => {
                self.complaints.push(complaint);
                response(request, "400 Bad Request")
            }
        };
        account.answered = (branch, answer.bytes());
        account.answered.1.clone()
    }
}

impl Account {
    fn judge(&mut self, request: &Message, login: Option<Login<'_>>) -> Result<Draft, String> {
        let (call_id, number) = (text(request.call_id()), request.cseq().map_or(0, |(number, _)| number));
        if call_id == self.call_id && number <= self.number {
            return Err(format!("{call_id}: CSeq {number} after {}", self.number));
        }
        (self.call_id, self.number) = (call_id, number);
        if let Some(login) = login {
            let Some(credentials) = request.field(&Name::Authorization).map(text) else {
                (self.nonce, self.challenged) = (unique(), self.challenged + 1);
                let challenge = format!("Digest realm=\"{REALM}\", nonce=\"{}\", algorithm=MD5, qop=\"auth\"", self.nonce);
                return Ok(response(request, "401 Unauthorized").header("WWW-Authenticate", challenge));
            };
            self.verify(&credentials, login)?;
        }
        self.granted += 1;
        let mut answer = response(request, "200 OK");
        let expires = request.field(&Name::Expires).map_or_else(|| "3600".to_owned(), text);
        if let Some(contact) = request.field(&Name::Contact) {
            self.contact = text(contact);
            answer = answer.header("Contact", format!("{};expires={expires}", self.contact));
        }
        Ok(answer)
    }

    /// RFC 7616 3.4.1.
    fn verify(&self, credentials: &str, login: Login<'_>) -> Result<(), String> {
        let of = |name| of_credentials(credentials, name);
        let parts: [&str; 6] =
            [&md5(&[login.name, REALM, login.password]), of("nonce"), of("nc"), of("cnonce"), "auth", &md5(&["REGISTER", of("uri")])];
        let is_right = of("username") == login.name && of("nonce") == self.nonce && of("response") == md5(&parts);
        is_right.then_some(()).ok_or_else(|| format!("wrong credentials: {credentials}"))
    }
}

/// RFC 3261 8.2.6.
fn response(request: &Message, status: &str) -> Draft {
    let mut answer = Draft::new(format!("SIP/2.0 {status}"));
    for field in request.fields() {
        match field.name {
            Name::Via | Name::From | Name::CallId | Name::CSeq => answer = answer.header(&text(field.name.as_bytes()), text(field.value)),
            Name::To => answer = answer.header("To", text(field.value) + ";tag=registrar"),
            _ => {}
        }
    }
    answer
}
