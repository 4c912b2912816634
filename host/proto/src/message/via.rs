//! Via (RFC 3261 20.42, 25.1; RFC 3581).

use std::net::IpAddr;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::grammar::{
    TOKEN, decimal, head, is_token, print, quoted_string, skip, slice, split, split_at_first, trim, trim_end, trim_start,
};
use super::params::Params;
use super::uri::{URI, host, host_address};

/// One Via value, split but not copied.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    bytes: &'a [u8],
    offset: usize,
    transport: &'a [u8],
    host: &'a [u8],
    port: Option<u16>,
    params: &'a [u8],
    /// None if it has not been looked for yet.
    branch: Option<Option<&'a [u8]>>,
}

/// Where a Via and its parts stand in a message. On its way through the proxy a message is asked for its top Via, and for the branch in
/// it, some five times.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViaIndex {
    start: u32,
    length: u16,
    transport: Part,
    host: Part,
    port: Option<u16>,
    params: u16,
    branch: Option<Part>,
}

/// A part of a Via: where in it that begins, and how long it is.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u16,
    length: u16,
}

impl Part {
    fn new(via: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(via.as_ptr().addr());
        Self { start: start as u16, length: part.len() as u16 }
    }

    fn of(self, via: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        slice(via, start..start + usize::from(self.length))
    }
}

impl ViaIndex {
    /// None if the Via is larger than can be counted here.
    pub(super) fn new(via: &Via<'_>) -> Option<Self> {
        let part = |part| Part::new(via.bytes, part);
        Some(Self {
            start: u32::try_from(via.offset).ok()?,
            length: u16::try_from(via.bytes.len()).ok()?,
            transport: part(via.transport),
            host: part(via.host),
            port: via.port,
            params: (via.bytes.len() - via.params.len()) as u16,
            branch: via.branch().map(part),
        })
    }

    /// The Via that stands there.
    pub(super) fn via(self, message: &[u8]) -> Via<'_> {
        let offset = self.start as usize;
        let bytes = slice(message, offset..offset + usize::from(self.length));
        Via {
            bytes,
            offset,
            transport: self.transport.of(bytes),
            host: self.host.of(bytes),
            port: self.port,
            params: skip(bytes, usize::from(self.params)),
            branch: Some(self.branch.map(|branch| branch.of(bytes))),
        }
    }
}

impl<'a> Via<'a> {
    /// One value; none if it has no sent-protocol or no sent-by. Whitespace is legal around every separator; the version is not judged
    /// (the start line's is), nor are the parameters ([`Via::is_well_formed`]): a request that is refused for them is still answered.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        Self::parse_at(bytes, 0)
    }

    pub(super) fn parse_at(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let lead = bytes.len() - trim_start(bytes).len();
        let (bytes, offset) = (trim(bytes), offset + lead);
        let (_name, rest) = token(bytes)?;
        let (_version, rest) = token(trim_start(rest).strip_prefix(b"/")?)?;
        let (transport, rest) = token(trim_start(rest).strip_prefix(b"/")?)?;
        let (host, rest) = host(trim_start(rest))?;
        let rest = trim_start(rest);
        let (port, rest) = match rest.strip_prefix(b":") {
            Some(port_and_more) => {
                let (port, rest) = split_at_first(port_and_more, |o| o == b';');
                (Some(u16::try_from(decimal(trim(port))?).ok()?), rest)
            }
            None => (None, rest),
        };
        matches!(rest.first(), None | Some(b';')).then_some(Self { bytes, offset, transport, host, port, params: rest, branch: None })
    }

    /// The whole value.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it stands in the message, for [`super::Splice::replace`].
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.bytes.len()
    }

    /// The transport as it is spelled.
    pub fn transport_name(&self) -> &'a [u8] {
        self.transport
    }

    /// The host of sent-by, an IPv6 reference in its brackets.
    pub fn host(&self) -> &'a [u8] {
        self.host
    }

    /// The host of sent-by as an address, if it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_address(self.host)
    }

    /// The port of sent-by; none where none is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch; none if there is none or it is empty.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch.unwrap_or_else(|| self.filled(b"branch"))
    }

    /// The address in `received`, with or without brackets (RFC 5118 4.5); none if it is no address.
    pub fn received(&self) -> Option<IpAddr> {
        host_address(self.filled(b"received")?)
    }

    /// `rport`: none if absent, none inside if it has no value (or one that is no port).
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.param(b"rport")?;
        Some(value.and_then(decimal).and_then(|port| u16::try_from(port).ok()))
    }

    /// The host in `maddr`.
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.filled(b"maddr")
    }

    /// All parameters.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// A parameter by name, in any case: none if absent, none inside if it has no value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params().value(name)
    }

    fn filled(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.param(name).flatten().filter(|value| !value.is_empty())
    }

    /// Whether the parameters are as the grammar has them: none empty, each name a token, quotes closed, nothing odd in the branch.
    pub fn is_well_formed(&self) -> bool {
        // Each parameter with its semicolon and the whitespace around it; without an empty one nothing but those is left over.
        let mut rest = self.params;
        for param in self.params() {
            let Some(at) = rest.strip_prefix(b";").map(trim_start).filter(|rest| rest.starts_with(param.raw)) else { return false };
            rest = trim_start(split(at, param.raw.len()).1);
            if !is_token(param.name) || !param.value.is_none_or(is_whole) {
                return false;
            }
        }
        rest.is_empty() && self.branch().is_none_or(|branch| URI.contains_all(branch))
    }

    /// The value as the next hop gets it (RFC 3261 18.2.1, RFC 3581 4): with this `received`, and with this port in `rport` if the client
    /// sent that parameter. A `received` that the client sent goes: only the server that got the request knows it.
    pub fn stamped(&self, received: Option<IpAddr>, port: Option<u16>) -> Bytes {
        // Put together on the stack, so that the one allocation has the right size.
        let mut out = SmallVec::<[u8; 256]>::new();
        out.extend_from_slice(trim_end(head(self.bytes, self.bytes.len() - self.params.len())));
        for param in self.params() {
            match port {
                _ if param.name.eq_ignore_ascii_case(b"received") => {}
                Some(port) if param.name.eq_ignore_ascii_case(b"rport") => print(&mut out, format_args!(";rport={port}")),
                _ => {
                    out.push(b';');
                    out.extend_from_slice(param.raw);
                }
            }
        }
        if let Some(address) = received {
            print(&mut out, format_args!(";received={address}"));
        }
        Bytes::copy_from_slice(&out)
    }
}

