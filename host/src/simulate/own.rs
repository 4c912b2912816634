//! What a router makes up by itself, and where that may stand: branches, tags, tokens, sealed values, nonces, and what it signs with.
//! Nothing else may differ between two routers that do the same.

use std::ops::Range;

/// Octets of a token in base 32: of the name of its key and a digest at least.
const TOKEN_MIN: usize = 15;

/// The same where it stands for a flow, or for a Contact with one.
const FLOW_TOKEN_MIN: usize = 23;

/// Octets of a sealed value in base 64 for URLs: the name of its key, a synthetic IV and one octet at least.
const SEALED_MIN: usize = 24;

/// Octets of a nonce in base 64 for URLs.
const NONCE: usize = 27;

/// Hexadecimal digits behind `jf` in a tag.
const TAG_DIGITS: usize = 16;

/// Hexadecimal digits of a cnonce.
const CNONCE_DIGITS: usize = 32;

/// What a value is that a router has made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A branch of a transaction, or of a stateless forwarding.
    Branch(BranchKind),
    /// The To tag of a response of its own.
    Tag,
    /// A token of a Record-Route, a Path or a Contact.
    Token,
    /// A value hidden from the other side.
    Sealed,
    /// The nonce of a challenge of its own.
    Nonce,
    /// The client's nonce of credentials of its own.
    Cnonce,
    /// What credentials prove the password with. It follows from all else in them, the cnonce included.
    Signature,
}

/// Which branches there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchKind {
    /// RFC 3261 16.6 item 8.
    Stateful,
    /// RFC 3261 16.11.
    Stateless,
}

/// What a line of a header section may hold of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The topmost Via of a request.
    TopVia,
    /// To of a response.
    To,
    /// A challenge.
    Challenge,
    /// Credentials.
    Credentials,
    /// Record-Route and Service-Route.
    Routes,
    Path,
    Contact,
    ReferTo,
    /// Header fields that hold Call-IDs of other dialogs.
    Naming,
    /// Nothing.
    Other,
}

/// Whether a message is a request, or a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// It is a request.
    Request,
    /// It is a response.
    Response,
}

impl Message {
    /// By its first line.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"SIP/") { Self::Response } else { Self::Request }
    }
}

/// What the lines of a header section may hold, one after the other.
pub(super) struct Fields {
    message: Message,
    has_via: bool,
}

impl Fields {
    pub(super) fn new(message: Message) -> Self {
        Self { message, has_via: false }
    }

    /// What the next line may hold.
    pub(super) fn next(&mut self, line: &[u8]) -> Field {
        let name = line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii();
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if is(&["Via", "v"]) {
            let is_top = !std::mem::replace(&mut self.has_via, true);
            return if is_top && self.message == Message::Request { Field::TopVia } else { Field::Other };
        }
        match self.message {
            Message::Response if is(&["To", "t"]) => Field::To,
            Message::Response if is(&["WWW-Authenticate", "Proxy-Authenticate"]) => Field::Challenge,
            Message::Request if is_credentials(name) => Field::Credentials,
            _ if is(&["Record-Route", "Service-Route"]) => Field::Routes,
            _ if is(&["Path"]) => Field::Path,
            _ if is(&["Contact", "m"]) => Field::Contact,
            _ if is(&["Refer-To", "r"]) => Field::ReferTo,
            _ if is(&["Replaces", "Join", "Target-Dialog", "In-Reply-To"]) => Field::Naming,
            _ => Field::Other,
        }
    }
}

