//! `[listen.NAME]`: addresses, transports, and what two listeners must not share.

use std::net::SocketAddr;
use std::path::Path;

use super::host::parse_sent_by;
use super::reader::{Item, Section, nearest};
use super::side::{self, Names, Own};
use super::{Auth, Listen, Place, Transport, auth, place, tls, trunk};

const KEYS: [&str; 16] = [
    "address",
    "interface",
    "port",
    "family",
    "transports",
    "advertise",
    "tls",
    "websocket",
    "allow",
    "deny",
    "refuse",
    "authenticate",
    "media",
    "media-profile",
    "hide",
    "identity",
];

/// What may be written under `transports`.
const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

/// All listeners in the order of the file.
pub(super) fn read(root: &Section<'_, '_>, base: &Path, auth: &[Auth], names: &Names) -> Vec<Listen> {
    let Some(listeners) = root.item("listen") else {
        root.missing("listen", "there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"");
        return Vec::new();
    };
    let Some(section) = listeners.open_section() else { return Vec::new() };
    let mut found: Vec<(usize, Listen)> = Vec::new();
    for (name, item) in section.items() {
        let Some(listen) = listener(name, &item, base, auth, names) else { continue };
        refuse_same_port(&item, &listen, &found);
        found.push((item.line(), listen));
    }
    if section.items().is_empty() {
        listeners.key_error("there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"");
    }
    found.into_iter().map(|(_, listen)| listen).collect()
}

fn listener(name: String, item: &Item<'_, '_>, base: &Path, auth: &[Auth], names: &Names) -> Option<Listen> {
    let section = item.section(&KEYS)?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        item.key_error("a listener's name is made of letters, digits, `-`, `_` and `.`; rename it");
    }
    let list = section.item("transports");
    let transports = list.as_ref().map_or_else(|| vec![Transport::Udp, Transport::Tcp], transports);
    let tls = tls::read_tls(&section, &transports, base);
    let origins = tls::read_origins(&section, &transports);
    let advertise = section.item("advertise").and_then(|item| advertised(&item));
    let (place, port) = place::read(&section)?;
    let authenticate = auth::authenticate(&section, auth);
    let (media, border) = (side::media(&section, Own::Listener(&name), names), side::border_of_listener(&section, &name, names));
    let access = trunk::access(&section);
    let listen = Listen { name, place, port, transports, advertise, tls, origins, access, authenticate, border, media };
    list.iter().for_each(|list| refuse_mixture(list, &listen));
    Some(listen)
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
            Some(_) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
                item.error(format!("transports are written in lower case: \"{}\"", name.to_ascii_lowercase()));
            }
            Some(transport) if transports.contains(&transport) => item.error(format!("`{name}` is here twice; remove one")),
            Some(transport) => transports.push(transport),
            None => item.error(match nearest(name, &TRANSPORTS) {
                Some(near) => format!("`{name}` is no transport; did you mean \"{near}\"?"),
                None => format!("`{name}` is no transport; write one of {}", TRANSPORTS.join(", ")),
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

/// TCP and WebSocket can be told apart by their first octets, but a port either begins with TLS or does not.
fn refuse_mixture(list: &Item<'_, '_>, listen: &Listen) {
    let Some(port) = listen.port.filter(|port| *port != 0) else { return };
    let mut streams = listen.transports.iter().filter(|transport| **transport != Transport::Udp);
    let Some(first) = streams.next() else { return };
    if let Some(other) = streams.find(|other| other.is_secure() != first.is_secure()) {
        list.error(format!(
            "{first} and {other} cannot share port {port}; leave the port out of `address`, so that each has its own, or write a listener \
             for each"
        ));
    }
}

/// Two sockets on one address and port would take each other's messages. (Port 0 is a different port each time.)
fn refuse_same_port(item: &Item<'_, '_>, listen: &Listen, others: &[(usize, Listen)]) {
    for transport in &listen.transports {
        let port = listen.port_of(*transport);
        let clash = |(_, other): &&(usize, Listen)| {
            let same = |theirs: &&Transport| (**theirs == Transport::Udp) == (*transport == Transport::Udp);
            let same_port = other.transports.iter().filter(same).any(|theirs| other.port_of(*theirs) == port);
            port != 0 && same_port && overlap(&other.place, &listen.place)
        };
        if let Some((line, other)) = others.iter().find(clash) {
            let place = match &listen.place {
                Place::Address(address) => SocketAddr::new(*address, port).to_string(),
                Place::Interface { name, .. } => format!("port {port} of {name}"),
            };
            item.key_error(format!(
                "{place} is already taken by the listener `{}` in line {line}; give one of them another port or transport",
                other.name
            ));
            return;
        }
    }
}

/// The metrics listener is a TCP one too.
pub(super) fn refuse_shared_port(root: &Section<'_, '_>, listen: &[Listen], metrics: Option<SocketAddr>) {
    let Some(metrics) = metrics else { return };
    let is_there = |listen: &&Listen| {
        let mut streams = listen.transports.iter().filter(|transport| **transport != Transport::Udp);
        let same_port = streams.any(|transport| listen.port_of(*transport) == metrics.port());
        same_port && metrics.port() != 0 && overlap(&listen.place, &Place::Address(metrics.ip()))
    };
    let clash = listen.iter().find(is_there);
    let place = root.item("admin").and_then(|admin| admin.open_section()).and_then(|admin| admin.item("metrics"));
    if let Some((listen, item)) = clash.zip(place) {
        item.error(format!("{metrics} is already taken by the listener `{}`; choose another port", listen.name));
    }
}

/// Whether two places may be at the same address. What address an interface has is not known here.
fn overlap(a: &Place, b: &Place) -> bool {
    match (a, b) {
        (Place::Address(a), Place::Address(b)) => a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())),
        (Place::Interface { name: a, family: of_a }, Place::Interface { name: b, family: of_b }) => {
            a == b && (of_a == of_b || of_a.is_none() || of_b.is_none())
        }
        (Place::Address(_), Place::Interface { .. }) | (Place::Interface { .. }, Place::Address(_)) => false,
    }
}
