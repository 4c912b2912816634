//! What a worker counts.

use jackfield_proto::net::Transport;

use super::{Count, Counts};

pub(crate) const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Whether a message is a request or a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request.
    Request,
    /// A response.
    Response,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Request, Self::Response];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// Why octets that came in were not taken as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No SIP at all; nothing was answered.
    NotSip,
    /// SIP, but broken: answered with 400 or the like where it was a request, dropped where it was a response.
    Malformed,
}

impl Rejection {
    pub(crate) const ALL: [Self; 2] = [Self::NotSip, Self::Malformed];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotSip => "not-sip",
            Self::Malformed => "malformed",
        }
    }
}

/// The cells of one worker, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerMetrics {
    received: [Counts<5>; 2],
    sent: [Counts<5>; 2],
    send_failures: Counts<5>,
    rejections: Counts<2>,
    answered: Counts<6>,
    unanswered: Count,
}

impl WorkerMetrics {
    /// Counts a message that came in.
    pub fn received(&self, transport: Transport, kind: Kind) {
        self.received[kind as usize].increment(transport as usize);
    }

    /// Counts a message that was sent, retransmissions included.
    pub fn sent(&self, transport: Transport, kind: Kind) {
        self.sent[kind as usize].increment(transport as usize);
    }

    /// Counts a message that could not be sent.
    pub fn send_failed(&self, transport: Transport) {
        self.send_failures.increment(transport as usize);
    }

    /// Counts octets that were not taken as a message.
    pub fn rejected(&self, rejection: Rejection) {
        self.rejections.increment(rejection as usize);
    }

    /// Counts a request whose final response, of this status, has gone upstream; none where the context ended without one.
    pub fn completed(&self, status: Option<u16>) {
        match status.and_then(|status| (status / 100).checked_sub(1)) {
            Some(class) => self.answered.increment(usize::from(class)),
            None => self.unanswered.increment(),
        }
    }

    pub(crate) fn messages_received(&self) -> u64 {
        self.received.iter().flat_map(|kind| &kind.0).map(Count::value).sum()
    }

    pub(crate) fn messages_sent(&self) -> u64 {
        self.sent.iter().flat_map(|kind| &kind.0).map(Count::value).sum()
    }

    pub(crate) fn received_by(&self, transport: Transport, kind: Kind) -> u64 {
        self.received[kind as usize].value(transport as usize)
    }

    pub(crate) fn sent_by(&self, transport: Transport, kind: Kind) -> u64 {
        self.sent[kind as usize].value(transport as usize)
    }

    pub(crate) fn send_failures(&self, transport: Transport) -> u64 {
        self.send_failures.value(transport as usize)
    }

    pub(crate) fn rejections(&self, rejection: Rejection) -> u64 {
        self.rejections.value(rejection as usize)
    }

    pub(crate) fn answered(&self, class: usize) -> u64 {
        self.answered.value(class)
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_the_enums_has_its_cell() {
        let worker = WorkerMetrics::default();
        for transport in TRANSPORTS {
            for kind in Kind::ALL {
                worker.received(transport, kind);
                worker.sent(transport, kind);
                assert_eq!((worker.received_by(transport, kind), worker.sent_by(transport, kind)), (1, 1));
            }
            worker.send_failed(transport);
            assert_eq!(worker.send_failures(transport), 1);
        }
        Rejection::ALL.into_iter().for_each(|rejection| worker.rejected(rejection));
        assert_eq!(Rejection::ALL.map(|rejection| worker.rejections(rejection)), [1; 2]);
        for status in [Some(200), Some(299), Some(300), Some(486), Some(503), Some(603), None, Some(0)] {
            worker.completed(status);
        }
        assert_eq!([0, 1, 2, 3, 4, 5].map(|class| worker.answered(class)), [0, 2, 1, 1, 1, 1]);
        assert_eq!(worker.unanswered(), 2);
    }
}
