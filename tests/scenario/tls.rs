//! TLS towards those who call us: which certificate is shown, which clients are taken, which versions are spoken.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jackfield_proto::net::Transport;
use rustls::ClientConfig;

use crate::support::certificate::{Authority, Leaf};
use crate::support::config::Config;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use crate::support::stage::{Stage, V4};
use crate::support::wire::Opening;

/// A connection of a client that asks for a name.
fn open(peer: &Peer, to: SocketAddr, transport: Transport, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Link> {
    peer.open(to, &Opening::new(transport, Some(Arc::clone(config)), name))
}

/// OPTIONS and its answer: what was opened really works.
fn is_served(peer: &Peer, link: &Link) {
    peer.send(&peer.request("OPTIONS", "sip:example.test", link), link);
    peer.expect_status(200);
}

#[test]
fn the_certificate_is_chosen_by_the_name_asked_for() {
    let stage = Stage::new();
    let alice = stage.scene.peer("alice");
    let second = stage.authority.leaf(&["second.example.test", "*.wild.example.test"]);
    let address = stage.secure_address(V4);
    let also = "also = [{ certificate = \"second.pem\", key = \"second.key\" }]\nserver-ca = \"ca.pem\"";
    let config = Config::new().file("ca.pem", &stage.authority.pem).file("second.pem", &second.chain).file("second.key", &second.key);
    let _proxy = Proxy::start(&config.secure("secure", address, &stage.leaf, also), &[]);
    let cases = [
        ("proxy.example.test", &stage.leaf),
        ("second.example.test", &second),
        ("SECOND.example.test", &second),
        ("one.wild.example.test", &second),
        ("127.0.0.1", &stage.leaf),
    ];
    for transport in [Transport::Tls, Transport::Wss] {
        for (name, leaf) in cases {
            let link =
                open(&alice, address, transport, &stage.trust, name).unwrap_or_else(|error| panic!("{transport} to {name}: {error}"));
            assert_eq!(link.wire().shown(), Some(leaf.der.clone()), "{transport} to {name}");
            is_served(&alice, &link);
        }
        // It is shown the first one, and does not believe it.
        assert!(open(&alice, address, transport, &stage.trust, "unknown.example.test").is_err());
    }
}

/// A proxy whose clients show a certificate of `clients`, as `policy` says.
fn mutual(stage: &Stage, clients: &Authority, policy: &str) -> Proxy {
    let config = Config::new().file("clients.pem", &clients.pem);
    let keys = format!("client-ca = \"clients.pem\"\n{policy}");
    Proxy::start(&config.secure("secure", stage.secure_address(V4), &stage.leaf, &keys), &[])
}

/// Whether a client is let in: in TLS 1.3 a client learns only after its handshake that its certificate was not liked.
fn is_let_in(stage: &Stage, config: &Arc<ClientConfig>, transport: Transport) -> bool {
    let peer = stage.scene.peer("client");
    let Ok(link) = open(&peer, stage.secure_address(V4), transport, config, "127.0.0.1") else { return false };
    let options = peer.request("OPTIONS", "sip:example.test", &link);
    if link.wire().send(&options.bytes()).is_err() {
        return false;
    }
    peer.takes(200)
}

#[test]
fn a_client_without_the_right_certificate_is_not_let_in() {
    let stage = Stage::new();
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let _proxy = mutual(&stage, &clients, "");
    let known = stage.authority.client(Some(&clients.leaf(&["phone.example.test"])));
    let foreign = stage.authority.client(Some(&others.leaf(&["phone.example.test"])));
    for transport in [Transport::Tls, Transport::Wss] {
        assert!(is_let_in(&stage, &known, transport), "{transport} with a certificate of the right authority");
        assert!(!is_let_in(&stage, &foreign, transport), "{transport} with a certificate of another authority");
        assert!(!is_let_in(&stage, &stage.trust, transport), "{transport} without a certificate");
    }
}

#[test]
fn a_certificate_that_is_only_requested_may_be_missing_but_not_wrong() {
    let stage = Stage::new();
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    let _proxy = mutual(&stage, &clients, "client-certificate = \"request\"");
    let known = stage.authority.client(Some(&clients.leaf(&["phone.example.test"])));
    let foreign = stage.authority.client(Some(&others.leaf(&["phone.example.test"])));
    assert!(is_let_in(&stage, &known, Transport::Tls), "with a certificate of the right authority");
    assert!(is_let_in(&stage, &stage.trust, Transport::Tls), "without a certificate");
    assert!(!is_let_in(&stage, &foreign, Transport::Tls), "with a certificate of another authority");
}

/// What `openssl s_client` tells of a handshake; it reads an empty input and goes.
pub(super) fn openssl(address: SocketAddr, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    // It ends by itself where the handshake fails, before it reads this.
    let _ = child.stdin.take().map(|mut input| input.write_all(b"Q\n"));
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn openssl_speaks_tls_1_2_and_1_3_and_is_refused_1_1() {
    let stage = Stage::new();
    let address = stage.secure_address(V4);
    let proxy = Proxy::start(&stage.config(&[V4]), &[]);
    let authority = proxy.file("ca.pem");
    let trusting =
        ["-CAfile", authority.to_str().expect("a path of the test"), "-verify_return_error", "-verify_hostname", "proxy.example.test"];
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let told = openssl(address, &[&[version, "-servername", "proxy.example.test"], trusting.as_slice()].concat());
        assert!(told.contains(&format!("New, {name}, Cipher is")), "{version}:\n{told}");
        assert!(told.contains("Verify return code: 0 (ok)"), "{version}:\n{told}");
    }
    for version in ["-tls1_1", "-tls1"] {
        // Debian's openssl does not offer it unless it is made to.
        let told = openssl(address, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        let alert = ["alert protocol version", "alert handshake failure"].into_iter().any(|alert| told.contains(alert));
        assert!(alert, "{version} is refused by the server, not by the client (RFC 8996):\n{told}");
    }
}

#[test]
fn openssl_is_shown_the_certificate_of_the_name_and_asked_for_its_own() {
    let stage = Stage::new();
    let clients = Authority::new("clients");
    let leaf = clients.leaf(&["phone.example.test"]);
    let proxy = mutual(&stage, &clients, "");
    leaf.write(proxy.file("proxy.toml").parent().expect("a directory"), "phone");
    let (certificate, key) = (proxy.file("phone.pem"), proxy.file("phone.key"));
    let path = |file: &std::path::Path| file.to_str().expect("a path of the test").to_owned();
    let address = stage.secure_address(V4);
    let told = openssl(address, &["-tls1_2", "-cert", &path(&certificate), "-key", &path(&key)]);
    assert!(told.contains("Acceptable client certificate CA names") && told.contains("CN = clients"), "{told}");
    assert!(told.contains("New, TLSv1.2, Cipher is"), "{told}");
    let told = openssl(address, &["-tls1_2"]);
    assert!(told.contains("alert certificate required") || told.contains("alert handshake failure"), "{told}");
}

/// Whoever connects now is shown this certificate.
pub(super) fn is_shown(stage: &Stage, scene: &Scene, address: SocketAddr, leaf: &Leaf) -> bool {
    let peer = scene.peer("onlooker");
    let link = open(&peer, address, Transport::Tls, &stage.trust, "127.0.0.1").expect("the proxy goes on taking connections");
    let shown = link.wire().shown();
    link.wire().close();
    shown.as_deref() == Some(leaf.der.as_slice())
}
