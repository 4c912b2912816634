//! The timers of RFC 3261 17, table 4, by their letters.

use std::time::Duration;

/// A timer. The letters are those of RFC 3261 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// INVITE client: retransmit the request.
    A,
    /// INVITE client: no response at all.
    B,
    /// INVITE client: retransmissions of a failure may still come.
    D,
    /// Non-INVITE client: retransmit the request.
    E,
    /// Non-INVITE client: no final response.
    F,
    /// INVITE server: retransmit the failure.
    G,
    /// INVITE server: no ACK.
    H,
    /// INVITE server: retransmissions of the ACK may still come.
    I,
    /// Non-INVITE server: retransmissions of the request may still come.
    J,
    /// Non-INVITE client: retransmissions of the response may still come.
    K,
    /// INVITE server: retransmissions of an accepted INVITE may still come (RFC 6026).
    L,
    /// INVITE client: retransmissions of the 2xx, or 2xx of other branches, may still come (RFC 6026).
    M,
}

/// The durations that the machines arm their timers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Round-trip estimate.
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
    /// Whether the transport is reliable: nothing is retransmitted and nothing is waited for.
    pub reliable: bool,
}

impl Schedule {
    /// 64 times T1: timers B, F, H, J, L and M.
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// The time that retransmissions are waited for: `unreliable` over UDP, none over a reliable transport.
    pub(super) fn linger(&self, unreliable: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { unreliable }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::transaction) const UDP: Schedule =
        Schedule { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5), reliable: false };
    pub(in crate::transaction) const TCP: Schedule = Schedule { reliable: true, ..UDP };

    #[test]
    fn patience_is_64_times_t1() {
        assert_eq!(UDP.patience(), Duration::from_secs(32));
    }
}