/// A token with whitespace before it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = trim_start(text);
    let (token, rest) = split(text, TOKEN.span(text));
    (!token.is_empty()).then_some((token, rest))
}

/// Whether a parameter value is one quoted string, or has no quote in it.
fn is_whole(value: &[u8]) -> bool {
    match value.first() {
        Some(b'"') => quoted_string(value) == Some(value.len()),
        _ => !value.contains(&b'"'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_with_whitespace_everywhere() {
        for text in [
            "SIP/2.0/UDP pc.example.test:5070;branch=z9hG4bK77;rport;maddr=192.0.2.9",
            "SIP / 2.0 / UDP    pc.example.test : 5070 ; branch = z9hG4bK77\t;  rport ;\r\n maddr\r\n =  192.0.2.9",
            "  sip/2.0\r\n /UDP\r\n   pc.example.test:5070;BRANCH=z9hG4bK77;Rport=;maddr=192.0.2.9 ",
        ] {
            let via = Via::parse(text.as_bytes()).unwrap();
            assert_eq!((via.transport_name(), via.host(), via.port()), (&b"UDP"[..], &b"pc.example.test"[..], Some(5070)), "{text}");
            assert_eq!((via.branch(), via.rport(), via.maddr()), (Some(&b"z9hG4bK77"[..]), Some(None), Some(&b"192.0.2.9"[..])), "{text}");
            assert!(via.is_well_formed(), "{text}");
            assert_eq!(&text.as_bytes()[via.range()], text.trim().as_bytes());
        }
    }

    #[test]
    fn hosts_and_received() {
        let via = Via::parse(b"SIP/2.0/UNKNOWN [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3-111").unwrap();
        assert_eq!((via.host(), via.port()), (&b"[2001:db8::9:1]"[..], Some(6050)));
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
        let via = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3").unwrap();
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok(), "RFC 5118 4.5: without the brackets too");
        assert_eq!(via.host_ip(), "2001:db8::9:1".parse().ok());
        let via = Via::parse(b"SIP/2.0/UDP h;received=;rport=99999;branch=").unwrap();
        assert_eq!((via.received(), via.rport(), via.branch()), (None, Some(None), None));
    }

    #[test]
    fn what_is_no_via() {
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/UDP h:port",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h x;branch=1",
            "SIP2.0/UDP h",
            "/2.0/UDP h",
            "SIP/2.0/UDP 2001:db8::1;branch=x",
            "SIP/2.0/UDP h, SIP/2.0/UDP i",
        ] {
            assert!(Via::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn odd_parameters_can_be_answered_but_are_not_well_formed() {
        for text in [
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDP h;;branch=z",
            "SIP/2.0/UDP h;a;;b",
            "SIP/2.0/UDP h;=x",
            "SIP/2.0/UDP h;branch=a b",
            "SIP/2.0/UDP h;x=\"open",
            "SIP/2.0/UDP h;x=\"a\"b",
            "SIP/2.0/UDP h;x=a\"b\"",
        ] {
            assert!(!Via::parse(text.as_bytes()).unwrap().is_well_formed(), "{text}");
        }
        assert!(Via::parse(b"SIP/2.0/UDP h;branch=z9hG4bK;x=\"a;;,b\"").unwrap().is_well_formed());
    }

    #[test]
    fn stamping() {
        let address = "192.0.2.7".parse().ok();
        for (text, received, port, expected) in [
            ("SIP/2.0/UDP h;branch=x", address, Some(5), "SIP/2.0/UDP h;branch=x;received=192.0.2.7"),
            ("SIP/2.0/UDP h;rport;branch=x", address, Some(5), "SIP/2.0/UDP h;rport=5;branch=x;received=192.0.2.7"),
            ("SIP/2.0/UDP h ; rport=9 ; received=1.2.3.4", None, Some(5), "SIP/2.0/UDP h;rport=5"),
            ("SIP/2.0/UDP h;branch=x", "2001:db8::1".parse().ok(), None, "SIP/2.0/UDP h;branch=x;received=2001:db8::1"),
        ] {
            assert_eq!(Via::parse(text.as_bytes()).unwrap().stamped(received, port), expected, "{text}");
        }
    }
}
