//! Two messages that say the same but for what each router makes up by itself: branches, tags and tokens. Found line by line and piece by
//! piece; a piece is what stands between the delimiters of a header field.

use std::ops::Range;

/// What two messages are to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Values at the same places that are another router's: theirs, and ours.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Lines that differ otherwise, theirs behind `-` and ours behind `+`.
    pub(super) differences: Vec<String>,
}

/// Octets of the shortest token of ours.
const TOKEN_MIN: usize = 8;

/// Lays a message of the captured router beside one of ours.
pub(super) fn align(theirs: &[u8], ours: &[u8]) -> Alignment {
    let mut alignment = Alignment::default();
    if theirs == ours {
        return alignment;
    }
    let ((their_head, their_body), (our_head, our_body)) = (halves(theirs), halves(ours));
    let (their_lines, our_lines) = (lines(their_head), lines(our_head));
    let is_response = ours.starts_with(b"SIP/");
    let mut via_seen = Via::None;
    for index in 0..their_lines.len().max(our_lines.len()) {
        let (their, our) = (their_lines.get(index).copied(), our_lines.get(index).copied());
        match (their, our) {
            (Some(their), Some(our)) => {
                let field = Field { name: name(our), via: via_seen, is_response };
                if field.name.eq_ignore_ascii_case(b"via") || field.name.eq_ignore_ascii_case(b"v") {
                    via_seen = Via::Seen;
                }
                match pairs(their, our, field) {
                    Some(pairs) => alignment.pairs.extend(pairs),
                    None => alignment.differ(Some(their), Some(our)),
                }
            }
            (their, our) => alignment.differ(their, our),
        }
    }
    if their_body != our_body {
        let (their, our) = (lines(their_body), lines(our_body));
        for index in 0..their.len().max(our.len()) {
            if their.get(index) != our.get(index) {
                alignment.differ(their.get(index).copied(), our.get(index).copied());
            }
        }
    }
    alignment
}

impl Alignment {
    fn differ(&mut self, their: Option<&[u8]>, our: Option<&[u8]>) {
        let line = |mark: char, line: &[u8]| format!("{mark} {}", String::from_utf8_lossy(line));
        self.differences.extend(their.map(|their| line('-', their)));
        self.differences.extend(our.map(|our| line('+', our)));
    }
}

/// Whether the topmost Via, which is the router's own, has been passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    None,
    Seen,
}

#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'a [u8],
    via: Via,
    is_response: bool,
}

fn halves(message: &[u8]) -> (&[u8], &[u8]) {
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => (message.get(..end).unwrap_or_default(), message.get(end + 4..).unwrap_or_default()),
        None => (message, &[]),
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

fn name(line: &[u8]) -> &[u8] {
    line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii()
}

/// The values at the same places of two lines that are each router's own; none if the lines differ in something else.
fn pairs(their: &[u8], our: &[u8], field: Field<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if their == our {
        return Some(Vec::new());
    }
    let (their_pieces, our_pieces) = (pieces(their), pieces(our));
    if their_pieces.len() != our_pieces.len() {
        return None;
    }
    let mut found = Vec::new();
    let (mut their_end, mut our_end) = (0, 0);
    for (their_range, our_range) in their_pieces.iter().zip(&our_pieces) {
        // What stands between is the same.
        if their.get(their_end..their_range.start)? != our.get(our_end..our_range.start)? {
            return None;
        }
        let (their_piece, our_piece) = (their.get(their_range.clone())?, our.get(our_range.clone())?);
        if their_piece != our_piece {
            let before = our.get(..our_range.start)?;
            is_own(field, before, their_piece, our_piece).then_some(())?;
            found.push((their_piece.to_vec(), our_piece.to_vec()));
        }
        (their_end, our_end) = (their_range.end, our_range.end);
    }
    (their.get(their_end..)? == our.get(our_end..)?).then_some(found)
}

/// Whether a value is one that a router makes up; `before` is the line as far as the value.
fn is_own(field: Field<'_>, before: &[u8], their: &[u8], our: &[u8]) -> bool {
    let behind = |what: &[u8]| {
        before.len() >= what.len() && before.get(before.len() - what.len()..).is_some_and(|end| end.eq_ignore_ascii_case(what))
    };
    let both = |test: &dyn Fn(&[u8]) -> bool| test(their) && test(our);
    let is_named = |names: &[&str]| names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()));
    if both(&is_token) || ((behind(b"jf=") || behind(b"jh=")) && both(&|piece| piece.len() >= TOKEN_MIN)) {
        return true;
    }
    if is_named(&["Via", "v"]) {
        return field.via == Via::None && !field.is_response && behind(b"branch=") && both(&|piece| piece.starts_with(b"z9hG4bKj"));
    }
    if is_named(&["To", "t"]) {
        return behind(b"tag=");
    }
    if is_named(&["WWW-Authenticate", "Proxy-Authenticate"]) {
        return behind(b"nonce=\"") || behind(b"opaque=\"");
    }
    is_named(&["Authorization", "Proxy-Authorization"]) && ["response=\"", "cnonce=\"", "nc="].iter().any(|what| behind(what.as_bytes()))
}

