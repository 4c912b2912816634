//! What passes by on a cable, seen at its far end: whole packets, in both directions, as they are on the wire.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use example_agents::network::Network;
use socket2::{Domain, Protocol, Socket, Type};

use crate::voice::source_of;

/// `ETH_P_ALL` of <linux/if_ether.h>, in the octets' order that packet(7) wants.
const EVERYTHING: i32 = 0x0003_u16.to_be() as i32;
/// The protocol number of UDP.
const UDP: u8 = 17;
/// Packets that are kept: some minutes of an example.
const KEPT: usize = 100_000;
/// What is asked of the kernel for packets not read yet. It gives less if it has to.
const RECEIVE_BUFFER: usize = 8 << 20;

/// An IPv4 packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    /// What is in it if it is UDP, else all that follows the header.
    content: Vec<u8>,
    is_udp: bool,
}

impl Packet {
    fn parse(octets: &[u8]) -> Option<Self> {
        let header = octets.first_chunk::<20>()?;
        if header[0] >> 4 != 4 {
            return None;
        }
        let rest = octets.get(usize::from(header[0] & 15) * 4..)?;
        let address = |at: usize| octets.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|four| Ipv4Addr::from(*four));
        // A later fragment has no header of UDP; its octets are looked at all the same.
        let is_udp = header[9] == UDP && u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
        let content = if is_udp { rest.get(8..)? } else { rest };
        Some(Self { source: address(12)?, destination: address(16)?, content: content.to_vec(), is_udp })
    }

    fn is_sip(&self) -> bool {
        self.is_udp && self.content.windows(7).any(|part| part == b"SIP/2.0")
    }

    fn is_rtp(&self) -> bool {
        self.is_udp && source_of(&self.content).is_some()
    }
}

/// A capture that goes on until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    packets: Arc<Mutex<Vec<Packet>>>,
}

/// What one cable has carried between its two ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// SIP messages.
    pub(crate) sip: usize,
    /// RTP packets from the border.
    pub(crate) voice_in: usize,
    /// RTP packets to the border.
    pub(crate) voice_out: usize,
}

impl Capture {
    /// Begins at the far end of a link.
    pub(crate) fn begin(network: &Network, device: &str) -> Result<Self> {
        // Not bound to an interface: in this namespace there is no other but the loopback one, which nobody uses.
        let open = || Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(EVERYTHING)));
        let mut socket = network.at(device, open)?.context("nobody may capture packets here")?;
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let packets = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&packets);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(count) = socket.read(&mut buffer) {
                let Some(packet) = buffer.get(..count).and_then(Packet::parse) else { continue };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < KEPT {
                    kept.push(packet);
                }
            }
        });
        Ok(Self { packets })
    }

    /// Counts what has passed so far.
    pub(crate) fn carried(&self, border: Ipv4Addr) -> Carried {
        let packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |wanted: &dyn Fn(&Packet) -> bool| packets.iter().filter(|packet| wanted(packet)).count();
        Carried {
            sip: count(&Packet::is_sip),
            voice_in: count(&|packet| packet.is_rtp() && packet.source == border),
            voice_out: count(&|packet| packet.is_rtp() && packet.destination == border),
        }
    }

    /// Every trace of a network in packets so far: of its addresses in the headers, and of their text in what they carry. A network is
    /// named by how its addresses begin, like `10.0.0.`.
    pub(crate) fn traces_of(&self, network: &str) -> Vec<String> {
        let packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        packets.iter().flat_map(|packet| traces(packet, network)).collect()
    }
}

fn traces(packet: &Packet, network: &str) -> Vec<String> {
    let Packet { source, destination, content, .. } = packet;
    let is_there = |address: &Ipv4Addr| address.to_string().starts_with(network);
    let way = format!("{source} > {destination}");
    let mut found: Vec<String> = (is_there(source) || is_there(destination)).then(|| way.clone()).into_iter().collect();
    let text = String::from_utf8_lossy(content);
    let start = text.lines().next().unwrap_or_default();
    found.extend(text.lines().filter(|line| line.contains(network)).map(|line| format!("{way}  {line}  (in {start})")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(source: [u8; 4], destination: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut octets = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0];
        octets.extend(source.into_iter().chain(destination).chain([0; 8]));
        octets.extend(content);
        octets
    }

    #[test]
    fn a_foreign_address_is_found_in_headers_and_in_text() {
        let of = |content: &[u8]| Packet::parse(&datagram([10, 0, 0, 1], [10, 0, 0, 20], content)).unwrap();
        let clean = of(b"OPTIONS sip:10.0.0.20 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1\r\n\r\n");
        assert!(clean.is_sip() && !clean.is_rtp());
        assert_eq!(traces(&clean, "192.0.2."), Vec::<String>::new());
        assert_eq!(traces(&clean, "10.0.0.").len(), 3);
        let spoilt = of(b"SIP/2.0 200 OK\r\nContact: <sip:b@192.0.2.1>\r\n\r\n");
        assert_eq!(traces(&spoilt, "192.0.2."), ["10.0.0.1 > 10.0.0.20  Contact: <sip:b@192.0.2.1>  (in SIP/2.0 200 OK)"]);
        let astray = Packet::parse(&datagram([10, 0, 0, 20], [192, 0, 2, 10], b"")).unwrap();
        assert_eq!(traces(&astray, "192.0.2."), ["10.0.0.20 > 192.0.2.10"]);
    }

    #[test]
    fn what_is_cut_short_is_passed_over() {
        let whole = datagram([10, 0, 0, 1], [10, 0, 0, 20], b"x");
        for length in 0..28 {
            assert_eq!(Packet::parse(&whole[..length]), None, "{length} octets");
        }
        assert!(Packet::parse(&whole).is_some());
    }
}
