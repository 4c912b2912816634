//! Edits that a plugin asks for, checked: nothing of the proxy's own, nothing that would end a line early.

use bytes::Bytes;
use jackfield_proto::message::Name;
use jackfield_proto::proxy::Edit;

use super::bindings::types;

/// Edits in one list.
const EDITS_MAX: usize = 64;
/// Octets of one value.
const VALUE_MAX: usize = 8192;

/// Why a decision is invalid, for the operator and the author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("{what} contains a line break or another control character: {value:?}")]
    Control { what: &'static str, value: String },
    #[error("{what} has {length} octets, at most {max} are allowed")]
    TooLong { what: &'static str, length: usize, max: usize },
    #[error("there are {count} {what}, at most {max} are allowed")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("{0:?} is no name of a header field")]
    HeaderName(String),
    #[error("the header field {0} is the proxy's own and cannot be edited")]
    Protected(String),
    #[error("{0:?} cannot be a URI parameter; octets that a URI does not allow are written as %XX")]
    UriParam(String),
    #[error("{what} is no URI: {value:?}")]
    Uri { what: &'static str, value: String },
    #[error("{what} has to be a sip or sips URI: {value:?}")]
    NotSip { what: &'static str, value: String },
    #[error("a reply cannot have the status {0}; 200 to 699 are possible")]
    Status(u16),
    #[error("an INVITE cannot be answered with {0} by a plugin: nobody would be at the other end")]
    SuccessToInvite(u16),
    #[error("{0} cannot be answered")]
    Unanswerable(String),
    #[error("a request in a dialog goes where its route set says; only next, reply and drop are possible")]
    InDialog,
    #[error("the plan has no target")]
    NoTarget,
    #[error("there is no listener `{name}`; the configuration has {known}")]
    Egress { name: String, known: String },
    #[error("there is no trunk `{name}`; the configuration has {known}")]
    Trunk { name: String, known: String },
    #[error("there is no media profile `{name}`; write relay, direct or a profile of the configuration, which has {known}")]
    Media { name: String, known: String },
    #[error("a target that names a trunk has {0} as well; that is the trunk's to say")]
    BesideTrunk(&'static str),
    #[error("the option `{0}` is not known")]
    Option(String),
    #[error("the option `{key}` cannot be {value:?}; {expected}")]
    OptionValue { key: &'static str, value: String, expected: &'static str },
    #[error("a timeout of 0 ms leaves no time to answer")]
    NoTime,
    #[error("a 2xx to INVITE cannot be replaced: the callee is up")]
    ReplacedSuccess,
}

/// Without control characters (CR, LF and NUL among them) and not too long. A TAB is whitespace and passes.
pub(super) fn checked(what: &'static str, value: String) -> Result<Bytes, Invalid> {
    if value.len() > VALUE_MAX {
        return Err(Invalid::TooLong { what, length: value.len(), max: VALUE_MAX });
    }
    if value.bytes().any(|octet| octet != b'\t' && octet.is_ascii_control()) {
        return Err(Invalid::Control { what, value: value.chars().take(80).collect() });
    }
    Ok(Bytes::from(value))
}

/// At most this many.
pub(super) fn bounded(what: &'static str, count: usize, max: usize) -> Result<(), Invalid> {
    if count > max { Err(Invalid::TooMany { what, count, max }) } else { Ok(()) }
}

/// The edits of a request.
pub(super) fn request_edits(edits: Vec<types::Edit>) -> Result<Vec<Edit>, Invalid> {
    bounded("edits", edits.len(), EDITS_MAX)?;
    edits.into_iter().map(edit).collect()
}

/// The edits of a response, which has no Request-URI.
pub(super) fn response_edits(edits: Vec<types::Edit>) -> Result<Vec<Edit>, Invalid> {
    match edits.iter().find_map(|edit| if let types::Edit::UriParam((name, _)) = edit { Some(name) } else { None }) {
        Some(name) => Err(Invalid::UriParam(name.clone())),
        None => request_edits(edits),
    }
}

fn edit(edit: types::Edit) -> Result<Edit, Invalid> {
    Ok(match edit {
        types::Edit::Add(field) => Edit::Add(header_name(field.name)?, checked("a header value", field.value)?),
        types::Edit::Set(field) => Edit::Set(header_name(field.name)?, checked("a header value", field.value)?),
        types::Edit::Remove(name) => Edit::Remove(header_name(name)?),
        types::Edit::UriParam((name, Some(value))) => {
            Edit::SetUriParam(uri_token(name, Empty::Refused)?, uri_token(value, Empty::Allowed)?)
        }
        types::Edit::UriParam((name, None)) => Edit::RemoveUriParam(uri_token(name, Empty::Refused)?),
    })
}

/// A name that a plugin may edit.
pub(super) fn header_name(name: String) -> Result<Bytes, Invalid> {
    let token = |octet: u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        return Err(Invalid::HeaderName(name.chars().take(80).collect()));
    }
    let protected = matches!(
        Name::from_bytes(name.as_bytes()),
        Name::Via
            | Name::Route
            | Name::RecordRoute
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::MaxForwards
            | Name::ContentLength
    );
    if protected { Err(Invalid::Protected(name)) } else { Ok(Bytes::from(name)) }
}

enum Empty {
    Allowed,
    Refused,
}

/// `pname` or `pvalue` (RFC 3261 25.1).
fn uri_token(text: String, empty: Empty) -> Result<Bytes, Invalid> {
    let valid = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()%[]/:&+$".contains(&octet);
    let refused = (text.is_empty() && matches!(empty, Empty::Refused)) || text.len() > VALUE_MAX || !text.bytes().all(valid);
    if refused { Err(Invalid::UriParam(text.chars().take(80).collect())) } else { Ok(Bytes::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(name: &str, value: &str) -> Result<Vec<Edit>, Invalid> {
        request_edits(vec![types::Edit::Add(types::NameValue { name: name.into(), value: value.into() })])
    }

    #[test]
    fn headers_of_the_proxy_are_refused_in_every_spelling() {
        for name in [
            "Via",
            "v",
            "V",
            "ROUTE",
            "Record-Route",
            "from",
            "F",
            "To",
            "t",
            "Call-ID",
            "i",
            "CSeq",
            "max-forwards",
            "Content-Length",
            "l",
        ] {
            assert_eq!(add(name, "x"), Err(Invalid::Protected(name.into())), "{name}");
            assert_eq!(request_edits(vec![types::Edit::Remove(name.into())]), Err(Invalid::Protected(name.into())));
        }
        for name in ["X-Account", "Contact", "P-Asserted-Identity", "Subject", "s", "vi"] {
            assert!(add(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn nothing_can_end_a_line_early() {
        for value in ["a\r\nVia: x", "a\nb", "a\rb", "a\0b", "\u{b}"] {
            assert!(matches!(add("X", value), Err(Invalid::Control { .. })), "{value:?}");
        }
        for name in ["", "X:", "X Y", "X\r\n", "X\u{e4}", "X,Y", "\"X\""] {
            assert_eq!(add(name, "x"), Err(Invalid::HeaderName(name.into())), "{name:?}");
        }
        assert_eq!(add("X", "tab\tand ümlaut"), Ok(vec![Edit::Add("X".into(), "tab\tand ümlaut".into())]));
        assert!(matches!(add("X", &"x".repeat(VALUE_MAX + 1)), Err(Invalid::TooLong { .. })));
        assert!(matches!(request_edits(vec![types::Edit::Remove("X".into()); 65]), Err(Invalid::TooMany { .. })));
    }

    #[test]
    fn uri_parameters_stay_inside_of_the_uri() {
        let param = |name: &str, value: Option<&str>| {
            request_edits(vec![types::Edit::UriParam((name.into(), value.map(Into::into)))]).map(|mut edits| edits.remove(0))
        };
        assert_eq!(param("transport", Some("tcp")), Ok(Edit::SetUriParam("transport".into(), "tcp".into())));
        assert_eq!(param("lr", Some("")), Ok(Edit::SetUriParam("lr".into(), Bytes::new())));
        assert_eq!(param("lr", None), Ok(Edit::RemoveUriParam("lr".into())));
        for (name, value) in [("", "x"), ("a;b", "x"), ("a", "x;y"), ("a", "x?h=1"), ("a", "x>"), ("a", "x y"), ("a=b", "x"), ("a", "\r")] {
            assert!(matches!(param(name, Some(value)), Err(Invalid::UriParam(_))), "{name} {value}");
        }
        assert!(matches!(response_edits(vec![types::Edit::UriParam(("a".into(), None))]), Err(Invalid::UriParam(_))));
    }
}
