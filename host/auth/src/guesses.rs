//! Wrong passwords, counted for each source: an IPv4 address, or a /64 of IPv6, which is what one customer has (RFC 6177).
//!
//! A source that has sent more than its number in a minute is not listened to until it has paid off: its credentials are not looked at,
//! the right ones neither, or else guessing would go on as fast as before. So that who guesses behind a NAT does not lock out the phones
//! beside him, a flow (address and port) over which a user has been genuine in the last [`PROVED_FOR`] is counted by itself for that
//! user: a phone that is at work stays at work. A new one has to wait, or to be lucky, until the guessing ends.
//!
//! Both tables are bounded ([`MAX_SOURCES`], [`MAX_FLOWS`]). Beyond that the oldest entry goes: a source begins with a clean sheet, a flow
//! has to prove itself again. Who commands so many sources gains nothing by it, as each new one begins like that anyway.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jackfield_proto::time::Timestamp;
use siphasher::sip::SipHasher24;

use crate::fifo::Sharded;
use crate::nonce::NonceKey;

/// Sources of wrong passwords that are remembered.
pub const MAX_SOURCES: usize = 65_536;

/// Flows with genuine users that are remembered.
pub const MAX_FLOWS: usize = 65_536;

/// How long a flow is known for a genuine user's.
pub const PROVED_FOR: Duration = Duration::from_secs(3600);

const MINUTE: Duration = Duration::from_secs(60);

/// Wrong passwords as a debt in time: each adds a minute divided by the number that a minute allows, and time pays off.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    paid: Timestamp,
}

impl Debt {
    fn add(&mut self, now: Timestamp, per_minute: u32) {
        self.paid = self.paid.max(now) + price(per_minute);
    }

    /// How long it is until one more is allowed; none if it is.
    fn wait(self, now: Timestamp, per_minute: u32) -> Option<Duration> {
        (self.paid.since(now) + price(per_minute)).checked_sub(MINUTE).filter(|wait| !wait.is_zero())
    }
}

/// A minute divided by this; so little less that as many fit in.
fn price(per_minute: u32) -> Duration {
    Duration::from_micros(60_000_000 / u64::from(per_minute.max(1)))
}

/// A flow that is known for a user's.
#[derive(Clone, Copy, Debug)]
struct Proved {
    until: Timestamp,
    debt: Debt,
}

/// Who is asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) user: &'a [u8],
}

/// The wrong passwords of all sources.
#[derive(Debug)]
pub(crate) struct Guesses {
    key: NonceKey,
    sources: Sharded<u128, Debt>,
    flows: Sharded<u64, Proved>,
}

impl Guesses {
    /// The key keeps the parts of the tables evenly filled, whatever addresses somebody chooses.
    pub(crate) fn new(key: NonceKey) -> Self {
        Self { key, sources: Sharded::new(MAX_SOURCES), flows: Sharded::new(MAX_FLOWS) }
    }

    /// How long this user at this source has to wait before credentials are looked at; none: they are.
    pub(crate) fn wait(&self, guest: Guest<'_>, now: Timestamp, per_minute: u32) -> Option<Duration> {
        let flow = self.flow(guest);
        let proved = self.flows.with(flow, |flows| flows.get_mut(&flow).copied()).flatten();
        let debt = match proved.filter(|proved| proved.until > now) {
            Some(proved) => Some(proved.debt),
            None => self.at_source(guest.source, |debts, source| debts.get_mut(&source).copied()).flatten(),
        };
        debt?.wait(now, per_minute)
    }

    /// Notes a wrong password.
    pub(crate) fn wrong(&self, guest: Guest<'_>, now: Timestamp, per_minute: u32) {
        let flow = self.flow(guest);
        let of_flow = self.flows.with(flow, |flows| {
            let proved = flows.get_mut(&flow).filter(|proved| proved.until > now);
            proved.map(|proved| proved.debt.add(now, per_minute))
        });
        if of_flow.flatten().is_none() {
            self.at_source(guest.source, |debts, source| match debts.get_mut(&source) {
                Some(debt) => debt.add(now, per_minute),
                None => {
                    let mut debt = Debt::default();
                    debt.add(now, per_minute);
                    debts.insert(source, debt);
                }
            });
        }
    }