/// A user part of ours that stands for something.
fn is_token(piece: &[u8]) -> bool {
    piece.len() >= TOKEN_MIN && [&b"jf-"[..], b"jc-", b"jh-"].iter().any(|head| piece.starts_with(head))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(branch: &str, token: &str, more: &str) -> Vec<u8> {
        format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
             Record-Route: <sip:192.0.2.1;lr;jf={token}>\r\nTo: <sip:b@h>\r\n{more}\r\nv=0\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn branches_and_tokens_of_a_router_are_pairs() {
        let theirs = request("z9hG4bKjf00aa.11", "aaaaaaaaaa", "");
        let ours = request("z9hG4bKjf00bb.22", "bbbbbbbbbb", "");
        let alignment = align(&theirs, &ours);
        let pair = |their: &str, our: &str| (their.as_bytes().to_vec(), our.as_bytes().to_vec());
        assert_eq!(alignment.pairs, [pair("z9hG4bKjf00aa.11", "z9hG4bKjf00bb.22"), pair("aaaaaaaaaa", "bbbbbbbbbb")]);
        assert_eq!(alignment.differences, [""; 0]);
    }

    #[test]
    fn anything_else_is_a_difference_and_is_shown() {
        let theirs = request("z9hG4bKjf00aa.11", "aaaaaaaaaa", "X-Mark: one\r\n");
        for (ours, shown) in [
            (request("z9hG4bKjf00bb.22", "bbbbbbbbbb", "X-Mark: two\r\n"), vec!["- X-Mark: one", "+ X-Mark: two"]),
            (
                request("z9hG4bKxx00bb.22", "aaaaaaaaaa", "X-Mark: one\r\n"),
                vec![
                    "- Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKjf00aa.11",
                    "+ Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKxx00bb.22",
                ],
            ),
        ] {
            assert_eq!(align(&theirs, &ours).differences, shown);
        }
        let other_via = String::from_utf8(theirs.clone()).unwrap().replace("z9hG4bK1", "z9hG4bKj2").into_bytes();
        assert_eq!(align(&theirs, &other_via).differences.len(), 2, "only the topmost Via is the router's");
    }

    #[test]
    fn the_tag_of_a_response_is_the_routers_and_that_of_from_is_not() {
        let response = |from: &str, to: &str| {
            format!("SIP/2.0 403 Forbidden\r\nFrom: <sip:a@h>;tag={from}\r\nTo: <sip:b@h>;tag={to}\r\n\r\n").into_bytes()
        };
        assert_eq!(align(&response("1", "x"), &response("1", "y")).differences, [""; 0]);
        assert_eq!(align(&response("1", "x"), &response("2", "x")).differences.len(), 2);
    }
}
