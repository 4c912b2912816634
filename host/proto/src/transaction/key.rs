//! Matching requests to server transactions (RFC 3261 17.2.3).

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::message::{Message, Method, Name};

/// The prefix of every branch made by RFC 3261 (8.1.1.7).
const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// A secret that keeps peers from choosing requests whose keys collide.
#[derive(Clone, Copy, Debug)]
pub struct HashKey(pub u128);

/// What identifies a server transaction: a keyed 128-bit digest of the fields that 17.2.3 compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionKey(pub(super) u128);

impl TransactionKey {
    /// The key of the transaction that `request` belongs to or starts; an ACK has that of its INVITE.
    pub fn of(request: &Message, hash: HashKey) -> Self {
        let method = request.method();
        Self::of_method(request, if method == Method::ACK { Method::INVITE } else { method }, hash)
    }

    /// The key of the INVITE that a CANCEL means (9.2).
    pub fn of_cancelled_invite(cancel: &Message, hash: HashKey) -> Self {
        Self::of_method(cancel, Method::INVITE, hash)
    }

    fn of_method(request: &Message, method: Method<'_>, hash: HashKey) -> Self {
        let mut hasher = SipHasher13::new_with_key(&hash.0.to_le_bytes());
        let mut field = |bytes: &[u8]| {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        };
        field(method.as_bytes());
        match request.top_via().and_then(|via| Some((unique_branch(request)?, via))) {
            Some((branch, via)) => {
                field(branch);
                // Two clients may use the same branch: the sent-by belongs to the key.
                field(&via.host().to_ascii_lowercase());
                field(&via.port().unwrap_or_default().to_be_bytes());
            }
            // RFC 2543: the fields that tell requests apart; an ACK or CANCEL has the same values as its INVITE. The To tag is left out
            // for these three, as the INVITE had none.
            None => {
                field(b"RFC 2543");
                field(request.request_uri());
                field(request.from_tag().unwrap_or_default());
                field(request.call_id());
                field(&request.cseq().map_or(0, |(number, _)| number).to_be_bytes());
                field(request.values(&Name::Via).next().map_or(&[][..], |via| via.bytes));
                if method != Method::INVITE {
                    field(request.to_tag().unwrap_or_default());
                }
            }
        }
        let digest = hasher.finish128();
        Self((u128::from(digest.h1) << 64) | u128::from(digest.h2))
    }
}

/// The branch of a request, if it was made to identify a transaction: the cookie, and something behind it (RFC 4475 3.2.1).
fn unique_branch(request: &Message) -> Option<&[u8]> {
    request.top_via()?.branch().filter(|branch| branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE))
}

/// The shard that a request belongs to, so that an INVITE, its CANCEL, its ACK and their retransmissions meet. Not keyed: who skews it
/// only queues behind himself.
pub fn shard_of_request(request: &Message, shards: u8) -> u8 {
    let bytes = unique_branch(request).unwrap_or_else(|| request.call_id());
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    u8::try_from((hash ^ (hash >> 32)) % u64::from(shards.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::{Framing, Limits};

    const SECRET: HashKey = HashKey(7);

    fn request(method: &str, via: &str, to: &str, uri: &str) -> Message {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x.test>;tag=f\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
    }

    fn key(method: &str, via: &str) -> TransactionKey {
        TransactionKey::of(&request(method, via, "<sip:b@x.test>", "sip:b@x.test"), SECRET)
    }

    const VIA: &str = "SIP/2.0/UDP h.test:5070;branch=z9hG4bKa";

    /// RFC 3261 17.2.3, items 1 to 3.
    #[test]
    fn branch_sent_by_and_method_make_the_key() {
        assert_eq!(key("INVITE", VIA), key("INVITE", "SIP/2.0/UDP H.test:5070;rport;branch=z9hG4bKa"));
        assert_eq!(key("INVITE", VIA), key("ACK", VIA));
        for other in [
            "SIP/2.0/UDP h.test:5070;branch=z9hG4bKb",
            "SIP/2.0/UDP h.test:5071;branch=z9hG4bKa",
            "SIP/2.0/UDP i.test:5070;branch=z9hG4bKa",
        ] {
            assert_ne!(key("INVITE", VIA), key("INVITE", other), "{other}");
        }
        assert_ne!(key("INVITE", VIA), key("CANCEL", VIA));
        assert_ne!(key("INVITE", VIA), key("OPTIONS", VIA));
    }

    #[test]
    fn a_cancel_finds_its_invite() {
        let cancel = request("CANCEL", VIA, "<sip:b@x.test>", "sip:b@x.test");
        assert_eq!(TransactionKey::of_cancelled_invite(&cancel, SECRET), key("INVITE", VIA));
    }

    /// RFC 3261 17.2.3, last part: without the magic cookie.
    #[test]
    fn rfc_2543_requests_match_by_their_fields() {
        const OLD: &str = "SIP/2.0/UDP h.test:5070";
        let invite = request("INVITE", OLD, "<sip:b@x.test>", "sip:b@x.test");
        let ack = request("ACK", OLD, "<sip:b@x.test>;tag=t", "sip:b@x.test");
        let other = request("INVITE", OLD, "<sip:b@x.test>", "sip:c@x.test");
        assert_eq!(TransactionKey::of(&invite, SECRET), TransactionKey::of(&ack, SECRET));
        assert_ne!(TransactionKey::of(&invite, SECRET), TransactionKey::of(&other, SECRET));
    }

    #[test]
    fn shards_keep_a_transaction_together() {
        for branch in 0..50 {
            let via = format!("SIP/2.0/UDP h.test;branch=z9hG4bK{branch}");
            let shards = ["INVITE", "ACK", "CANCEL"].map(|m| shard_of_request(&request(m, &via, "<sip:b@x.test>", "sip:b@x.test"), 8));
            assert!(shards[0] < 8 && shards.iter().all(|shard| *shard == shards[0]));
        }
    }
}
