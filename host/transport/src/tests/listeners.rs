//! Listeners that come, change and go while others are in use.

use std::net::{IpAddr, UdpSocket as StdUdpSocket};

use jackfield_proto::net::Listener;
use tokio::net::UdpSocket;

use super::*;

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

/// The two that every bed begins with.
fn first_two() -> [Endpoint; 2] {
    [Transport::Udp, Transport::Tcp].map(|transport| endpoint(transport, at(1, 0)))
}

fn named(name: &str, transport: Transport, address: SocketAddr) -> Endpoint {
    Endpoint { name: name.into(), ..endpoint(transport, address) }
}

impl Bed {
    async fn change(&self, endpoints: &[Endpoint]) -> Arc<[Listener]> {
        let change = soon(self.monitor.prepare(endpoints)).await.expect("all can be had");
        let listeners = change.listeners();
        soon(change.make()).await;
        assert_eq!(self.monitor.listeners(), listeners);
        listeners
    }

    /// What comes when this is sent to an address.
    async fn arrives(&self, text: &'static str, to: SocketAddr) -> Flow {
        let peer = UdpSocket::bind(at(1, 0)).await.expect("a port is free");
        peer.send_to(text.as_bytes(), to).await.expect("sent");
        let (bytes, flow) = self.next().await;
        assert_eq!(bytes, text);
        flow
    }
}

/// Whether nobody has the address.
fn is_free(address: SocketAddr) -> bool {
    StdUdpSocket::bind(address).is_ok() && std::net::TcpListener::bind(address).is_ok()
}

#[tokio::test]
async fn one_that_is_added_serves_and_the_others_do_not_notice() {
    let bed = Bed::new(2, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("before")).await;
    let (_, before) = bed.next().await;
    let added = [named("wan", Transport::Udp, at(2, 0)), named("wan", Transport::Tcp, at(2, 0))];
    let listeners = bed.change(&[&first_two()[..], &added].concat()).await;
    assert_eq!(listeners.iter().map(|listener| &*listener.name).collect::<Vec<_>>(), ["test", "test", "wan", "wan"]);
    assert_eq!([listeners[0].address, listeners[1].address], [bed.udp(), bed.tcp()], "the ports that the kernel chose stay");
    assert_eq!(bed.arrives("to the new one", listeners[2].address).await.listener, ListenerId(2));
    assert_eq!(bed.arrives("to the old one", bed.udp()).await.listener, ListenerId(0));
    let mut other = soon(TcpStream::connect(listeners[3].address)).await.expect("accepted");
    write(&mut other, message("new")).await;
    assert_eq!(bed.next().await.1.listener, ListenerId(3));
    write(&mut peer, message("after")).await;
    assert_eq!(bed.next().await, (message("after").into(), before), "the connection is the same");
    for worker in 0..2 {
        let receiver = UdpSocket::bind(at(1, 0)).await.expect("a port is free");
        let path = Path { listener: ListenerId(2), ..udp_path(receiver.local_addr().expect("bound")) };
        bed.send(worker, "from the new one", path).expect("taken");
        assert_eq!(soon(receiver.recv_from(&mut [0; 100])).await.expect("a datagram").1, listeners[2].address);
    }
}

