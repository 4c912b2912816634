//! Hosts and proxies as the document writes them.

use std::net::IpAddr;
use std::sync::Arc;

use jackfield_proto::message::{Uri, host_address, uri_with_param};
use jackfield_proto::net::Transport;

/// A proxy that requests for a provider go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// As it is written.
    pub written: Arc<str>,
    /// The URI for the route set. It has `lr` in any case: nobody who writes down a proxy means a strict router (RFC 3261 16.4).
    pub uri: Arc<str>,
    /// The host alone, in lower case.
    pub host: Arc<str>,
}

/// What an option says that belongs into the URI of the proxy, or has to agree with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) port: Option<u16>,
    pub(super) transport: Option<Transport>,
}

/// `host`, `host:port`, or a SIP URI.
pub(super) fn proxy(text: &str, said: Said) -> Result<Proxy, String> {
    let advice = "write it like \"proxy.example.com\", \"192.0.2.1:5070\" or \"sip:proxy.example.com;transport=tcp\"";
    let no_proxy = || format!("`{text}` is no host and no SIP URI; {advice}");
    let has_scheme =
        ["sip:", "sips:"].iter().any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let written = if has_scheme { text.to_owned() } else { format!("sip:{}", bracketed(text)) };
    let uri = Uri::parse(written.as_bytes()).ok_or_else(no_proxy)?;
    let host = std::str::from_utf8(uri.host()).ok().and_then(self::host).ok_or_else(no_proxy)?;
    if !has_scheme && (uri.user().is_some() || uri.params().next().is_some()) {
        return Err(no_proxy());
    }
    if uri.headers().is_some() {
        return Err(format!("`{text}` has header fields behind `?`, which a route cannot have (RFC 3261 19.1.1)"));
    }
    if uri.port() == Some(0) {
        return Err(format!("`{text}` has port 0; write a number from 1 to 65535"));
    }
    agree(text, &uri, said)?;
    let with_port = match said.port.filter(|_| uri.port().is_none()) {
        Some(port) => insert_port(&uri, port),
        None => written.clone(),
    };
    let loose = uri_with_param(with_port.as_bytes(), b"lr", None);
    let uri = String::from_utf8(loose.to_vec()).map_err(|_| no_proxy())?;
    Ok(Proxy { written: text.into(), uri: uri.into(), host: host.into() })
}

/// The options and the URI must not contradict each other: one of them would be lost in silence.
fn agree(text: &str, uri: &Uri<'_>, said: Said) -> Result<(), String> {
    if let (Some(option), Some(port)) = (said.port, uri.port())
        && option != port
    {
        return Err(format!("`{text}` has port {port}, and the options say port={option}; remove one of them"));
    }
    let written = uri.param(b"transport").flatten();
    if let (Some(option), Some(written)) = (said.transport, written)
        && !written.eq_ignore_ascii_case(option.uri_name().as_bytes())
    {
        let written = String::from_utf8_lossy(written);
        return Err(format!("`{text}` has transport={written}, and the options say transport={option}; remove one of them"));
    }
    let plain = matches!(said.transport, Some(Transport::Udp | Transport::Ws));
    if uri.is_sips() && plain {
        return Err(format!("`{text}` wants TLS on every hop (RFC 3261 19.1), and the options say another transport; remove one of them"));
    }
    Ok(())
}

/// The port goes behind the host, in front of what follows it.
fn insert_port(uri: &Uri<'_>, port: u16) -> String {
    let text = String::from_utf8_lossy(uri.as_bytes());
    let user = uri.user().map_or(0, |_| text.find('@').map_or(0, |at| at + 1));
    let behind = text.get(user..).and_then(|rest| rest.find([';', '?'])).map_or(text.len(), |at| user + at);
    let (address, rest) = text.split_at_checked(behind).unwrap_or((&text, ""));
    format!("{address}:{port}{rest}")
}

/// An IPv6 address has brackets in a URI.
fn bracketed(text: &str) -> String {
    match host_address(text.as_bytes()) {
        Some(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => text.to_owned(),
    }
}

/// A host in lower case, IPv6 in brackets; none if it is no host. An underscore passes: names inside of a network have it.
pub(super) fn host(text: &str) -> Option<String> {
    if let Some(address) = host_address(text.as_bytes()) {
        return Some(match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        });
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let word = |label: &str| label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
    let label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && word(label);
    // A last label of digits only would be a mistyped IPv4 address.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    (name.len() <= 253 && !numeric && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_becomes_a_loose_route() {
        let none = Said::default();
        let port = Said { port: Some(5070), ..none };
        let tcp = Said { transport: Some(Transport::Tcp), ..none };
        for (text, said, uri, host) in [
            (
                "csphost01-ifens5.cs-proxy.service.pascom",
                tcp,
                "sip:csphost01-ifens5.cs-proxy.service.pascom;lr",
                "csphost01-ifens5.cs-proxy.service.pascom",
            ),
            ("Proxy.example:5070", none, "sip:Proxy.example:5070;lr", "proxy.example"),
            ("Proxy.example:5070", port, "sip:Proxy.example:5070;lr", "proxy.example"),
            ("192.0.2.1", port, "sip:192.0.2.1:5070;lr", "192.0.2.1"),
            ("2001:db8::1", port, "sip:[2001:db8::1]:5070;lr", "[2001:db8::1]"),
            ("[2001:db8::1]:5080", none, "sip:[2001:db8::1]:5080;lr", "[2001:db8::1]"),
            ("sip:a;lr", none, "sip:a;lr", "a"),
            ("SIPS:a:5061;x=y", none, "SIPS:a:5061;x=y;lr", "a"),
            (
                "sip:me;p=1@a;transport=TCP",
                Said { transport: Some(Transport::Tcp), port: Some(5070) },
                "sip:me;p=1@a:5070;transport=TCP;lr",
                "a",
            ),
        ] {
            let found = proxy(text, said).unwrap();
            assert_eq!((&*found.written, &*found.uri, &*found.host), (text, uri, host));
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        let none = Said::default();
        for (text, said, part) in [
            ("a b", none, "is no host"),
            ("", none, "is no host"),
            ("sip:", none, "is no host"),
            ("http://a", none, "is no host"),
            ("tel:+49", none, "is no host"),
            ("a;lr", none, "is no host"),
            ("me@a", none, "is no host"),
            ("a:port", none, "is no host"),
            ("192.0.2.256", none, "is no host"),
            ("a:0", none, "has port 0"),
            ("sip:a?X=y", none, "behind `?`"),
            ("sip:a>", none, "is no host"),
            ("a:5060", Said { port: Some(5070), ..none }, "has port 5060, and the options say port=5070"),
            (
                "sip:a;transport=tls",
                Said { transport: Some(Transport::Tcp), ..none },
                "has transport=tls, and the options say transport=tcp",
            ),
            ("sips:a", Said { transport: Some(Transport::Udp), ..none }, "wants TLS"),
        ] {
            let fault = proxy(text, said).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
