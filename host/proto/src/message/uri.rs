//! URIs: `sip` and `sips` in their parts (RFC 3261 19.1), others as scheme and opaque part. Nothing is unescaped: what is compared with
//! what, and how, is the business of whoever compares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use memchr::memchr;

use super::grammar::{Class, decimal, head, skip, split, split_at_first};
use super::params::Params;

/// What may stand anywhere in a URI. More is forbidden by the grammar, but nothing of that can be misread.
pub(super) static URI: Class = Class::visible().without(b"<>\"");

static SCHEME: Class = Class::alphanumeric().with(b"+-.");

/// What may stand in a host that is no IPv6 reference. Names are not checked against the grammar of domain names; an underscore or an
/// umlaut is for the resolver to refuse.
static HOST: Class = Class::visible().without(b"\"(),/:;<>?@[\\]");

static IPV6: Class = Class::alphanumeric().with(b":.").without(b"ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ");

/// A URI, split but not copied.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    bytes: &'a [u8],
    scheme: &'a [u8],
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    host: &'a [u8],
    port: Option<u16>,
    opaque: &'a [u8],
    params: &'a [u8],
    headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// None if it is no URI: no scheme, no host in a SIP URI, a port that is none, whitespace, control characters, quotes or angle
    /// brackets anywhere. The inside of an IPv6 reference is not judged: RFC 5118 4.10 wants one with an extra colon to be carried.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = split(bytes, SCHEME.span(bytes));
        let rest = rest.strip_prefix(b":").filter(|rest| !rest.is_empty())?;
        if !scheme.first()?.is_ascii_alphabetic() || !URI.contains_all(rest) {
            return None;
        }
        let mut uri = Self { bytes, scheme, user: None, password: None, host: b"", port: None, opaque: b"", params: b"", headers: None };
        if uri.is_sip() || uri.is_sips() {
            uri.split_hierarchical(rest)?;
        } else {
            (uri.opaque, uri.params) = split_at_first(rest, |o| o == b';');
            (!uri.opaque.is_empty()).then_some(())?;
        }
        Some(uri)
    }

    fn split_hierarchical(&mut self, rest: &'a [u8]) -> Option<()> {
        let host_and_more = match user_end(rest) {
            Some(at) => {
                let (user, password) = split_at_first(head(rest, at), |o| o == b':');
                self.user = Some(user);
                self.password = password.get(1..);
                skip(rest, at + 1)
            }
            None => rest,
        };
        let (host, rest) = host(host_and_more)?;
        self.host = host;
        let rest = match rest.split_first() {
            Some((b':', port_and_more)) => {
                let (port, rest) = split_at_first(port_and_more, |o| matches!(o, b';' | b'?'));
                self.port = Some(u16::try_from(decimal(port)?).ok()?);
                rest
            }
            _ => rest,
        };
        if !matches!(rest.first(), None | Some(b';' | b'?')) {
            return None;
        }
        let (params, headers) = split_at_first(rest, |o| o == b'?');
        (self.params, self.headers) = (params, headers.get(1..));
        Some(())
    }

    /// The whole of it.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The scheme as it is spelled.
    pub fn scheme(&self) -> &'a [u8] {
        self.scheme
    }

    /// Whether the scheme is `sip`.
    pub fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"sip")
    }

    /// Whether the scheme is `sips`.
    pub fn is_sips(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"sips")
    }

    /// The user part without the password, escapes untouched; none if there is no `@`.
    pub fn user(&self) -> Option<&'a [u8]> {
        self.user
    }

    /// The password; none if there is none.
    pub fn password(&self) -> Option<&'a [u8]> {
        self.password
    }

    /// The host of a SIP URI, an IPv6 reference in its brackets; empty for other schemes.
    pub fn host(&self) -> &'a [u8] {
        self.host
    }

    /// The host as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_address(self.host)
    }

    /// The port; none where none is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Of a URI that is not SIP: what stands between scheme and parameters.
    pub fn opaque(&self) -> &'a [u8] {
        self.opaque
    }

    /// The URI parameters.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// A parameter by name, in any case: none if absent, none inside if it has no value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params().value(name)
    }

    /// The headers part, without the question mark; none if there is none.
    pub fn headers(&self) -> Option<&'a [u8]> {
        self.headers
    }

    fn with_params<'p>(&self, params: impl Iterator<Item = &'p [u8]>) -> Bytes {
        let tail = self.headers.map_or(0, |headers| headers.len() + 1);
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        out.extend_from_slice(head(self.bytes, self.bytes.len() - tail - self.params.len()));
        for param in params {
            out.push(b';');
            out.extend_from_slice(param);
        }
        out.extend_from_slice(skip(self.bytes, self.bytes.len() - tail));
        Bytes::from(out)
    }
}

