//! What the transports count. Each worker has counters of its own, so that counting never makes two cores share a cache line.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one worker's transports. They only grow.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The counters of all workers, added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Totals {
            /// Adds the counters of one worker.
            pub fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.value();)*
            }

            /// Every counter with its name, in a fixed order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams received, keepalives and rubbish included.
    udp_received,
    /// Datagrams handed to the kernel.
    udp_sent,
    /// Errors that the kernel reported on receiving, such as an ICMP error of an earlier datagram.
    udp_receive_errors,
    /// Datagrams that the kernel refused to send: too large, no route, forbidden.
    udp_send_errors,
    /// Datagrams of ours that were reported as undeliverable: port closed, host or network unreachable.
    udp_undelivered,
    /// Datagrams dropped because the socket's backlog was full.
    udp_dropped,
    /// STUN Binding requests answered (RFC 5626 8).
    udp_stun_answered,
    /// STUN datagrams dropped: malformed, no Binding request, or over the limit of their source.
    udp_stun_dropped,
    /// Messages received on connections.
    stream_received,
    /// Messages handed to connections.
    stream_sent,
    /// Keepalives answered: CRLF (RFC 5626 4.4.1), or a ping of WebSocket (RFC 6455 5.5.2).
    stream_pings,
    /// Connections accepted.
    stream_accepted,
    /// Connections closed at once because there were too many, or that could not be accepted.
    stream_refused,
    /// Connections opened to a peer, TLS and WebSocket included.
    stream_connected,
    /// Connections that could not be opened: refused, timed out, no route, too many, no TLS, no WebSocket.
    stream_connect_failures,
    /// Connections closed, for whatever reason.
    stream_closed,
    /// Connections closed because their octets are no SIP messages (RFC 3261 18.3), or no frames of WebSocket.
    stream_framing_errors,
    /// Connections closed because a message was not finished in time, in either direction.
    stream_stalled,
    /// Connections closed because nothing happened on them.
    stream_idle,
    /// Connections closed because no answer came to our ping.
    stream_silent,
    /// Messages dropped because the connection's queue was full.
    stream_dropped,
    /// Handshakes of TLS completed, in either direction.
    tls_handshakes,
    /// Handshakes of TLS that failed, in either direction; the log says why at debug.
    tls_handshake_failures,
    /// Connections that became WebSocket, in either direction.
    websocket_handshakes,
    /// Requests for WebSocket that were refused, or refused to us.
    websocket_handshake_failures,
    /// Connections closed because TLS or WebSocket was not agreed on in time.
    handshake_timeouts,
    /// Connections closed at once because their source had as many open as it may.
    source_connections_refused,
    /// Connections closed at once because their source opened too many in a short time.
    source_handshakes_refused,
    /// Requests over the limit of their source, answered 503 or dropped.
    source_requests_refused,
    /// Connections and requests dropped because their source was banned.
    source_banned,
    /// Sources banned.
    source_bans,
    /// Sources not banned because the table of bans was full.
    source_bans_lost,
}

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
