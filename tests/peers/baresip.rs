//! baresip registers through the proxy and calls through it, over UDP, TCP and TLS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jackfield_proto::net::Transport;

use super::phone::{Phone, Setup};
use crate::support::config::Config;
use crate::support::home::Home;
use crate::support::proxy::Proxy;
use crate::support::stage::{Stage, V4};

const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// From dialling to hanging up, by either end.
fn call(alice: &mut Phone, bob: &mut Phone, dialled: &str) {
    for bob_hangs_up in [false, true] {
        alice.tell("dial", dialled);
        bob.hears("CALL_ESTABLISHED");
        alice.hears("CALL_ESTABLISHED");
        match bob_hangs_up {
            false => alice.tell("hangup", ""),
            true => bob.tell("hangup", ""),
        }
        bob.hears("CALL_CLOSED");
        alice.hears("CALL_CLOSED");
    }
}

#[test]
fn baresip_registers_and_calls_through_the_proxy() {
    let home = Home::start();
    let (alice, bob) = (Setup::new(), Setup::new());
    let hop = bob.uri("bob", Transport::Udp);
    let route = format!("line = {{ desk = \"bob\" }}\n[plugins.line-match.config.targets.bob]\nnext-hop = {hop:?}");
    let config = Config::new().relay_to("127.0.0.0/8").plugin("line-match", route);
    let proxy = Proxy::start(&config, &["line-match"]);
    let account = |user: &str| format!("<sip:{user}@{}>;outbound=\"sip:{}\";regint=60;answermode=auto", home.address, proxy.address());
    let (mut bob, mut alice) = (bob.start(&account("bob")), alice.start(&account("alice")));
    for (user, phone) in [("alice", &alice), ("bob", &bob)] {
        let binding = home.binding_of(user);
        assert!(binding.contact.contains(&format!("@127.0.0.1:{}", phone.port())), "{binding:?}");
        assert_eq!(binding.hops, 2, "the REGISTER came through the proxy: {binding:?}");
    }
    call(&mut alice, &mut bob, "sip:bob@example.test;line=desk");
}

#[test]
fn baresip_on_udp_tcp_and_tls_calls_baresip_on_udp_tcp_and_tls() {
    let (stage, home) = (Stage::new(), Home::start());
    let setup = || Setup::new().trusting(&stage.authority, &stage.peers);
    let callees: Vec<(Transport, Setup)> = TRANSPORTS.into_iter().map(|transport| (transport, setup())).collect();
    let mut route = "line = { udp = \"udp\", tcp = \"tcp\", tls = \"tls\" }\n".to_owned();
    for (transport, setup) in &callees {
        let hop = setup.uri("bob", *transport);
        let _ = writeln!(route, "[plugins.line-match.config.targets.{transport}]\nnext-hop = {hop:?}");
    }
    let proxy = Proxy::start(&stage.config(&[V4]).plugin("line-match", route), &["line-match"]);
    let account = |user: &str, transport: Transport| {
        let by = stage.proxy_address(&proxy, transport, V4);
        format!("<sip:{user}@{}>;outbound=\"sip:{by};transport={transport}\";regint=60;answermode=auto", home.address)
    };
    let start = |role: &str, transport: Transport, setup: Setup| {
        let user = format!("{role}-{transport}");
        let phone = setup.start(&account(&user, transport));
        assert_eq!(home.binding_of(&user).hops, 2, "the REGISTER of {user} came through the proxy");
        phone
    };
    let mut callees: BTreeMap<Transport, Phone> =
        callees.into_iter().map(|(transport, setup)| (transport, start("bob", transport, setup))).collect();
    for from in TRANSPORTS {
        let mut alice = start("alice", from, setup());
        for (to, bob) in &mut callees {
            call(&mut alice, bob, &format!("sip:bob-{to}@example.test;line={to}"));
            println!("baresip on {from} called baresip on {to}: established, and hung up by either end");
        }
    }
}