#[tokio::test]
async fn no_datagram_to_one_is_lost_while_others_come_and_go() {
    let bed = Bed::new(2, Settings::default());
    let peers = [(); 8].map(|()| StdUdpSocket::bind(at(1, 0)).expect("a port is free"));
    for round in 0..20 {
        let mut endpoints = first_two().to_vec();
        if round % 2 == 0 {
            endpoints.push(named("wan", Transport::Udp, at(2, 0)));
        }
        let change = async {
            bed.change(&endpoints).await;
        };
        let send = async {
            for peer in &peers {
                peer.send_to(b"call", bed.udp()).expect("sent");
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(change, send);
        for _ in &peers {
            assert_eq!(bed.next().await.0, "call");
        }
    }
}

#[tokio::test]
async fn one_that_is_removed_closes_its_sockets_and_leaves_its_connections() {
    let bed = Bed::new(2, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("before")).await;
    let (_, flow) = bed.next().await;
    let listeners = bed.change(&[named("wan", Transport::Udp, at(2, 0))]).await;
    assert_eq!(listeners.iter().map(Listener::is_open).collect::<Vec<_>>(), [false, false, true]);
    assert!(is_free(bed.udp()), "closed in every worker");
    assert!(TcpStream::connect(bed.tcp()).await.is_err());
    assert!(matches!(bed.send(0, "x", udp_path(at(1, 9))), Err(SendError::NoListener(ListenerId(0), Transport::Udp))));
    bed.send_for(0, "x", tcp_path(at(1, 9)), Some(origin(4))).expect("a connection is to be opened");
    assert_eq!(bed.next_failed().await, origin(4), "but not from a listener that is gone");
    write(&mut peer, message("after")).await;
    assert_eq!(bed.next().await, (message("after").into(), flow));
    bed.send(1, "answer", back(flow)).expect("taken");
    expect(&mut peer, b"answer").await;
}

#[tokio::test]
async fn one_that_comes_back_has_its_old_number() {
    let bed = Bed::new(1, Settings::default());
    let wan = named("wan", Transport::Udp, at(2, 0));
    let more = named("more", Transport::Udp, at(3, 0));
    bed.change(&[&first_two()[..], std::slice::from_ref(&wan)].concat()).await;
    bed.change(&first_two()).await;
    let listeners = bed.change(&[&[more, wan][..], &first_two()].concat()).await;
    assert_eq!(&*listeners[2].name, "wan");
    assert!(listeners[2].is_open() && listeners[3..].iter().any(|listener| &*listener.name == "more" && listener.is_open()));
    assert_eq!(bed.arrives("again", listeners[2].address).await.listener, ListenerId(2));
    assert_eq!(bed.arrives("still", bed.udp()).await.listener, ListenerId(0));
}

#[tokio::test]
async fn one_that_moves_keeps_its_number_and_its_former_address_is_remembered() {
    let bed = Bed::new(2, Settings::default());
    let (udp, tcp) = (bed.udp(), bed.tcp());
    let moved = [Transport::Udp, Transport::Tcp].map(|transport| endpoint(transport, at(4, 0)));
    let listeners = bed.change(&moved).await;
    let seen: Vec<_> = listeners.iter().map(|listener| (listener.transport, listener.address.ip(), listener.is_open())).collect();
    let (old, new) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 4]));
    let (u, t) = (Transport::Udp, Transport::Tcp);
    assert_eq!(seen, [(u, new, true), (t, new, true), (u, old, false), (t, old, false)]);
    assert_eq!([listeners[2].address, listeners[3].address], [udp, tcp]);
    assert!(is_free(udp) && is_free(tcp));
    assert_eq!(bed.arrives("there", listeners[0].address).await.listener, ListenerId(0));
    let back = bed.change(&[endpoint(Transport::Udp, udp), endpoint(Transport::Tcp, tcp)]).await;
    assert_eq!([back[0].address, back[1].address], [udp, tcp]);
    assert_eq!(back.len(), 6, "and the address in between");
}

#[tokio::test]
async fn former_addresses_are_bounded() {
    let bed = Bed::new(1, Settings::default());
    for _ in 0..200 {
        // A port of the kernel's choice each time, by way of another address.
        bed.change(&[endpoint(Transport::Udp, at(2, 0))]).await;
        let listeners = bed.change(&[endpoint(Transport::Udp, at(1, 0))]).await;
        assert!(listeners.len() <= 2 + 64, "{}", listeners.len());
    }
    let listeners = bed.monitor.listeners();
    assert_eq!(bed.arrives("alive", listeners[0].address).await.listener, ListenerId(0));
}

#[tokio::test]
async fn one_that_cannot_be_had_changes_nothing() {
    let bed = Bed::new(2, Settings::default());
    let before = bed.monitor.listeners();
    let taken = StdUdpSocket::bind(at(1, 0)).expect("a port is free");
    let free = StdUdpSocket::bind(at(5, 0)).and_then(|socket| socket.local_addr()).expect("a port is free");
    let wanted = [named("good", Transport::Udp, free), named("bad", Transport::Udp, taken.local_addr().expect("bound"))];
    let error = bed.monitor.prepare(&wanted).await.expect_err("taken");
    assert!(error.to_string().contains("listener bad") && error.to_string().contains("udp"), "{error}");
    assert!(is_free(free), "what was bound before is let go");
    assert_eq!(bed.monitor.listeners(), before);
    assert_eq!(bed.arrives("as before", bed.udp()).await.listener, ListenerId(0));
}

