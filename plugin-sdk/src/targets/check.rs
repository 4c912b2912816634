//! Checks of single values, each naming the key it was given under.

use std::fmt::Display;

use crate::{Error, Result};

pub(super) fn check_uri(uri: &str, schemes: &[&str], key: impl Display) -> Result<()> {
    let scheme = uri.split_once(':').filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))) {
        let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}:")).collect();
        return Err(Error::new(format_args!("{key}: expected a URI that begins with {}, not \"{uri}\"", known.join(" or "))));
    }
    if uri.bytes().any(|b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b)) {
        return Err(Error::new(format_args!("{key}: a URI has no spaces, quotes or angle brackets: \"{uri}\"")));
    }
    Ok(())
}

/// Whether the text names a transport; the error names the key.
pub fn check_transport(transport: &str, key: impl Display) -> Result<()> {
    if ["udp", "tcp", "tls", "ws", "wss"].contains(&transport) {
        return Ok(());
    }
    Err(Error::new(format_args!("{key}: expected udp, tcp, tls, ws or wss, not \"{transport}\"")))
}

pub(super) fn check_timeout(ms: u32, key: impl Display) -> Result<()> {
    if ms > 0 { Ok(()) } else { Err(Error::new(format_args!("{key}: a timeout of 0 would try nothing"))) }
}

/// Whether the text is a list of final statuses and classes, like `408 5xx`; the error names the key.
pub fn check_status_list(text: &str, key: impl Display) -> Result<()> {
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let class = match word.strip_suffix("xx") {
            Some(class) => class.parse().ok(),
            None => word.parse().ok().map(|status: u16| status / 100),
        };
        let fault = match class {
            Some(3..=5) => continue,
            Some(6) => "always ends the search (RFC 3261 16.7)",
            Some(_) | None => "is none",
        };
        return Err(Error::new(format_args!("{key}: expected statuses and classes of 300 to 599, like \"408 5xx\"; \"{word}\" {fault}")));
    }
    Ok(())
}

/// Whether a host is the one of a pattern: the same name in any case, or, for `*.example.com`, one below it.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .filter(|at| *at > 0)
            .and_then(|at| host.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        None => host.eq_ignore_ascii_case(pattern),
    }
}
