//! A flow (RFC 5626 3.1) as our tokens hold it: all that is needed to send over it again, so that nothing has to be kept for it.
//!
//! ```text
//! FTxxEIVA                  flags: far end of the caller (0) or the callee (1) and the like; see below
//! LLLLLLLL                  digest of the listener
//! PPPP AAAAAAAA [SSSSSSSS]  port, address, scope of an IPv6 address; if a far end is noted
//! CCCCCCCCCCCCCCCC          connection; if there is one
//! ```

use std::hash::Hasher;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use siphasher::sip::SipHasher24;

use super::base32::Octets;
use crate::net::{ConnectionId, Flow, Listener, Over, Path, Transport};

/// A flow, or as much of one as is known of a side of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotedFlow {
    pub(super) side: Side,
    pub(super) transport: Transport,
    pub(super) listener: ListenerDigest,
    pub(super) binding: Binding,
    /// None where only the listener matters.
    pub(super) far_end: Option<FarEnd>,
}

/// Whose flow it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Of who sent the dialog's first request, or registered.
    Caller,
    Callee,
}

/// When a request is sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// Where its own URI leads nowhere.
    Fallback,
    /// Always: its far end cannot be reached otherwise, or has asked for it (RFC 5626 4.3, RFC 7118 5.1).
    Exclusive,
}

/// The other end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarEnd {
    pub(super) remote: SocketAddr,
    pub(super) connection: Option<ConnectionId>,
}

/// Stands for a listener in a token: its index may be another after a restart or a reload, its name and transport are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerDigest(u32);

impl ListenerDigest {
    pub(super) fn of(listener: &Listener) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(listener.name.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(listener.transport.uri_name().as_bytes());
        Self((hasher.finish() & 0xffff_ffff) as u32)
    }
}

const TRANSPORT: u8 = 0b0000_0111;
const CALLEE: u8 = 1 << 3;
const EXCLUSIVE: u8 = 1 << 4;
const FAR_END: u8 = 1 << 5;
const IPV6: u8 = 1 << 6;
const CONNECTION: u8 = 1 << 7;

const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

impl NotedFlow {
    /// Octets of the shortest: flags and listener.
    pub(super) const LEAST: usize = 1 + 4;

    /// The transport of this number; none for one that begins no flow.
    pub(super) fn transport_of(number: u8) -> Option<Transport> {
        TRANSPORTS.get(usize::from(number)).copied()
    }

    /// The flow that something came over.
    pub(super) fn of(flow: &Flow, listener: ListenerDigest, binding: Binding) -> Self {
        let far_end = FarEnd { remote: flow.remote, connection: flow.connection };
        Self { side: Side::Caller, transport: flow.transport, listener, binding, far_end: Some(far_end) }
    }

    /// Only the listener of a side.
    pub(super) fn listener_only(side: Side, transport: Transport, listener: ListenerDigest) -> Self {
        Self { side, transport, listener, binding: Binding::Fallback, far_end: None }
    }

    /// The way that something takes to the callee.
    pub(super) fn towards(path: &Path, listener: ListenerDigest, binding: Binding) -> Self {
        let connection = match path.over {
            Over::Only(connection) => Some(connection),
            Over::Any | Over::Prefer(_) => None,
        };
        let far_end = Some(FarEnd { remote: path.remote, connection });
        Self { side: Side::Callee, transport: path.transport, listener, binding, far_end }
    }

