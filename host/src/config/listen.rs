//! `[listen.NAME]`: addresses, transports, and what two listeners must not share.

use std::net::SocketAddr;

use super::host::parse_sent_by;
use super::reader::{Item, Section, nearest};
use super::{Listen, Transport};

const KEYS: [&str; 3] = ["address", "transports", "advertise"];

/// All listeners in the order of the file.
pub(super) fn read(root: &Section<'_, '_>) -> Vec<Listen> {
    let Some(listeners) = root.item("listen") else {
        root.missing("listen", "there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"");
        return Vec::new();
    };
    let Some(section) = listeners.open_section() else { return Vec::new() };
    let mut found: Vec<(usize, Listen)> = Vec::new();
    for (name, item) in section.items() {
        let Some(listen) = listener(name, &item) else { continue };
        refuse_same_port(&item, &listen, &found);
        found.push((item.line(), listen));
    }
    if section.items().is_empty() {
        listeners.key_error("there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"");
    }
    found.into_iter().map(|(_, listen)| listen).collect()
}

fn listener(name: String, item: &Item<'_, '_>) -> Option<Listen> {
    let section = item.section(&KEYS)?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        item.key_error("a listener's name is made of letters, digits, `-`, `_` and `.`; rename it");
    }
    let transports = section.item("transports").map_or_else(|| vec![Transport::Udp, Transport::Tcp], |list| transports(&list));
    let advertise = section.item("advertise").and_then(|item| advertised(&item));
    let Some(address_item) = section.item("address") else {
        section.missing("address", "is missing; add address = \"192.0.2.1:5060\"");
        return None;
    };
    let address = address_item.socket_address(Some(5060))?;
    if address.ip().is_unspecified() && section.item("advertise").is_none() {
        address_item.error(format!(
            "{} is no address that peers can answer to; add advertise = \"HOST\", or listen on an address of this machine",
            address.ip()
        ));
    }
    Some(Listen { name, address, transports, advertise })
}

fn transports(list: &Item<'_, '_>) -> Vec<Transport> {
    let mut transports = Vec::new();
    let Some(items) = list.list() else { return transports };
    if items.is_empty() {
        list.error("is empty; write at least one transport, like [\"udp\", \"tcp\"]");
    }
    for item in items {
        let Some(name) = item.string() else { continue };
        match Transport::from_name(name.as_bytes()) {
            Some(Transport::Udp | Transport::Tcp) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
                item.error(format!("transports are written in lower case: \"{}\"", name.to_ascii_lowercase()));
            }
            Some(transport @ (Transport::Udp | Transport::Tcp)) if transports.contains(&transport) => {
                item.error(format!("`{name}` is here twice; remove one"));
            }
            Some(transport @ (Transport::Udp | Transport::Tcp)) => transports.push(transport),
            Some(Transport::Tls | Transport::Ws | Transport::Wss) => {
                item.error(format!("this version does not speak `{name}` yet; write \"udp\" or \"tcp\""));
            }
            None => item.error(match nearest(name, &["udp", "tcp"]) {
                Some(near) => format!("`{name}` is no transport; did you mean \"{near}\"?"),
                None => format!("`{name}` is no transport; write \"udp\" or \"tcp\""),
            }),
        }
    }
    transports
}

fn advertised(item: &Item<'_, '_>) -> Option<String> {
    let text = item.string()?;
    let sent_by = parse_sent_by(text);
    if sent_by.is_none() {
        item.error(format!("`{text}` is no host or host:port; write it like \"sip.example.com\" or \"203.0.113.1:5060\""));
    }
    sent_by
}

/// Two sockets on one address and port would take each other's messages. (Port 0 is a different port each time.)
fn refuse_same_port(item: &Item<'_, '_>, listen: &Listen, others: &[(usize, Listen)]) {
    let clash = |other: &&(usize, Listen)| {
        overlap(other.1.address, listen.address) && listen.transports.iter().any(|transport| other.1.transports.contains(transport))
    };
    if let Some((line, other)) = others.iter().find(clash) {
        item.key_error(format!(
            "{} is already taken by the listener `{}` in line {line}; give one of them another port or transport",
            listen.address, other.name
        ));
    }
}

/// The metrics listener is a TCP one too.
pub(super) fn refuse_shared_port(root: &Section<'_, '_>, listen: &[Listen], metrics: Option<SocketAddr>) {
    let Some(metrics) = metrics else { return };
    let clash = listen.iter().find(|listen| listen.transports.contains(&Transport::Tcp) && overlap(listen.address, metrics));
    let place = root.item("admin").and_then(|admin| admin.open_section()).and_then(|admin| admin.item("metrics"));
    if let Some((listen, item)) = clash.zip(place) {
        item.error(format!("{metrics} is already taken by the listener `{}`; choose another port", listen.name));
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || wildcard)
}
