//! The host of a URI that a plan names.

/// The host of a SIP URI; the whole rest for a URI without one. Brackets of an IPv6 reference stay.
pub(crate) fn host(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    // RFC 3261 25.1: the user part may hold `;` and `?`, so it goes first.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split([';', '?', '>']).next().unwrap_or_default();
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => rest,
    }
}

/// Whether the text is a host name, an address, or `*.` and the end of host names.
pub(crate) fn is_pattern(text: &str) -> bool {
    if text.starts_with('[') && text.ends_with(']') {
        return true;
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
