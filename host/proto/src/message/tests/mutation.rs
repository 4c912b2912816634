//! Random damage to messages: nothing panics, and what was not edited leaves as it came. The generator is deterministic, so a failure
//! names its seed.

use bytes::Bytes;

use super::super::{Frame, Framing, Limits, Message, Name, NameAddr, StreamFramer, Uri, respond, uri_with_param, uri_without_param};
use super::INVITE;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const BASES: &[&[u8]] = &[
    INVITE.as_bytes(),
    b"SIP/2.0 200 OK\r\nv: SIP / 2.0 / UDP [2001:db8::1]:5060 ;branch = x ;received=192.0.2.1,\r\n SIP/2.0/TCP h;rport\r\nf: \"a \\\" b\" <sip:a@h>;tag=1\r\n\
      t:sip:b@h;tag=2\r\ni: c\r\nCSeq: 1 INVITE\r\nRecord-Route: <sip:a;lr>, <sip:b;lr>\r\nm: \"x, y\" <sip:c,d@h?e=f>;q=0.5\r\nl: 4\r\n\r\nbodyrest",
    b"\r\nOPTIONS tel:+1;a=b sip/2.0\r\nVia:SIP/2.0/UDP h;branch=z9hG4bK\r\nRoute:<sip:r;lr>,,<sip:s>\r\nFrom:<urn:x:y>\r\nTo: J\xf6rg <sips:[::1]:1;x>\r\nCall-ID:\r\n \tx\r\nCSeq: 2\r\n\tOPTIONS\r\n\r\n",
];

const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\r",
    b"\n",
    b"\0",
    b"\"",
    b"\\",
    b"\\\"",
    b"<",
    b">",
    b",",
    b";",
    b";;",
    b":",
    b"=",
    b"@",
    b"?",
    b"[",
    b"]",
    b"/",
    b" ",
    b"\t",
    b"%00",
    b"\xff",
    b"\r\n\r\n",
    b"Via: ",
    b"Route: <sip:x>\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"l: 3\r\n",
    b"-1",
    b"4294967296",
    b"SIP/2.0",
    b"sip:",
    b"z9hG4bK",
];

fn damage(random: &mut Random) -> Vec<u8> {
    let mut octets = random.pick(BASES).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(octets.len() + 1);
        let end = (at + random.below(20)).min(octets.len());
        match random.below(6) {
            0 => octets.truncate(at.max(1)),
            1 => drop(octets.drain(at..end)),
            2 => drop(octets.splice(at..at, random.pick(PIECES).iter().copied())),
            3 => drop(octets.splice(at..end, random.pick(PIECES).iter().copied())),
            4 => octets.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= 1 << random.below(8)),
            _ => {
                let copy = octets[at..end].to_vec();
                drop(octets.splice(end..end, copy));
            }
        }
    }
    octets
}

/// Asks for everything that can be asked for.
fn exercise(message: &Message) {
    let defect = message.defect();
    assert!(defect.is_none_or(|d| !d.reason().is_empty() && d.status() >= 400));
    let total: usize = message.fields().map(|field| field.value.len() + field.raw_name.len()).sum();
    assert!(total <= message.bytes().len());
    for via in message.vias() {
        assert_eq!(&message.bytes()[via.range()], via.as_bytes());
        let _ = (via.branch(), via.received(), via.rport(), via.maddr(), via.is_well_formed(), via.host_ip());
        let stamped = via.stamped("::1".parse().ok(), Some(1));
        let again = super::super::Via::parse(&stamped).unwrap();
        if via.is_well_formed() {
            assert_eq!((again.host(), again.branch(), again.received()), (via.host(), via.branch(), "::1".parse().ok()));
        }
    }
    for name in [Name::Route, Name::RecordRoute, Name::Contact, Name::Supported] {
        for value in message.values(&name) {
            assert_eq!(&message.bytes()[value.range.clone()], value.bytes);
            let address = NameAddr::parse(value.bytes);
            let _ = address.map(|a| (a.tag(), a.params().count(), a.uri_parsed().map(|uri| uri.param(b"lr"))));
        }
    }
    if Uri::parse(message.request_uri()).is_some() {
        let set = uri_with_param(message.request_uri(), b"line", Some(b"1"));
        assert_eq!(Uri::parse(&set).unwrap().param(b"line"), Some(Some(&b"1"[..])));
        assert_eq!(Uri::parse(&uri_without_param(&set, b"line")).unwrap().param(b"line"), None);
    }
    let _ =
        (message.method(), message.cseq(), message.max_forwards(), message.from_tag(), message.to_tag(), message.reason(), message.body());
}

