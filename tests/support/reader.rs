//! The threads that read what comes to a peer.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Frame, Framing, Limits, Message, StreamFramer};
use jackfield_proto::net::Transport;
use rustls::ServerConfig;

use super::link::Link;
use super::received::Received;
use super::wire::{Piece, Wire};

/// What came to a peer.
pub(super) enum Event {
    Message(Box<Received>),
    /// The answer to a keepalive.
    Pong,
    /// The end of a connection, also of one that did not get as far as being open.
    Closed,
}

/// Where readers put what came, until the peer goes.
#[derive(Clone)]
pub(super) struct Inlet {
    pub(super) deliver: Sender<Event>,
    pub(super) stop: Arc<AtomicBool>,
    /// Every message that has come, repetitions included, as it was on the wire.
    pub(super) heard: Arc<Mutex<Vec<Bytes>>>,
}

impl Inlet {
    fn is_open(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Whether there is still somebody to take it.
    fn give(&self, event: Event) -> bool {
        if let Event::Message(received) = &event {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(received.message.bytes().clone());
        }
        self.deliver.send(event).is_ok()
    }
}

/// Reads datagrams.
pub(super) fn read_datagrams(socket: Arc<UdpSocket>, inlet: Inlet) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a bound socket");
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while inlet.is_open() {
            // A timeout looks at the flag; a refused earlier datagram (ICMP) says nothing about this one.
            let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            let link = Link::Datagram(Arc::clone(&socket), from);
            let event = match Message::parse(bytes, Framing::Datagram, &Limits::default()) {
                Ok(message) => Event::Message(Box::new(Received { message, link })),
                Err(_) if buffer.starts_with(b"\r\n") && count == 2 => Event::Pong,
                Err(_) => continue,
            };
            if !inlet.give(event) {
                return;
            }
        }
    });
}

/// Takes connections, and reads each.
pub(super) fn take_connections(listener: TcpListener, transport: Transport, tls: Option<Arc<ServerConfig>>, inlet: Inlet) {
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    std::thread::spawn(move || {
        while inlet.is_open() {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::park_timeout(Duration::from_millis(2));
                continue;
            };
            let (tls, inlet) = (tls.clone(), inlet.clone());
            // In a thread, because a handshake waits for the other end.
            std::thread::spawn(move || match Wire::accept(stream, transport, tls) {
                Ok(wire) => read(&Arc::new(wire), &inlet),
                Err(_) => drop(inlet.give(Event::Closed)),
            });
        }
    });
}

/// Reads a connection on a thread of its own.
pub(super) fn read_connection(wire: Arc<Wire>, inlet: Inlet) {
    std::thread::spawn(move || read(&wire, &inlet));
}

fn read(wire: &Arc<Wire>, inlet: &Inlet) {
    let mut framer = StreamFramer::new(Limits::default());
    let mut buffer = vec![0; 65_536];
    let mut pieces = wire.pieces();
    while let Some(came) = pieces {
        for piece in came {
            match piece {
                Piece::Pong => drop(inlet.give(Event::Pong)),
                Piece::Octets(octets) if octets == b"\r\n" => drop(inlet.give(Event::Pong)),
                Piece::Octets(octets) => frame(&octets, &mut framer, wire, inlet),
                Piece::Frame(octets) if octets == b"\r\n" => drop(inlet.give(Event::Pong)),
                // RFC 7118 5.1: one message in each, whole.
                Piece::Frame(octets) => give_message(octets.into(), Framing::Datagram, wire, inlet),
            }
        }
        pieces = inlet.is_open().then(|| wire.take(&mut buffer)).flatten();
    }
    inlet.give(Event::Closed);
}

/// Gives the messages that the octets make whole. What is no SIP, like a TLS handshake where none was expected, ends the connection.
fn frame(octets: &[u8], framer: &mut StreamFramer, wire: &Arc<Wire>, inlet: &Inlet) {
    framer.feed(octets);
    loop {
        match framer.next() {
            Ok(Some(Frame::Message(bytes))) => give_message(bytes, Framing::Stream, wire, inlet),
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                eprintln!("what came over {wire:?} is no SIP: {error}");
                return wire.close();
            }
        }
    }
}

fn give_message(bytes: Bytes, framing: Framing, wire: &Arc<Wire>, inlet: &Inlet) {
    match Message::parse(bytes, framing, &Limits::default()) {
        Ok(message) => {
            let _ = inlet.give(Event::Message(Box::new(Received { message, link: Link::Stream(Arc::clone(wire)) })));
        }
        Err(error) => {
            eprintln!("what came over {wire:?} is no SIP: {error}");
            wire.close();
        }
    }
}