    /// Appends its octets.
    pub(super) fn put(&self, out: &mut Octets) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let remote = self.far_end.map(|far_end| far_end.remote);
        let connection = self.far_end.and_then(|far_end| far_end.connection);
        out.push(
            self.transport as u8
                | flag(self.side == Side::Callee, CALLEE)
                | flag(self.binding == Binding::Exclusive, EXCLUSIVE)
                | flag(remote.is_some(), FAR_END)
                | flag(remote.is_some_and(|remote| remote.is_ipv6()), IPV6)
                | flag(connection.is_some(), CONNECTION),
        );
        out.extend_from_slice(&self.listener.0.to_be_bytes());
        match remote {
            Some(SocketAddr::V4(remote)) => {
                out.extend_from_slice(&remote.port().to_be_bytes());
                out.extend_from_slice(&remote.ip().octets());
            }
            Some(SocketAddr::V6(remote)) => {
                out.extend_from_slice(&remote.port().to_be_bytes());
                out.extend_from_slice(&remote.ip().octets());
                out.extend_from_slice(&remote.scope_id().to_be_bytes());
            }
            None => {}
        }
        if let Some(ConnectionId(number)) = connection {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// Reads one; what is behind it comes back with it.
    pub(super) fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags], rest) = take(octets)?;
        let has = |flag: u8| flags & flag != 0;
        if !has(FAR_END) && (has(IPV6) || has(CONNECTION)) {
            return None;
        }
        let transport = Self::transport_of(flags & TRANSPORT)?;
        let (listener, mut rest) = take(rest)?;
        let mut far_end = None;
        if has(FAR_END) {
            let (remote, after) = read_address(rest, has(IPV6))?;
            rest = after;
            let mut connection = None;
            if has(CONNECTION) {
                let (number, after) = take(rest)?;
                rest = after;
                connection = Some(ConnectionId(u64::from_be_bytes(number)));
            }
            far_end = Some(FarEnd { remote, connection });
        }
        let note = Self {
            side: if has(CALLEE) { Side::Callee } else { Side::Caller },
            transport,
            listener: ListenerDigest(u32::from_be_bytes(listener)),
            binding: if has(EXCLUSIVE) { Binding::Exclusive } else { Binding::Fallback },
            far_end,
        };
        Some((note, rest))
    }
}

fn read_address(octets: &[u8], ipv6: bool) -> Option<(SocketAddr, &[u8])> {
    let (port, rest) = take(octets)?;
    let port = u16::from_be_bytes(port);
    if ipv6 {
        let (ip, rest) = take::<16>(rest)?;
        let (scope, rest) = take(rest)?;
        Some((SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, u32::from_be_bytes(scope)).into(), rest))
    } else {
        let (ip, rest) = take::<4>(rest)?;
        Some((SocketAddrV4::new(Ipv4Addr::from(ip), port).into(), rest))
    }
}

/// The first octets, and what is behind them.
pub(super) fn take<const N: usize>(octets: &[u8]) -> Option<([u8; N], &[u8])> {
    octets.split_first_chunk().map(|(first, rest)| (*first, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ListenerState;

    fn listener(name: &str, transport: Transport) -> Listener {
        let address = "192.0.2.1:5060".parse().unwrap();
        Listener { name: name.into(), transport, address, sent_by: "192.0.2.1:5060".into(), state: ListenerState::Open }
    }

    fn all() -> Vec<NotedFlow> {
        let mut all = Vec::new();
        for transport in TRANSPORTS {
            let digest = ListenerDigest::of(&listener("wan", transport));
            for side in [Side::Caller, Side::Callee] {
                all.push(NotedFlow::listener_only(side, transport, digest));
                for remote in ["192.0.2.97:4711", "[2001:db8::97]:65535", "[fe80::1%3]:5060"] {
                    for connection in [None, Some(ConnectionId(u64::MAX - 1))] {
                        let far_end = Some(FarEnd { remote: remote.parse().unwrap(), connection });
                        for binding in [Binding::Fallback, Binding::Exclusive] {
                            all.push(NotedFlow { side, transport, listener: digest, binding, far_end });
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn a_flow_reads_back() {
        for note in all() {
            let mut octets = Octets::new();
            note.put(&mut octets);
            octets.push(7);
            assert_eq!(NotedFlow::read(&octets), Some((note, &[7][..])));
            for length in 0..octets.len() - 1 {
                assert_eq!(NotedFlow::read(&octets[..length]), None, "{note:?} cut to {length}");
            }
        }
    }

    #[test]
    fn what_is_no_flow() {
        for flags in [5, 6, 7, IPV6, CONNECTION, IPV6 | CONNECTION | CALLEE] {
            let mut octets = [0; 64];
            octets[0] = flags;
            assert_eq!(NotedFlow::read(&octets), None, "{flags:08b}");
        }
    }

    #[test]
    fn listeners_are_told_apart_by_name_and_transport() {
        let mut digests = Vec::new();
        for name in ["", "a", "lan", "wan", "wan2", "wanudp"] {
            digests.extend(TRANSPORTS.map(|transport| ListenerDigest::of(&listener(name, transport)).0));
        }
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count);
        assert_eq!(ListenerDigest::of(&listener("wan", Transport::Udp)).0, 0x62ec_8f8c, "it must not change between versions");
    }
}
