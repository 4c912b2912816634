//! Bounds and times of the transports.

use std::time::Duration;

use jackfield_proto::message;

use super::guard::SourceLimits;

/// What the transports are told. Buffers of sockets are set when they are bound; everything else holds for what begins after a change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Octets asked of the kernel for the receive buffer of each UDP socket; it may give less. Default 4 MiB.
    pub udp_receive_buffer: usize,
    /// Octets that may wait for each UDP socket when the kernel takes no more; a datagram beyond that is dropped. Default 1 MiB.
    pub udp_backlog: usize,
    /// Connections accepted, and as many again opened; one beyond that is closed at once. Default 10,000.
    pub connections: usize,
    /// Size of a message on a connection, and number of its header fields.
    pub message: message::Limits,
    /// Time for a message to be complete, from its first octet, or to be written, from when it began to wait; then the connection is closed.
    /// Default 20 s.
    pub unfinished: Duration,
    /// Time without any octet after which a connection is closed. Default 10 minutes.
    pub idle: Duration,
    /// Time for TLS and WebSocket to be agreed on once a connection is there; then it is closed. Default 10 s.
    pub handshake: Duration,
    /// Time without any octet after which a WebSocket peer is pinged, so that what is between us keeps the connection, and a peer that
    /// is gone is noticed. Default 30 s.
    pub ping: Duration,
    /// Time for a connection to be established. Default 5 s.
    pub connect: Duration,
    /// Octets that may wait for a connection, with 64 more for each message; a message beyond that fails. Default 1 MiB.
    pub queue: usize,
    /// What one source address may do. By default everything.
    pub source: SourceLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            udp_receive_buffer: 4 << 20,
            udp_backlog: 1 << 20,
            connections: 10_000,
            message: message::Limits::default(),
            unfinished: Duration::from_secs(20),
            idle: Duration::from_secs(600),
            handshake: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            queue: 1 << 20,
            source: SourceLimits::default(),
        }
    }
}
