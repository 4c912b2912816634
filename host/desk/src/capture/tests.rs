use std::io::Write;

use super::*;

const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n";

/// A pcap file of these packets of a link, one in each second from 1,700,000,000 on.
fn pcap(link: u32, packets: &[Vec<u8>]) -> tempfile::NamedTempFile {
    let mut octets = Vec::new();
    for number in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link] {
        octets.extend(number.to_le_bytes());
    }
    for (index, packet) in (0..).zip(packets) {
        let length = u32::try_from(packet.len()).unwrap();
        for number in [1_700_000_000 + index, 250_000, length, length] {
            octets.extend(number.to_le_bytes());
        }
        octets.extend(packet);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&octets).unwrap();
    file
}

fn udp(content: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(5070, 5060);
    let mut packet = Vec::new();
    builder.write(&mut packet, content).unwrap();
    packet
}

fn udp6(content: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(5070, 5060);
    let mut packet = Vec::new();
    builder.write(&mut packet, content).unwrap();
    packet
}

fn behind(head: &[u8], packet: Vec<u8>) -> Vec<u8> {
    [head, &packet].concat()
}

#[test]
fn datagrams_are_found_on_every_link_that_is_understood() {
    let ethernet = [&[0; 12][..], &[8, 0]].concat();
    let cooked = [&[0, 0, 0, 1, 0, 6][..], &[0; 8], &[8, 0]].concat();
    let cooked2 = [&[8, 0][..], &[0; 18]].concat();
    for (link, head) in [(1, &ethernet[..]), (113, &cooked), (276, &cooked2), (0, &[2, 0, 0, 0]), (108, &[0, 0, 0, 2]), (101, &[])] {
        let file = pcap(link, &[behind(head, udp(OPTIONS.as_bytes())), behind(head, udp(b"no SIP"))]);
        let capture = read(file.path()).unwrap();
        let [captured] = &capture.captured[..] else { panic!("{link}: {capture:?}") };
        assert_eq!((captured.at, captured.transport), (1_700_000_000_250_000, Transport::Udp), "{link}");
        assert_eq!((captured.source.to_string(), captured.destination.to_string()), ("192.0.2.1:5070".into(), "192.0.2.2:5060".into()));
        assert_eq!(captured.what, What::Message(OPTIONS.into()));
        assert_eq!((capture.packets, capture.passed_over), (2, 1));
    }
}

#[test]
fn ipv6_is_read_like_ipv4() {
    let capture = read(pcap(101, &[udp6(OPTIONS.as_bytes())]).path()).unwrap();
    assert_eq!(capture.captured[0].destination, ([0x0202; 8], 5060).into());
}

/// A segment from a host to 192.0.2.2.
fn tcp_from(host: u8, number: u32, content: &[u8], flags: &str) -> Vec<u8> {
    let mut builder = etherparse::PacketBuilder::ipv4([192, 0, 2, host], [192, 0, 2, 2], 64).tcp(40_000, 5060, number, 1000);
    for flag in flags.chars() {
        builder = match flag {
            's' => builder.syn(),
            'f' => builder.fin().ack(1),
            _ => builder.ack(1),
        };
    }
    let mut packet = Vec::new();
    builder.write(&mut packet, content).unwrap();
    packet
}

fn tcp(number: u32, content: &[u8], flags: &str) -> Vec<u8> {
    tcp_from(1, number, content, flags)
}

#[test]
fn a_stream_brings_its_beginning_its_messages_and_its_end() {
    let (first, second) = OPTIONS.as_bytes().split_at(30);
    let end = 100 + u32::try_from(OPTIONS.len()).unwrap();
    let packets = [tcp(99, b"", "s"), tcp(130, second, "a"), tcp(100, first, "a"), tcp(end, b"", "f"), tcp(7, b"", "s")];
    let capture = read(pcap(101, &packets).path()).unwrap();
    let found: Vec<_> = capture.captured.iter().map(|captured| (captured.stream, &captured.what)).collect();
    let message = What::Message(OPTIONS.into());
    assert_eq!(found, [(Some(1), &What::Opened), (Some(1), &message), (Some(1), &What::Closed), (Some(2), &What::Opened)]);
    assert_eq!(capture.captured[1].at, 1_700_000_002_250_000, "when it was complete");
}

