//! An end of media: a socket that sends and hears packets of RTP (RFC 3550), and the session description that leads to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A telephone's ear and mouth.
pub(crate) struct Voice {
    socket: UdpSocket,
    name: &'static str,
}

impl Voice {
    /// One at an address of this machine.
    pub(crate) fn at(name: &'static str, host: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((host, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a bound socket");
        Self { socket, name }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket")
    }

    /// The session description that leads here.
    pub(crate) fn sdp(&self) -> String {
        let (host, port) = (self.address().ip(), self.address().port());
        format!("v=0\r\no=- 7 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")
    }

    /// The same with an address where nobody hears: that of a telephone behind NAT.
    pub(crate) fn sdp_behind_nat(&self) -> String {
        self.sdp().replace(&self.address().ip().to_string(), "192.0.2.77")
    }

    /// Sends packets to where it was told until the other end has heard some, and says from where they came.
    pub(crate) fn is_heard_by(&self, other: &Self, told: SocketAddr) -> SocketAddr {
        let end = Instant::now() + PATIENCE;
        let mut octets = [0; 2_048];
        for sequence in 1_u16.. {
            assert!(Instant::now() < end, "{} is not heard by {}", self.name, other.name);
            self.socket.send_to(&self.packet(sequence), told).expect("a port that somebody has");
            while let Ok((length, from)) = other.socket.recv_from(&mut octets) {
                if octets.get(12..length).is_some_and(|payload| payload.starts_with(self.name.as_bytes())) {
                    return from;
                }
            }
        }
        unreachable!("the deadline comes first")
    }

    /// 20 ms of PCMA that begin with the name of who speaks (RFC 3550 5.1).
    fn packet(&self, sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 8];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend([0, 0, 0, self.name.as_bytes()[0]]);
        packet.extend(self.name.as_bytes());
        packet.resize(12 + 160, 0xd5);
        packet
    }
}

/// Where a session description says that media goes.
pub(crate) fn told(sdp: &str) -> SocketAddr {
    let line = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("no {start} in {sdp}"));
    let host: IpAddr = line("c=IN IP4 ").parse().expect("an address");
    let port = line("m=audio ").split(' ').next().and_then(|port| port.parse().ok()).expect("a port");
    SocketAddr::from((host, port))
}
