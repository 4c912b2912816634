//! What one packet carries.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, NetSlice, SlicedPacket, TcpSlice, TransportSlice, UdpSlice};
use pcap_parser::Linktype;

use super::Fragments;

/// The link is none of those that are understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnknownLink(pub(super) i32);

/// What a packet carries.
pub(super) enum Carried<'a> {
    /// A datagram.
    Datagram { source: SocketAddr, destination: SocketAddr, content: Vec<u8> },
    /// A segment of a stream.
    Segment(Segment<'a>),
    /// A part of a datagram, whose other parts come later.
    Fragment,
    /// Nothing of interest.
    Other,
}

/// A segment of a stream (RFC 9293).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) number: u32,
    /// SYN.
    pub(super) begins: bool,
    /// ACK.
    pub(super) acknowledges: bool,
    /// FIN or RST.
    pub(super) ends: bool,
    pub(super) content: &'a [u8],
}

/// Octets of the header of a packet of Linux cooked version 2; its first two are the protocol.
const SLL2_HEADER: usize = 20;

/// Octets before a packet of a null or loopback link: the family.
const FAMILY: usize = 4;

/// Takes a packet apart; a fragment gets this number.
pub(super) fn carried<'a>(link: Linktype, data: &'a [u8], fragments: &mut Fragments, number: u64) -> Result<Carried<'a>, UnknownLink> {
    let sliced = match link {
        Linktype::ETHERNET => SlicedPacket::from_ethernet(data).ok(),
        Linktype::LINUX_SLL => SlicedPacket::from_linux_sll(data).ok(),
        Linktype::LINUX_SLL2 => {
            let protocol = data.first_chunk::<2>().map(|octets| EtherType(u16::from_be_bytes(*octets)));
            protocol.zip(data.get(SLL2_HEADER..)).and_then(|(protocol, rest)| SlicedPacket::from_ether_type(protocol, rest).ok())
        }
        Linktype::NULL | Linktype::LOOP => data.get(FAMILY..).and_then(|rest| SlicedPacket::from_ip(rest).ok()),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => SlicedPacket::from_ip(data).ok(),
        // 12 and 14: what BSDs call raw IP.
        Linktype(12 | 14) => SlicedPacket::from_ip(data).ok(),
        Linktype(other) => return Err(UnknownLink(other)),
    };
    Ok(sliced.and_then(|sliced| within(&sliced, fragments, number)).unwrap_or(Carried::Other))
}

fn within<'a>(sliced: &SlicedPacket<'a>, fragments: &mut Fragments, number: u64) -> Option<Carried<'a>> {
    let (source, destination): (IpAddr, IpAddr) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    if sliced.is_ip_payload_fragmented() {
        return Some(match fragments.process_sliced_packet(sliced, number, ()) {
            Ok(Some(whole)) if whole.ip_number == IpNumber::UDP => {
                datagram(source, destination, &UdpSlice::from_slice(&whole.payload).ok()?)
            }
            Ok(_) | Err(_) => Carried::Fragment,
        });
    }
    match sliced.transport.as_ref()? {
        TransportSlice::Udp(udp) => Some(datagram(source, destination, udp)),
        TransportSlice::Tcp(tcp) => Some(Carried::Segment(segment(source, destination, tcp))),
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) => None,
        #[allow(unreachable_patterns, reason = "there may be more in later versions of the parser")]
        _ => None,
    }
}

fn datagram<'a>(source: IpAddr, destination: IpAddr, udp: &UdpSlice<'_>) -> Carried<'a> {
    Carried::Datagram {
        source: (source, udp.source_port()).into(),
        destination: (destination, udp.destination_port()).into(),
        content: udp.payload().to_vec(),
    }
}

fn segment<'a>(source: IpAddr, destination: IpAddr, tcp: &TcpSlice<'a>) -> Segment<'a> {
    Segment {
        source: (source, tcp.source_port()).into(),
        destination: (destination, tcp.destination_port()).into(),
        number: tcp.sequence_number(),
        begins: tcp.syn(),
        acknowledges: tcp.ack(),
        ends: tcp.fin() || tcp.rst(),
        content: tcp.payload(),
    }
}
