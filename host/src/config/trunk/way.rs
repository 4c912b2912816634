//! The ways to a provider: `proxy`, or `next-hop`.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::message::Uri;
use jackfield_proto::net::Transport;
use jackfield_trunk::Way;
use toml::de::DeValue;

use super::super::Listen;
use super::super::host::parse_sent_by;
use super::super::reader::{Item, Section};
use super::{listener, one_or_many, parse_sip_uri};

/// The ways in the order of the file. What a way does not say itself is the trunk's.
pub(super) fn read(section: &Section<'_, '_>, listen: &[Listen], egress: Option<&Arc<str>>, transport: Option<Transport>) -> Vec<Way> {
    let (proxy, next_hop) = (section.item("proxy"), section.item("next-hop"));
    if let (Some(_), Some(item)) = (&proxy, &next_hop) {
        item.error("there is a `proxy` already; a way has a route set or a next hop: put them into tables, like proxy = [{ route = [...] }, { next-hop = ... }]");
    }
    let key = if proxy.is_some() { "proxy" } else { "next-hop" };
    let mut ways = Vec::new();
    for item in one_or_many(section, key) {
        let way = match item.value.get_ref() {
            DeValue::Table(_) => table(&item, listen),
            _ if key == "proxy" => route_uri(&item).map(|uri| Way { route: vec![uri], ..Way::default() }),
            _ => sip_uri(&item).map(|uri| Way { next_hop: Some(uri), ..Way::default() }),
        };
        let Some(mut way) = way else { continue };
        way.egress = way.egress.or_else(|| egress.cloned());
        doubts(&item, &way, listen, transport);
        ways.push(way);
    }
    if ways.is_empty() && (egress.is_some() || transport.is_some()) {
        ways.push(Way { egress: egress.cloned(), ..Way::default() });
    }
    ways
}

/// `{ route = [..], next-hop = "..", egress = "..", transport = ".." }`.
fn table(item: &Item<'_, '_>, listen: &[Listen]) -> Option<Way> {
    let section = item.section(&["route", "next-hop", "egress", "transport"])?;
    let way = Way {
        route: one_or_many(&section, "route").iter().filter_map(route_uri).collect(),
        next_hop: section.item("next-hop").and_then(|item| sip_uri(&item)),
        transport: section.item("transport").and_then(|item| transport(&item)),
        egress: section.item("egress").and_then(|item| listener(&item, listen)),
    };
    match (way.route.is_empty(), &way.next_hop) {
        (false, Some(_)) => {
            section.item("next-hop").iter().for_each(|item| item.error("there is a `route` already; a way has one of them"))
        }
        (true, None) if section.item("route").is_none() && section.item("next-hop").is_none() => {
            section.missing("route", "this way leads nowhere; add route = [\"sip:proxy.example.com;lr\"] or next-hop = \"sip:192.0.2.7\"");
        }
        _ => {}
    }
    Some(way)
}

fn transport(item: &Item<'_, '_>) -> Option<Transport> {
    let name = item.string()?;
    let transport = Transport::from_name(name.as_bytes());
    if transport.is_none() {
        item.error(format!("`{name}` is no transport; write one of udp, tcp, tls, ws, wss"));
    }
    transport
}

/// A URI that goes into Route. A bare host stands for a loose router there.
fn route_uri(item: &Item<'_, '_>) -> Option<Bytes> {
    let text = item.string()?;
    if !text.contains(':') || parse_sent_by(text).is_some() {
        return match parse_sent_by(text) {
            Some(host) => Some(format!("sip:{host};lr").into()),
            None => refuse(item, text),
        };
    }
    let uri = parse_sip_uri(text).or_else(|| refuse(item, text))?;
    if Uri::parse(&uri).is_some_and(|uri| uri.param(b"lr").is_none()) {
        item.warning(
            "has no `;lr`: a strict router (RFC 3261 16.6 item 6), which gets its own URI as Request-URI; nearly every proxy wants `;lr`",
        );
    }
    Some(uri)
}

/// A URI that only says where to send.
pub(super) fn sip_uri(item: &Item<'_, '_>) -> Option<Bytes> {
    let text = item.string()?;
    if let Some(host) = parse_sent_by(text) {
        return Some(format!("sip:{host}").into());
    }
    parse_sip_uri(text).or_else(|| refuse(item, text))
}

fn refuse(item: &Item<'_, '_>, text: &str) -> Option<Bytes> {
    item.error(format!("`{text}` is no SIP URI; write it like \"sip:proxy.example.com:5060;transport=tcp;lr\""));
    None
}

/// A transport that no listener speaks from which it would leave.
fn doubts(item: &Item<'_, '_>, way: &Way, listen: &[Listen], forced: Option<Transport>) {
    let uri = way.route.first().or(way.next_hop.as_ref()).and_then(|uri| Uri::parse(uri));
    let named = uri.as_ref().and_then(|uri| uri.param(b"transport").flatten()).and_then(Transport::from_name);
    let Some(transport) = way.transport.or(forced).or(named) else { return };
    let from = |listen: &&Listen| way.egress.as_deref().is_none_or(|name| name == listen.name);
    if !listen.iter().filter(from).any(|listen| listen.transports.contains(&transport)) {
        let who =
            way.egress.as_ref().map_or_else(|| "no listener speaks".to_owned(), |name| format!("the listener `{name}` does not speak"));
        item.warning(format!("nothing can leave this way: {who} {transport}"));
    }
}
