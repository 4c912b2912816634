//! Captures of the wire (pcap and pcapng) as the SIP messages in them: datagrams, and what streams carry, in the order in which they came.
//!
//! Read are Ethernet, Linux cooked (both versions), null and loopback, and raw IP; IPv4 and IPv6, fragments of datagrams included; UDP and TCP.
//! What is encrypted, or no SIP, is passed over and counted.

mod packet;
mod recent;
mod stream;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use etherparse::defrag::IpDefragPool;
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::Transport;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use packet::{Carried, Segment};
use recent::Recent;
use stream::Connection;

/// Octets that are read at a time: more than any packet has.
const BUFFER: usize = 1 << 20;

/// Times that more is read for one packet.
const REFILLS: usize = 3;

/// Messages of one capture; more of them do not fit into memory.
pub const MESSAGES_MAX: usize = 4_000_000;

/// Streams that are put together at the same time; beyond, that is given up which nothing has come in for longest.
const STREAMS: usize = 65_536;

/// Fragments after which a datagram that none of them was of is given up: each holds up to 64 KiB.
const FRAGMENTS: u64 = 256;

/// Fragments after which it is seen which are to be given up.
const FRAGMENTS_BETWEEN: u64 = 64;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("is no capture: neither pcap nor pcapng")]
    NotACapture,
    /// It breaks off, or is spoiled.
    #[error("cannot be read beyond packet {packets}: {why}")]
    Broken {
        /// Packets before that.
        packets: usize,
        /// What the reader said.
        why: String,
    },
    /// Its links are none of those that are understood.
    #[error("was made on a link of type {0}, which is not understood; make it with `tcpdump -y EN10MB`, or on the interface `any`")]
    Link(i32),
    /// Its times are in units that cannot be counted in.
    #[error("has times in units of {0} of a second, which cannot be read; write it anew with `editcap -F pcap`")]
    Units(String),
    /// There are too many messages in it.
    #[error("has more than {MESSAGES_MAX} messages; cut it with `editcap -c`")]
    TooLarge,
}

/// Something that was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When: microseconds since 1970.
    pub at: u64,
    /// UDP, or TCP.
    pub transport: Transport,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The stream that it belongs to, counted from 1; none for a datagram.
    pub stream: Option<u64>,
    /// What.
    pub what: What,
}

/// What was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A SIP message.
    Message(Bytes),
    /// `source` has opened a connection.
    Opened,
    /// `source` has closed one, or broken it off.
    Closed,
}

/// What a capture holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Messages, and the beginnings and ends of streams, in the order of the file.
    pub captured: Vec<Captured>,
    /// All packets.
    pub packets: usize,
    /// Those that are no SIP, or not understood.
    pub passed_over: usize,
    /// Those that the capture holds only the beginning of.
    pub cut: usize,
    /// Streams that were given up before their end, as there were too many at the same time. What came in them later is read from its next
    /// message on.
    pub given_up: usize,
}

/// Whether a file begins as a capture does.
pub fn is_capture(beginning: &[u8]) -> bool {
    let magic = |octets: [u8; 4]| beginning.starts_with(&octets);
    let legacy = [0xa1b2_c3d4_u32, 0xa1b2_3c4d];
    magic([0x0a, 0x0d, 0x0d, 0x0a]) || legacy.iter().any(|number| magic(number.to_le_bytes()) || magic(number.to_be_bytes()))
}

/// Reads a capture.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Capture, CaptureError> {
    read_with(path, STREAMS)
}

fn read_with(path: &Path, streams: usize) -> Result<Capture, CaptureError> {
    let mut reading = Reading::new(streams);
    let mut reader = match create_reader(BUFFER, File::open(path)?) {
        Ok(reader) => reader,
        Err(PcapError::ReadError) => return Err(io::Error::other("the file cannot be read").into()),
        Err(_) => return Err(CaptureError::NotACapture),
    };
    let mut refills = 0;
    loop {
        let wants_more = match reader.next() {
            Ok((length, block)) => {
                reading.block(&block)?;
                drop(block);
                reader.consume(length);
                refills = 0;
                continue;
            }
            Err(PcapError::Eof) => return Ok(reading.capture),
            Err(PcapError::Incomplete(_)) => refills < REFILLS,
            Err(PcapError::UnexpectedEof) => false,
            Err(error) => return Err(broken(&reading, &error)),
        };
        if !wants_more {
            // A capture that is still being written, or was cut off: what is there is good.
            reading.capture.cut += 1;
            return Ok(reading.capture);
        }
        refills += 1;
        reader.refill().map_err(|error| broken(&reading, &error))?;
    }
}

fn broken(reading: &Reading, error: &PcapError<&[u8]>) -> CaptureError {
    let why = match error {
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "what follows is no packet".to_owned(),
        other => other.to_string(),
    };
    CaptureError::Broken { packets: reading.capture.packets, why }
}

/// Fragments of datagrams, with the number of the last one of each.
type Fragments = IpDefragPool<u64, ()>;

/// A capture that is being read.
struct Reading {
    /// By their number in the file.
    interfaces: Vec<Interface>,
    capture: Capture,
    /// With the number of the last fragment of each.
    fragments: Fragments,
    fragments_seen: u64,
    /// By both ends, the lower first.
    streams: Recent<(SocketAddr, SocketAddr), Connection>,
    streams_seen: u64,
}

