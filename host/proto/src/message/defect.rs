//! What can be wrong with a message as a whole, and the check for it: the syntax part of RFC 3261 16.3 item 1, as RFC 4475 reads it.
//! Fields that a proxy has no business with are not looked at, malformed or not.

use super::grammar::{is_token, is_token_octet, trim};
use super::index::Entry;
use super::uri::Uri;
use super::{Message, Method, Name, NameAddr};

/// Why a message cannot be processed. A request is answered with [`Defect::status`], a response is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The message is larger than the limit.
    #[error("message of {size} octets, the limit is {limit}")]
    TooLarge {
        /// Octets received.
        size: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// There are more header fields than the limit allows.
    #[error("more than {limit} header fields")]
    TooManyFields {
        /// Fields allowed.
        limit: usize,
    },
    /// The start line has missing or too many elements, or a method that is no token.
    #[error("malformed start line")]
    StartLine,
    /// A SIP version other than 2.0.
    #[error("SIP version not supported")]
    Version,
    /// The status of a response is not one of 100 to 699.
    #[error("status out of range")]
    Status,
    /// A line ends in a lone CR or a lone LF, or there is a lone CR inside.
    #[error("line end other than CR LF")]
    LineEnd,
    /// A header line without colon or with a name that is no token, at this offset of the message.
    #[error("malformed header line at octet {at}")]
    HeaderLine {
        /// Offset of the line.
        at: usize,
    },
    /// The header section has no end: the blank line is missing.
    #[error("header section without end")]
    Unfinished,
    /// A mandatory header field is missing (RFC 3261 8.1.1).
    #[error("missing {0}")]
    Missing(Name<'static>),
    /// A header field that may occur once occurs several times with different values (RFC 4475 3.3.8, 3.3.9).
    #[error("conflicting {0}")]
    Conflicting(Name<'static>),
    /// A header field that the proxy needs cannot be parsed.
    #[error("malformed {0}")]
    Malformed(Name<'static>),
    /// The Request-URI is none, or holds what none may hold (RFC 3261 19.1.1: headers).
    #[error("malformed Request-URI")]
    RequestUri,
    /// CSeq names another method than the request line.
    #[error("CSeq method does not match")]
    CSeqMethod,
    /// Content-Length is more than there is (RFC 3261 18.3).
    #[error("Content-Length {declared}, body of {present}")]
    BodyTooShort {
        /// The length declared.
        declared: u64,
        /// The octets there are.
        present: usize,
    },
}

impl Defect {
    /// The status to answer a request with: 400, 505 or 513.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooManyFields { .. } => 513,
            Self::Version => 505,
            Self::StartLine
            | Self::Status
            | Self::LineEnd
            | Self::HeaderLine { .. }
            | Self::Unfinished
            | Self::Missing(_)
            | Self::Conflicting(_)
            | Self::Malformed(_)
            | Self::RequestUri
            | Self::CSeqMethod
            | Self::BodyTooShort { .. } => 400,
        }
    }

    /// A reason phrase that says what is wrong (RFC 3261 21.4.1), for instance `Missing Call-ID`.
    pub fn reason(&self) -> String {
        match self {
            Self::TooLarge { .. } => "Message Too Large".into(),
            Self::TooManyFields { .. } => "Too Many Header Fields".into(),
            Self::StartLine => "Malformed Start Line".into(),
            Self::Version => "Version Not Supported".into(),
            Self::Status => "Status Out Of Range".into(),
            Self::LineEnd => "Line End Other Than CRLF".into(),
            Self::HeaderLine { .. } => "Malformed Header Line".into(),
            Self::Unfinished => "Header Section Without End".into(),
            Self::Missing(name) => format!("Missing {name}"),
            Self::Conflicting(name) => format!("Conflicting {name}"),
            Self::Malformed(name) => format!("Malformed {name}"),
            Self::RequestUri => "Malformed Request-URI".into(),
            Self::CSeqMethod => "CSeq Method Does Not Match".into(),
            Self::BodyTooShort { .. } => "Content-Length Exceeds Body".into(),
        }
    }
}

/// Fields of which a message has one.
const SINGLE: [Name<'static>; 5] = [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards];

/// What is wrong with a message whose structure is sound.
pub(super) fn check(message: &Message) -> Result<(), Defect> {
    if message.is_request() {
        check_request_uri(message.request_uri())?;
    }
    check_single_fields(message)?;
    check_via(message)?;
    for name in [Name::From, Name::To] {
        check_address(message, name)?;
    }
    if message.call_id().is_empty() {
        return Err(Defect::Missing(Name::CallId));
    }
    check_cseq(message)?;
    if message.is_request() { check_max_forwards(message) } else { Ok(()) }
}

/// An unknown scheme is sound here: 416 is for who cannot route it. Headers in a Request-URI are not (RFC 4475 3.1.2.11).
pub(super) fn check_request_uri(uri: &[u8]) -> Result<(), Defect> {
    match Uri::parse(uri) {
        Some(uri) if uri.headers().is_none() => Ok(()),
        _ => Err(Defect::RequestUri),
    }
}

fn check_single_fields(message: &Message) -> Result<(), Defect> {
    let mut seen: [Option<&Entry>; SINGLE.len()] = [None; SINGLE.len()];
    for entry in message.entries() {
        let Some((first, name)) = seen.iter_mut().zip(SINGLE).find(|(_, name)| entry.is(*name)) else { continue };
        match first {
            Some(first) if first.value(message.bytes()) != entry.value(message.bytes()) => return Err(Defect::Conflicting(name)),
            Some(_) => {}
            None => *first = Some(entry),
        }
    }
    Ok(())
}

/// The topmost Via, which decides where the response goes. Those below are carried, not read.
fn check_via(message: &Message) -> Result<(), Defect> {
    match message.top_via() {
        Some(via) if via.is_well_formed() => Ok(()),
        None if !message.has(&Name::Via) => Err(Defect::Missing(Name::Via)),
        _ => Err(Defect::Malformed(Name::Via)),
    }
}

/// From and To: copied into responses and asked for their tags. In a response they only have to be there.
fn check_address(message: &Message, name: Name<'static>) -> Result<(), Defect> {
    let value = message.field(&name).ok_or(Defect::Missing(name))?;
    let sound = match message.is_request() {
        true => NameAddr::parse(value).is_some_and(|address| Uri::parse(address.uri()).is_some()),
        false => !value.is_empty(),
    };
    if sound { Ok(()) } else { Err(Defect::Malformed(name)) }
}

fn check_cseq(message: &Message) -> Result<(), Defect> {
    let (_number, method) = match message.cseq() {
        Some(cseq) => cseq,
        None if message.has(&Name::CSeq) => return Err(Defect::Malformed(Name::CSeq)),
        None => return Err(Defect::Missing(Name::CSeq)),
    };
    if message.is_request() && method != message.method() {
        return Err(Defect::CSeqMethod);
    }
    Ok(())
}

/// RFC 3261 20.22: 0 to 255. Absent is legal: RFC 2543 had no such field everywhere.
fn check_max_forwards(message: &Message) -> Result<(), Defect> {
    match message.max_forwards() {
        None if message.has(&Name::MaxForwards) => Err(Defect::Malformed(Name::MaxForwards)),
        Some(256..) => Err(Defect::Malformed(Name::MaxForwards)),
        _ => Ok(()),
    }
}

/// `number method`, the number up to 2^32-1: RFC 3261 8.1.1.5 allows half of that, but a larger one can still be carried.
pub(super) fn cseq(value: &[u8]) -> Option<(u32, Method<'_>)> {
    let (number, rest) = super::grammar::split_at_first(value, |o| !o.is_ascii_digit());
    let method = trim(rest);
    (is_token(method) && !rest.first().copied().is_some_and(is_token_octet)).then_some(())?;
    Some((u32::try_from(super::grammar::decimal(number)?).ok()?, Method::new(method)))
}
