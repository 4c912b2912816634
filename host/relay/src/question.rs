//! A question as it is sent: a cookie, a space and a dictionary.

use crate::bencode::{put_integer, put_list, put_pair, put_parts, put_string};
use crate::exchange::{Exchange, Role};
use crate::note::{Note, ProfileId};
use crate::treatment::Treatment;

/// A question about one offer or answer.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// What the message carries.
    pub exchange: &'a Exchange<'a>,
    /// Call-ID, the same for all messages of the dialog.
    pub call_id: &'a [u8],
    /// What the side gets that the message comes from.
    pub sender: &'a Treatment,
    /// What the side gets that the message goes to.
    pub receiver: &'a Treatment,
    /// Whose call it is.
    pub call: Call,
}

/// Whose call a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Nobody's yet: a relay is chosen. A profile is noted if it is not the one that the callee's side has in the configuration.
    New(Option<ProfileId>),
    /// That of the relay that the note of the dialog names.
    Known(Note),
}

/// Octets of a cookie: two numbers of 64 bits in hexadecimal digits, which client it was and which question.
pub(crate) const COOKIE: usize = 32;

/// A datagram, complete but for its cookie, which differs with every relay that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Packet(Vec<u8>);

impl Packet {
    fn begin(command: &str, size: usize) -> Self {
        let mut out = Vec::with_capacity(COOKIE + size);
        out.resize(COOKIE, b'0');
        out.extend_from_slice(b" d");
        put_pair(&mut out, "command", command.as_bytes());
        Self(out)
    }

    fn end(mut self) -> Self {
        self.0.push(b'e');
        self
    }

    /// The question about an offer or answer in the call of this note.
    pub(crate) fn ask(ask: &Ask<'_>, note: &Note) -> Self {
        const KEYS: usize = 256;
        let exchange = ask.exchange;
        let sdp = exchange.found.sdp();
        let size = KEYS + ask.call_id.len() + sdp.len() + ask.receiver.size(ask.sender);
        let mut packet = match exchange.role {
            Role::Offer => Self::begin("offer", size),
            Role::Answer => Self::begin("answer", size),
        };
        let out = &mut packet.0;
        put_call_id(note, ask.call_id, out);
        let (offerer, answerer) = ends(exchange, note);
        put_pair(out, "from-tag", offerer);
        if exchange.answerer.is_some() {
            put_pair(out, "to-tag", answerer);
        }
        ask.receiver.put(exchange.role, ask.sender, out);
        if exchange.role == Role::Offer {
            // Then it says so in a word of its own that it takes no more calls, not in a sentence.
            put_list(out, "supports", ["load limit"]);
        }
        put_pair(out, "sdp", sdp);
        packet.end()
    }

    /// The order to delete a call with all its branches, at once. Without tags it is about the whole call (rtpengine 10.5: with a from-tag too,
    /// but then the answer holds all statistics of the call), and with a delay of 0 its ports are free when the answer comes.
    pub(crate) fn delete(note: &Note, call_id: &[u8]) -> Self {
        const KEYS: usize = 96;
        let mut packet = Self::begin("delete", KEYS + call_id.len());
        put_call_id(note, call_id, &mut packet.0);
        put_string(&mut packet.0, b"delete delay");
        put_integer(&mut packet.0, 0);
        packet.end()
    }

    /// The question whether anybody is there.
    pub(crate) fn ping() -> Self {
        Self::begin("ping", 32).end()
    }

