//! A connection that speaks TCP, TLS, WebSocket or WebSocket under TLS (RFC 7118), as its client or as its server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::net::Transport;
use rustls::{ClientConfig, Connection, ServerConfig};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

use super::link::read_some;
use super::pipe::Pipe;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer did.
    Opened,
    /// The other end did.
    Accepted,
}

/// How a client opens a connection.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    /// Whom to trust, and what to show.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The name to ask for in TLS and in the WebSocket request, and that the server has to prove.
    pub(crate) name: String,
    /// The page that a browser would name.
    pub(crate) origin: Option<String>,
    /// The WebSocket subprotocol to offer.
    pub(crate) subprotocol: Option<&'static str>,
}

impl Opening {
    /// The usual way: WebSockets without Origin and with the subprotocol `sip`.
    pub(crate) fn new(transport: Transport, tls: Option<Arc<ClientConfig>>, name: &str) -> Self {
        Self { transport, tls, name: name.to_owned(), origin: None, subprotocol: Some("sip") }
    }

    /// The same from a page.
    pub(crate) fn of_page(self, origin: &str) -> Self {
        Self { origin: Some(origin.to_owned()), ..self }
    }
}

/// What came over a connection.
pub(crate) enum Piece {
    /// Octets of a stream.
    Octets(Vec<u8>),
    /// A WebSocket message.
    Frame(Vec<u8>),
    /// The answer to a WebSocket ping.
    Pong,
}

enum Framing {
    Octets(Box<Pipe>),
    Frames(Box<WebSocket<Pipe>>),
}

/// An open connection.
pub(crate) struct Wire {
    pub(crate) transport: Transport,
    pub(crate) end: End,
    socket: TcpStream,
    framing: Mutex<Framing>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?}", self.transport, self.end, self.socket)
    }
}

