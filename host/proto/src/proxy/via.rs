//! The top Via of a request: what the receiver adds to it (RFC 3261 18.2.1, RFC 3581 4) and where responses go (18.2.2).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::nat;
use crate::message::{Message, Name, Value, Via, host_address};
use crate::net::{Flow, Over, Path, Transport};

/// The top Via with `received` and `rport` filled in; none if it needs neither.
pub(super) fn annotated<'m>(request: &'m Message, flow: &Flow) -> Option<(Value<'m>, Bytes)> {
    let value = request.values(&Name::Via).next()?;
    let via = request.top_via()?;
    let source = flow.remote.ip();
    // RFC 3581 4: with rport, received is added even if it says the same as the sent-by.
    let wants_rport = via.rport().is_some();
    let received = (wants_rport || via.host_ip() != Some(source)).then_some(source);
    let claims_received = via.param(b"received").is_some();
    let port = wants_rport.then_some(flow.remote.port());
    (received.is_some() || claims_received).then(|| (value, via.stamped(received, port)))
}

/// Where the responses to a request go. Over a stream that is its connection, and the sent-by when that has gone; over a WebSocket, or
/// to a client that does not know its own name (RFC 7118 5), there is nothing but what the request came over.
pub(super) fn reply_path(request: &Message, flow: &Flow) -> Path {
    let Flow { transport, listener, remote, connection } = *flow;
    let via = request.top_via();
    if has_no_address(transport, via.as_ref()) {
        return Path { transport, listener, remote, over: connection.map_or(Over::Any, Over::Only) };
    }
    let port = via.as_ref().and_then(|via| via.port()).filter(|port| *port != 0).unwrap_or(transport.default_port());
    let by_address = SocketAddr::new(remote.ip(), port);
    let remote = match &via {
        Some(via) if transport == Transport::Udp => match maddr(via) {
            Some(maddr) => SocketAddr::new(maddr, port),
            None if via.rport().is_some() => remote,
            None => by_address,
        },
        _ => by_address,
    };
    Path { transport, listener, remote, over: connection.into() }
}

/// Whether a client cannot be connected to, or said nothing about where.
fn has_no_address(transport: Transport, via: Option<&Via<'_>>) -> bool {
    matches!(transport, Transport::Ws | Transport::Wss) || via.is_some_and(|via| nat::is_invalid_name(via.host()))
}

/// Where [`stateless_reply_address`] will send the responses to a request, once its Via says where it came from. Over a stream with
/// `rport` that is the far end of the connection, by which the connection is found again.
pub(super) fn stateless_reply_to(request: &Message, flow: &Flow) -> SocketAddr {
    let path = reply_path(request, flow);
    let wants_rport = request.top_via().is_some_and(|via| via.rport().is_some());
    if wants_rport && flow.transport.is_reliable() { flow.remote } else { path.remote }
}

/// Where a response without a transaction goes: the Via below ours, which our stateless branch vouches for. None where it does not say: a
/// WebSocket cannot be opened to a client.
pub(super) fn stateless_reply_address(via: &Via<'_>) -> Option<SocketAddr> {
    let transport = Transport::from_name(via.transport_name())?;
    if has_no_address(transport, Some(via)) {
        return None;
    }
    let ip = via.received().or_else(|| via.host_ip())?;
    let port = via.rport().flatten().or_else(|| via.port()).unwrap_or(transport.default_port());
    Some(SocketAddr::new(maddr(via).unwrap_or(ip), port))
}

/// The `maddr`, if it is one host's address: responses are not sent to groups.
fn maddr(via: &Via<'_>) -> Option<IpAddr> {
    let address = host_address(via.maddr()?)?;
    let one_host = match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && v4.octets() != [127, 255, 255, 255],
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    (one_host && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Framing, Limits};
    use crate::net::{ConnectionId, ListenerId, Over};

    fn request(via: &str) -> Message {
        let text = format!(
            "OPTIONS sip:b@x.test SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x.test>;tag=f\r\nTo: <sip:b@x.test>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
    }

    fn flow(transport: Transport) -> Flow {
        let connection = transport.is_reliable().then_some(ConnectionId(9));
        Flow { transport, listener: ListenerId(0), remote: "192.0.2.9:4000".parse().unwrap(), connection }
    }

    /// RFC 3261 18.2.1 and RFC 3581 4.
    #[test]
    fn received_and_rport_are_added_where_they_are_due() {
        let cases = [
            ("SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1", None),
            ("SIP/2.0/UDP pc.test;branch=z9hG4bK1", Some("SIP/2.0/UDP pc.test;branch=z9hG4bK1;received=192.0.2.9")),
            (
                "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK1",
                Some("SIP/2.0/UDP 10.0.0.1:5060;rport=4000;branch=z9hG4bK1;received=192.0.2.9"),
            ),
            (
                "SIP/2.0/UDP 192.0.2.9;rport=9;x=\"a;rport\";received=1.2.3.4;branch=z9hG4bK1",
                Some("SIP/2.0/UDP 192.0.2.9;rport=4000;x=\"a;rport\";branch=z9hG4bK1;received=192.0.2.9"),
            ),
        ];
        for (via, expected) in cases {
            let request = request(via);
            let annotated = annotated(&request, &flow(Transport::Udp)).map(|(_, text)| text);
            assert_eq!(annotated.as_deref(), expected.map(str::as_bytes), "{via}");
        }
    }

    /// RFC 3261 18.2.2 and RFC 3581 4.
    #[test]
    fn responses_go_where_the_via_says() {
        let cases = [
            ("SIP/2.0/UDP pc.test;branch=z9hG4bK1", "192.0.2.9:5060"),
            ("SIP/2.0/UDP pc.test:5070;branch=z9hG4bK1", "192.0.2.9:5070"),
            ("SIP/2.0/UDP pc.test:5070;rport;branch=z9hG4bK1", "192.0.2.9:4000"),
            ("SIP/2.0/UDP pc.test:5070;maddr=192.0.2.77;branch=z9hG4bK1", "192.0.2.77:5070"),
            ("SIP/2.0/UDP pc.test:5070;maddr=224.0.1.75;branch=z9hG4bK1", "192.0.2.9:5070"),
        ];
        for (via, expected) in cases {
            assert_eq!(reply_path(&request(via), &flow(Transport::Udp)).remote, expected.parse().unwrap(), "{via}");
        }
        let path = reply_path(&request("SIP/2.0/TCP pc.test:5070;branch=z9hG4bK1"), &flow(Transport::Tcp));
        assert_eq!((path.over, path.remote), (Over::Prefer(ConnectionId(9)), "192.0.2.9:5070".parse().unwrap()));
    }
}