    /// Notes that a user has been genuine. What the source owes stays.
    pub(crate) fn genuine(&self, guest: Guest<'_>, now: Timestamp) {
        let (flow, until) = (self.flow(guest), now + PROVED_FOR);
        self.flows.with(flow, |flows| match flows.get_mut(&flow) {
            Some(proved) => proved.until = until,
            None => {
                flows.insert(flow, Proved { until, debt: Debt::default() });
            }
        });
    }

    fn flow(&self, guest: Guest<'_>) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(&address(guest.source.ip()).to_be_bytes());
        hasher.write_u16(guest.source.port());
        hasher.write(guest.user);
        hasher.finish()
    }

    fn at_source<R>(&self, source: SocketAddr, work: impl FnOnce(&mut crate::fifo::Fifo<u128, Debt>, u128) -> R) -> Option<R> {
        let source = whereabouts(source.ip());
        let mut hasher = self.hasher();
        hasher.write(&source.to_be_bytes());
        self.sources.with(hasher.finish(), |debts| work(debts, source))
    }

    fn hasher(&self) -> SipHasher24 {
        let mut hasher = SipHasher24::new_with_key(&self.key.0);
        hasher.write(b"guesses");
        hasher
    }
}

/// What counts as one source: an IPv4 address, or a /64 of IPv6.
pub(crate) fn whereabouts(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(_) => address(ip),
        IpAddr::V6(_) => address(ip) & !u128::from(u64::MAX),
    }
}

/// An address as a number; one of IPv4 as mapped into IPv6.
fn address(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(source: &str) -> Guest<'static> {
        Guest { source: source.parse().unwrap(), user: b"alice" }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn a_source_waits_after_so_many_in_a_minute_and_pays_off_with_time() {
        for per_minute in [1, 7, 10] {
            let (guesses, guest) = (Guesses::new(NonceKey([1; 16])), guest("192.0.2.1:5060"));
            for _ in 0..per_minute {
                assert_eq!(guesses.wait(guest, at(100), per_minute), None);
                guesses.wrong(guest, at(100), per_minute);
            }
            let wait = guesses.wait(guest, at(100), per_minute).unwrap();
            assert!(wait <= MINUTE / per_minute && wait > MINUTE / per_minute - Duration::from_millis(1), "{wait:?}");
            assert_eq!(guesses.wait(guest, at(100) + wait, per_minute), None);
            guesses.wrong(guest, at(100) + wait, per_minute);
            assert!(guesses.wait(guest, at(100) + wait, per_minute).is_some(), "one for each share of a minute");
        }
    }

    #[test]
    fn a_source_is_an_address_or_a_customers_block() {
        let guesses = Guesses::new(NonceKey([1; 16]));
        guesses.wrong(guest("192.0.2.1:5060"), at(0), 1);
        guesses.wrong(guest("[2001:db8:0:1::1]:5060"), at(0), 1);
        let waits = |source| guesses.wait(guest(source), at(0), 1).is_some();
        assert!(waits("192.0.2.1:1") && waits("[::ffff:192.0.2.1]:1") && waits("[2001:db8:0:1:ffff::2]:1"));
        assert!(!waits("192.0.2.2:5060") && !waits("[2001:db8:0:2::1]:5060"));
    }

    #[test]
    fn a_flow_with_a_genuine_user_is_counted_by_itself() {
        let guesses = Guesses::new(NonceKey([1; 16]));
        let (phone, attacker) = (guest("192.0.2.1:5060"), guest("192.0.2.1:40000"));
        guesses.genuine(phone, at(0));
        guesses.wrong(attacker, at(1), 1);
        assert!(guesses.wait(attacker, at(1), 1).is_some() && guesses.wait(phone, at(1), 1).is_none());
        let other_user = Guest { user: b"bob", ..phone };
        assert!(guesses.wait(other_user, at(1), 1).is_some(), "a flow is one user's");
        guesses.wrong(phone, at(1), 1);
        assert!(guesses.wait(phone, at(1), 1).is_some(), "it has its own limit");
        guesses.genuine(phone, at(2));
        assert!(guesses.wait(phone, at(2), 1).is_some(), "which being genuine does not lift");
        let later = at(2) + PROVED_FOR;
        guesses.wrong(attacker, later, 1);
        assert!(guesses.wait(phone, later, 1).is_some(), "it is known for a while only");
    }
}
