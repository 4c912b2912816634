//! Voice over RTP (RFC 3550): what each end of a call sends is counted at the other.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Packets that each end sends in a call: a second of voice.
pub(crate) const PACKETS: u16 = 50;
/// From one to the next (RFC 3551 4.2).
const INTERVAL: Duration = Duration::from_millis(20);
/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// The static payload type of PCMA (RFC 3551 6).
const PCMA: u8 = 8;

/// Where one end speaks and listens.
#[derive(Debug)]
pub(crate) struct Voice {
    socket: UdpSocket,
    /// The synchronisation source, by which packets of this end are known at the other.
    source: u32,
}

/// What has been heard of the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Packets with the other end's synchronisation source.
    pub(crate) packets: u16,
    /// Where the last of them came from.
    pub(crate) from: Option<IpAddr>,
}

impl Voice {
    /// An end of calls.
    pub(crate) fn at(address: SocketAddr, source: u32) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("nobody can listen to media at {address}"))?;
        socket.set_nonblocking(false)?;
        Ok(Self { socket, source })
    }

    /// Both ends speak and listen at once.
    pub(crate) fn talk((one, to_other): (&Self, SocketAddr), (other, to_one): (&Self, SocketAddr)) -> Result<(Heard, Heard)> {
        std::thread::scope(|scope| {
            let far = scope.spawn(|| other.speak(to_one, one.source));
            let near = one.speak(to_other, other.source);
            Ok((near?, far.join().unwrap_or_else(|_| anyhow::bail!("an end of the call has panicked"))?))
        })
    }

    fn speak(&self, to: SocketAddr, expected: u32) -> Result<Heard> {
        let (begun, mut heard) = (Instant::now(), Heard::default());
        for number in 0..PACKETS {
            self.socket.send_to(&self.packet(number), to).with_context(|| format!("cannot send media to {to}"))?;
            self.listen(begun + INTERVAL * (u32::from(number) + 1), expected, PACKETS, &mut heard)?;
        }
        self.listen(Instant::now() + PATIENCE, expected, PACKETS.saturating_sub(heard.packets), &mut heard)?;
        Ok(heard)
    }

    /// Listens until a point in time, or until so many more packets have come.
    fn listen(&self, until: Instant, expected: u32, at_most: u16, heard: &mut Heard) -> Result<()> {
        let enough = heard.packets.saturating_add(at_most);
        let mut buffer = [0; 2048];
        while heard.packets < enough {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            self.socket.set_read_timeout(Some(left))?;
            let Ok((count, from)) = self.socket.recv_from(&mut buffer) else { continue };
            if buffer.get(..count).and_then(source_of) == Some(expected) {
                heard.packets += 1;
                heard.from = Some(from.ip());
            }
        }
        Ok(())
    }

    /// 20 ms of silence in PCMA under a fixed header (RFC 3550 5.1).
    fn packet(&self, number: u16) -> Vec<u8> {
        let mut packet = vec![0x80, PCMA];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend(self.source.to_be_bytes());
        packet.resize(packet.len() + 160, 0xd5);
        packet
    }
}

/// The synchronisation source of an RTP packet; none if it is something else, RTCP for one (RFC 5761 4).
pub(crate) fn source_of(packet: &[u8]) -> Option<u32> {
    let (&[first, kind, ..], source) = (packet.first_chunk::<2>()?, packet.get(8..)?.first_chunk()?);
    let is_rtp = first >> 6 == 2 && !(64..96).contains(&(kind & 0x7f));
    is_rtp.then_some(u32::from_be_bytes(*source))
}

/// Where a session description asks for audio (RFC 8866 5.7, 5.14).
pub(crate) fn asked_for(description: &[u8]) -> Result<SocketAddr> {
    let text = String::from_utf8_lossy(description);
    let after =
        |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(|rest| rest.split(' ').next().unwrap_or(rest).trim());
    let address = after("c=IN IP4 ").and_then(|address| address.parse::<IpAddr>().ok());
    let port = after("m=audio ").and_then(|port| port.parse().ok());
    address.zip(port).map(SocketAddr::from).with_context(|| format!("no address for audio in\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ends_hear_each_other_and_nobody_else() {
        let (one, other) = (Voice::at("127.0.0.1:0".parse().unwrap(), 1).unwrap(), Voice::at("127.0.0.1:0".parse().unwrap(), 2).unwrap());
        let stranger = Voice::at("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let [at_one, at_other] = [&one, &other].map(|voice| voice.socket.local_addr().unwrap());
        stranger.socket.send_to(&stranger.packet(0), at_one).unwrap();
        let expected = Heard { packets: PACKETS, from: Some(at_one.ip()) };
        assert_eq!(Voice::talk((&one, at_other), (&other, at_one)).unwrap(), (expected, expected));
    }

    #[test]
    fn audio_is_asked_for_by_address_and_port() {
        let description = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 30004 RTP/AVP 8\r\n";
        assert_eq!(asked_for(description).unwrap(), "192.0.2.10:30004".parse().unwrap());
        assert!(asked_for(b"v=0\r\n").is_err());
    }
}
