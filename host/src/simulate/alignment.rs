//! Two messages that say the same but for what each router makes up by itself: branches, tags and tokens. Found line by line and piece by
//! piece; a piece is what stands between the delimiters of a header field.

use super::description::{self, Media};
use super::mapping::Mapping;
use super::own::{Field, Fields, Made, Message, halves, lines, made, pieces};

/// What two messages are to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Values at the same places that a router has made up: theirs, and ours, which may be the same.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Lines that differ otherwise, theirs behind `-` and ours behind `+`.
    pub(super) differences: Vec<String>,
    /// Whether the bodies differ, in nothing but what a media relay rewrites.
    pub(super) relayed: bool,
}

/// Lays a message of the captured router beside one of ours.
pub(super) fn align(theirs: &[u8], ours: &[u8], known: &Mapping, media: Media) -> Alignment {
    let mut alignment = Alignment::default();
    let ((their_head, their_body), (our_head, our_body)) = (halves(theirs), halves(ours));
    alignment.relayed = their_body != our_body && description::is_same_call(media, their_body, our_body);
    let (their_lines, our_lines) = (lines(their_head), lines(our_head));
    let mut fields = Fields::new(Message::of(ours));
    for index in 0..their_lines.len().max(our_lines.len()) {
        let (their, our) = (their_lines.get(index).copied(), our_lines.get(index).copied());
        match (their, our) {
            (Some(their), Some(our)) => match pairs(their, our, fields.next(our), known) {
                Some(pairs) => alignment.pairs.extend(pairs),
                None if alignment.relayed && description::is_length(their, their_body) && description::is_length(our, our_body) => {}
                None => alignment.differ(Some(their), Some(our)),
            },
            (their, our) => alignment.differ(their, our),
        }
    }
    if their_body != our_body && !alignment.relayed {
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

/// The values at the same places of two lines that each router has made up; none if the lines differ in something else.
fn pairs(their: &[u8], our: &[u8], field: Field, known: &Mapping) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if their == our && field == Field::Other {
        return Some(Vec::new());
    }
    let (their_pieces, our_pieces) = (pieces(their), pieces(our));
    if their_pieces.len() != our_pieces.len() {
        return None;
    }
    let mut found = Vec::new();
    let (mut signed_anew, mut cnonce_anew) = (false, false);
    let (mut their_end, mut our_end) = (0, 0);
    for (their_range, our_range) in their_pieces.iter().zip(&our_pieces) {
        // What stands between is the same.
        if their.get(their_end..their_range.start)? != our.get(our_end..our_range.start)? {
            return None;
        }
        let (their_piece, our_piece) = (their.get(their_range.clone())?, our.get(our_range.clone())?);
        let is_peers = known.is_of_peer(their_piece) || known.is_of_peer(our_piece);
        let (theirs, ours) = (made(field, their, their_range), made(field, our, our_range));
        match ours.filter(|_| theirs == ours && !is_peers) {
            Some(Made::Signature) => signed_anew |= their_piece != our_piece,
            Some(what) => {
                cnonce_anew |= what == Made::Cnonce && their_piece != our_piece;
                found.push((their_piece.to_vec(), our_piece.to_vec()));
            }
            None if their_piece == our_piece || known.is_known(their_piece, our_piece) => {}
            None => return None,
        }
        (their_end, our_end) = (their_range.end, our_range.end);
    }
    // With the same cnonce, nonce and count, the same password is proved by the same response (RFC 7616 3.4.1).
    let is_proved = !signed_anew || cnonce_anew;
    (is_proved && their.get(their_end..)? == our.get(our_end..)?).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbb";
    const THEIRS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn plain(theirs: &[u8], ours: &[u8]) -> Alignment {
        align(theirs, ours, &Mapping::default(), Media::AsItIs)
    }

    fn request(branch: &str, token: &str, more: &str) -> Vec<u8> {
        format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
             Record-Route: <sip:192.0.2.1;lr;jf={token}>\r\nTo: <sip:b@h>\r\n{more}\r\nv=0\r\n"
        )
        .into_bytes()
    }

    fn pair(their: &str, our: &str) -> (Vec<u8>, Vec<u8>) {
        (their.as_bytes().to_vec(), our.as_bytes().to_vec())
    }

    #[test]
    fn branches_and_tokens_of_a_router_are_pairs() {
        let theirs = request("z9hG4bKjf00aa.11", THEIRS, "");
        let ours = request("z9hG4bKjf00bb.22", OURS, "");
        let alignment = plain(&theirs, &ours);
        assert_eq!(alignment.pairs, [pair("z9hG4bKjf00aa.11", "z9hG4bKjf00bb.22"), pair(THEIRS, OURS)]);
        assert_eq!(alignment.differences, [""; 0]);
        assert_eq!(plain(&theirs, &theirs).pairs.len(), 2, "what is the same in both is known from then on, too");
    }

    #[test]
    fn anything_else_is_a_difference_and_is_shown() {
        let theirs = request("z9hG4bKjf00aa.11", THEIRS, "X-Mark: one\r\n");
        for (ours, shown) in [
            (request("z9hG4bKjf00bb.22", OURS, "X-Mark: two\r\n"), vec!["- X-Mark: one", "+ X-Mark: two"]),
            (
                request("z9hG4bKxx00bb.22", THEIRS, "X-Mark: one\r\n"),
                vec![
                    "- Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKjf00aa.11",
                    "+ Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKxx00bb.22",
                ],
            ),
        ] {
            assert_eq!(plain(&theirs, &ours).differences, shown);
        }
        let other_via = String::from_utf8(theirs.clone()).unwrap().replace("z9hG4bK1", "z9hG4bKjf2").into_bytes();
        assert_eq!(plain(&theirs, &other_via).differences.len(), 2, "only the topmost Via is the router's");
        let stateless = request("z9hG4bKjs00aa.11", THEIRS, "X-Mark: one\r\n");
        assert_eq!(plain(&theirs, &stateless).differences.len(), 2, "a stateless branch is no stateful one");
        let body = String::from_utf8(theirs.clone()).unwrap().replace("v=0", "v=1").into_bytes();
        assert_eq!(plain(&theirs, &body).differences, ["- v=0", "+ v=1"]);
    }

    fn response(from: &str, to: &str) -> Vec<u8> {
        format!("SIP/2.0 403 Forbidden\r\nFrom: <sip:a@h>;tag={from}\r\nTo: <sip:b@h>;tag={to}\r\n\r\n").into_bytes()
    }

    /// RFC 3261 16.7: a proxy leaves the tag of who was called as it is.
    #[test]
    fn the_tag_of_a_response_is_forgiven_where_the_router_has_made_it() {
        let (theirs, ours) = (response("1", "jf0000000000000001"), response("1", "jf0000000000000002"));
        assert_eq!(plain(&theirs, &ours).differences, [""; 0]);
        assert_eq!(plain(&response("1", "x"), &response("1", "y")).differences.len(), 2, "the callee's");
        assert_eq!(plain(&response("1", "x"), &response("2", "x")).differences.len(), 2, "the caller's");
        let mut known = Mapping::default();
        known.note_peer(&theirs);
        assert_eq!(align(&theirs, &ours, &known, Media::AsItIs).differences.len(), 2, "the callee is such a router, too");
    }

    /// A request that comes to the router again bears its own branch below the topmost one.
    #[test]
    fn a_known_value_is_the_same_wherever_it_stands() {
        let message =
            |branch: &str| format!("INVITE sip:b@h SIP/2.0\r\nVia: x;branch=z9hG4bKjf9\r\nVia: y;branch={branch}\r\n\r\n").into_bytes();
        let (theirs, ours) = (message("z9hG4bKjf1"), message("z9hG4bKjf2"));
        let mut known = Mapping::default();
        assert_eq!(align(&theirs, &ours, &known, Media::AsItIs).differences.len(), 2);
        known.learn(b"z9hG4bKjf1", b"z9hG4bKjf2").unwrap();
        assert_eq!(align(&theirs, &ours, &known, Media::AsItIs).differences, [""; 0]);
        assert_eq!(align(&ours, &theirs, &known, Media::AsItIs).differences.len(), 2, "not the other way round");
    }

    #[test]
    fn rfc7616_3_4_credentials_differ_by_the_routers_cnonce_and_by_what_follows_from_it() {
        let credentials = |cnonce: char, response: &str, count: u32| {
            let cnonce = cnonce.to_string().repeat(32);
            format!(
                "INVITE sip:b@h SIP/2.0\r\nAuthorization: Digest username=\"u\", nonce=\"n\", response=\"{response}\", \
                 cnonce=\"{cnonce}\", nc={count:08}\r\n\r\n"
            )
            .into_bytes()
        };
        let differences = |theirs: &[u8], ours: &[u8]| plain(theirs, ours).differences.len();
        let theirs = credentials('1', "aa", 1);
        assert_eq!(differences(&theirs, &credentials('2', "bb", 1)), 0);
        assert_eq!(differences(&theirs, &credentials('1', "bb", 1)), 2, "another password");
        assert_eq!(differences(&theirs, &credentials('2', "bb", 2)), 2, "another count");
        let other = String::from_utf8(theirs.clone()).unwrap().replace("\"n\"", "\"m\"").into_bytes();
        assert_eq!(differences(&theirs, &other), 2, "another nonce than was given");
        let of_phone = |cnonce: &str| format!("INVITE sip:b@h SIP/2.0\r\nAuthorization: Digest cnonce=\"{cnonce}\"\r\n\r\n").into_bytes();
        assert_eq!(differences(&of_phone("one"), &of_phone("two")), 2, "another's cnonce");
    }

    #[test]
    fn a_subscriber_whose_name_looks_like_a_token_is_somebody() {
        let message = |field: &str, user: &str| format!("INVITE sip:b@h SIP/2.0\r\n{field}: <sip:{user}@h>\r\n\r\n").into_bytes();
        for field in ["From", "To", "P-Asserted-Identity", "Contact"] {
            assert_eq!(plain(&message(field, "jf-12345678"), &message(field, "jf-87654321")).differences.len(), 2, "{field}");
        }
        let uri = |user: &str| format!("INVITE sip:{user}@h SIP/2.0\r\n\r\n").into_bytes();
        assert_eq!(plain(&uri("jh-12345678"), &uri("jh-87654321")).differences.len(), 2);
    }

    #[test]
    fn a_relayed_body_differs_by_where_media_goes_and_by_its_length() {
        let message = |port: &str, more: &str| {
            let body = format!("v=0\r\no=a 1 1 IN IP4 h{port}\r\nm=audio {port} RTP/AVP 8\r\n{more}");
            format!("INVITE sip:b@h SIP/2.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        let (theirs, ours) = (message("30000", "a=rtcp:30001\r\n"), message("4000", ""));
        let known = Mapping::default();
        let relayed = align(&theirs, &ours, &known, Media::Relayed);
        assert_eq!((relayed.differences, relayed.relayed), (Vec::new(), true));
        assert!(align(&theirs, &ours, &known, Media::AsItIs).differences.len() > 2);
        let codec = align(&message("30000", "a=ptime:20\r\n"), &ours, &known, Media::Relayed);
        assert!(!codec.relayed && codec.differences.iter().any(|line| line == "- a=ptime:20"), "{codec:?}");
    }
}
