//! What a REGISTER asks for, and what its response grants (RFC 3261 10.2, 10.3).

use jackfield_proto::message::{Message, Name, NameAddr, Uri};
use smallvec::SmallVec;

use super::uri::{address_of_record, line, same_contact, same_user, same_value, sip_uri, user};

/// Contacts of one REGISTER that are remembered; more than one is rare.
pub(super) const CONTACTS_MAX: usize = 8;
/// Contacts of one response that are looked at: it lists all bindings of the address-of-record.
const GRANTS_MAX: usize = 64;
/// Octets of an address-of-record or of a contact; longer ones are not remembered.
pub(super) const URI_MAX: usize = 512;
/// Octets of a Call-ID; a longer one tells nothing.
const CALL_ID_MAX: usize = 256;
/// Seconds that a binding lasts where nobody says (RFC 3261 10.2.1.1: an hour; 20.10: so does a malformed value).
const EXPIRES_DEFAULT: u32 = 3600;

/// A REGISTER, read.
pub(super) struct Asked<'a> {
    pub(super) aor: String,
    /// Empty if it is too long to be kept.
    pub(super) call_id: &'a str,
    pub(super) claims_path: bool,
    pub(super) wish: Wish<'a>,
}

/// What it wants of the registrar.
pub(super) enum Wish<'a> {
    /// `Contact: *`: that every binding ends (10.2.2).
    RemoveAll,
    /// These bindings; none if it only asks which there are (10.2.3).
    Contacts(SmallVec<[Contact<'a>; 1]>),
}

/// A contact that is to be bound, or to be no more.
#[derive(Clone, Copy)]
pub(super) struct Contact<'a> {
    pub(super) text: &'a str,
    pub(super) uri: Uri<'a>,
    /// Seconds; 0 ends the binding.
    pub(super) expires: u32,
    /// Whether it is one of several flows of its user agent (RFC 5626 4.2).
    pub(super) has_reg_id: bool,
}

/// A REGISTER with something in it that is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No REGISTER, or its To names no address-of-record that can be kept.
    Request,
    /// So many contacts of it were passed over: too long, not SIP, or too many.
    Contacts(usize),
}

impl<'a> Asked<'a> {
    /// Reads it; what was passed over comes with it.
    pub(super) fn read(request: &'a Message) -> Result<(Self, Option<Unfit>), Unfit> {
        if request.method().as_bytes() != b"REGISTER" {
            return Err(Unfit::Request);
        }
        let to = request.to().and_then(|to| sip_uri(to.uri())).filter(|to| to.as_bytes().len() <= URI_MAX);
        let aor = to.and_then(|to| address_of_record(&to)).ok_or(Unfit::Request)?;
        let call_id = Some(request.call_id()).filter(|id| id.len() <= CALL_ID_MAX);
        let call_id = call_id.and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default();
        let option = |value: &[u8]| value.eq_ignore_ascii_case(b"path") || value.eq_ignore_ascii_case(b"outbound");
        let claims_path = request.values(&Name::Supported).any(|value| option(value.bytes));
        let (wish, passed_over) = Wish::read(request);
        let unfit = (passed_over > 0).then_some(Unfit::Contacts(passed_over));
        Ok((Self { aor, call_id, claims_path, wish }, unfit))
    }
}

impl<'a> Wish<'a> {
    fn read(request: &'a Message) -> (Self, usize) {
        let common = request.field(&Name::Expires).map(seconds);
        let (mut contacts, mut passed_over) = (SmallVec::new(), 0);
        for value in request.values(&Name::Contact) {
            if value.bytes == b"*" {
                return (Self::RemoveAll, 0);
            }
            match Contact::read(value.bytes, common) {
                Some(contact) if contacts.len() < CONTACTS_MAX => contacts.push(contact),
                _ => passed_over += 1,
            }
        }
        (Self::Contacts(contacts), passed_over)
    }
}

impl<'a> Contact<'a> {
    fn read(value: &'a [u8], common: Option<u32>) -> Option<Self> {
        let name_addr = NameAddr::parse(value)?;
        let uri = sip_uri(name_addr.uri()).filter(|uri| uri.as_bytes().len() <= URI_MAX)?;
        let own = name_addr.param(b"expires").map(|value| seconds(value.unwrap_or_default()));
        Some(Self {
            text: std::str::from_utf8(uri.as_bytes()).ok()?,
            uri,
            expires: own.or(common).unwrap_or(EXPIRES_DEFAULT),
            has_reg_id: name_addr.param(b"reg-id").is_some(),
        })
    }
}

/// delta-seconds (RFC 3261 20.10): too many are as many as there can be, and what is no number is the default.
fn seconds(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return EXPIRES_DEFAULT;
    }
    text.iter().fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
}

/// What a 2xx grants: its own list of contacts, and an Expires for those that say nothing.
pub(super) struct Grants<'a> {
    contacts: SmallVec<[(Uri<'a>, Option<u32>); 2]>,
    common: Option<u32>,
}

impl<'a> Grants<'a> {
    pub(super) fn read(response: &'a Message) -> Self {
        let contact = |value: &'a [u8]| {
            let name_addr = NameAddr::parse(value)?;
            let expires = name_addr.param(b"expires").map(|value| seconds(value.unwrap_or_default()));
            Some((sip_uri(name_addr.uri())?, expires))
        };
        let contacts = response.values(&Name::Contact).take(GRANTS_MAX).filter_map(|value| contact(value.bytes)).collect();
        Self { contacts, common: response.field(&Name::Expires).map(seconds) }
    }

    /// Seconds granted for `contact`, one of `asked` in the same request. The registrar may have written another address into it than the
    /// user agent did, or stand-in URIs of ours may be in its place: then the line, the user part, or that there is but one, must tell.
    pub(super) fn of(&self, contact: &Contact<'_>, asked: usize) -> u32 {
        let by = |same: &dyn Fn(&Uri<'a>) -> bool| {
            let mut matching = self.contacts.iter().filter(|(uri, _)| same(uri));
            let first = matching.next();
            first.filter(|_| matching.next().is_none())
        };
        let same_line = |uri: &Uri<'a>| matches!((line(uri), line(&contact.uri)), (Some(a), Some(b)) if same_value(a, b));
        let same_user = |uri: &Uri<'a>| matches!((user(uri), user(&contact.uri)), (Some(a), Some(b)) if same_user(a, b));
        let found = by(&|uri| same_contact(uri, &contact.uri))
            .or_else(|| by(&same_line))
            .or_else(|| by(&same_user))
            .or_else(|| if asked == 1 { by(&|_| true) } else { None });
        found.and_then(|(_, expires)| *expires).or(self.common).unwrap_or(contact.expires)
    }
}
