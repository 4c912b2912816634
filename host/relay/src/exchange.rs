//! Who offers and who answers (RFC 3264), as it is read off one message alone.
//!
//! | message with SDP                            | where the INVITE had an offer | where it had none            |
//! |---------------------------------------------|-------------------------------|------------------------------|
//! | INVITE                                      | offer                         | (it has no SDP)              |
//! | 101 to 199 and 2xx of INVITE                | answer                        | offer, from who was called   |
//! | ACK                                         | (nothing)                     | answer                       |
//! | PRACK (RFC 3262 5)                          | offer                         | answer                       |
//! | 2xx of PRACK                                | answer                        | answer                       |
//! | UPDATE (RFC 3311)                           | offer                         | offer                        |
//! | 2xx of UPDATE                               | answer                        | answer                       |
//!
//! That holds for INVITEs in a dialog from either end as for the first (RFC 3261 14, RFC 6337 2). Whether an INVITE had an offer is seen in
//! the INVITE where a response is looked at, and taken from the note where a PRACK is. What carries SDP elsewhere (a 488 that says what would
//! do, the answer to OPTIONS) belongs to no exchange.

use jackfield_proto::message::{Message, Method};

use crate::body::Found;
use crate::note::{InviteOffer, Note};

/// Which of the two a session description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// An offer.
    Offer,
    /// The answer to one.
    Answer,
}

/// What a message carries, and the tags of those who exchange it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange<'a> {
    /// Offer or answer.
    pub role: Role,
    /// The tag of who offers; empty if he has none.
    pub offerer: &'a [u8],
    /// The tag of who answers; none in a first INVITE, where it is not known.
    pub answerer: Option<&'a [u8]>,
    /// The session description.
    pub found: Found,
}

/// What a request carries, or the response to it, if that is given. None where a relay has nothing to do.
pub fn exchange<'a>(request: &'a Message, response: Option<&'a Message>, note: Option<&Note>) -> Option<Exchange<'a>> {
    let role_and_sender = match response {
        None => in_request(request.method(), note).map(|role| (role, End::Client)),
        Some(response) => in_response(request, response.status()).map(|role| (role, End::Server)),
    };
    let (role, sender) = role_and_sender?;
    let message = response.unwrap_or(request);
    let found = Found::in_message(message)?;
    // Both tags of a response are those of its request, and To has one from the first response on (RFC 3261 8.2.6.2).
    let (client, server) = (message.from_tag().unwrap_or_default(), message.to_tag());
    let client_offers = (role == Role::Offer) == (sender == End::Client);
    let (offerer, answerer) = if client_offers { (client, server) } else { (server.unwrap_or_default(), Some(client)) };
    Some(Exchange { role, offerer, answerer, found })
}

/// Who sends a message: the client of its transaction, or the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

fn in_request(method: Method<'_>, note: Option<&Note>) -> Option<Role> {
    if method == Method::PRACK {
        // It answers an offer in the response that it acknowledges, which is where that offer is if the INVITE had none.
        return Some(match note.map(|note| note.offer).unwrap_or_default() {
            InviteOffer::Present => Role::Offer,
            InviteOffer::Absent => Role::Answer,
        });
    }
    // An ACK has a session description only to answer (RFC 3261 13.2.2.4).
    match method {
        Method::INVITE | Method::UPDATE => Some(Role::Offer),
        Method::ACK => Some(Role::Answer),
        _ => None,
    }
}