impl Reading {
    fn new(streams: usize) -> Self {
        Self {
            interfaces: Vec::new(),
            capture: Capture::default(),
            fragments: IpDefragPool::new(),
            fragments_seen: 0,
            streams: Recent::new(streams),
            streams_seen: 0,
        }
    }
}

/// Where packets were captured.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
    /// Units of a time stamp in a second.
    resolution: u64,
    /// Seconds to be added.
    offset: i64,
}

impl Interface {
    fn micros(&self, units: u64) -> u64 {
        let micros = u128::from(units) * 1_000_000 / u128::from(self.resolution.max(1));
        u64::try_from(micros).unwrap_or(u64::MAX).saturating_add_signed(self.offset.saturating_mul(1_000_000))
    }
}

impl Reading {
    fn block(&mut self, block: &PcapBlockOwned<'_>) -> Result<(), CaptureError> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                self.interfaces = vec![Interface { link: header.network, resolution, offset: 0 }];
                Ok(())
            }
            PcapBlockOwned::Legacy(packet) => {
                let Some(interface) = self.interfaces.first().copied() else { return Ok(()) };
                let units = u64::from(packet.ts_sec) * interface.resolution + u64::from(packet.ts_usec);
                self.packet(interface.micros(units), interface.link, captured(packet.data, packet.caplen), packet.origlen)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                Ok(())
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                let resolution = units_in_second(description.if_tsresol)?;
                self.interfaces.push(Interface { link: description.linktype, resolution, offset: description.ts_offset() });
                Ok(())
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = usize::try_from(packet.if_id).ok().and_then(|index| self.interfaces.get(index)).copied();
                let Some(interface) = interface else { return Ok(()) };
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                self.packet(interface.micros(units), interface.link, captured(packet.data, packet.caplen), packet.origlen)
            }
            // A simple packet has no time, and nothing can be run at no time.
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                self.capture.packets += 1;
                self.capture.passed_over += 1;
                Ok(())
            }
            PcapBlockOwned::NG(_) => Ok(()),
        }
    }

    fn packet(&mut self, at: u64, link: Linktype, data: &[u8], length: u32) -> Result<(), CaptureError> {
        self.capture.packets += 1;
        if usize::try_from(length).is_ok_and(|length| length > data.len()) {
            self.capture.cut += 1;
        }
        let before = self.capture.captured.len();
        match packet::carried(link, data, &mut self.fragments, self.fragments_seen)
            .map_err(|packet::UnknownLink(link)| CaptureError::Link(link))?
        {
            Carried::Datagram { source, destination, content } => self.datagram(at, source, destination, content),
            Carried::Segment(segment) => self.segment(at, &segment),
            Carried::Fragment => self.fragment(),
            Carried::Other => {}
        }
        if self.capture.captured.len() == before {
            self.capture.passed_over += 1;
        }
        if self.capture.captured.len() > MESSAGES_MAX { Err(CaptureError::TooLarge) } else { Ok(()) }
    }

    /// What has found no others for long is given up.
    fn fragment(&mut self) {
        self.fragments_seen += 1;
        if self.fragments_seen.is_multiple_of(FRAGMENTS_BETWEEN) {
            let seen = self.fragments_seen;
            self.fragments.retain(|last| seen.saturating_sub(*last) <= FRAGMENTS);
        }
    }

    fn datagram(&mut self, at: u64, source: SocketAddr, destination: SocketAddr, content: Vec<u8>) {
        let content = Bytes::from(content);
        if Message::parse(content.clone(), Framing::Datagram, &Limits::default()).is_ok() {
            let what = What::Message(content);
            self.capture.captured.push(Captured { at, transport: Transport::Udp, source, destination, stream: None, what });
        }
    }

    fn segment(&mut self, at: u64, segment: &Segment<'_>) {
        let Segment { source, destination, .. } = *segment;
        let (connection, gone) = self.streams.entry((source.min(destination), source.max(destination)));
        self.capture.given_up += usize::from(gone.is_some_and(|gone| !gone.has_ended()));
        let begins = segment.begins && !segment.acknowledges;
        if begins || connection.number == 0 {
            self.streams_seen += 1;
            connection.number = self.streams_seen;
        }
        let stream = Some(connection.number);
        let captured = |what| Captured { at, transport: Transport::Tcp, source, destination, stream, what };
        self.capture.captured.extend(begins.then(|| captured(What::Opened)));
        self.capture.captured.extend(connection.take(segment).into_iter().map(|message| captured(What::Message(message))));
        self.capture.captured.extend(segment.ends.then(|| captured(What::Closed)));
    }
}

/// Units of a time stamp in a second (the option `if_tsresol` of pcapng): a power of 10, or of 2 where the highest bit is set.
fn units_in_second(said: u8) -> Result<u64, CaptureError> {
    let (base, exponent) = if said & 0x80 == 0 { (10_u64, said) } else { (2, said & 0x7f) };
    base.checked_pow(u32::from(exponent)).ok_or_else(|| CaptureError::Units(format!("{base}^-{exponent}")))
}

/// The octets of a packet without those that fill its block up.
fn captured(data: &[u8], length: u32) -> &[u8] {
    usize::try_from(length).ok().and_then(|length| data.get(..length)).unwrap_or(data)
}

#[cfg(test)]
mod tests;
