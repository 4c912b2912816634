//! A way for octets to one address, and one question with its answer over it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Frame, Framing, Limits, Message, StreamFramer};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::Timers;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use crate::outgoing::Copy;

/// Octets of one datagram.
const DATAGRAM: usize = 65_535;

/// Messages that are none of ours and are passed over while an answer is waited for.
const STRANGERS: u32 = 1000;

/// Both directions of a stream.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A way to one address.
pub(crate) enum Link {
    /// A connected socket: what the network says about an address comes back as an error.
    Datagrams(UdpSocket),
    /// A connection, with what has come over it.
    Stream(Box<dyn Duplex>, StreamFramer),
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A final response.
    Answered(Box<Answer>),
    /// None, and the provisional response that came instead, if any did.
    Silent { provisional: Option<u16> },
    /// The link does not carry it.
    Broken(io::Error),
}

/// A final response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Message,
    /// From the first time that the request was sent.
    pub(crate) elapsed: Duration,
    /// How often it had been sent by then.
    pub(crate) sent: u32,
}

/// Where a link begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A datagram socket from the listener's own address: from its port, too, if no proxy runs that has it.
pub(crate) async fn datagrams(ends: Ends) -> io::Result<(Link, SocketAddr)> {
    let socket = match UdpSocket::bind(ends.local).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse || error.kind() == io::ErrorKind::PermissionDenied => {
            UdpSocket::bind((ends.local.ip(), 0)).await?
        }
        bound => bound?,
    };
    socket.connect(ends.remote).await?;
    let local = socket.local_addr()?;
    Ok((Link::Datagrams(socket), local))
}

/// A connection from the listener's address, as the proxy opens one.
pub(crate) async fn connection(ends: Ends, patience: Duration) -> io::Result<TcpStream> {
    let socket = if ends.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !ends.local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(ends.local.ip(), 0))?;
    }
    let stream = timeout(patience, socket.connect(ends.remote)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Link {
    pub(crate) fn stream(stream: impl Duplex + 'static) -> Self {
        Self::Stream(Box::new(stream), StreamFramer::new(Limits::default()))
    }

    /// Sends a request, again and again where the transport may lose it, and waits for its final response.
    pub(crate) async fn ask(&mut self, copy: &Copy, patience: Duration, timers: Timers) -> Outcome {
        let begun = Instant::now();
        let end = begun + patience;
        let (mut sent, mut provisional, mut interval) = (0, None, timers.t1);
        loop {
            if (sent == 0 || !copy.transport.is_reliable())
                && let Err(error) = self.send(&copy.bytes).await
            {
                return Outcome::Broken(error);
            }
            sent += 1;
            let until = if copy.transport == Transport::Udp { end.min(Instant::now() + interval) } else { end };
            match timeout_at(until, self.answer(&copy.branch, &mut provisional)).await {
                Ok(Ok(response)) => return Outcome::Answered(Box::new(Answer { response, elapsed: begun.elapsed(), sent })),
                Ok(Err(error)) => return Outcome::Broken(error),
                Err(_) if until == end => return Outcome::Silent { provisional },
                // 17.1.2.2: who has answered provisionally is asked again every T2.
                Err(_) => interval = if provisional.is_some() { timers.t2 } else { (interval * 2).min(timers.t2) },
            }
        }
    }

    async fn send(&mut self, bytes: &Bytes) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.send(bytes).await.map(|_| ()),
            Self::Stream(stream, _) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// The final response to the request of this branch.
    async fn answer(&mut self, branch: &[u8], provisional: &mut Option<u16>) -> io::Result<Message> {
        for _ in 0..STRANGERS {
            let message = self.message().await?;
            let Some(message) = message.filter(|message| message.top_via().and_then(|via| via.branch()) == Some(branch)) else { continue };
            match message.status() {
                100..200 => *provisional = Some(message.status()),
                200..700 => return Ok(message),
                _ => {}
            }
        }
        Err(io::Error::other("it sends other messages without end"))
    }

    /// The next message; none if what came is none.
    async fn message(&mut self) -> io::Result<Option<Message>> {
        let limits = Limits::default();
        match self {
            Self::Datagrams(socket) => {
                let mut buffer = vec![0; DATAGRAM];
                let length = socket.recv(&mut buffer).await?;
                buffer.truncate(length);
                Ok(Message::parse(buffer.into(), Framing::Datagram, &limits).ok())
            }
            Self::Stream(stream, framer) => loop {
                match framer.next().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                    Some(Frame::Message(bytes)) => return Ok(Message::parse(bytes, Framing::Stream, &limits).ok()),
                    Some(Frame::Ping) => return Ok(None),
                    None => {}
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    length => framer.feed(buffer.get(..length).unwrap_or_default()),
                }
            },
        }
    }
}