#[test]
fn what_is_no_capture_is_refused_and_one_that_breaks_off_is_read_so_far() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"INVITE sip:a@b SIP/2.0\r\n\r\n and more octets than a header of a capture has").unwrap();
    assert!(matches!(read(file.path()), Err(CaptureError::NotACapture)));
    assert!(!is_capture(b"INVITE sip:a") && is_capture(&[0xd4, 0xc3, 0xb2, 0xa1]) && is_capture(&[0x0a, 0x0d, 0x0d, 0x0a]));
    let whole = std::fs::read(pcap(101, &[udp(OPTIONS.as_bytes()), udp(OPTIONS.as_bytes())]).path()).unwrap();
    let mut cut = tempfile::NamedTempFile::new().unwrap();
    cut.write_all(&whole[..whole.len() - 10]).unwrap();
    assert_eq!(read(cut.path()).unwrap().captured.len(), 1);
    assert!(matches!(read(pcap(147, &[vec![0; 40]]).path()), Err(CaptureError::Link(147))));
}

/// With room for two streams: the first one begins at the lowest address and goes on, the second one is forgotten for the third.
#[test]
fn the_stream_that_nothing_has_come_in_for_longest_is_given_up() {
    let (first, second) = OPTIONS.as_bytes().split_at(30);
    let begin = |host| [tcp_from(host, 99, b"", "s"), tcp_from(host, 100, first, "a")];
    let go_on = |host| tcp_from(host, 130, second, "a");
    let packets = [&begin(1)[..], &begin(3), &[go_on(1)], &begin(4), &[go_on(3), go_on(4)]].concat();
    let capture = read_with(pcap(101, &packets).path(), 2).unwrap();
    let messages = capture.captured.iter().filter(|captured| captured.what == What::Message(OPTIONS.into()));
    let from: Vec<String> = messages.map(|captured| captured.source.ip().to_string()).collect();
    assert_eq!(from, ["192.0.2.1", "192.0.2.4"], "what is left of the second begins no message");
    assert_eq!(capture.given_up, 2, "the second, and then the first for what was left of it");
    assert_eq!(read(pcap(101, &packets).path()).unwrap().given_up, 0);
    let ended = [&begin(1)[..], &[tcp_from(1, 130, second, "f")], &begin(3), &begin(4)].concat();
    assert_eq!(read_with(pcap(101, &ended).path(), 2).unwrap().given_up, 0, "one that has ended is missed by nobody");
}

/// A pcapng file of one packet of raw IP, at so many units of a time stamp.
fn pcapng(resolution: u8, units: u64, packet: &[u8]) -> tempfile::NamedTempFile {
    let block = |kind: u32, mut content: Vec<u8>| {
        content.resize(content.len().next_multiple_of(4), 0);
        let length = u32::try_from(content.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &content, &length].concat()
    };
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let section = block(0x0a0d_0d0a, numbers(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    // LINKTYPE_RAW, no bound; the option if_tsresol (9) with its one octet, and the end of options.
    let interface = block(1, [numbers(&[101, 0, 9 | 1 << 16, u32::from(resolution), 0])].concat());
    let length = u32::try_from(packet.len()).unwrap();
    let stamp = numbers(&[0, (units >> 32) as u32, units as u32, length, length]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[section, interface, block(6, [stamp, packet.to_vec()].concat())].concat()).unwrap();
    file
}

#[test]
fn times_are_in_the_units_that_their_interface_says() {
    let packet = udp(OPTIONS.as_bytes());
    let seconds = 1_700_000_000_u64;
    for (resolution, units, micros) in [
        (6, seconds * 1_000_000 + 250_000, 250_000),
        (9, seconds * 1_000_000_000 + 250_000_000, 250_000),
        (0, seconds, 0),
        (0x80 | 10, seconds * 1024 + 512, 500_000),
        (0x80 | 32, (seconds << 32) + (1 << 30), 250_000),
        (0x80, seconds, 0),
    ] {
        let capture = read(pcapng(resolution, units, &packet).path()).unwrap();
        assert_eq!(capture.captured[0].at, seconds * 1_000_000 + micros, "{resolution:#x}");
    }
    for resolution in [20, 127, 0x80 | 64, 255] {
        let error = read(pcapng(resolution, 1, &packet).path()).unwrap_err();
        assert!(matches!(error, CaptureError::Units(_)), "{resolution}: {error}");
    }
}
