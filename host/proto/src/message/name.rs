//! Header field names: any case, compact forms (RFC 3261 7.3.3), and what is known of each field's grammar.

use std::fmt;

/// What a header field's grammar is in respect of commas (RFC 3261 7.3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `#(value)`: several values may share a field, separated by commas; angle brackets and quotes protect commas.
    List,
    /// The same without angle brackets.
    PlainList,
    /// One value, in which a comma is only a comma.
    Single,
}

macro_rules! names {
    ($($variant:ident $spelling:literal $(/ $compact:literal)? $form:ident;)*) => {
        /// The name of a header field. Names compare by meaning: `Name::from_bytes(b"v") == Name::Via`.
        #[derive(Clone, Copy)]
        #[allow(missing_docs, reason = "each is the header field of that name")]
        pub enum Name<'a> {
            $($variant,)*
            /// Any other, as it is spelled.
            Other(&'a [u8]),
        }

        /// The index of a known name, one octet for the index of a message.
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Known { $($variant,)* }

        const SPELLINGS: &[(&[u8], Known)] = &[
            $(($spelling.as_bytes(), Known::$variant), $(($compact.as_bytes(), Known::$variant),)?)*
        ];

        const KNOWN: &[Name<'static>] = &[$(Name::$variant,)*];

        impl<'a> Name<'a> {
            fn known(self) -> Option<Known> {
                match self {
                    $(Self::$variant => Some(Known::$variant),)*
                    Self::Other(_) => None,
                }
            }

            /// The canonical spelling: long form, usual case.
            pub fn as_bytes(self) -> &'a [u8] {
                match self {
                    $(Self::$variant => $spelling.as_bytes(),)*
                    Self::Other(name) => name,
                }
            }

            pub(super) fn form(self) -> Form {
                match self {
                    $(Self::$variant => Form::$form,)*
                    Self::Other(_) => Form::Single,
                }
            }
        }
    };
}

names! {
    Via "Via" / "v" PlainList;
    From "From" / "f" Single;
    To "To" / "t" Single;
    CallId "Call-ID" / "i" Single;
    CSeq "CSeq" Single;
    MaxForwards "Max-Forwards" Single;
    Contact "Contact" / "m" List;
    Route "Route" List;
    RecordRoute "Record-Route" List;
    ContentLength "Content-Length" / "l" Single;
    ContentType "Content-Type" / "c" Single;
    ContentEncoding "Content-Encoding" / "e" PlainList;
    ContentDisposition "Content-Disposition" Single;
    ContentLanguage "Content-Language" PlainList;
    MimeVersion "MIME-Version" Single;
    ProxyRequire "Proxy-Require" PlainList;
    Require "Require" PlainList;
    Supported "Supported" / "k" PlainList;
    Unsupported "Unsupported" PlainList;
    Timestamp "Timestamp" Single;
    MaxBreadth "Max-Breadth" Single;
    WwwAuthenticate "WWW-Authenticate" Single;
    ProxyAuthenticate "Proxy-Authenticate" Single;
    Authorization "Authorization" Single;
    ProxyAuthorization "Proxy-Authorization" Single;
    AuthenticationInfo "Authentication-Info" Single;
    Reason "Reason" PlainList;
    RetryAfter "Retry-After" Single;
    Allow "Allow" PlainList;
    AllowEvents "Allow-Events" / "u" PlainList;
    Event "Event" / "o" Single;
    SubscriptionState "Subscription-State" Single;
    Expires "Expires" Single;
    MinExpires "Min-Expires" Single;
    Warning "Warning" PlainList;
    Accept "Accept" PlainList;
    AcceptEncoding "Accept-Encoding" PlainList;
    AcceptLanguage "Accept-Language" PlainList;
    AcceptContact "Accept-Contact" / "a" PlainList;
    RejectContact "Reject-Contact" / "j" PlainList;
    RequestDisposition "Request-Disposition" / "d" PlainList;
    AlertInfo "Alert-Info" List;
    CallInfo "Call-Info" List;
    ErrorInfo "Error-Info" List;
    InReplyTo "In-Reply-To" PlainList;
    Date "Date" Single;
    Subject "Subject" / "s" Single;
    Organization "Organization" Single;
    Priority "Priority" Single;
    UserAgent "User-Agent" Single;
    Server "Server" Single;
    ReplyTo "Reply-To" Single;
    ReferTo "Refer-To" / "r" Single;
    ReferredBy "Referred-By" / "b" Single;
    Replaces "Replaces" Single;
    Join "Join" Single;
    SessionExpires "Session-Expires" / "x" Single;
    MinSe "Min-SE" Single;
    RSeq "RSeq" Single;
    RAck "RAck" Single;
    SipETag "SIP-ETag" Single;
    SipIfMatch "SIP-If-Match" Single;
    Path "Path" List;
    ServiceRoute "Service-Route" List;
    Identity "Identity" / "y" Single;
    IdentityInfo "Identity-Info" / "n" Single;
    Privacy "Privacy" Single;
    PAssertedIdentity "P-Asserted-Identity" List;
    PPreferredIdentity "P-Preferred-Identity" List;
    PAssociatedUri "P-Associated-URI" List;
    RemotePartyId "Remote-Party-ID" List;
    Diversion "Diversion" List;
    HistoryInfo "History-Info" List;
    Geolocation "Geolocation" List;
    SecurityClient "Security-Client" PlainList;
    SecurityServer "Security-Server" PlainList;
    SecurityVerify "Security-Verify" PlainList;
    UserToUser "User-to-User" PlainList;
    FlowTimer "Flow-Timer" Single;
}