/// Where the `@` behind the user part is. An unescaped `@` inside the user part is against the grammar but met in the wild: of several
/// before the host's end the last one counts. One behind the host, in the parameters or headers, does not.
fn user_end(rest: &[u8]) -> Option<usize> {
    let first = memchr(b'@', rest)?;
    let (host, _) = split_at_first(skip(rest, first + 1), |o| matches!(o, b';' | b'?'));
    Some(host.iter().rposition(|o| *o == b'@').map_or(first, |further| first + 1 + further))
}

/// Splits off a host: an IPv6 reference, or a name or IPv4 address.
pub(super) fn host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match text.strip_prefix(b"[") {
        Some(inside) => {
            let length = IPV6.span(inside);
            (length > 0 && inside.get(length) == Some(&b']')).then_some(length + 2)?
        }
        None => HOST.span(text),
    };
    (length > 0).then(|| split(text, length))
}

/// The address that a host is; none if it is a name. An IPv6 address has brackets in a URI, and may have none in a parameter.
pub fn host_address(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4).or_else(|| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)),
    }
}

/// The URI with this parameter: in the place of one of that name, else behind the others, in any case before `?headers`. What is no URI
/// comes back as it is.
pub fn uri_with_param(uri: &[u8], name: &[u8], value: Option<&[u8]>) -> Bytes {
    let Some(parsed) = Uri::parse(uri) else { return Bytes::copy_from_slice(uri) };
    let mut param = name.to_vec();
    if let Some(value) = value {
        param.push(b'=');
        param.extend_from_slice(value);
    }
    let present = parsed.param(name).is_some();
    let mut first = true;
    let params = parsed.params().filter_map(|p| match p.name.eq_ignore_ascii_case(name) {
        true => std::mem::take(&mut first).then_some(param.as_slice()),
        false => Some(p.raw),
    });
    parsed.with_params(params.chain((!present).then_some(param.as_slice())))
}

