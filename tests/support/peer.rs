//! A scripted SIP peer: sends what it is told to, and says what came. It speaks UDP from the start, and every other transport as a
//! client ([`Peer::open`]) or as a server ([`Peer::serve`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_proto::net::Transport;
use rustls::ServerConfig;

use super::PATIENCE;
use super::draft::{Draft, unique};
use super::link::Link;
use super::port::Port;
use super::reader::{Event, Inlet, read_connection, read_datagrams, take_connections};
pub(crate) use super::received::Received;
use super::trace::{Trace, first_line};
use super::wire::{End, Opening, Wire};

/// A peer with one port for UDP and TCP, and others for what else it serves.
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) tag: String,
    /// How long it waits for what must come.
    pub(crate) patience: Duration,
    /// The host of its Via and Contact where it is a WebSocket client, which nobody can resolve (RFC 7118 5.2).
    pub(crate) invalid: String,
    /// What it adds to its Vias: `;rport` where it is behind NAT (RFC 3581).
    pub(crate) via_parameters: &'static str,
    trace: Trace,
    socket: Arc<UdpSocket>,
    inbox: Receiver<Event>,
    inlet: Inlet,
    taken: RefCell<HashSet<Bytes>>,
    serves: RefCell<BTreeMap<Transport, SocketAddr>>,
    ports: RefCell<Vec<Port>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.inlet.stop.store(true, Ordering::Relaxed);
    }
}

impl Peer {
    /// A peer that takes datagrams, and no connections.
    pub(crate) fn datagrams(name: &str, host: IpAddr, trace: &Trace) -> Self {
        let port = Port::reserve();
        let address = SocketAddr::from((host, port.number));
        let socket = Arc::new(UdpSocket::bind(address).expect("a reserved port is free"));
        let (deliver, inbox) = channel();
        let inlet = Inlet { deliver, stop: Arc::new(AtomicBool::new(false)), heard: Arc::default() };
        read_datagrams(Arc::clone(&socket), inlet.clone());
        Self {
            name: name.to_owned(),
            address,
            tag: unique(),
            patience: PATIENCE,
            invalid: format!("{}.invalid", unique()),
            via_parameters: "",
            trace: trace.clone(),
            socket,
            inbox,
            inlet,
            taken: RefCell::default(),
            serves: RefCell::default(),
            ports: RefCell::new(vec![port]),
        }
    }

    /// A peer that takes datagrams and connections.
    pub(crate) fn datagrams_and_connections(name: &str, host: IpAddr, trace: &Trace) -> Self {
        let peer = Self::datagrams(name, host, trace);
        peer.serve(Transport::Tcp, None);
        peer
    }

    /// Takes connections of a transport from now on: TCP at the port of its datagrams, others at ports of their own. A secure one
    /// shows the certificate of `tls`.
    pub(crate) fn serve(&self, transport: Transport, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
        let mut address = self.address;
        if transport != Transport::Tcp {
            let port = Port::reserve();
            address.set_port(port.number);
            self.ports.borrow_mut().push(port);
        }
        assert_eq!(transport.is_secure(), tls.is_some(), "a certificate for TLS, and none without");
        let listener = TcpListener::bind(address).expect("a reserved port is free");
        take_connections(listener, transport, tls, self.inlet.clone());
        self.serves.borrow_mut().insert(transport, address);
        address
    }

