//! STUN on the SIP port (RFC 5626 8): a Binding request over UDP is told the address that it came from (RFC 5389 7.3.1), so that an
//! endpoint behind a NAT keeps its flow open and sees when its address changes. No credentials, nothing kept.

use std::net::SocketAddr;

use stun_types::attribute::{
    Attribute, AttributeStaticType, AttributeType, ErrorCode, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce, Realm,
    UnknownAttributes, Userhash, Username, XorMappedAddress,
};
use stun_types::message::{BINDING, Message, MessageClass, MessageHeader, MessageWrite, MessageWriteExt, MessageWriteVec};

/// The largest request that is looked at (RFC 5389 7.1: a request stays below the MTU).
const REQUEST_MAX: usize = 1_280;

/// Attributes named in a 420: the answer is never larger than the request.
const UNKNOWN_MAX: usize = 16;

/// The reason phrase of a 420.
const REASON: &str = "Unknown Attribute";

/// Attributes that we know although they change nothing for us (RFC 5389 18.2): we ask for no credentials, so those of a peer are
/// passed over.
const KNOWN: [AttributeType; 8] = [
    Username::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    Userhash::TYPE,
    XorMappedAddress::TYPE,
    ErrorCode::TYPE,
];

/// Whether a datagram is STUN and no SIP (RFC 5626 8: the first octet tells).
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0 | 1))
}

/// The answer to a Binding request from `remote`; none for what is malformed or no request.
pub(super) fn answer(datagram: &[u8], remote: SocketAddr) -> Option<Vec<u8>> {
    let header = MessageHeader::from_bytes(datagram).ok()?;
    let length = usize::from(header.data_length());
    if datagram.len() > REQUEST_MAX || length % 4 != 0 || MessageHeader::LENGTH + length != datagram.len() {
        return None;
    }
    let request = Message::from_bytes(datagram).ok()?;
    if !request.has_class(MessageClass::Request) || !request.has_method(BINDING) {
        return None;
    }
    let mut answer = match unknown_attributes(&request) {
        unknown if unknown.is_empty() => success(&request, remote)?,
        unknown => refusal(&request, &unknown)?,
    };
    if request.has_attribute(Fingerprint::TYPE) {
        answer.add_fingerprint().ok()?;
    }
    Some(answer.finish())
}

/// RFC 5389 7.3: what has to be understood and is not.
fn unknown_attributes(request: &Message<'_>) -> Vec<AttributeType> {
    let mut unknown = Vec::new();
    for (_, attribute) in request.iter_attributes() {
        let kind = attribute.get_type();
        if kind.comprehension_required() && !KNOWN.contains(&kind) && !unknown.contains(&kind) && unknown.len() < UNKNOWN_MAX {
            unknown.push(kind);
        }
    }
    unknown
}

fn success(request: &Message<'_>, remote: SocketAddr) -> Option<MessageWriteVec> {
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(64));
    answer.add_attribute(&XorMappedAddress::new(remote, request.transaction_id())).ok()?;
    Some(answer)
}

