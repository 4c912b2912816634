//! What the network says about datagrams that it could not deliver: ICMP errors, which Linux keeps in a queue of the socket if it is asked
//! to, together with the beginning of the datagram (RFC 3261 18.4). So a port that nobody listens on fails as fast as a refused connection.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::Socket;

/// Octets of a datagram that are looked at: routers quote up to 576 with all headers (RFC 1812 4.3.2.3), for IPv6 up to 1,280 (RFC 4443 3).
const QUOTED: usize = 1280;

/// Has the socket keep what is reported about its datagrams.
pub(super) fn keep_errors(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let kept =
        if address.is_ipv4() { setsockopt(socket, sockopt::Ipv4RecvErr, &true) } else { setsockopt(socket, sockopt::Ipv6RecvErr, &true) };
    kept.map_err(io::Error::from)
}

/// A datagram that did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undelivered {
    /// Where it went.
    pub(super) remote: SocketAddr,
    /// How it begins.
    pub(super) quoted: Bytes,
}

/// The next report; none if there is no more. Reports of other kinds are passed over.
pub(super) fn next(socket: &UdpSocket) -> Option<Undelivered> {
    loop {
        let mut buffer = [0; QUOTED];
        let mut control = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
        let (length, remote, is_final) = {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let report = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags).ok()?;
            let is_final = report.cmsgs().is_ok_and(|mut messages| messages.any(|message| is_final(&message)));
            (report.bytes, report.address.as_ref().and_then(socket_address), is_final)
        };
        if let (Some(remote), true) = (remote, is_final) {
            return Some(Undelivered { remote, quoted: Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default()) });
        }
    }
}

/// Whether nothing of the kind can arrive (RFC 3261 18.4): not where the packet was too large, which the kernel mends by itself, nor where it
/// had too many hops.
fn is_final(message: &ControlMessageOwned) -> bool {
    let error = match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => error,
        _ => return false,
    };
    let errno = i32::try_from(error.ee_errno).map_or(Errno::UnknownErrno, Errno::from_raw);
    let of_network =
        matches!(error.ee_origin, nix::libc::SO_EE_ORIGIN_ICMP | nix::libc::SO_EE_ORIGIN_ICMP6 | nix::libc::SO_EE_ORIGIN_LOCAL);
    of_network
        && matches!(
            errno,
            Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ENOPROTOOPT | Errno::EACCES | Errno::EPERM
        )
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
