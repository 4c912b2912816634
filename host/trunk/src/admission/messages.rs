//! What messages say about calls.

use std::hash::Hasher;

use jackfield_proto::message::{Message, Method, Name};
use siphasher::sip::SipHasher13;

use super::{Admission, Dialog};

impl<B> Admission<B> {
    /// The key of the call that an INVITE outside a dialog begins: of its Call-ID and the tag in From.
    pub fn call(&self, request: &Message) -> u64 {
        self.end(request, request.from_tag())
    }

    /// The dialog that a request in a dialog, or a response, belongs to (RFC 3261 12).
    pub fn dialog(&self, message: &Message) -> Dialog {
        Dialog { from: self.end(message, message.from_tag()), to: self.end(message, message.to_tag()) }
    }

    /// One end of a dialog. A missing tag is an empty one, as in RFC 2543.
    fn end(&self, message: &Message, tag: Option<&[u8]>) -> u64 {
        let (call_id, tag) = (message.call_id(), tag.unwrap_or_default());
        let mut hasher = SipHasher13::new_with_key(&self.key);
        // The length keeps the two apart.
        hasher.write_usize(call_id.len());
        hasher.write(call_id);
        hasher.write(tag);
        hasher.finish()
    }
}

/// Whether a request in a dialog, with this final response or none, ends the call (RFC 3261 15.1.1 for BYE: only a challenge is no end; 12.2.1.2
/// for the others). A 481 or 408 that is another usage's (RFC 5057 5.1: a subscription's), or only its request's (PRACK), is none.
pub fn ends_dialog(method: Method<'_>, status: Option<u16>) -> bool {
    match method {
        Method::BYE => !matches!(status, Some(401 | 407)),
        Method::INVITE | Method::UPDATE | Method::INFO | Method::OPTIONS | Method::MESSAGE => matches!(status, Some(481 | 408)),
        _ => false,
    }
}

/// The interval in the Session-Expires of a message, in seconds (RFC 4028 4).
pub fn session_interval(message: &Message) -> Option<u32> {
    let value = message.field(&Name::SessionExpires)?;
    let number = value.split(|octet| *octet == b';').next()?.trim_ascii();
    str::from_utf8(number).ok()?.parse().ok()
}