#[tokio::test]
async fn a_change_that_is_not_made_leaves_nothing() {
    let bed = Bed::new(2, Settings::default());
    let change = bed.monitor.prepare(&[named("wan", Transport::Udp, at(2, 0))]).await.expect("all can be had");
    let address = change.listeners()[2].address;
    assert!(!is_free(address));
    drop(change);
    until(|| is_free(address)).await;
    assert_eq!(bed.monitor.listeners().len(), 2);
    assert_eq!(bed.arrives("as before", bed.udp()).await.listener, ListenerId(0));
}

#[tokio::test]
async fn another_name_for_the_same_address_needs_no_other_socket() {
    let bed = Bed::new(2, Settings::default());
    let mut peer = bed.connect().await;
    write(&mut peer, message("before")).await;
    bed.next().await;
    let listeners = bed.change(&[named("new", Transport::Udp, bed.udp()), named("new", Transport::Tcp, bed.tcp())]).await;
    assert_eq!(listeners.iter().map(Listener::is_open).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(bed.arrives("renamed", bed.udp()).await.listener, ListenerId(2));
    let mut other = bed.connect().await;
    write(&mut other, message("renamed")).await;
    assert_eq!(bed.next().await.1.listener, ListenerId(3));
    let receiver = UdpSocket::bind(at(1, 0)).await.expect("a port is free");
    let path = Path { listener: ListenerId(2), ..udp_path(receiver.local_addr().expect("bound")) };
    bed.send(1, "renamed", path).expect("taken");
    assert_eq!(soon(receiver.recv_from(&mut [0; 100])).await.expect("a datagram").1, bed.udp());
}

#[tokio::test]
async fn two_that_change_places_are_both_served() {
    let bed = Bed::new(1, Settings::default());
    let [a, b] = [(2, "a"), (3, "b")].map(|(host, name)| named(name, Transport::Udp, at(host, 0)));
    let before = bed.change(&[a, b]).await;
    let (at_a, at_b) = (before[2].address, before[3].address);
    bed.change(&[named("a", Transport::Udp, at_b), named("b", Transport::Udp, at_a)]).await;
    assert_eq!(bed.arrives("to b", at_a).await.listener, ListenerId(3));
    assert_eq!(bed.arrives("to a", at_b).await.listener, ListenerId(2));
}

#[tokio::test]
async fn one_at_every_address_gives_way_to_one_at_a_single_address() {
    let bed = Bed::new(2, Settings::default());
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let port = bed.change(&[named("any", Transport::Udp, any)]).await[2].address.port();
    bed.change(&[named("one", Transport::Udp, at(1, port))]).await;
    assert_eq!(bed.arrives("one", at(1, port)).await.listener, ListenerId(3));
    bed.change(&[named("any", Transport::Udp, SocketAddr::from(([0, 0, 0, 0], port)))]).await;
    assert_eq!(bed.arrives("any", at(7, port)).await.listener, ListenerId(2));
}

#[tokio::test]
async fn websocket_joins_and_leaves_a_port_where_tcp_goes_on() {
    let bed = Bed::new(2, Settings::default());
    let tcp = bed.tcp();
    let mut peer = bed.connect().await;
    write(&mut peer, message("before")).await;
    bed.next().await;
    let asks = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    bed.change(&[endpoint(Transport::Tcp, tcp), named("web", Transport::Ws, tcp)]).await;
    let mut web = bed.connect().await;
    write(&mut web, asks).await;
    expect(&mut web, b"HTTP/1.1 101 ").await;
    bed.change(&[endpoint(Transport::Tcp, tcp)]).await;
    let mut late = bed.connect().await;
    write(&mut late, asks).await;
    assert_eq!(bed.next().await.0, asks, "taken for SIP, which it is not, as that is all that is spoken there");
    write(&mut peer, message("after")).await;
    assert_eq!(bed.next().await.0, message("after"));
}

#[tokio::test]
async fn an_advertised_host_gets_the_port_of_the_listener() {
    let bed = Bed::new(1, Settings::default());
    let advertised = |name: &str| Endpoint { advertise: Some(name.into()), ..endpoint(Transport::Udp, at(1, 0)) };
    let port = bed.udp().port();
    for (advertise, sent_by) in [
        ("sip.example.com", format!("sip.example.com:{port}")),
        ("sip.example.com:5070", "sip.example.com:5070".into()),
        ("[2001:db8::1]", format!("[2001:db8::1]:{port}")),
        ("[2001:db8::1]:5070", "[2001:db8::1]:5070".into()),
    ] {
        let listeners = bed.change(&[advertised(advertise)]).await;
        assert_eq!((&*listeners[0].sent_by, listeners[0].address), (&*sent_by, bed.udp()));
    }
}
