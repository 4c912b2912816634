//! Methods and reason phrases. The lists of what exists are rsip's; the tests hold ours against them.

use std::fmt;

use rsip::StatusCode;

/// A method: any token, compared with case (RFC 3261 7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method<'a>(&'a [u8]);

macro_rules! methods {
    ($($name:ident $section:literal;)*) => {
        impl Method<'static> {
            $(#[doc = $section] pub const $name: Self = Self(stringify!($name).as_bytes());)*

            /// The methods that have a name here.
            pub const KNOWN: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

methods! {
    INVITE "RFC 3261 13";
    ACK "RFC 3261 13, 17.1.1.3";
    CANCEL "RFC 3261 9";
    BYE "RFC 3261 15";
    OPTIONS "RFC 3261 11";
    REGISTER "RFC 3261 10";
    SUBSCRIBE "RFC 6665";
    NOTIFY "RFC 6665";
    REFER "RFC 3515";
    MESSAGE "RFC 3428";
    INFO "RFC 6086";
    PRACK "RFC 3262";
    UPDATE "RFC 3311";
    PUBLISH "RFC 3903";
}

impl<'a> Method<'a> {
    /// A method by its name.
    pub const fn new(name: &'a [u8]) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether this is INVITE, whose transactions are machines of their own (RFC 3261 17).
    pub fn is_invite(self) -> bool {
        self == Method::INVITE
    }

    /// Whether this is ACK, which is never answered.
    pub fn is_ack(self) -> bool {
        self == Method::ACK
    }

    /// Whether this is CANCEL, which goes hop by hop.
    pub fn is_cancel(self) -> bool {
        self == Method::CANCEL
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The usual reason phrase of a status; for an unknown one that of its class (RFC 3261 8.1.3.2: treated as x00).
///
/// rsip names the statuses but not always with the RFC's words (its 201 is `Accepted`), so the words are here.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        201 => return "Created",
        202 => return "Accepted",
        430 => return "Flow Failed",
        555 => return "Push Notification Service Not Supported",
        608 => return "Rejected",
        _ => {}
    }
    match StatusCode::from(status) {
        StatusCode::Trying => "Trying",
        StatusCode::Ringing => "Ringing",
        StatusCode::CallIsBeingForwarded => "Call Is Being Forwarded",
        StatusCode::Queued => "Queued",
        StatusCode::SessionProgress => "Session Progress",
        StatusCode::EarlyDialogTerminated => "Early Dialog Terminated",
        StatusCode::OK => "OK",
        StatusCode::Accepted => "Accepted",
        StatusCode::NoNotification => "No Notification",
        StatusCode::MultipleChoices => "Multiple Choices",
        StatusCode::MovedPermanently => "Moved Permanently",
        StatusCode::MovedTemporarily => "Moved Temporarily",
        StatusCode::UseProxy => "Use Proxy",
        StatusCode::AlternativeService => "Alternative Service",
        StatusCode::ServerInternalError => "Server Internal Error",
        StatusCode::NotImplemented => "Not Implemented",
        StatusCode::BadGateway => "Bad Gateway",
        StatusCode::ServiceUnavailable => "Service Unavailable",
        StatusCode::ServerTimeOut => "Server Time-out",
        StatusCode::VersionNotSupported => "Version Not Supported",
        StatusCode::MessageTooLarge => "Message Too Large",
        StatusCode::PreconditionFailure => "Precondition Failure",
        StatusCode::BusyEverywhere => "Busy Everywhere",
        StatusCode::Decline => "Decline",
        StatusCode::DoesNotExistAnywhere => "Does Not Exist Anywhere",
        StatusCode::NotAcceptableGlobal => "Not Acceptable",
        StatusCode::Unwanted => "Unwanted",
        other => request_failure(&other),
    }
}

/// The 4xx, and what is left: statuses that rsip does not know.
fn request_failure(status: &StatusCode) -> &'static str {
    match status {
        StatusCode::BadRequest => "Bad Request",
        StatusCode::Unauthorized => "Unauthorized",
        StatusCode::PaymentRequired => "Payment Required",
        StatusCode::Forbidden => "Forbidden",
        StatusCode::NotFound => "Not Found",
        StatusCode::MethodNotAllowed => "Method Not Allowed",
        StatusCode::NotAcceptable => "Not Acceptable",
        StatusCode::ProxyAuthenticationRequired => "Proxy Authentication Required",
        StatusCode::RequestTimeout => "Request Timeout",
        StatusCode::Conflict => "Conflict",
        StatusCode::Gone => "Gone",
        StatusCode::LengthRequired => "Length Required",
        StatusCode::ConditionalRequestFailed => "Conditional Request Failed",
        StatusCode::RequestEntityTooLarge => "Request Entity Too Large",
        StatusCode::RequestUriTooLong => "Request-URI Too Long",
        StatusCode::UnsupportedMediaType => "Unsupported Media Type",
        StatusCode::UnsupportedUriScheme => "Unsupported URI Scheme",
        StatusCode::UnknownResourcePriority => "Unknown Resource-Priority",
        StatusCode::BadExtension => "Bad Extension",
        StatusCode::ExtensionRequired => "Extension Required",
        StatusCode::SessionIntervalTooSmall => "Session Interval Too Small",
        StatusCode::IntervalTooBrief => "Interval Too Brief",
        StatusCode::BadLocationInformation => "Bad Location Information",
        StatusCode::UseIdentityHeader => "Use Identity Header",
        StatusCode::ProvideReferrerIdentity => "Provide Referrer Identity",
        StatusCode::AnonymityDisallowed => "Anonymity Disallowed",
        StatusCode::BadIdentityInfo => "Bad Identity Info",
        StatusCode::UnsupportedCertificate => "Unsupported Certificate",
        StatusCode::InvalidIdentityHeader => "Invalid Identity Header",
        StatusCode::FirstHopLacksOutboundSupport => "First Hop Lacks Outbound Support",
        StatusCode::MaxBreadthExceeded => "Max-Breadth Exceeded",
        StatusCode::BadInfoPackage => "Bad Info Package",
        StatusCode::ConsentNeeded => "Consent Needed",
        StatusCode::TemporarilyUnavailable => "Temporarily Unavailable",
        StatusCode::CallTransactionDoesNotExist => "Call/Transaction Does Not Exist",
        StatusCode::LoopDetected => "Loop Detected",
        StatusCode::TooManyHops => "Too Many Hops",
        StatusCode::AddressIncomplete => "Address Incomplete",
        StatusCode::Ambiguous => "Ambiguous",
        StatusCode::BusyHere => "Busy Here",
        StatusCode::RequestTerminated => "Request Terminated",
        StatusCode::NotAcceptableHere => "Not Acceptable Here",
        StatusCode::BadEvent => "Bad Event",
        StatusCode::RequestPending => "Request Pending",
        StatusCode::Undecipherable => "Undecipherable",
        StatusCode::SecurityAgreementRequired => "Security Agreement Required",
        other => match other.code() / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Multiple Choices",
            4 => "Bad Request",
            5 => "Server Internal Error",
            6 => "Busy Everywhere",
            _ => "Unknown",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsips_methods_are_known() {
        for method in rsip::Method::all() {
            let name = method.to_string();
            assert!(Method::KNOWN.contains(&Method::new(name.as_bytes())), "{name}");
        }
        assert_ne!(Method::new(b"invite"), Method::INVITE, "methods are case-sensitive: RFC 3261 7.1");
    }

    /// rsip spells each status as one word: the same letters as our phrase, but where rsip differs from the RFCs.
    #[test]
    fn rsips_statuses_have_phrases_of_their_own() {
        for status in 100..700 {
            let code = StatusCode::from(status);
            let phrase = reason_phrase(status);
            assert!(!phrase.is_empty());
            if matches!(code, StatusCode::Other(..)) || [201, 606].contains(&status) {
                continue;
            }
            let letters: String = phrase.chars().filter(char::is_ascii_alphanumeric).collect();
            assert_eq!(format!("{status} {}", letters.to_lowercase()), code.to_string().to_lowercase());
        }
        assert_eq!((reason_phrase(299), reason_phrase(499), reason_phrase(0)), ("OK", "Bad Request", "Unknown"));
    }
}
