//! Hosts as they are written in the configuration.

use std::net::IpAddr;

use jackfield_proto::message::host_address;

/// A host as SIP writes it (RFC 3261 25.1), in lower case with IPv6 in brackets; none if it is no host. An underscore passes:
/// names inside of a network have it, and no resolver minds.
pub(super) fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = host_address(text.as_bytes()) {
        return Some(match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        });
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // A last label of digits only would be a mistyped IPv4 address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (name.len() <= 253 && !numeric && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

/// `host[:port]`, as it may stand in a Via; none if it is not that.
pub(super) fn parse_sent_by(text: &str) -> Option<String> {
    let colon_after_host = text.rfind(':').filter(|colon| !text.get(*colon..).unwrap_or_default().contains(']'));
    match colon_after_host {
        Some(colon) if text.starts_with('[') || text.matches(':').count() == 1 => {
            let (host, port) = (text.get(..colon)?, text.get(colon + 1..)?);
            let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
            Some(format!("{}:{port}", parse_host(host)?))
        }
        _ => parse_host(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_sent_by() {
        for (text, host, sent_by) in [
            ("Example.TEST", Some("example.test"), Some("example.test")),
            ("192.0.2.1", Some("192.0.2.1"), Some("192.0.2.1")),
            ("::1", Some("[::1]"), Some("[::1]")),
            ("[::1]", Some("[::1]"), Some("[::1]")),
            ("[::1]:5070", None, Some("[::1]:5070")),
            ("pbx_1.lan:5070", None, Some("pbx_1.lan:5070")),
            ("pbx:0", None, None),
            ("pbx:port", None, None),
            ("sip:pbx", None, None),
            ("192.0.2.256", None, None),
            ("-a.test", None, None),
            ("a..b", None, None),
            ("", None, None),
            ("*.example.test", None, None),
        ] {
            assert_eq!(parse_host(text).as_deref(), host, "host {text}");
            assert_eq!(parse_sent_by(text).as_deref(), sent_by, "sent-by {text}");
        }
    }
}
