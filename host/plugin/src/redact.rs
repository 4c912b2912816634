//! What only its owner should know is taken out of messages before they are kept or shown: credentials (RFC 3261 20.7, 20.28), passwords
//! in URIs (19.1.1), keys of media (RFC 4568), and what calls itself a password. Every octet of it becomes an `x`, so that a message
//! keeps its length, its fields and its form, and plugins read it as before.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use jackfield_proto::message::Message;
use jackfield_services::ask::{Answer, Question};

use crate::plain::{Choice, Decision, Edit, Outcome, Review};

/// What names a secret, in lower case, wherever it stands in a name.
const SECRET: [&str; 8] = ["password", "passwd", "pwd", "secret", "api-key", "apikey", "token", "cookie"];
/// Parameters of digest credentials that prove something, or help to guess.
const PROOFS: [&[u8]; 4] = [b"response", b"cnonce", b"nonce", b"opaque"];
/// Schemes of URIs that may have a password.
const SCHEMES: [&[u8]; 4] = [b"sip", b"sips", b"http", b"https"];
/// What stands before the key in an SDP attribute `crypto`.
const INLINE: &[u8] = b"inline:";
/// What a secret becomes.
const MASK: u8 = b'x';

/// Whether the value of a field, an option or a parameter of this name is nobody's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "authorization" | "proxy-authorization") || SECRET.iter().any(|word| name.contains(word))
}

/// Text without the passwords of the URIs in it.
pub(crate) fn without_password(text: &str) -> Cow<'_, str> {
    let mut ranges = Vec::new();
    passwords(text.as_bytes(), 0, &mut ranges);
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&masked(text.as_bytes(), ranges)).into_owned())
}

/// The octets of a message without secrets.
pub(crate) fn message(message: &Message) -> Bytes {
    let octets = message.bytes();
    let mut ranges = Vec::new();
    let head = octets.len().saturating_sub(message.body().len());
    let start_line = octets.iter().position(|octet| *octet == b'\n').unwrap_or(head);
    passwords(octets.get(..start_line).unwrap_or_default(), 0, &mut ranges);
    named(octets.get(..start_line).unwrap_or_default(), 0, &mut ranges);
    for field in message.fields() {
        let (value, from) = (field.value, field.range.start);
        let name = String::from_utf8_lossy(field.name.as_bytes());
        if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("proxy-authorization") {
            credentials(value, from, &mut ranges);
        } else if is_secret(&name) {
            ranges.push(from..from + value.len());
        } else {
            passwords(value, from, &mut ranges);
            named(value, from, &mut ranges);
        }
    }
    let body = message.body();
    named(body, head, &mut ranges);
    keys(body, head, &mut ranges);
    if ranges.is_empty() { octets.clone() } else { masked(octets, ranges).into() }
}

/// A question without secrets: two that differ in these alone are one.
pub(crate) fn question(mut question: Question) -> Question {
    if let Question::Http(request) = &mut question {
        request.headers.iter_mut().filter(|(name, _)| is_secret(name)).for_each(|(_, value)| *value = hidden(value));
        request.body = free(std::mem::take(&mut request.body));
        request.url = String::from_utf8_lossy(&free(std::mem::take(&mut request.url).into_bytes())).into_owned();
    }
    question
}

/// What a plugin has decided, without secrets.
pub(crate) fn outcome(mut outcome: Outcome) -> Outcome {
    let edits = match &mut outcome {
        Outcome::Request(Decision::Next(edits)) | Outcome::Response(Review::Forward(edits)) => vec![edits],
        Outcome::Request(Decision::Route(plan) | Decision::Forward(plan)) => {
            let targets = plan.groups.iter_mut().flat_map(|group| &mut group.targets);
            targets.map(|target| &mut target.edits).chain([&mut plan.edits]).collect()
        }
        Outcome::Failure(Choice::Instead(groups)) => {
            groups.iter_mut().flat_map(|group| &mut group.targets).map(|target| &mut target.edits).collect()
        }
        _ => Vec::new(),
    };
    for edit in edits.into_iter().flatten() {
        if let Edit::Add(field) | Edit::Set(field) = edit
            && is_secret(&field.name)
        {
            field.value = hidden(&field.value);
        }
    }
    outcome
}

/// An answer without secrets.
pub(crate) fn answer(mut answer: Answer) -> Answer {
    if let Answer::Http(response) = &mut answer {
        response.headers.iter_mut().filter(|(name, _)| is_secret(name)).for_each(|(_, value)| *value = hidden(value));
        response.body = free(std::mem::take(&mut response.body));
    }
    answer
}

fn hidden(value: &str) -> String {
    "x".repeat(value.len())
}

fn free(octets: Vec<u8>) -> Vec<u8> {
    let mut ranges = Vec::new();
    named(&octets, 0, &mut ranges);
    passwords(&octets, 0, &mut ranges);
    if ranges.is_empty() { octets } else { masked(&octets, ranges) }
}

