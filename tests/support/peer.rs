//! A scripted SIP peer: sends what it is told to, and says what came.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_proto::message::{Frame, Framing, Limits, Message, StreamFramer};

use super::PATIENCE;
use super::draft::{Draft, unique};
use super::link::{Link, read_some};
use super::port::Port;
use super::trace::{Trace, first_line};

/// A message that a peer took, and the way back.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) link: Link,
}

impl Received {
    /// The first value of a header field, as text; empty without one.
    pub(crate) fn value(&self, name: &str) -> String {
        self.values(name).into_iter().next().unwrap_or_default()
    }

    /// Every field of a name, as text, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let wanted = jackfield_proto::message::Name::from_bytes(name.as_bytes());
        let fields = self.message.fields().filter(|field| field.name == wanted);
        fields.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect()
    }

    /// The Request-URI as text.
    pub(crate) fn uri(&self) -> String {
        String::from_utf8_lossy(self.message.request_uri()).into_owned()
    }

    /// The status; 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        self.message.status()
    }
}

enum Event {
    Message(Box<Received>),
    Pong,
    Closed,
}

/// A peer with one port for UDP and TCP.
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) tag: String,
    trace: Trace,
    socket: Arc<UdpSocket>,
    inbox: Receiver<Event>,
    deliver: Sender<Event>,
    taken: RefCell<HashSet<Bytes>>,
    stop: Arc<AtomicBool>,
    _port: Port,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Peer {
    /// A peer that takes datagrams, and no connections.
    pub(crate) fn datagrams(name: &str, host: IpAddr, trace: &Trace) -> Self {
        let port = Port::reserve();
        let address = SocketAddr::from((host, port.number));
        let socket = Arc::new(UdpSocket::bind(address).expect("a reserved port is free"));
        let (deliver, inbox) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        read_datagrams(Arc::clone(&socket), deliver.clone(), Arc::clone(&stop));
        let (name, tag) = (name.to_owned(), unique());
        Self { name, address, tag, trace: trace.clone(), socket, inbox, deliver, taken: RefCell::default(), stop, _port: port }
    }

    /// A peer that takes datagrams and connections.
    pub(crate) fn datagrams_and_connections(name: &str, host: IpAddr, trace: &Trace) -> Self {
        let peer = Self::datagrams(name, host, trace);
        let listener = TcpListener::bind(peer.address).expect("a reserved port is free");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let (deliver, stop) = (peer.deliver.clone(), Arc::clone(&peer.stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => read_stream(Arc::new(stream), deliver.clone(), Arc::clone(&stop)),
                    Err(_) => std::thread::park_timeout(Duration::from_millis(2)),
                }
            }
        });
        peer
    }

    /// A SIP URI of this peer.
    pub(crate) fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address)
    }

    /// Datagrams to an address.
    pub(crate) fn to(&self, address: SocketAddr) -> Link {
        Link::Datagram(Arc::clone(&self.socket), address)
    }

    /// A new connection to an address; what comes over it is this peer's to take.
    pub(crate) fn connect(&self, address: SocketAddr) -> Link {
        let stream = Arc::new(TcpStream::connect_timeout(&address, PATIENCE).expect("the address takes connections"));
        stream.set_nodelay(true).expect("a connected socket");
        read_stream(Arc::clone(&stream), self.deliver.clone(), Arc::clone(&self.stop));
        Link::Stream(stream)
    }

    /// A request with all that RFC 3261 8.1.1 wants, to go over a link.
    pub(crate) fn request(&self, method: &str, uri: &str, link: &Link) -> Draft {
        let contact = match link {
            Link::Datagram(..) => format!("<sip:{}@{}>", self.name, self.address),
            Link::Stream(_) => format!("<sip:{}@{};transport=tcp>", self.name, self.address),
        };
        Draft::new(format!("{method} {uri} SIP/2.0"))
            .header("Via", self.via(link))
            .header("Max-Forwards", "70")
            .header("From", format!("\"{0}\" <sip:{0}@example.test>;tag={1}", self.name, unique()))
            .header("To", format!("<{uri}>"))
            .header("Call-ID", format!("{}@{}", unique(), self.name))
            .header("CSeq", format!("1 {method}"))
            .header("Contact", contact)
    }

    /// A top Via for a link, with a branch that was never used.
    pub(crate) fn via(&self, link: &Link) -> String {
        format!("SIP/2.0/{} {};branch=z9hG4bK{}", link.via_name(), self.address, unique())
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
            let transport = if matches!(request.link, Link::Stream(_)) { ";transport=tcp" } else { "" };
            draft = draft.header("Contact", format!("<sip:{}@{}{transport}>", self.name, self.address));
        }
        draft
    }

    /// Answers a request.
    pub(crate) fn reply(&self, request: &Received, status: u16) {
        self.send(&self.response(request, status), &request.link);
    }

    /// The next message that is not a repetition of one taken before.
    pub(crate) fn next(&self, wanted: &str) -> Received {
        let deadline = Instant::now() + PATIENCE;
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

    /// The next message, which has to be a request of this method.
    pub(crate) fn expect(&self, method: &str) -> Received {
        let got = self.next(method);
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
        match self.inbox.recv_timeout(PATIENCE) {
            Ok(Event::Pong) => {}
            Ok(Event::Message(got)) => panic!("{} waited for a pong and got {}", self.name, first_line(&got.message)),
            Ok(Event::Closed) => panic!("{} waited for a pong and the connection was closed", self.name),
            Err(_) => panic!("{} waited for a pong, and nothing came", self.name),
        }
    }

    /// Waits until the other side ends a connection.
    pub(crate) fn expect_closed(&self) {
        match self.inbox.recv_timeout(PATIENCE) {
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
}

fn read_datagrams(socket: Arc<UdpSocket>, deliver: Sender<Event>, stop: Arc<AtomicBool>) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a bound socket");
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            // A timeout looks at the flag; a refused earlier datagram (ICMP) says nothing about this one.
            let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if let Ok(message) = Message::parse(bytes, Framing::Datagram, &Limits::default()) {
                let link = Link::Datagram(Arc::clone(&socket), from);
                if deliver.send(Event::Message(Box::new(Received { message, link }))).is_err() {
                    return;
                }
            }
        }
    });
}

fn read_stream(stream: Arc<TcpStream>, deliver: Sender<Event>, stop: Arc<AtomicBool>) {
    stream.set_nonblocking(false).expect("a connected socket");
    std::thread::spawn(move || {
        let mut framer = StreamFramer::new(Limits::default());
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let Some(count) = read_some(&stream, &mut buffer) else { break };
            let piece = buffer.get(..count).unwrap_or_default();
            if piece == b"\r\n" {
                let _ = deliver.send(Event::Pong);
                continue;
            }
            framer.feed(piece);
            while let Some(frame) = framer.next().expect("the proxy frames its messages") {
                let Frame::Message(bytes) = frame else { continue };
                let message = Message::parse(bytes, Framing::Stream, &Limits::default()).expect("the proxy sends SIP");
                let link = Link::Stream(Arc::clone(&stream));
                let _ = deliver.send(Event::Message(Box::new(Received { message, link })));
            }
        }
        let _ = deliver.send(Event::Closed);
    });
}
