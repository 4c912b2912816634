//! The question whether an address that has failed is back: an OPTIONS of our own (RFC 3261 11). Whatever it is answered, somebody is there;
//! the transaction is none of the core's, and its answer is recognised by where it comes from.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::net::{Listener, Path, Transport};

/// The OPTIONS for a path. `peer` is the domain that a secure connection has to prove, and `serial` a number that no other probe has: both
/// ends of the transaction and its call are made of it.
pub fn probe(listener: &Listener, path: &Path, peer: Option<&str>, serial: u64) -> Bytes {
    let host = match (peer, path.remote.ip()) {
        (Some(domain), _) if domain.parse::<std::net::IpAddr>().is_err() => domain.to_owned(),
        (_, std::net::IpAddr::V4(ip)) => ip.to_string(),
        (_, std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
    };
    let transport = if path.transport == Transport::Udp { String::new() } else { format!(";transport={}", path.transport) };
    let uri = format!("sip:{host}:{}{transport}", path.remote.port());
    let (via, sent_by) = (path.transport.via_name(), &listener.sent_by);
    let mut text = format!("OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {sent_by};branch=z9hG4bKjp{serial:016x};rport\r\n");
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "Max-Forwards: 70\r\nFrom: <sip:{sent_by}>;tag=jp{serial:x}\r\nTo: <{uri}>\r\nCall-ID: jp{serial:016x}\r\nCSeq: 1 OPTIONS\r\n\
         Accept: application/sdp\r\nContent-Length: 0\r\n\r\n"
    );
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Framing, Limits, Message, Method, Uri};
    use crate::net::{ListenerId, ListenerState, Over};

    /// RFC 3261 8.1.1: the fields that every request has.
    #[test]
    fn a_probe_is_a_request_to_the_address_it_asks_about() {
        for (remote, transport, peer, uri) in [
            ("192.0.2.7:5060", Transport::Udp, None, "sip:192.0.2.7:5060"),
            ("[2001:db8::7]:5070", Transport::Tcp, None, "sip:[2001:db8::7]:5070;transport=tcp"),
            ("192.0.2.7:5061", Transport::Tls, Some("provider.test"), "sip:provider.test:5061;transport=tls"),
            ("[2001:db8::7]:5061", Transport::Tls, Some("2001:db8::7"), "sip:[2001:db8::7]:5061;transport=tls"),
        ] {
            let address = "192.0.2.1:5060".parse().unwrap();
            let listener = Listener { name: "lan".into(), transport, address, sent_by: "sbc.test:5060".into(), state: ListenerState::Open };
            let path = Path { transport, listener: ListenerId(0), remote: remote.parse().unwrap(), over: Over::Any };
            let probe = Message::parse(probe(&listener, &path, peer, 7), Framing::Datagram, &Limits::default()).unwrap();
            assert_eq!((probe.defect(), probe.method(), probe.request_uri()), (None, Method::OPTIONS, uri.as_bytes()));
            assert!(Uri::parse(probe.request_uri()).is_some());
            assert_eq!(probe.top_via().unwrap().transport_name(), transport.via_name().as_bytes());
        }
    }
}
