//! Why a connection ends, and its last words.

use std::io::ErrorKind;
use std::net::Shutdown;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::opening::Unopened;
use super::{Counters, LINGER};

/// Octets thrown away while a peer is given time to read why its connection is closed.
const DISCARD: usize = 262_144;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The peer closed or reset it, or it broke.
    #[error("closed by the peer")]
    Peer,
    /// TLS broke after it had been established.
    #[error("TLS broke: {0}")]
    Broken(rustls::Error),
    /// Its octets are no messages, or too many; what to say to that, if anything.
    #[error("not to be read any further")]
    Framing(Option<Bytes>),
    /// TLS was not agreed on. The peer has got an alert.
    #[error("no TLS: {0}")]
    Tls(rustls::Error),
    /// WebSocket was not agreed on, or the peer speaks what is not spoken here.
    #[error("{0}")]
    Unopened(Unopened),
    /// TLS or WebSocket was not agreed on in time.
    #[error("no handshake in time")]
    NoHandshake,
    /// A message was not finished in time, in either direction.
    #[error("a message was not finished in time")]
    Stalled,
    /// Nothing happened on it.
    #[error("idle")]
    Idle,
    /// Our ping was not answered.
    #[error("no answer to a ping")]
    Silent,
}

impl End {
    /// The last that the peer is told; empty if it has been told already, but might not hear it.
    pub(super) fn farewell(&self) -> Option<Bytes> {
        match self {
            Self::Framing(farewell) => farewell.clone(),
            Self::Unopened(Unopened::Refused { response, .. }) => Some(Bytes::copy_from_slice(response)),
            // The alert is on its way, and must not be lost because something has come that nobody reads.
            Self::Tls(_) => Some(Bytes::new()),
            Self::Peer | Self::Broken(_) | Self::Unopened(_) | Self::NoHandshake | Self::Stalled | Self::Idle | Self::Silent => None,
        }
    }

    /// Counts it.
    pub(super) fn count(&self, counters: &Counters) {
        match self {
            Self::Peer | Self::Broken(_) => {}
            Self::Framing(_) | Self::Unopened(Unopened::NotSpoken) => counters.stream_framing_errors.count(),
            Self::Tls(_) => counters.tls_handshake_failures.count(),
            Self::Unopened(_) => counters.websocket_handshake_failures.count(),
            Self::NoHandshake => counters.handshake_timeouts.count(),
            Self::Stalled => counters.stream_stalled.count(),
            Self::Idle => counters.stream_idle.count(),
            Self::Silent => counters.stream_silent.count(),
        }
    }
}

/// Closing a socket with unread octets resets the connection, and the peer may never see the last message: so say that nothing follows,
/// and read a while without looking.
pub(super) async fn linger(stream: &TcpStream) {
    if SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let discard = async {
        let mut buffer = [0; 1024];
        let mut discarded = 0;
        while discarded < DISCARD && stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => discarded += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Out of patience or not: the connection is closed.
    let _ = timeout(LINGER, discard).await;
}