impl Wire {
    /// Opens a connection over a connected socket; fails where the other end refuses TLS or the WebSocket.
    pub(crate) fn open(socket: TcpStream, opening: &Opening) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let ours = socket.try_clone()?;
        let pipe = match opening.transport.is_secure() {
            true => Pipe::tls_client(socket, opening.tls.clone().expect("TLS needs to know whom to trust"), &opening.name)?,
            false => Pipe::plain(socket),
        };
        if matches!(opening.transport, Transport::Tcp | Transport::Tls) {
            return Ok(Self::over(opening.transport, End::Opened, ours, Framing::Octets(Box::new(pipe))));
        }
        let host = if opening.name.contains(':') { format!("[{}]", opening.name) } else { opening.name.clone() };
        let uri = format!("{}://{host}/", opening.transport);
        let mut request = ClientRequestBuilder::new(uri.parse().expect("a URI"));
        if let Some(subprotocol) = opening.subprotocol {
            request = request.with_sub_protocol(subprotocol);
        }
        if let Some(origin) = &opening.origin {
            request = request.with_header("Origin", origin);
        }
        let (socket, _) = tungstenite::client(request, pipe).map_err(io::Error::other)?;
        Ok(Self::over(opening.transport, End::Opened, ours, Framing::Frames(Box::new(socket))))
    }

    /// Takes a connection.
    pub(crate) fn accept(socket: TcpStream, transport: Transport, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        let ours = socket.try_clone()?;
        let pipe = match tls {
            Some(config) => Pipe::tls_server(socket, config)?,
            None => Pipe::plain(socket),
        };
        if matches!(transport, Transport::Tcp | Transport::Tls) {
            return Ok(Self::over(transport, End::Accepted, ours, Framing::Octets(Box::new(pipe))));
        }
        let socket = tungstenite::accept_hdr(pipe, agree).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::over(transport, End::Accepted, ours, Framing::Frames(Box::new(socket))))
    }

    fn over(transport: Transport, end: End, socket: TcpStream, mut framing: Framing) -> Self {
        match &mut framing {
            Framing::Octets(pipe) => pipe.waits = false,
            Framing::Frames(frames) => frames.get_mut().waits = false,
        }
        Self { transport, end, socket, framing: Mutex::new(framing) }
    }

    fn framing(&self) -> MutexGuard<'_, Framing> {
        self.framing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends octets: as they are, or as one WebSocket message.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match &mut *self.framing() {
            Framing::Octets(pipe) => pipe.write_all(bytes),
            Framing::Frames(frames) => {
                let message = match std::str::from_utf8(bytes) {
                    Ok(text) => Message::text(text),
                    Err(_) => Message::binary(bytes.to_vec()),
                };
                frames.send(message).map_err(io::Error::other)
            }
        }
    }

    /// Sends a WebSocket ping (RFC 6455 5.5.2).
    pub(crate) fn ping(&self) {
        match &mut *self.framing() {
            Framing::Octets(_) => panic!("{} knows no ping", self.transport),
            Framing::Frames(frames) => frames.send(Message::Ping(Default::default())).expect("the connection is open"),
        }
    }

    /// Waits for octets, and gives what they make whole; none at the end of the connection.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> Option<Vec<Piece>> {
        let count = read_some(&self.socket, buffer)?;
        let mut framing = self.framing();
        let pipe = match &mut *framing {
            Framing::Octets(pipe) => pipe,
            Framing::Frames(frames) => frames.get_mut(),
        };
        pipe.feed(buffer.get(..count)?).ok()?;
        drop(framing);
        self.pieces()
    }

    /// What has come so far; none at the end of the connection.
    pub(crate) fn pieces(&self) -> Option<Vec<Piece>> {
        match &mut *self.framing() {
            Framing::Octets(pipe) => {
                let mut octets = vec![0; 65_536];
                match pipe.read(&mut octets) {
                    Ok(0) => None,
                    Ok(count) => Some(vec![Piece::Octets(octets.get(..count)?.to_vec())]),
                    Err(_) if pipe.has_ended() => None,
                    Err(_) => Some(Vec::new()),
                }
            }
            Framing::Frames(frames) => {
                let mut pieces = Vec::new();
                loop {
                    match frames.read() {
                        Ok(Message::Text(text)) => pieces.push(Piece::Frame(text.as_bytes().to_vec())),
                        Ok(Message::Binary(octets)) => pieces.push(Piece::Frame(octets.to_vec())),
                        Ok(Message::Pong(_)) => pieces.push(Piece::Pong),
                        Ok(Message::Ping(_) | Message::Close(_) | Message::Frame(_)) => {}
                        Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(_) if pieces.is_empty() => return None,
                        Err(_) => break,
                    }
                }
                // A pong for a ping may wait to be sent.
                let _ = frames.flush();
                Some(pieces)
            }
        }
    }

    fn with_session<T>(&self, look: impl FnOnce(&Connection) -> Option<T>) -> Option<T> {
        match &*self.framing() {
            Framing::Octets(pipe) => pipe.session().and_then(look),
            Framing::Frames(frames) => frames.get_ref().session().and_then(look),
        }
    }

    /// The certificate that the other end showed, as DER.
    pub(crate) fn shown(&self) -> Option<Vec<u8>> {
        self.with_session(|session| Some(session.peer_certificates()?.first()?.to_vec()))
    }

    /// The name that the other end, a client, asked for.
    pub(crate) fn asked_for(&self) -> Option<String> {
        self.with_session(|session| match session {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        })
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        self.socket.local_addr().expect("a connected socket")
    }

    /// The other end.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.socket.peer_addr().expect("a connected socket")
    }

    /// Ends it without ceremony.
    pub(crate) fn close(&self) {
        // It may have been closed by the other end.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// RFC 7118 4.1: the subprotocol is `sip`, or there is no WebSocket for us.
#[allow(clippy::result_large_err)]
fn agree(request: &Request, mut response: Response) -> Result<Response, tungstenite::handshake::server::ErrorResponse> {
    let offered = request.headers().get("Sec-WebSocket-Protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !offered.split(',').any(|protocol| protocol.trim() == "sip") {
        let mut refusal = tungstenite::http::Response::new(Some("the subprotocol is sip".to_owned()));
        *refusal.status_mut() = tungstenite::http::StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    response.headers_mut().insert("Sec-WebSocket-Protocol", tungstenite::http::HeaderValue::from_static("sip"));
    Ok(response)
}