fn in_response(request: &Message, status: u16) -> Option<Role> {
    match (request.method(), status) {
        // In an unreliable provisional response to an INVITE without offer there should be none (RFC 3261 13.2.1). Where it is sent all
        // the same, the 2xx repeats it: asked about twice it is the same offer.
        (Method::INVITE, 101..=299) if Found::in_message(request).is_none() => Some(Role::Offer),
        (Method::INVITE, 101..=299) | (Method::PRACK | Method::UPDATE, 200..=299) => Some(Role::Answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::message::{Framing, Limits};

    use super::*;
    use crate::note::RelayId;
    use Role::{Answer, Offer};

    const NONE: &str = "";
    const SDP: &str = "v=0\r\n";

    fn parse(text: String) -> Message {
        Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
    }

    fn fields(from: &str, to: &str, method: &str, body: &str) -> String {
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.test>{from}\r\n\
             To: <sip:b@example.test>{to}\r\nCall-ID: 42\r\nCSeq: 1 {method}\r\n{content}\r\n{body}"
        )
    }

    fn request(from: &str, to: &str, method: &str, body: &str) -> Message {
        parse(format!("{method} sip:b@example.test SIP/2.0\r\n{}", fields(from, to, method, body)))
    }

    fn response(status: u16, from: &str, to: &str, method: &str, body: &str) -> Message {
        parse(format!("SIP/2.0 {status} Words\r\n{}", fields(from, to, method, body)))
    }

    fn note(offer: InviteOffer) -> Note {
        Note { relay: RelayId(1), leg: 1, offer, profile: None }
    }

    /// What a message carries, the tag of who offers, that of who answers.
    type Row<'a> = Option<(Role, &'a str, Option<&'a str>)>;

    fn row<'a>(exchange: &'a Option<Exchange<'a>>) -> Row<'a> {
        let text = |octets| std::str::from_utf8(octets).unwrap();
        exchange.as_ref().map(|exchange| (exchange.role, text(exchange.offerer), exchange.answerer.map(text)))
    }

    #[test]
    fn requests_offer_or_answer() {
        let (a, b) = (";tag=a", ";tag=b");
        let (with, without) = (InviteOffer::Present, InviteOffer::Absent);
        #[rustfmt::skip]
        let table: &[(&str, &str, &str, &str, InviteOffer, Row<'_>)] = &[
            // RFC 3261 13.2.1, 14.1: the first and those in the dialog, from either end.
            ("INVITE", a, NONE, SDP,  with,    Some((Offer, "a", None))),
            ("INVITE", a, NONE, NONE, without, None),
            ("INVITE", a, b,    SDP,  with,    Some((Offer, "a", Some("b")))),
            ("INVITE", b, a,    SDP,  without, Some((Offer, "b", Some("a")))),
            ("INVITE", b, a,    NONE, with,    None),
            // RFC 3261 13.2.2.4: whatever the first INVITE had, an ACK answers.
            ("ACK",    a, b,    SDP,  without, Some((Answer, "b", Some("a")))),
            ("ACK",    b, a,    SDP,  with,    Some((Answer, "a", Some("b")))),
            ("ACK",    a, b,    NONE, with,    None),
            // RFC 3262 5.
            ("PRACK",  a, b,    SDP,  with,    Some((Offer, "a", Some("b")))),
            ("PRACK",  a, b,    SDP,  without, Some((Answer, "b", Some("a")))),
            ("PRACK",  a, b,    NONE, without, None),
            // RFC 3311 5.1: from either end.
            ("UPDATE", a, b,    SDP,  with,    Some((Offer, "a", Some("b")))),
            ("UPDATE", b, a,    SDP,  without, Some((Offer, "b", Some("a")))),
            ("UPDATE", b, a,    NONE, with,    None),
            ("BYE",    a, b,    SDP,  with,    None),
            ("CANCEL", a, NONE, SDP,  with,    None),
            ("OPTIONS", a, NONE, SDP, with,    None),
            ("INFO",   a, b,    SDP,  with,    None),
            ("MESSAGE", a, b,   SDP,  with,    None),
        ];
        for (method, from, to, body, offer, expected) in table {
            let request = request(from, to, method, body);
            let note = note(*offer);
            assert_eq!(row(&exchange(&request, None, Some(&note))), *expected, "{method} {from} {to} {offer:?}");
        }
        let prack = request(a, b, "PRACK", SDP);
        assert_eq!(row(&exchange(&prack, None, None)), Some((Offer, "a", Some("b"))), "nothing noted");
    }

    #[test]
    fn responses_answer_or_offer() {
        let (a, b) = (";tag=a", ";tag=b");
        #[rustfmt::skip]
        let table: &[(&str, &str, &str, &str, u16, Row<'_>)] = &[
            // RFC 3261 13.2.1: early media and 2xx answer.
            ("INVITE", a, NONE, SDP,  180, Some((Answer, "a", Some("b")))),
            ("INVITE", a, NONE, SDP,  183, Some((Answer, "a", Some("b")))),
            ("INVITE", a, NONE, SDP,  200, Some((Answer, "a", Some("b")))),
            ("INVITE", a, b,    SDP,  202, Some((Answer, "a", Some("b")))),
            ("INVITE", b, a,    SDP,  200, Some((Answer, "b", Some("a")))),
            // Delayed offers: the first, and in the dialog from either end.
            ("INVITE", a, NONE, NONE, 183, Some((Offer, "b", Some("a")))),
            ("INVITE", a, NONE, NONE, 200, Some((Offer, "b", Some("a")))),
            ("INVITE", b, a,    NONE, 200, Some((Offer, "a", Some("b")))),
            ("PRACK",  a, b,    SDP,  200, Some((Answer, "a", Some("b")))),
            ("UPDATE", a, b,    SDP,  200, Some((Answer, "a", Some("b")))),
            ("UPDATE", b, a,    SDP,  200, Some((Answer, "b", Some("a")))),
            // Failures answer nothing: a 488 says what would do (RFC 3261 21.4.26).
            ("INVITE", a, NONE, SDP,  100, None),
            ("INVITE", a, NONE, SDP,  302, None),
            ("INVITE", a, NONE, SDP,  488, None),
            ("INVITE", a, NONE, NONE, 606, None),
            ("UPDATE", a, b,    SDP,  491, None),
            ("PRACK",  a, b,    SDP,  481, None),
            ("OPTIONS", a, NONE, SDP, 200, None),
            ("BYE",    a, b,    SDP,  200, None),
        ];
        for (method, from, to, offered, status, expected) in table {
            let request = request(from, to, method, offered);
            let to = if to.is_empty() { b } else { to };
            let carries = response(*status, from, to, method, SDP);
            assert_eq!(row(&exchange(&request, Some(&carries), None)), *expected, "{status} {method} {from}");
            let empty = response(*status, from, to, method, NONE);
            assert_eq!(row(&exchange(&request, Some(&empty), None)), None, "{status} {method} without a body");
        }
    }

    #[test]
    fn a_missing_tag_is_empty() {
        let invite = request(NONE, NONE, "INVITE", SDP);
        assert_eq!(row(&exchange(&invite, None, None)), Some((Offer, "", None)));
        let old = response(200, NONE, NONE, "INVITE", SDP);
        assert_eq!(row(&exchange(&invite, Some(&old), None)), Some((Answer, "", None)));
    }
}