const BUCKETS: usize = 256;
const EMPTY: u8 = u8::MAX;

/// Open-addressed table of [`SPELLINGS`] by [`bucket`], made at compile time, so that a name costs one or two comparisons.
const TABLE: [u8; BUCKETS] = table();

const fn bucket(first: u8, last: u8, length: usize) -> usize {
    ((first | 0x20) as usize * 7 + (last | 0x20) as usize * 3 + length * 11) % BUCKETS
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [u8; BUCKETS] {
    let mut table = [EMPTY; BUCKETS];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let spelling = SPELLINGS[index].0;
        let mut at = bucket(spelling[0], spelling[spelling.len() - 1], spelling.len());
        while table[at] != EMPTY {
            at = (at + 1) % BUCKETS;
        }
        table[at] = index as u8;
        index += 1;
    }
    table
}

impl<'a> Name<'a> {
    /// The name in any case, long or compact.
    pub fn from_bytes(name: &'a [u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Name::Other(name) };
        let mut at = bucket(*first, *last, name.len());
        while let Some((spelling, known)) = TABLE.get(at).and_then(|index| SPELLINGS.get(usize::from(*index))) {
            // Nearly all names come in their usual spelling, which is compared faster.
            if *spelling == name || (spelling.len() == name.len() && is_letter(spelling, *first) && spelling.eq_ignore_ascii_case(name)) {
                return KNOWN.get(*known as usize).copied().unwrap_or(Name::Other(name));
            }
            at = (at + 1) % BUCKETS;
        }
        Name::Other(name)
    }
}

/// Whether a spelling begins with this letter, in any case.
fn is_letter(spelling: &[u8], letter: u8) -> bool {
    spelling.first().is_some_and(|first| first.eq_ignore_ascii_case(&letter))
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Name::Other(a), Name::Other(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a.known() == b.known(),
        }
    }
}

impl Eq for Name<'_> {}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A [`Name`] as the index of a message keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NameId(u8);

impl NameId {
    /// Not one of the known names: the spelling in the message counts.
    pub(super) const OTHER: Self = Self(254);
    /// Not a header field at all.
    pub(super) const MALFORMED: Self = Self(255);

    pub(super) fn of(name: Name<'_>) -> Self {
        name.known().map_or(Self::OTHER, |known| Self(known as u8))
    }

    pub(super) fn name(self, spelling: &[u8]) -> Name<'_> {
        KNOWN.get(usize::from(self.0)).copied().unwrap_or(Name::Other(spelling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        assert!(SPELLINGS.len() < BUCKETS / 2 && KNOWN.len() < 254);
        for (spelling, known) in SPELLINGS {
            for name in [spelling.to_vec(), spelling.to_ascii_lowercase(), spelling.to_ascii_uppercase()] {
                assert!(Name::from_bytes(&name).known() == Some(*known), "{}", String::from_utf8_lossy(&name));
            }
        }
        for name in KNOWN {
            assert_eq!(Name::from_bytes(name.as_bytes()), *name);
            assert_eq!(NameId::of(*name).name(b"?"), *name);
        }
    }

    #[test]
    fn other_names_compare_without_case() {
        assert_eq!(Name::from_bytes(b"X-Account"), Name::Other(b"x-account"));
        assert_ne!(Name::from_bytes(b"X-Account"), Name::Other(b"x-accounts"));
        assert_eq!(Name::from_bytes(b"vi"), Name::Other(b"vi"));
        assert_eq!(Name::from_bytes(b""), Name::Other(b""));
        assert_ne!(Name::from_bytes(b"C%6Fntact"), Name::Contact, "names are never unescaped: RFC 4475 3.1.1.5");
    }
}