fn edit(message: &Message, random: &mut Random) -> Bytes {
    let mut splice = message.splice();
    for _ in 0..random.below(5) {
        match random.below(9) {
            0 => splice.set_request_uri("sip:new@h"),
            1 => splice.prepend(Name::Via, "SIP/2.0/UDP new;branch=z9hG4bKn"),
            2 => splice.set(b"Max-Forwards", "1"),
            3 => splice.remove(b"Route"),
            4 => message
                .values(&Name::Route)
                .chain(message.values(&Name::Via))
                .filter(|_| random.below(2) == 0)
                .for_each(|value| splice.remove_value(&value)),
            5 => message.vias().for_each(|via| splice.replace(via.range(), via.stamped(None, Some(2)))),
            6 => splice.replace(random.below(2000)..random.below(2000), "patch"),
            7 => splice.set_body(b"a/b", "new body"),
            _ => splice.append(b"X-New", "1"),
        }
    }
    splice.finish()
}

/// A sound request is answered soundly.
fn check_response(message: &Message, seed: u64) {
    let octets = respond(message, 500, None).to_tag(b"t").finish();
    let response = Message::parse(octets, Framing::Stream, &Limits::default()).unwrap();
    if message.is_request() {
        assert!(response.defect().is_none() && response.to_tag().is_some(), "seed {seed}: {response:?}");
    }
}

#[test]
fn damaged_messages_neither_panic_nor_change() {
    let rounds = if cfg!(debug_assertions) { 30_000 } else { 200_000 };
    let (mut parsed, mut sound) = (0, 0);
    for seed in 1..=rounds {
        let mut random = Random::seeded(seed);
        let octets = Bytes::from(damage(&mut random));
        let framing = if random.below(2) == 0 { Framing::Datagram } else { Framing::Stream };
        let limits = Limits { headers: if random.below(10) == 0 { 3 } else { 256 }, ..Limits::default() };
        let Ok(message) = Message::parse(octets.clone(), framing, &limits) else { continue };
        parsed += 1;
        exercise(&message);
        let start = octets.len() - octets.iter().skip_while(|o| matches!(o, b'\r' | b'\n')).count();
        assert_eq!(message.bytes(), &octets[start..start + message.bytes().len()], "seed {seed}");
        let printed = message.splice().finish();
        let unchanged = printed == message.bytes() || printed == String::from_utf8_lossy(message.bytes()).replacen("sip/2.0", "SIP/2.0", 1);
        if message.defect().is_none() {
            sound += 1;
            let same =
                printed.iter().zip(message.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(b)) && printed.len() == message.bytes().len();
            assert!(unchanged || same, "seed {seed}");
            check_response(&message, seed);
        } else {
            respond(&message, 400, None).to_tag(b"t").finish();
        }
        let edited = edit(&message, &mut random);
        assert!(edited.len() < message.bytes().len() + 1000, "seed {seed}");
    }
    assert!(
        parsed > rounds / 2 && sound > rounds / 20,
        "{parsed} parsed, {sound} sound of {rounds}: the damage is too great to test anything"
    );
}

#[test]
fn damaged_streams_end_however_they_are_cut() {
    for seed in 1..=3_000 {
        let mut random = Random::seeded(seed);
        let mut stream: Vec<u8> = Vec::new();
        (0..3).for_each(|_| stream.extend(damage(&mut random)));
        let frames = |cut: &mut dyn FnMut() -> usize| {
            let (mut framer, mut frames, mut rest) = (StreamFramer::new(Limits::default()), Vec::new(), stream.as_slice());
            while !rest.is_empty() {
                let (segment, more) = rest.split_at(cut().clamp(1, rest.len()));
                framer.feed(segment);
                rest = more;
                loop {
                    match framer.next() {
                        Ok(Some(Frame::Message(message))) => frames.push(Ok(message)),
                        Ok(Some(Frame::Ping)) => frames.push(Ok(Bytes::new())),
                        Ok(None) => break,
                        Err(error) => frames.push(Err(error.status())),
                    }
                }
            }
            frames
        };
        let whole = frames(&mut || usize::MAX);
        assert_eq!(frames(&mut || random.below(40)), whole, "seed {seed}");
    }
}