fn masked(octets: &[u8], ranges: Vec<Range<usize>>) -> Vec<u8> {
    let mut masked = octets.to_vec();
    for range in ranges {
        // Line breaks of a folded field stay, or the message would be another.
        let secret = masked.get_mut(range).unwrap_or_default().iter_mut().filter(|octet| !matches!(octet, b'\r' | b'\n' | b' ' | b'\t'));
        secret.for_each(|octet| *octet = MASK);
    }
    masked
}

/// The length of what comes before one of these octets.
fn until(octets: &[u8], ends: &[u8]) -> usize {
    octets.iter().position(|octet| ends.contains(octet)).unwrap_or(octets.len())
}

/// Digest credentials keep who they are of; others keep their scheme.
fn credentials(value: &[u8], from: usize, ranges: &mut Vec<Range<usize>>) {
    let scheme = until(value, b" \t\r\n");
    if !value.get(..scheme).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"digest")) {
        return ranges.push(from + scheme..from + value.len());
    }
    let mut at = scheme;
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = rest.iter().take_while(|octet| b" \t\r\n,".contains(octet)).count();
        let Some(param) = rest.get(blank..) else { return };
        let name = until(param, b"=,");
        let Some(written) = param.get(name..).and_then(|rest| rest.strip_prefix(b"=")) else {
            at += blank + name.max(1);
            continue;
        };
        let lead = written.iter().take_while(|octet| b" \t".contains(octet)).count();
        let (open, length) = match written.get(lead..).and_then(|rest| rest.strip_prefix(b"\"")) {
            Some(quoted) => (1, until(quoted, b"\"")),
            None => (0, until(written.get(lead..).unwrap_or_default(), b", \t\r\n")),
        };
        let begin = at + blank + name + 1 + lead + open;
        let label = param.get(..name).unwrap_or_default().trim_ascii();
        if PROOFS.iter().any(|proof| proof.eq_ignore_ascii_case(label)) {
            ranges.push(from + begin..from + begin + length);
        }
        at = begin + length + open;
    }
}

/// Whether octets end with the scheme of a URI that may have a password.
fn ends_with_scheme(octets: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| {
        let begin = octets.len().checked_sub(scheme.len());
        begin.and_then(|begin| octets.get(begin..)).is_some_and(|end| end.eq_ignore_ascii_case(scheme))
    })
}

/// `sip:user:password@host`. A stranger may send nothing but schemes and colons: each octet is looked at a bounded number of times.
fn passwords(octets: &[u8], from: usize, ranges: &mut Vec<Range<usize>>) {
    // Where the userinfo that has been looked at last ends, with its `@` or without one.
    let (mut looked_to, mut at_sign, mut masked_to) = (0, None, 0);
    for colon in memchr::memchr_iter(b':', octets) {
        if !ends_with_scheme(octets.get(..colon).unwrap_or_default()) {
            continue;
        }
        if colon >= looked_to {
            let rest = octets.get(colon + 1..).unwrap_or_default();
            let length = until(rest, b"<>\", \t\r\n@");
            at_sign = (rest.get(length) == Some(&b'@')).then_some(colon + 1 + length);
            looked_to = colon + 1 + length;
        }
        // One that lies in another, as in `sip:sip:a:b@h`, is masked with that.
        let Some(end) = at_sign.filter(|end| *end > masked_to) else { continue };
        if let Some(second) = octets.get(colon + 1..end).and_then(|userinfo| memchr::memchr(b':', userinfo)) {
            ranges.push(from + colon + 2 + second..from + end);
            masked_to = end;
        }
    }
}

/// `password=...`, `"api-key": "..."` and the like.
fn named(octets: &[u8], from: usize, ranges: &mut Vec<Range<usize>>) {
    let lower = octets.to_ascii_lowercase();
    for word in SECRET {
        // A word that stands in the name or the value of the one before has been dealt with.
        let mut done = 0;
        for at in memchr::memmem::find_iter(&lower, word.as_bytes()) {
            if at < done {
                continue;
            }
            let rest = octets.get(at + word.len()..).unwrap_or_default();
            let tail = rest.iter().take_while(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet)).count();
            done = at + word.len() + tail;
            let quote = usize::from(rest.get(tail) == Some(&b'"'));
            let space = |from: usize| rest.iter().skip(from).take_while(|octet| b" \t".contains(octet)).count();
            let sign = tail + quote + space(tail + quote);
            if !matches!(rest.get(sign), Some(b'=' | b':')) {
                continue;
            }
            let begin = sign + 1 + space(sign + 1);
            let begin = begin + usize::from(rest.get(begin) == Some(&b'"'));
            let length = until(rest.get(begin..).unwrap_or_default(), b"\";&,<> \t\r\n");
            let start = at + word.len() + begin;
            done = start + length;
            ranges.push(from + start..from + start + length);
        }
    }
}