/// The URI without the parameters of this name. What is no URI comes back as it is.
pub fn uri_without_param(uri: &[u8], name: &[u8]) -> Bytes {
    match Uri::parse(uri) {
        Some(parsed) => parsed.with_params(parsed.params().filter(|p| !p.name.eq_ignore_ascii_case(name)).map(|p| p.raw)),
        None => Bytes::copy_from_slice(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scheme, user, password, host, port, params, headers
    type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a str, Option<u16>, usize, Option<&'a str>);

    fn parts(text: &str) -> Option<Parts<'_>> {
        let text_of = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap();
        let uri = Uri::parse(Box::leak(text.as_bytes().to_vec().into_boxed_slice()))?;
        Some((
            text_of(uri.scheme()),
            uri.user().map(text_of),
            uri.password().map(text_of),
            text_of(uri.host()),
            uri.port(),
            uri.params().count(),
            uri.headers().map(text_of),
        ))
    }

    #[test]
    fn sip_uris() {
        let table: &[(&str, Parts<'_>)] = &[
            ("sip:example.com", ("sip", None, None, "example.com", None, 0, None)),
            ("SIPS:a@example.com:5061", ("SIPS", Some("a"), None, "example.com", Some(5061), 0, None)),
            ("sip:a:b@h:1;x;y=z?q=r", ("sip", Some("a"), Some("b"), "h", Some(1), 2, Some("q=r"))),
            ("sip:user;par=u%40example.net@example.com", ("sip", Some("user;par=u%40example.net"), None, "example.com", None, 0, None)),
            ("sip:a?b/c@h", ("sip", Some("a?b/c"), None, "h", None, 0, None)),
            ("sip:alice@home@h;lr", ("sip", Some("alice@home"), None, "h", None, 1, None)),
            ("sip:a@h?Replaces=1@x", ("sip", Some("a"), None, "h", None, 0, Some("Replaces=1@x"))),
            ("sip:[2001:db8::10]:5070", ("sip", None, None, "[2001:db8::10]", Some(5070), 0, None)),
            ("sip:u@[2001:db8:::192.0.2.1];lr", ("sip", Some("u"), None, "[2001:db8:::192.0.2.1]", None, 1, None)),
            ("sip:@h", ("sip", Some(""), None, "h", None, 0, None)),
            ("sip:h;", ("sip", None, None, "h", None, 0, None)),
            ("sip:%00@h", ("sip", Some("%00"), None, "h", None, 0, None)),
        ];
        for (text, expected) in table {
            assert_eq!(parts(text).as_ref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_uri() {
        for text in [
            "",
            "sip:",
            "sip",
            "user@example.com",
            ":x",
            "1x:y",
            "sip:user@",
            "sip:h:port",
            "sip:h:65536",
            "sip:h:4294972356",
            "sip:h:",
            "sip:[::1",
            "sip:[]",
            "sip:[::1]x",
            "sip:2001:db8::10",
            "<sip:h>",
            "sip:a b@h",
            "sip:a\0@h",
            "sip:a\x7f@h",
            "sip:\"@h",
            "tel:",
            "tel:;a=b",
            "sip:?x=y",
            "sip:;lr",
            "sip:@",
        ] {
            assert!(Uri::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn other_schemes_are_opaque() {
        let tel = Uri::parse(b"tel:+49301;phone-context=example.test").unwrap();
        assert_eq!((tel.opaque(), tel.host(), tel.user()), (&b"+49301"[..], &b""[..], None));
        assert_eq!(tel.param(b"Phone-Context"), Some(Some(&b"example.test"[..])));
        assert_eq!(Uri::parse(b"urn:service:sos").unwrap().opaque(), b"service:sos");
        assert_eq!(Uri::parse(b"soap.beep://192.0.2.103:3002").unwrap().scheme(), b"soap.beep");
    }

    #[test]
    fn addresses() {
        let ip = |text: &'static str| Uri::parse(text.as_bytes()).unwrap().host_ip().map(|ip| ip.to_string());
        assert_eq!(ip("sip:a@192.0.2.1:5060"), Some("192.0.2.1".into()));
        assert_eq!(ip("sip:[2001:db8::1]"), Some("2001:db8::1".into()));
        assert_eq!(ip("sip:[2001:db8:::1]"), None);
        assert_eq!(ip("sip:example.com"), None);
    }

    #[test]
    fn parameters_are_set_and_removed_in_place() {
        for (uri, name, value, expected) in [
            ("sip:a@h", "lr", None, "sip:a@h;lr"),
            ("sip:a@h?x=y", "line", Some("1"), "sip:a@h;line=1?x=y"),
            ("sip:a@h;Transport=udp;x", "transport", Some("tcp"), "sip:a@h;transport=tcp;x"),
            ("sip:a;x=1@h;y", "x", Some("2"), "sip:a;x=1@h;y;x=2"),
            ("sip:a@h;x=1;x=2", "x", Some("3"), "sip:a@h;x=3"),
            ("tel:+1;a=b", "c", Some("d"), "tel:+1;a=b;c=d"),
            ("no uri", "a", None, "no uri"),
        ] {
            assert_eq!(uri_with_param(uri.as_bytes(), name.as_bytes(), value.map(str::as_bytes)), expected, "{uri}");
        }
        assert_eq!(uri_without_param(b"sip:a@h;maddr=x;lr;MADDR=y?z", b"maddr"), "sip:a@h;lr?z");
        assert_eq!(uri_without_param(b"sip:a@h;lr", b"x"), "sip:a@h;lr");
    }
}