/// Whether a header field of this name holds credentials.
pub(super) fn is_credentials(name: &[u8]) -> bool {
    [&b"Authorization"[..], b"Proxy-Authorization"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What the value at a place of a line is, if a router may have made it up.
pub(super) fn made(field: Field, line: &[u8], place: &Range<usize>) -> Option<Made> {
    let (piece, before) = (line.get(place.clone())?, line.get(..place.start)?);
    let behind = |what: &str| {
        let start = before.len().checked_sub(what.len());
        start.and_then(|start| before.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(what.as_bytes()))
    };
    // The user part of a URI (RFC 3261 19.1.1).
    let is_user = || (behind("sip:") || behind("sips:")) && line.get(place.end) == Some(&b'@');
    let parameter = |name: &str| behind(&format!(";{name}="));
    match field {
        Field::TopVia if !before.contains(&b',') && parameter("branch") => branch(piece).map(Made::Branch),
        Field::To if parameter("tag") => (digits_behind(piece, b"jf") == Some(TAG_DIGITS)).then_some(Made::Tag),
        Field::Challenge if behind("nonce=\"") => (piece.len() == NONCE && is_base64url(piece)).then_some(Made::Nonce),
        Field::Credentials if behind("cnonce=\"") => (digits_behind(piece, b"") == Some(CNONCE_DIGITS)).then_some(Made::Cnonce),
        Field::Credentials if behind("response=\"") => digits_behind(piece, b"").map(|_| Made::Signature),
        Field::Routes if parameter("jf") => (piece.len() >= TOKEN_MIN && is_base32(piece)).then_some(Made::Token),
        Field::Routes if parameter("jh") => is_sealed(piece).then_some(Made::Sealed),
        Field::Path if is_user() => is_token(piece, b"jf-").then_some(Made::Token),
        Field::Contact if is_user() && is_token(piece, b"jc-") => Some(Made::Token),
        Field::Contact | Field::ReferTo if is_user() => is_sealed(piece.strip_prefix(b"jh-")?).then_some(Made::Sealed),
        Field::Naming => is_sealed(piece.strip_prefix(b"jh-")?).then_some(Made::Sealed),
        _ => None,
    }
}

fn branch(piece: &[u8]) -> Option<BranchKind> {
    match piece.strip_prefix(b"z9hG4bKj")?.first()? {
        b'f' => Some(BranchKind::Stateful),
        b's' => Some(BranchKind::Stateless),
        _ => None,
    }
}

/// How many digits stand behind this, if nothing else does.
fn digits_behind(piece: &[u8], head: &[u8]) -> Option<usize> {
    let digits = piece.strip_prefix(head)?;
    digits.iter().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f')).then_some(digits.len())
}

fn is_token(piece: &[u8], head: &[u8]) -> bool {
    piece.strip_prefix(head).is_some_and(|text| text.len() >= FLOW_TOKEN_MIN && is_base32(text))
}

fn is_base32(text: &[u8]) -> bool {
    text.iter().all(|octet| matches!(octet, b'a'..=b'z' | b'2'..=b'7'))
}

fn is_sealed(text: &[u8]) -> bool {
    text.len() >= SEALED_MIN && is_base64url(text)
}

fn is_base64url(text: &[u8]) -> bool {
    text.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

/// The values between delimiters.
pub(super) fn pieces(text: &[u8]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = None;
    for (index, octet) in text.iter().enumerate() {
        match (is_of_value(*octet), start) {
            (true, None) => start = Some(index),
            (false, Some(begun)) => {
                pieces.push(begun..index);
                start = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    pieces.extend(start.map(|begun| begun..text.len()));
    pieces
}

/// RFC 3261 25.1: what a token is made of.
fn is_of_value(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.!%*+`'~".contains(&octet)
}

/// The header section and the body.
pub(super) fn halves(message: &[u8]) -> (&[u8], &[u8]) {
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => (message.get(..end).unwrap_or_default(), message.get(end + 4..).unwrap_or_default()),
        None => (message, &[]),
    }
}

/// Lines without their ends.
pub(super) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz";

    /// What is found in a line of a request, or of a response.
    fn found(message: Message, line: &str) -> Vec<(Made, &str)> {
        let field = Fields::new(message).next(line.as_bytes());
        let pieces = pieces(line.as_bytes()).into_iter();
        pieces.filter_map(|place| Some((made(field, line.as_bytes(), &place)?, &line[place]))).collect()
    }

    #[test]
    fn each_value_is_known_where_a_router_writes_it() {
        let nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAA-";
        let cnonce = "0123456789abcdef0123456789abcdef";
        for (message, line, expected) in [
            (Message::Request, "Via: SIP/2.0/UDP h;branch=z9hG4bKjf01", (Made::Branch(BranchKind::Stateful), "z9hG4bKjf01")),
            (Message::Request, "v: SIP/2.0/UDP h;branch=z9hG4bKjs01.2", (Made::Branch(BranchKind::Stateless), "z9hG4bKjs01.2")),
            (Message::Response, "To: <sip:b@h>;tag=jf0123456789abcdef", (Made::Tag, "jf0123456789abcdef")),
            (Message::Response, &format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\""), (Made::Nonce, nonce)),
            (Message::Request, &format!("Authorization: Digest cnonce=\"{cnonce}\""), (Made::Cnonce, cnonce)),
            (Message::Request, &format!("Record-Route: <sip:h;lr;jf={TOKEN}>"), (Made::Token, TOKEN)),
            (Message::Response, &format!("Record-Route: <sip:h;lr;jh={TOKEN}>"), (Made::Sealed, TOKEN)),
            (Message::Request, &format!("Path: <sip:jf-{TOKEN}@h;lr;ob>"), (Made::Token, &format!("jf-{TOKEN}"))),
            (Message::Request, &format!("m: <sip:jc-{TOKEN}@h>"), (Made::Token, &format!("jc-{TOKEN}"))),
            (Message::Response, &format!("Contact: <sips:jh-{TOKEN}@h>"), (Made::Sealed, &format!("jh-{TOKEN}"))),
            (Message::Request, &format!("Replaces: jh-{TOKEN};to-tag=1;from-tag=2"), (Made::Sealed, &format!("jh-{TOKEN}"))),
        ] {
            assert_eq!(found(message, line), [expected], "{line}");
        }
    }

    /// A subscriber may be called like a token; only at its place it is one.
    #[test]
    fn what_looks_like_a_token_elsewhere_is_somebodys_name() {
        for line in [
            format!("From: <sip:jf-{TOKEN}@h>"),
            format!("To: <sip:jh-{TOKEN}@h>"),
            format!("Contact: <sip:jf-{TOKEN}@h>"),
            format!("P-Asserted-Identity: <sip:jc-{TOKEN}@h>"),
            format!("Contact: \"jc-{TOKEN}\" <sip:a@h>"),
            format!("Contact: <sip:a@h;jf={TOKEN}>"),
            "Contact: <sip:jc-12345678@h>".to_owned(),
            "Path: <sip:jf-12345678@h;lr>".to_owned(),
            "To: <sip:b@h>;tag=0123456789abcdef01".to_owned(),
            "Via: SIP/2.0/UDP h;branch=z9hG4bK776asdhds".to_owned(),
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP i;branch=z9hG4bKjf01".to_owned(),
        ] {
            for message in [Message::Request, Message::Response] {
                assert_eq!(found(message, &line), [], "{message:?} {line}");
            }
        }
        assert_eq!(found(Message::Request, "To: <sip:b@h>;tag=jf0123456789abcdef"), [], "the tag of who was called");
        assert_eq!(found(Message::Response, "Via: SIP/2.0/UDP h;branch=z9hG4bKjf01"), [], "that of who has asked");
        let mut fields = Fields::new(Message::Request);
        assert_eq!([fields.next(b"Via: 1"), fields.next(b"Via: 2")], [Field::TopVia, Field::Other]);
    }
}