    /// Gives it a cookie; rtpengine repeats its answer to a question with a cookie that it knows, so none is used twice.
    pub(crate) fn mark(&mut self, client: u64, number: u64) {
        let digits = hexadecimal(client).into_iter().chain(hexadecimal(number));
        self.0.iter_mut().zip(digits).for_each(|(octet, digit)| *octet = digit);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What the relay knows the two ends by, who offers first. Where a proxy beyond us forks, several answer one offer, and all of them send to
/// the ports that stand in it. By its tag each would be an end with ports of its own (rtpengine 10.5), of which none was told; as one end it
/// is who answered last.
fn ends(exchange: &Exchange<'_>, note: &Note) -> (&'static [u8], &'static [u8]) {
    const CALLER: &[u8] = b"caller";
    const CALLEE: &[u8] = b"callee";
    if note.is_callers(exchange.offerer) { (CALLER, CALLEE) } else { (CALLEE, CALLER) }
}

/// All 16 digits of a number.
fn hexadecimal(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| {
        let digit = (number >> (60 - 4 * at)) & 0xf;
        DIGITS.get(digit as usize).copied().unwrap_or_default()
    })
}

/// The client and the number in the cookie of a datagram; none if it has none of ours.
pub(crate) fn read_cookie(datagram: &[u8]) -> Option<(u64, u64)> {
    let number = |digits: &[u8]| {
        let digits = digits.iter().all(|digit| DIGITS.contains(digit)).then_some(digits)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (cookie, _) = datagram.split_at_checked(COOKIE).filter(|(_, rest)| rest.first() == Some(&b' '))?;
    let (client, question) = cookie.split_at_checked(COOKIE / 2)?;
    Some((number(client)?, number(question)?))
}

/// What the relay knows the call by: every copy of an INVITE is a call of its own there, so that forks and failover never mix.
fn put_call_id(note: &Note, call_id: &[u8], out: &mut Vec<u8>) {
    put_string(out, b"call-id");
    put_parts(out, &[call_id, b"-jf", &hexadecimal(note.leg)]);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jackfield_proto::message::{Framing, Limits, Message};

    use super::*;
    use crate::exchange::exchange;
    use crate::note::{InviteOffer, RelayId};

    fn note() -> Note {
        Note { relay: RelayId(1), leg: 0xab, offer: InviteOffer::Present, profile: None }
    }

    fn text(packet: &Packet) -> String {
        String::from_utf8(packet.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_question_is_one_datagram_written_once() {
        let invite = "INVITE sip:b@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                      From: <sip:a@example.test>;tag=a\r\nTo: <sip:b@example.test>\r\nCall-ID: 42\r\nCSeq: 1 INVITE\r\n\
                      Content-Type: application/sdp\r\n\r\nv=0\r\n";
        let invite = Message::parse(Bytes::from(invite), Framing::Datagram, &Limits::default()).unwrap();
        let exchange = exchange(&invite, None, None).unwrap();
        let treatment = Treatment::default();
        let ask = Ask { exchange: &exchange, call_id: b"42", sender: &treatment, receiver: &treatment, call: Call::New(None) };
        let mut packet = Packet::ask(&ask, &note());
        let room = packet.0.capacity();
        packet.mark(0x1, u64::MAX);
        assert_eq!(
            text(&packet),
            "0000000000000001ffffffffffffffff d7:command5:offer7:call-id21:42-jf00000000000000ab8:from-tag6:callee\
             7:replacel6:origine8:supportsl10:load limite3:sdp5:v=0\r\ne"
        );
        assert_eq!(packet.0.capacity(), room);
        assert_eq!(read_cookie(packet.as_bytes()), Some((1, u64::MAX)));
    }

    #[test]
    fn deletions_and_pings_say_no_more_than_they_must() {
        let zeros = "0".repeat(COOKIE);
        assert_eq!(
            text(&Packet::delete(&note(), b"42")),
            format!("{zeros} d7:command6:delete7:call-id21:42-jf00000000000000ab12:delete delayi0ee")
        );
        assert_eq!(text(&Packet::ping()), format!("{zeros} d7:command4:pinge"));
    }

    #[test]
    fn other_cookies_are_none() {
        let zeros = "0".repeat(COOKIE);
        for other in
            ["", " ", "1 de", &zeros, &format!("{zeros}0 de"), &format!("{} de", "A".repeat(COOKIE)), &format!("+{} de", "0".repeat(31))]
        {
            assert_eq!(read_cookie(other.as_bytes()), None, "{other}");
        }
    }
}
