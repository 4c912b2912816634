//! One scenario: its peers, its proxy, and the ladder that is printed when it fails.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::config::Config;
use super::dialog::Dialog;
use super::draft::{Draft, sdp};
use super::link::Link;
use super::peer::{Peer, Received};
use super::proxy::Proxy;
use super::trace::Trace;

/// Prints the ladder if the test fails.
pub(crate) struct Scene {
    trace: Trace,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what passed ---\n{}", self.trace.ladder());
        }
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { trace: Trace::new() }
    }

    /// What has passed so far.
    pub(crate) fn ladder(&self) -> String {
        self.trace.ladder()
    }

    /// A peer for datagrams at an address of this machine.
    pub(crate) fn peer_at(&self, name: &str, host: IpAddr) -> Peer {
        Peer::datagrams(name, host, &self.trace)
    }

    /// A peer for datagrams.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        Peer::datagrams(name, Ipv4Addr::LOCALHOST.into(), &self.trace)
    }

    /// A peer for datagrams on \[::1\].
    pub(crate) fn peer_v6(&self, name: &str) -> Peer {
        Peer::datagrams(name, Ipv6Addr::LOCALHOST.into(), &self.trace)
    }

    /// A peer for datagrams and connections.
    pub(crate) fn peer_with_connections(&self, name: &str) -> Peer {
        Peer::datagrams_and_connections(name, Ipv4Addr::LOCALHOST.into(), &self.trace)
    }
}

/// An INVITE with a body from a peer.
pub(crate) fn invite(caller: &Peer, uri: &str, link: &Link) -> Draft {
    caller.request("INVITE", uri, link).body("application/sdp", sdp(40_000))
}

/// Sends an INVITE and has the callee answer it with 180 and 200, and the caller acknowledge it. Gives the INVITE that the callee took and
/// the caller's dialog.
pub(crate) fn establish(caller: &Peer, callee: &Peer, invite: &Draft, link: &Link) -> (Received, Dialog) {
    caller.send(invite, link);
    let at_callee = callee.expect("INVITE");
    callee.reply(&at_callee, 180);
    caller.expect_status(180);
    callee.reply(&at_callee, 200);
    let answer = caller.expect_status(200);
    let mut dialog = Dialog::of_caller(&answer);
    caller.send(&dialog.request(caller, "ACK", link), link);
    callee.expect("ACK");
    (at_callee, dialog)
}

/// A re-INVITE from one end of an established call, answered and acknowledged.
pub(crate) fn reinvite(from: &Peer, to: &Peer, dialog: &mut Dialog, link: &Link) -> Received {
    from.send(&dialog.request(from, "INVITE", link).body("application/sdp", sdp(40_002)), link);
    let again = to.expect("INVITE");
    to.reply(&again, 200);
    from.expect_status(200);
    from.send(&dialog.request(from, "ACK", link), link);
    to.expect("ACK");
    again
}

/// Ends an established call from the caller's side.
pub(crate) fn hang_up(caller: &Peer, callee: &Peer, dialog: &mut Dialog, link: &Link) {
    caller.send(&dialog.request(caller, "BYE", link), link);
    let bye = callee.expect("BYE");
    callee.reply(&bye, 200);
    caller.expect_status(200);
}

/// A whole call: INVITE 180 200 ACK BYE 200. Gives the INVITE that the callee took.
pub(crate) fn whole_call(caller: &Peer, callee: &Peer, invite: &Draft, link: &Link) -> Received {
    let (at_callee, mut dialog) = establish(caller, callee, invite, link);
    hang_up(caller, callee, &mut dialog, link);
    at_callee
}

/// A proxy and the datagram link from a peer to it.
pub(crate) fn start(config: &Config, plugins: &[&str], caller: &Peer) -> (Proxy, Link) {
    let proxy = Proxy::start(config, plugins);
    let link = caller.to(proxy.address());
    (proxy, link)
}
