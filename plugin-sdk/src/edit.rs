//! Changes of the message that is forwarded.

/// One change of the request or response that is forwarded; a list of them is applied in order.
///
/// Via, Route, Record-Route, From, To, Call-ID, CSeq, Max-Forwards and Content-Length are the proxy's: a decision that edits one of
/// them is refused, and so is a value with CR, LF or another control character but TAB in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Append one header field: name, value.
    Add(String, String),
    /// Replace every header field of that name by one.
    Set(String, String),
    /// Remove every header field of that name.
    Remove(String),
    /// Set a parameter of the Request-URI; an empty value makes a flag (`;lr`).
    SetUriParam(String, String),
    /// Remove a parameter of the Request-URI.
    RemoveUriParam(String),
}

impl Edit {
    /// Append one header field.
    pub fn add(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Add(name.into(), value.into())
    }

    /// Replace every header field of that name by one.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Set(name.into(), value.into())
    }

    /// Remove every header field of that name.
    pub fn remove(name: impl Into<String>) -> Self {
        Self::Remove(name.into())
    }

    /// Set a parameter of the Request-URI.
    pub fn set_uri_param(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::SetUriParam(name.into(), value.into())
    }

    /// Remove a parameter of the Request-URI.
    pub fn remove_uri_param(name: impl Into<String>) -> Self {
        Self::RemoveUriParam(name.into())
    }

    /// Why the host would refuse this edit; `None` if it would not. For plugins that take edits from their configuration: refuse them
    /// there, where the operator sees it, rather than at the first call.
    pub fn refusal(&self) -> Option<String> {
        let (name, value) = match self {
            Self::Add(name, value) | Self::Set(name, value) => (name, value.as_str()),
            Self::Remove(name) => (name, ""),
            Self::SetUriParam(name, value) => return uri_param_refusal(name, value),
            Self::RemoveUriParam(name) => return uri_param_refusal(name, ""),
        };
        if !is_token(name) || name.len() > NAME_MAX {
            return Some(format!("\"{name}\" is not a header name"));
        }
        if PROXY_OWNED.iter().any(|owned| owned.eq_ignore_ascii_case(name)) {
            return Some(format!("{name} belongs to the proxy and cannot be edited"));
        }
        if has_control(value) {
            return Some(format!("the value of {name} holds a line break or another control character"));
        }
        too_long(name, value)
    }
}

/// Octets of a header field's name.
const NAME_MAX: usize = 128;
/// Octets of a value.
pub(crate) const VALUE_MAX: usize = 8192;

/// Whether there is a control character in it. A TAB is whitespace and passes.
pub(crate) fn has_control(text: &str) -> bool {
    text.bytes().any(|octet| octet != b'\t' && octet.is_ascii_control())
}

fn too_long(name: &str, value: &str) -> Option<String> {
    (value.len() > VALUE_MAX).then(|| format!("the value of {name} has {} octets, at most {VALUE_MAX} are possible", value.len()))
}

/// The header fields that only the proxy writes, with their compact forms (RFC 3261 7.3.3).
const PROXY_OWNED: [&str; 14] =
    ["Via", "v", "Route", "Record-Route", "From", "f", "To", "t", "Call-ID", "i", "CSeq", "Max-Forwards", "Content-Length", "l"];

/// RFC 3261 25.1: token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

fn uri_param_refusal(name: &str, value: &str) -> Option<String> {
    // RFC 3261 25.1: paramchar is unreserved, escaped or one of []/:&+$.
    let written = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()%[]/:&+$".contains(&b));
    if name.is_empty() || name.len() > VALUE_MAX || !written(name) {
        return Some(format!("\"{name}\" is not the name of a URI parameter"));
    }
    if !written(value) {
        return Some(format!("the value of URI parameter {name} needs %-escapes: \"{value}\""));
    }
    too_long(name, value)
}