/// RFC 5389 7.3.1: 420 with the attributes that are not understood.
fn refusal(request: &Message<'_>, unknown: &[AttributeType]) -> Option<MessageWriteVec> {
    let mut answer = Message::builder_error(request, MessageWriteVec::with_capacity(128));
    answer.add_attribute(&ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, REASON).ok()?).ok()?;
    answer.add_attribute(&UnknownAttributes::new(unknown)).ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transaction identifier, without the cookie.
    const ID: [u8; 12] = *b"transaction1";

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(0x2112_a442_u32.to_be_bytes());
        message.extend(ID);
        message.extend(body);
        message
    }

    /// CRC-32 of ISO 3309 (RFC 5389 15.5), bit by bit.
    fn crc(octets: &[u8]) -> u32 {
        let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        !octets.iter().fold(u32::MAX, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), |crc, _| bit(crc)))
    }

    fn with_fingerprint(mut message: Vec<u8>) -> Vec<u8> {
        let length = (message.len() - 20 + 8) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let fingerprint = crc(&message) ^ 0x5354_554e;
        message.extend([0x80, 0x28, 0, 4]);
        message.extend(fingerprint.to_be_bytes());
        message
    }

    fn v4() -> SocketAddr {
        "192.0.2.1:32853".parse().unwrap()
    }

    /// RFC 5389 15.2, with the address, and so the octets, of RFC 5769 2.2.
    #[test]
    fn a_binding_request_is_told_where_it_came_from() {
        let mapped = [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(answer(&message(1, &[]), v4()).unwrap(), message(0x0101, &[(0x20, &mapped)]));
    }

    #[test]
    fn an_ipv6_address_is_mixed_with_the_transaction_identifier() {
        let remote = "[2001:db8::7]:5060".parse().unwrap();
        let answer = answer(&message(1, &[]), remote).unwrap();
        let mut mask = 0x2112_a442_u32.to_be_bytes().to_vec();
        mask.extend(ID);
        let address = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let mut value = vec![0, 2, 0x13 ^ 0x21, 0xc4 ^ 0x12];
        value.extend(address.iter().zip(&mask).map(|(a, b)| a ^ b));
        assert_eq!(answer, message(0x0101, &[(0x20, &value)]));
    }

    #[test]
    fn a_fingerprint_is_checked_and_answered_with_one() {
        let request = with_fingerprint(message(1, &[(0x8022, b"phone")]));
        let mapped = [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(answer(&request, v4()).unwrap(), with_fingerprint(message(0x0101, &[(0x20, &mapped)])));
        // All but the type of the attribute itself: without that there is no fingerprint to check.
        for octet in (0..request.len()).filter(|octet| !(request.len() - 8..request.len() - 6).contains(octet)) {
            let mut damaged = request.clone();
            damaged[octet] ^= 4;
            assert_eq!(answer(&damaged, v4()), None, "octet {octet}");
        }
    }

    /// RFC 5389 7.3.1.
    #[test]
    fn attributes_that_must_be_understood_and_are_not_are_refused_with_420() {
        let request = message(1, &[(0x0003, &[0, 0, 0, 6]), (0x8022, b"phone"), (0x7abc, b""), (0x0003, b""), (0x0006, b"user")]);
        let error = [&[0, 0, 4, 20][..], REASON.as_bytes()].concat();
        assert_eq!(answer(&request, v4()).unwrap(), message(0x0111, &[(0x09, &error), (0x0a, &[0x00, 0x03, 0x7a, 0xbc])]));
    }

    #[test]
    fn the_answer_to_many_unknown_attributes_is_not_larger_than_the_request() {
        let attributes: Vec<(u16, &[u8])> = (0x0100..0x0200).map(|kind| (kind, &b""[..])).collect();
        let request = message(1, &attributes);
        let answer = answer(&request, v4()).unwrap();
        assert!(answer.len() < request.len(), "{} {}", answer.len(), request.len());
    }

    #[test]
    fn what_is_malformed_or_no_binding_request_has_no_answer() {
        let request = message(1, &[(0x8022, b"phone")]);
        for length in 0..request.len() {
            assert_eq!(answer(&request[..length], v4()), None, "cut to {length}");
        }
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = request.clone();
            change(&mut changed);
            changed
        };
        for (what, datagram) in [
            ("an indication", message(0x0011, &[])),
            ("a success response", message(0x0101, &[])),
            ("an error response", message(0x0111, &[])),
            ("an Allocate request", message(0x0003, &[])),
            ("four zeros", vec![0; 4]),
            ("zeros", vec![0; 40]),
            ("another cookie", changed(&|octets| octets[4] = 0)),
            ("more than it says", changed(&|octets| octets.push(0))),
            ("an odd length", changed(&|octets| (octets[3] -= 1, octets.pop()).0)),
            ("an attribute beyond the end", changed(&|octets| octets[23] = 90)),
            ("an attribute of the largest length", changed(&|octets| octets[22..24].copy_from_slice(&[0xff; 2]))),
            ("more than a packet", message(1, &[(0x8022, &[b'x'; 1_300])])),
        ] {
            assert_eq!(answer(&datagram, v4()), None, "{what}");
        }
    }

    #[test]
    fn no_octets_whatever_make_it_panic() {
        let request = with_fingerprint(message(1, &[(0x8022, b"phone"), (0x0003, &[0; 4])]));
        let mut state = 1_u64;
        for _ in 0..200_000 {
            let mut datagram = request.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (place, octet) = ((state >> 33) as usize % datagram.len(), (state >> 56) as u8);
                datagram[place] = octet;
            }
            datagram.truncate(((state >> 20) as usize % 100).max(1));
            // Whether there is an answer does not matter here.
            let _ = answer(&datagram, v4());
        }
    }

    #[test]
    fn sip_and_keepalives_are_no_stun() {
        for text in ["OPTIONS sip:a SIP/2.0\r\n", "SIP/2.0 200 OK", "\r\n\r\n", "\r\n", "", "jaK"] {
            assert!(!is_stun(text.as_bytes()), "{text}");
        }
        assert!(is_stun(&message(1, &[])));
    }
}
