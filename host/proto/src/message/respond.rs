//! Responses that the proxy makes itself (RFC 3261 8.2.6).

use bytes::Bytes;

use super::grammar::print;
use super::list::write_unfolded;
use super::{Message, Name, reason_phrase};

/// A response being made.
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'m> {
    request: &'m Message,
    status: u16,
    reason: Option<Vec<u8>>,
    to_tag: Option<Vec<u8>>,
    top_via: Option<Bytes>,
    headers: Vec<(Bytes, Bytes)>,
    body: Option<(Bytes, Bytes)>,
}

/// A response to a request: with its Vias, From, To, Call-ID and CSeq, and in a 100 its Timestamp (RFC 3261 8.2.6.1, 8.2.6.2). Works on a
/// defective request too, with what that has. Without a reason phrase the usual one is taken.
pub fn respond<'m>(request: &'m Message, status: u16, reason: Option<&[u8]>) -> ResponseBuilder<'m> {
    ResponseBuilder { request, status, reason: reason.map(<[u8]>::to_vec), to_tag: None, top_via: None, headers: Vec::new(), body: None }
}

impl ResponseBuilder<'_> {
    /// The tag to put into To where it has none; never into a 100 (8.2.6.2).
    pub fn to_tag(mut self, tag: &[u8]) -> Self {
        self.to_tag = Some(tag.to_vec());
        self
    }

    /// What to write instead of the topmost Via value, for instance [`super::Via::stamped`].
    pub fn top_via(mut self, value: impl Into<Bytes>) -> Self {
        self.top_via = Some(value.into());
        self
    }

    /// One more header field. Neither name nor value may hold CR or LF.
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body and its Content-Type.
    pub fn body(mut self, content_type: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.into(), body.into()));
        self
    }

    /// The response; always with Content-Length.
    pub fn finish(self) -> Bytes {
        let body = self.body.as_ref().map_or(&b""[..], |(_, body)| body);
        let mut out = Vec::with_capacity(self.size_hint(body.len()));
        print(&mut out, format_args!("SIP/2.0 {} ", self.status));
        out.extend_from_slice(self.reason.as_deref().unwrap_or_else(|| reason_phrase(self.status).as_bytes()));
        out.extend_from_slice(b"\r\n");
        self.write_vias(&mut out);
        self.write_copies(&mut out);
        for (name, value) in &self.headers {
            write_field(&mut out, name, value);
        }
        if let Some((content_type, _)) = &self.body {
            write_field(&mut out, b"Content-Type", content_type);
        }
        print(&mut out, format_args!("Content-Length: {}\r\n\r\n", body.len()));
        out.extend_from_slice(body);
        Bytes::from(out)
    }

    /// Enough for nearly every response: the request's header section, and what is added.
    fn size_hint(&self, body: usize) -> usize {
        let added: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        self.request.header_end as usize + added + body + 192
    }

    fn write_vias(&self, out: &mut Vec<u8>) {
        let mut top = self.top_via.as_ref();
        for value in self.request.values(&Name::Via) {
            write_field(out, b"Via", top.take().map_or(value.bytes, |via| via));
        }
    }

    fn write_copies(&self, out: &mut Vec<u8>) {
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq, Name::Timestamp] {
            let Some(value) = self.request.field(&name).filter(|_| name != Name::Timestamp || self.status == 100) else { continue };
            write_field(out, name.as_bytes(), value);
            let tag = self.to_tag.as_ref().filter(|_| name == Name::To && self.status > 100 && self.request.to_tag().is_none());
            if let Some(tag) = tag {
                out.truncate(out.len() - 2);
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// One field. Folds of a copied value are undone, so that no line of a malformed request can become a field of its own.
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    write_unfolded(out, value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::{Framing, Limits};
    use super::*;

    fn request(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), Framing::Datagram, &Limits::default()).unwrap()
    }

    const OPTIONS: &str = "OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP a;branch=1,\r\n SIP/2.0/TCP b;branch=2\r\nVia: SIP/2.0/UDP c\r\nTimestamp: 54.21\r\n\
        From: \"A\r\n B\" <sip:a@h>;tag=f\r\nt: <sip:b@h>\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\nX-Other: 1\r\n\r\n";

    #[test]
    fn copies_what_a_response_needs() {
        let response = respond(&request(OPTIONS), 486, None).to_tag(b"t1").header("Retry-After", "5").finish();
        assert_eq!(
            response,
            "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP a;branch=1\r\nVia: SIP/2.0/TCP b;branch=2\r\nVia: SIP/2.0/UDP c\r\nFrom: \"A B\" <sip:a@h>;tag=f\r\n\
             To: <sip:b@h>;tag=t1\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
        );
    }

    /// RFC 3261 8.2.6.1, 8.2.6.2: a 100 carries the Timestamp and no new tag.
    #[test]
    fn a_100_has_the_timestamp_and_no_tag() {
        let response =
            respond(&request(OPTIONS), 100, Some(b"Going")).to_tag(b"t1").top_via("SIP/2.0/UDP a;branch=1;received=192.0.2.1").finish();
        let text = String::from_utf8(response.to_vec()).unwrap();
        assert!(
            text.starts_with("SIP/2.0 100 Going\r\nVia: SIP/2.0/UDP a;branch=1;received=192.0.2.1\r\nVia: SIP/2.0/TCP b;branch=2\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nTo: <sip:b@h>\r\n") && text.contains("\r\nTimestamp: 54.21\r\n"), "{text}");
    }

    #[test]
    fn a_tag_in_to_stays() {
        let request = request(&OPTIONS.replace("t: <sip:b@h>", "To: <sip:b@h> ; tag = mine"));
        let response = respond(&request, 200, None).to_tag(b"other").body("text/plain", "hello").finish();
        let parsed = Message::parse(response, Framing::Stream, &Limits::default()).unwrap();
        assert_eq!((parsed.defect(), parsed.to_tag(), parsed.body()), (None, Some(&b"mine"[..]), &b"hello"[..]));
        assert_eq!(parsed.field(&Name::ContentType), Some(&b"text/plain"[..]));
    }

    #[test]
    fn a_request_without_the_fields_is_answered_with_what_it_has() {
        let request = request("OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP a\rX-Evil: 1\r\nCSeq: 1 OPTIONS\r\n\r\n");
        assert_eq!(
            respond(&request, 400, None).to_tag(b"t").finish(),
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP a X-Evil: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