    /// A SIP URI of this peer.
    pub(crate) fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address)
    }

    /// A SIP URI that leads to it by a transport that it serves.
    pub(crate) fn uri_by(&self, user: &str, transport: Transport) -> String {
        let address = self.serves.borrow().get(&transport).copied().unwrap_or(self.address);
        match transport {
            Transport::Udp => format!("sip:{user}@{address}"),
            other => format!("sip:{user}@{address};transport={}", other.uri_name()),
        }
    }

    /// Datagrams to an address.
    pub(crate) fn to(&self, address: SocketAddr) -> Link {
        Link::Datagram(Arc::clone(&self.socket), address)
    }

    /// A new TCP connection to an address; what comes over it is this peer's to take.
    pub(crate) fn connect(&self, address: SocketAddr) -> Link {
        self.open(address, &Opening::new(Transport::Tcp, None, "")).expect("the address takes connections")
    }

    /// A new connection of any kind from the peer's own address; fails where the other end refuses it.
    pub(crate) fn open(&self, address: SocketAddr, opening: &Opening) -> io::Result<Link> {
        let wire = Arc::new(Wire::open(connected(self.address.ip(), address)?, opening)?);
        read_connection(Arc::clone(&wire), self.inlet.clone());
        Ok(Link::Stream(wire))
    }

    /// The Contact of this peer for a link (RFC 7118 5.2: a WebSocket client has none that could be resolved).
    pub(crate) fn contact(&self, link: &Link) -> String {
        let serves = self.serves.borrow();
        let transport = match link.transport() {
            Transport::Udp => String::new(),
            // RFC 7118 5.1.2 knows only "ws" in URIs, and browsers write that whether their connection is secure or not.
            Transport::Wss if is_from_a_browser(link) => ";transport=ws".to_owned(),
            other => format!(";transport={}", other.uri_name()),
        };
        match link {
            Link::Stream(_) if is_from_a_browser(link) => format!("<sip:{}@{}{transport}>", self.name, self.invalid),
            Link::Stream(wire) => {
                let address = serves.get(&wire.transport).copied().unwrap_or(self.address);
                format!("<sip:{}@{address}{transport}>", self.name)
            }
            Link::Datagram(..) => format!("<sip:{}@{}>", self.name, self.address),
        }
    }

    /// A request with all that RFC 3261 8.1.1 wants, to go over a link.
    pub(crate) fn request(&self, method: &str, uri: &str, link: &Link) -> Draft {
        Draft::new(format!("{method} {uri} SIP/2.0"))
            .header("Via", self.via(link))
            .header("Max-Forwards", "70")
            .header("From", format!("\"{0}\" <sip:{0}@example.test>;tag={1}", self.name, unique()))
            .header("To", format!("<{uri}>"))
            .header("Call-ID", format!("{}@{}", unique(), self.name))
            .header("CSeq", format!("1 {method}"))
            .header("Contact", self.contact(link))
    }

    /// A top Via for a link, with a branch that was never used.
    pub(crate) fn via(&self, link: &Link) -> String {
        let sent_by = match link {
            Link::Stream(_) if is_from_a_browser(link) => self.invalid.clone(),
            Link::Stream(wire) => self.serves.borrow().get(&wire.transport).copied().unwrap_or(self.address).to_string(),
            Link::Datagram(..) => self.address.to_string(),
        };
        format!("SIP/2.0/{} {sent_by};branch=z9hG4bK{}{}", link.transport().via_name(), unique(), self.via_parameters)
    }

    /// Sends a message over a link.
    pub(crate) fn send(&self, draft: &Draft, link: &Link) {
        self.send_octets(&draft.bytes(), link);
    }

    /// Sends octets over a link.
    pub(crate) fn send_octets(&self, bytes: &[u8], link: &Link) {
        self.trace.sent(&self.name, bytes);
        link.send(bytes);
    }

    /// A response with all that RFC 3261 8.2.6 wants; the tag of this peer unless the request has one, or the status is 100.
    pub(crate) fn response(&self, request: &Received, status: u16) -> Draft {
        let mut draft = Draft::new(format!("SIP/2.0 {status} {}", jackfield_proto::message::reason_phrase(status)));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for mut value in request.values(name) {
                if name == "To" && status > 100 && !value.contains("tag=") {
                    value += &format!(";tag={}", self.tag);
                }
                draft = draft.header(name, value);
            }
        }
        if (101..300).contains(&status) {
            draft = draft.header("Contact", self.contact(&request.link));
        }
        draft
    }

    /// Answers a request.
    pub(crate) fn reply(&self, request: &Received, status: u16) {
        self.send(&self.response(request, status), &request.link);
    }

    /// The next message that is not a repetition of one taken before.
    pub(crate) fn next(&self, wanted: &str) -> Received {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Message(received)) => {
                    if self.taken.borrow_mut().insert(received.message.bytes().clone()) {
                        self.trace.took(&self.name, &received.message);
                        return *received;
                    }
                }
                Ok(Event::Pong) => panic!("{} waited for {wanted} and got a keepalive's answer", self.name),
                Ok(Event::Closed) => {}
                Err(RecvTimeoutError::Timeout) => panic!("{} waited for {wanted}, and nothing came", self.name),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the peer holds a sender itself"),
            }
        }
    }

    /// The next message whose Call-ID begins so, if one comes in time. Messages of other calls are passed over.
    pub(crate) fn takes_of_call(&self, call_id: &[u8], patience: Duration) -> Option<Received> {
        let deadline = Instant::now() + patience;
        loop {
            match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()? {
                Event::Message(got) if got.message.call_id().starts_with(call_id) => {
                    self.trace.took(&self.name, &got.message);
                    return Some(*got);
                }
                Event::Message(_) | Event::Pong | Event::Closed => {}
            }
        }
    }

    /// The next message, which has to be a request of this method. An OPTIONS that asks whether this peer is up is answered and passed over,
    /// unless it is what is waited for.
    pub(crate) fn expect(&self, method: &str) -> Received {
        let got = self.next(method);
        if method != "OPTIONS" && got.message.is_request() && got.message.method().as_bytes() == b"OPTIONS" {
            self.reply(&got, 200);
            return self.expect(method);
        }
        let is_it = got.message.is_request() && got.message.method().as_bytes() == method.as_bytes();
        assert!(is_it, "{} waited for {method} and got {}", self.name, first_line(&got.message));
        got
    }

    /// The next message, which has to be a response of this status. Any 100 before it is passed over.
    pub(crate) fn expect_status(&self, status: u16) -> Received {
        loop {
            let got = self.next(&status.to_string());
            if got.status() == status {
                return got;
            }
            assert!(got.status() == 100, "{} waited for {status} and got {}", self.name, first_line(&got.message));
        }
    }

    /// Whether a final response of this status comes before the connection ends.
    pub(crate) fn takes(&self, status: u16) -> bool {
        match self.inbox.recv_timeout(self.patience) {
            Ok(Event::Message(got)) => got.status() == status,
            Ok(Event::Pong | Event::Closed) => false,
            Err(_) => panic!("{} waited for {status} or the end of the connection, and nothing came", self.name),
        }
    }

    /// The next final response. Provisional ones before it are passed over.
    pub(crate) fn expect_final(&self) -> Received {
        loop {
            let got = self.next("a final response");
            assert!(!got.message.is_request(), "{} waited for a final response and got {}", self.name, first_line(&got.message));
            if got.status() >= 200 {
                return got;
            }
        }
    }

    /// Waits for the answer to a keepalive (RFC 5626 3.5.1: CRLF for a double CRLF).
    pub(crate) fn expect_pong(&self) {
        match self.inbox.recv_timeout(self.patience) {
            Ok(Event::Pong) => {}
            Ok(Event::Message(got)) => panic!("{} waited for a pong and got {}", self.name, first_line(&got.message)),
            Ok(Event::Closed) => panic!("{} waited for a pong and the connection was closed", self.name),
            Err(_) => panic!("{} waited for a pong, and nothing came", self.name),
        }
    }

    /// Waits until the other side ends a connection.
    pub(crate) fn expect_closed(&self) {
        match self.inbox.recv_timeout(self.patience) {
            Ok(Event::Closed) => {}
            Ok(Event::Pong) => panic!("{} waited for the end of the connection and got a pong", self.name),
            Ok(Event::Message(got)) => panic!("{} waited for the end of the connection and got {}", self.name, first_line(&got.message)),
            Err(_) => panic!("{} waited for the end of the connection, and it stayed open", self.name),
        }
    }

    /// Says that nothing new has come so far. To be asked after something that the proxy did later than what must not happen.
    pub(crate) fn has_taken_nothing_more(&self) {
        while let Ok(event) = self.inbox.try_recv() {
            if let Event::Message(got) = event {
                let repeated = self.taken.borrow().contains(got.message.bytes());
                assert!(repeated, "{} should have got nothing, and got {}", self.name, first_line(&got.message));
            }
        }
    }

    /// Every message that has come so far, taken or not, repetitions included.
    pub(crate) fn heard(&self) -> Vec<Bytes> {
        self.inlet.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets whatever has come.
    pub(crate) fn forget(&self) {
        while self.inbox.try_recv().is_ok() {}
    }
}

/// Whether a link is one that nobody else can open: the connection of a WebSocket client.
fn is_from_a_browser(link: &Link) -> bool {
    matches!(link, Link::Stream(wire) if wire.end == End::Opened && matches!(wire.transport, Transport::Ws | Transport::Wss))
}

/// A socket connected from an address of ours.
pub(crate) fn connected(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    if from.is_ipv4() == to.is_ipv4() {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.connect_timeout(&to.into(), PATIENCE)?;
    Ok(socket.into())
}