/// The keys in `a=crypto` (RFC 4568 9.1) and `k=` (RFC 4566 5.12) of a session description.
fn keys(body: &[u8], from: usize, ranges: &mut Vec<Range<usize>>) {
    let mut done = 0;
    for at in memchr::memmem::find_iter(body, INLINE) {
        if at < done {
            continue;
        }
        let begin = at + INLINE.len();
        let length = until(body.get(begin..).unwrap_or_default(), b"|; \t\r\n");
        done = begin + length;
        ranges.push(from + begin..from + begin + length);
    }
    for at in memchr::memmem::find_iter(body, b"\nk=") {
        let line = body.get(at + 3..).unwrap_or_default();
        let line = line.get(..until(line, b"\r\n")).unwrap_or_default();
        let method = until(line, b":");
        ranges.push(from + at + 3 + method + 1..from + at + 3 + line.len().max(method + 1));
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::message::{Framing, Limits};

    use super::*;

    fn redacted(fields: &str, body: &str) -> (Message, String) {
        let text = format!(
            "INVITE sip:1:hidden@pbx.test;password=hidden SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=f\r\n\
             To: <sip:1@pbx.test>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let parse = |octets: Bytes| Message::parse(octets, Framing::Datagram, &Limits::default()).unwrap();
        let before = parse(Bytes::from(text));
        let octets = message(&before);
        assert_eq!(octets.len(), before.bytes().len());
        let after = parse(octets.clone());
        let names = |message: &Message| message.fields().map(|field| field.name.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before));
        assert_eq!(after.defect(), before.defect());
        (after, String::from_utf8(octets.to_vec()).unwrap())
    }

    #[test]
    fn a_message_keeps_its_form_and_loses_its_secrets() {
        let (message, text) = redacted(
            "Authorization: Digest username=\"alice\", realm=\"r\", nonce=\"hidden\", uri=\"sip:r\",\r\n response=\"hidden\", cnonce=hidden, \
             qop=auth, nc=00000001\r\nProxy-Authorization: Bearer hidden.hidden\r\nX-Secret-Word: hidden\r\nX-Q: a;api-key=\"hidden\";b=1\r\n\
             Contact: <sip:u:hidden@h>\r\n",
            "v=0\r\nk=base64:hidden\r\na=crypto:1 AES inline:hidden|2^20\r\na=ice-pwd:hidden\r\n{\"password\": \"hidden\", \"b\": 2}",
        );
        assert!(!text.contains("hidden"), "{text}");
        for kept in ["username=\"alice\"", "realm=\"r\"", "nc=00000001", "Bearer", ";b=1", "|2^20", "\"b\": 2", "sip:u:xxxxxx@h"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert_eq!(message.request_uri(), b"sip:1:xxxxxx@pbx.test;password=xxxxxx");
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        let text = "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=f\r\nTo: <sip:1@h>\r\nCall-ID: c\r\n\
                    CSeq: 1 INVITE\r\nSubject: password\r\nContent-Length: 0\r\n\r\n";
        let parsed = Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap();
        assert_eq!(message(&parsed), text.as_bytes());
        assert_eq!(without_password("sip:1@h;user=phone"), "sip:1@h;user=phone");
        assert_eq!(without_password("<sip:1:2@h>, <sips:a:bcd@h>"), "<sip:1:x@h>, <sips:a:xxx@h>");
        assert_eq!(without_password("SIP:sip:a:bc@h sip:1@h sip:h:5060 :::"), "SIP:sip:xxxx@h sip:1@h sip:h:5060 :::");
    }

    #[test]
    fn what_a_stranger_repeats_is_looked_at_once() {
        // Each of these has as many places to begin at as a long text can have; looked at to the end from each, it would take minutes.
        for part in [":", "sip:", "sip:@", "token", "token=", "inline:"] {
            let text = part.repeat((1 << 20) / part.len());
            for last in ["", "@h", "a:b@h"] {
                let text = format!("{text}{last}");
                let mut ranges = Vec::new();
                passwords(text.as_bytes(), 0, &mut ranges);
                named(text.as_bytes(), 0, &mut ranges);
                keys(text.as_bytes(), 0, &mut ranges);
                let masked: usize = ranges.iter().map(|range| range.end - range.start).sum();
                assert!(masked <= text.len() * (SECRET.len() + 2), "{part}{last}: {masked}");
            }
        }
    }

    #[test]
    fn questions_lose_what_proves_who_asks() {
        use jackfield_services::ask::HttpRequest;
        let asked = |secret: &str| {
            Question::Http(HttpRequest {
                method: "POST".into(),
                url: format!("https://a:{secret}@b/?api-key={secret}&n=1"),
                headers: vec![("Authorization".into(), format!("Bearer {secret}")), ("Accept".into(), "text/plain".into())],
                body: format!("{{\"password\":\"{secret}\"}}").into_bytes(),
                timeout_ms: 0,
            })
        };
        let shown = question(asked("hidden"));
        assert!(!format!("{shown:?}").contains("hidden") && format!("{shown:?}").contains("n=1"), "{shown:?}");
        assert_eq!(shown, question(asked("others")));
    }
}
