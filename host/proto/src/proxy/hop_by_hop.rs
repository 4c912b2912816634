//! The requests that the proxy makes itself, from one it has sent: the ACK for a failure (RFC 3261 17.1.1.3) and the CANCEL (9.1).

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::{Framing, Limits, Message, Name};

/// The ACK for `failure`, a response to the INVITE `sent`: its To is the response's, for the tag; it has the INVITE's credentials (22.1).
pub(super) fn ack(sent: &Bytes, failure: &Message) -> Option<Bytes> {
    let to = failure.field(&Name::To)?;
    from_invite(sent, b"ACK", Some(to), None)
}

/// The CANCEL for the INVITE `sent`, with a Reason (RFC 3326) where there is one.
pub(super) fn cancel(sent: &Bytes, reason: Option<&[u8]>) -> Option<Bytes> {
    from_invite(sent, b"CANCEL", None, reason)
}

fn from_invite(sent: &Bytes, method: &[u8], to: Option<&[u8]>, reason: Option<&[u8]>) -> Option<Bytes> {
    let limits = Limits { message: usize::MAX, headers: usize::MAX };
    let invite = Message::parse(sent.clone(), Framing::Datagram, &limits).ok()?;
    let (number, _) = invite.cseq()?;
    let mut out = BytesMut::with_capacity(512);
    out.put_slice(method);
    out.put_u8(b' ');
    out.put_slice(invite.request_uri());
    out.put_slice(b" SIP/2.0\r\n");
    let mut field = |name: &[u8], value: &[u8]| {
        out.put_slice(name);
        out.put_slice(b": ");
        out.put_slice(value);
        out.put_slice(b"\r\n");
    };
    field(b"Via", invite.values(&Name::Via).next()?.bytes);
    for route in invite.values(&Name::Route) {
        field(b"Route", route.bytes);
    }
    field(b"Max-Forwards", b"70");
    field(b"From", invite.field(&Name::From)?);
    field(b"To", to.or_else(|| invite.field(&Name::To))?);
    field(b"Call-ID", invite.call_id());
    field(b"CSeq", [number.to_string().as_bytes(), b" ", method].concat().as_slice());
    if method == b"ACK" {
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            for credentials in invite.fields().filter(|field| field.name == name) {
                field(name.as_bytes(), credentials.value);
            }
        }
    }
    if let Some(reason) = reason {
        field(b"Reason", reason);
    }
    field(b"Content-Length", b"0");
    out.put_slice(b"\r\n");
    Some(out.freeze())
}
