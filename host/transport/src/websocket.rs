//! SIP in the frames of WebSocket (RFC 7118, RFC 6455): one message in each WebSocket message. tungstenite reads frames out of memory and
//! answers what WebSocket itself wants answered; it never sees a socket.

use std::io::{self, Cursor, ErrorKind, Read, Write};

use bytes::Bytes;
use tungstenite::Message;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::table::Opener;

/// Room for one idle connection in tungstenite; a larger frame makes room for itself.
const READ: usize = 512;

/// The reading side of a connection after its handshake.
#[derive(Debug)]
pub(super) struct WebSocket {
    context: WebSocketContext,
    opener: Opener,
    limit: usize,
    /// Octets of frames that are not complete. The context gets whole frames only, so that nothing is left in it.
    input: Vec<u8>,
    read: usize,
    /// A message has begun whose last fragment has not come.
    is_fragmented: bool,
}

/// What has come.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message.
    Message(Bytes),
    /// A ping; the answer is in what [`WebSocket::next`] wants sent.
    Ping,
    /// An answer to ours.
    Pong,
    /// The peer wants to end the connection; the answer is in what is to be sent.
    Close,
    /// More octets are needed.
    Nothing,
}

/// Why no more frames can be read: what to tell the peer (RFC 6455 7.4.1).
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Broken {
    error: Error,
}

impl WebSocket {
    /// For a connection that `opener` has opened; messages, and what is needed to put fragments together, are bounded by `limit` octets.
    pub(super) fn new(opener: Opener, limit: usize) -> Self {
        Self { context: context(opener, limit), opener, limit, input: Vec::new(), read: 0, is_fragmented: false }
    }

    /// Takes octets from the connection.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        if self.read == self.input.len() {
            (self.input, self.read) = (Vec::new(), 0);
        } else if self.read > self.input.len() / 2 {
            self.input.drain(..self.read);
            self.read = 0;
        }
        self.input.extend_from_slice(octets);
    }

    /// The next thing that has come; `output` gets what is to be sent because of it.
    pub(super) fn next(&mut self, output: &mut Vec<u8>) -> Result<Arrival, Broken> {
        while let Some(end) = self.frame_end()? {
            let mut memory = Memory { input: self.input.get(self.read..end).unwrap_or_default(), output };
            self.read = end;
            let arrival = match self.context.read(&mut memory) {
                Ok(Message::Text(text)) => Arrival::Message(text.into()),
                Ok(Message::Binary(octets)) => Arrival::Message(octets),
                Ok(Message::Ping(_)) => Arrival::Ping,
                Ok(Message::Pong(_) | Message::Frame(_)) => Arrival::Pong,
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Arrival::Close,
                // A fragment, and not the last one.
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(Broken { error }),
            };
            if matches!(arrival, Arrival::Ping | Arrival::Close) {
                // What is to be answered is written now; that the connection has ended by that is said by the arrival.
                let _ = self.context.flush(&mut memory);
            }
            return Ok(arrival);
        }
        Ok(Arrival::Nothing)
    }

    /// Where the first frame ends, if it is complete; at the end of everything if it is too large to wait for.
    fn frame_end(&mut self) -> Result<Option<usize>, Broken> {
        let waiting = self.input.get(self.read..).unwrap_or_default();
        let mut cursor = Cursor::new(waiting);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|error| Broken { error })? else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= self.limit);
        let Some(length) = length else { return Ok(Some(self.input.len())) };
        let length = header.len(length as u64) + length;
        if length > waiting.len() {
            return Ok(None);
        }
        if matches!(header.opcode, OpCode::Data(_)) {
            self.is_fragmented = !header.is_final;
        }
        Ok(Some(self.read + length))
    }

    /// Whether part of a message is waiting for the rest.
    pub(super) fn is_mid_message(&self) -> bool {
        self.is_fragmented || self.read < self.input.len()
    }

    /// Gives back room that a quiet connection does not need.
    pub(super) fn tidy(&mut self) {
        if !self.is_mid_message() {
            *self = Self::new(self.opener, self.limit);
        }
    }
}

fn context(opener: Opener, limit: usize) -> WebSocketContext {
    let config =
        WebSocketConfig::default().read_buffer_size(READ).write_buffer_size(0).max_message_size(Some(limit)).max_frame_size(Some(limit));
    let role = match opener {
        Opener::Peer => Role::Server,
        Opener::Us => Role::Client,
    };
    WebSocketContext::new(role, Some(config))
}

impl Broken {
    /// The last frame, which says why (RFC 6455 7.1.7).
    pub(super) fn farewell(&self, opener: Opener) -> Bytes {
        let code = match &self.error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        };
        close(opener, code)
    }
}

/// A message in a frame: text where it can be one, for that is what browsers' libraries expect, else binary (RFC 7118 4.1).
pub(super) fn message(opener: Opener, message: &Bytes) -> Bytes {
    let data = if str::from_utf8(message).is_ok() { Data::Text } else { Data::Binary };
    encode(opener, OpCode::Data(data), message.clone())
}

/// A ping (RFC 6455 5.5.2).
pub(super) fn ping(opener: Opener) -> Bytes {
    encode(opener, OpCode::Control(Control::Ping), Bytes::new())
}

/// The end of a connection.
pub(super) fn close(opener: Opener, code: CloseCode) -> Bytes {
    let frame = Frame::close(Some(CloseFrame { code, reason: "".into() }));
    encode(opener, OpCode::Control(Control::Close), frame.into_payload())
}

fn encode(opener: Opener, opcode: OpCode, payload: Bytes) -> Bytes {
    let mask = match opener {
        Opener::Peer => None,
        Opener::Us => Some(mask()),
    };
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    let frame = Frame::from_payload(header, payload);
    let mut octets = Vec::with_capacity(frame.len());
    // Writing into memory does not fail.
    let _ = frame.format(&mut octets);
    octets.into()
}

/// RFC 6455 5.3: what a client sends is masked, with a key that nobody can foresee.
fn mask() -> [u8; 4] {
    let mut key = [0; 4];
    match rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => key,
        // There is always randomness once the system is up; a mask protects proxies on the way, not us.
        Err(_) => std::process::id().to_ne_bytes(),
    }
}

/// A connection that is all in memory.
struct Memory<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.input.read(buffer) }
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.output.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
