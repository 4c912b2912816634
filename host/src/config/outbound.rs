//! `[outbound-proxy]`: where the requests of a source go that no plugin decides about, in the form that PBXs write and in TOML.

use std::net::{IpAddr, SocketAddr};

use jackfield_proto::message::{Uri, host_address};
use jackfield_proto::net::Transport;

use super::Listen;
use super::Network;
use super::host::{parse_host, parse_sent_by};
use super::reader::{Item, Section, nearest};

/// `[outbound-proxy]`: the rules in the order of the file, those of `list` before those of `rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundProxy {
    rules: Vec<OutboundRule>,
}

/// One rule: requests from there go here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRule {
    /// The block that requests come from.
    pub from: Network,
    /// A SIP URI that says where to send them; it appears in no message.
    pub to: String,
    /// The listener to send from; none leaves that to the system's routes.
    pub egress: Option<String>,
    /// The address and port in `to`, where an address stands there.
    address: Option<SocketAddr>,
}

impl OutboundProxy {
    /// The first rule for requests from this address, over this transport. What comes from the address of the outbound proxy itself is not
    /// sent back to it (of connections the port says nothing: it is any that was free there). An outbound proxy that is named is not
    /// looked up for that: leave its addresses out of `from`.
    pub fn rule_for(&self, source: SocketAddr, transport: Transport) -> Option<&OutboundRule> {
        let is_itself = |address: SocketAddr| address.ip() == source.ip() && (transport.is_reliable() || address.port() == source.port());
        self.rules.iter().find(|rule| rule.from.contains(source.ip())).filter(|rule| !rule.address.is_some_and(is_itself))
    }
}

/// Reads the table.
pub(super) fn read(root: &Section<'_, '_>, listen: &[Listen]) -> OutboundProxy {
    let section = root.section("outbound-proxy", &["list", "rules"]);
    let mut rules = Vec::new();
    if let Some(list) = section.item("list") {
        read_list(&list, listen, &mut rules);
    }
    for item in section.item("rules").and_then(|rules| rules.list()).unwrap_or_default() {
        if let Some(rule) = read_rule(&item, listen) {
            doubts(&rule, &rules, listen).into_iter().for_each(|doubt| item.warning(doubt));
            rules.push(rule);
        }
    }
    OutboundProxy { rules }
}

/// What a rule probably does not mean: it is never reached, or nothing can leave by it.
fn doubts(rule: &OutboundRule, before: &[OutboundRule], listen: &[Listen]) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(earlier) = before.iter().position(|earlier| earlier.from.covers(&rule.from)) {
        doubts.push(format!("is never reached: rule {} takes everything from {}", earlier + 1, rule.from));
    }
    let Some(uri) = Uri::parse(rule.to.as_bytes()) else { return doubts };
    let named = uri.param(b"transport").flatten().and_then(Transport::from_name);
    // Without a transport it is looked up, or UDP, or TLS for sips (RFC 3263 4.1).
    let transport =
        named.or((uri.is_sips() || uri.host_ip().is_some()).then(|| if uri.is_sips() { Transport::Tls } else { Transport::Udp }));
    let egress = |listen: &&Listen| rule.egress.as_deref().is_none_or(|name| name == listen.name);
    if let Some(transport) = transport.filter(|transport| !listen.iter().filter(egress).any(|l| l.transports.contains(transport))) {
        let who =
            rule.egress.as_ref().map_or_else(|| "no listener speaks".to_owned(), |name| format!("the listener `{name}` does not speak"));
        doubts.push(format!("nothing can leave to {}: {who} {transport}", rule.to));
    }
    doubts
}

/// One string with entries that commas, semicolons or space separate, or a list of strings with one entry each.
fn read_list(list: &Item<'_, '_>, listen: &[Listen], rules: &mut Vec<OutboundRule>) {
    let mut take = |item: &Item<'_, '_>, index: usize, entry: &str| match parse_entry(entry) {
        Ok(rule) => {
            for doubt in doubts(&rule, rules, listen) {
                item.warning(format!("entry {} (`{entry}`) {doubt}", index + 1));
            }
            rules.push(rule);
        }
        Err(error) => item.error(format!("entry {} (`{entry}`): {error}", index + 1)),
    };
    let separator = |letter: char| letter.is_whitespace() || matches!(letter, ',' | ';');
    if matches!(list.value.get_ref(), toml::de::DeValue::String(_)) {
        let entries = list.string().unwrap_or_default().split(separator).filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            take(list, index, entry);
        }
        return;
    }
    for (index, item) in list.strings().unwrap_or_default().iter().enumerate() {
        let Some(entry) = item.string() else { continue };
        take(item, index, entry.trim());
    }
}

/// Why an entry of the list cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum EntryError {
    #[error("write it like \"10.0.0.0/255.0.0.0/192.0.2.7:5060/tcp\": source, mask, address, and after the address port and transport")]
    Parts,
    #[error("the mask `{0}` is no prefix length from 0 to {1}, and no netmask of leading ones")]
    Mask(String, u8),
    #[error("the source `{0}` is no IP address")]
    NoSource(String),
    #[error("the address `{0}` is no host and no host:port; IPv6 goes in brackets")]
    Address(String),
    #[error("the transport `{0}` is not known{1}")]
    Transport(String, String),
}

/// `source/mask/address[:port[/transport]]`, with port 5060 and UDP where they are left out.
fn parse_entry(entry: &str) -> Result<OutboundRule, EntryError> {
    let parts: Vec<&str> = entry.split('/').map(str::trim).collect();
    let (source, mask, address, transport) = match parts[..] {
        [source, mask, address] => (source, mask, address, None),
        [source, mask, address, transport] => (source, mask, address, Some(transport)),
        _ => return Err(EntryError::Parts),
    };
    let source = host_address(source.as_bytes()).ok_or_else(|| EntryError::NoSource(source.to_owned()))?;
    let prefix = prefix_length(source, mask)?;
    let transport = match transport {
        None => Transport::Udp,
        Some(name) => Transport::from_name(name.as_bytes()).ok_or_else(|| {
            let near = nearest(name, &TRANSPORTS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            EntryError::Transport(name.to_owned(), near)
        })?,
    };
    // Without brackets a port would be taken for a part of an IPv6 address.
    let is_bare_ipv6 = address.matches(':').count() > 1 && !address.starts_with('[');
    let host_port = parse_sent_by(address).filter(|_| !is_bare_ipv6).ok_or_else(|| EntryError::Address(address.to_owned()))?;
    let to = Uri::parse(format!("sip:{host_port}").as_bytes())
        .map(|uri| format!("sip:{}:{};transport={transport}", String::from_utf8_lossy(uri.host()), uri.port().unwrap_or(5060)))
        .ok_or_else(|| EntryError::Address(address.to_owned()))?;
    Ok(rule(Network::of(source, prefix), to, None))
}

const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

/// A prefix length, from a number or from a netmask.
fn prefix_length(source: IpAddr, mask: &str) -> Result<u8, EntryError> {
    let longest = if source.is_ipv4() { 32 } else { 128 };
    let refused = || EntryError::Mask(mask.to_owned(), longest);
    if let Ok(prefix) = mask.parse::<u8>() {
        return if prefix <= longest { Ok(prefix) } else { Err(refused()) };
    }
    let (ones, all) = match (source, host_address(mask.as_bytes())) {
        (IpAddr::V4(_), Some(IpAddr::V4(mask))) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        (IpAddr::V6(_), Some(IpAddr::V6(mask))) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        _ => return Err(refused()),
    };
    if ones == all { u8::try_from(ones).map_err(|_| refused()) } else { Err(refused()) }
}

fn rule(from: Network, to: String, egress: Option<String>) -> OutboundRule {
    let address = Uri::parse(to.as_bytes()).and_then(|uri| Some(SocketAddr::new(uri.host_ip()?, uri.port().unwrap_or(5060))));
    OutboundRule { from, to, egress, address }
}

/// `{ from = "10.0.0.0/8", to = "sip:192.0.2.7:5060;transport=tcp", egress = "wan" }`.
fn read_rule(item: &Item<'_, '_>, listen: &[Listen]) -> Option<OutboundRule> {
    let section = item.section(&["from", "to", "egress"])?;
    let missing = |key: &str, example: &str| section.missing(key, format!("is missing; add {key} = \"{example}\""));
    let from = section.item("from");
    let to = section.item("to");
    if from.is_none() {
        missing("from", "10.0.0.0/8");
    }
    if to.is_none() {
        missing("to", "sip:192.0.2.7:5060;transport=tcp");
    }
    let egress = section.item("egress").and_then(|item| {
        let name = item.string()?;
        let known: Vec<&str> = listen.iter().map(|listen| listen.name.as_str()).collect();
        if !known.contains(&name) {
            item.error(format!("there is no listener `{name}`; write one of {}", known.join(", ")));
        }
        Some(name.to_owned())
    });
    let (from, to) = (from?, to?);
    let network = from.string()?.parse::<Network>().map_err(|error| from.error(format!("{error}; write it like \"10.0.0.0/8\""))).ok();
    let uri = to.string()?;
    let usable = Uri::parse(uri.as_bytes()).is_some_and(|parsed| {
        let host = str::from_utf8(parsed.host()).ok().and_then(parse_host).is_some();
        let transport = parsed.param(b"transport").is_none_or(|name| name.and_then(Transport::from_name).is_some());
        (parsed.is_sip() || parsed.is_sips()) && host && transport
    });
    if !usable {
        to.error(format!("`{uri}` is no SIP URI to send to; write it like \"sip:192.0.2.7:5060;transport=tcp\""));
        return None;
    }
    Some(rule(network?, uri.to_owned(), egress))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_as_pbxs_write_them() {
        for (entry, from, to) in [
            ("10.0.0.0/8/192.0.2.7", "10.0.0.0/8", "sip:192.0.2.7:5060;transport=udp"),
            ("10.0.0.0/255.0.0.0/192.0.2.7:5070", "10.0.0.0/8", "sip:192.0.2.7:5070;transport=udp"),
            ("10.1.2.3/255.255.255.255/sbc.example:5061/TLS", "10.1.2.3/32", "sip:sbc.example:5061;transport=tls"),
            ("10.1.2.3/255.255.0.0/192.0.2.7", "10.1.0.0/16", "sip:192.0.2.7:5060;transport=udp"),
            ("0.0.0.0/0/sbc.example/tcp", "0.0.0.0/0", "sip:sbc.example:5060;transport=tcp"),
            ("2001:db8::/32/[2001:db8::7]:5060/tcp", "2001:db8::/32", "sip:[2001:db8::7]:5060;transport=tcp"),
            ("2001:db8::/ffff:ffff::/[2001:db8::7]", "2001:db8::/32", "sip:[2001:db8::7]:5060;transport=udp"),
        ] {
            let rule = parse_entry(entry).unwrap();
            assert_eq!((rule.from.to_string().as_str(), rule.to.as_str()), (from, to), "{entry}");
        }
    }

    #[test]
    fn entries_that_cannot_be_meant() {
        for (entry, error) in [
            ("", "write it like"),
            ("10.0.0.0/8", "write it like"),
            ("10.0.0.0/8/192.0.2.7/5060/tcp", "write it like"),
            ("pbx/8/192.0.2.7", "the source `pbx` is no IP address"),
            ("10.0.0.0/33/192.0.2.7", "the mask `33` is no prefix length from 0 to 32"),
            ("10.0.0.0/255.0.255.0/192.0.2.7", "the mask `255.0.255.0`"),
            ("10.0.0.0/ffff::/192.0.2.7", "the mask `ffff::`"),
            ("10.0.0.0/8/192.0.2.7:99999", "the address `192.0.2.7:99999`"),
            ("10.0.0.0/8/2001:db8::7:port/tcp", "the address"),
            ("2001:db8::/32/2001:db8::7:5060/tcp", "the address `2001:db8::7:5060` is no host and no host:port; IPv6 goes in brackets"),
            ("10.0.0.0/8/192.0.2.7:5060/tpc", "the transport `tpc` is not known; did you mean `tcp`?"),
        ] {
            let message = parse_entry(entry).unwrap_err().to_string();
            assert!(message.starts_with(error), "{entry}: {message}");
        }
    }

    #[test]
    fn the_first_rule_wins_and_nothing_is_sent_back() {
        let rules = ["10.0.0.0/24/192.0.2.1", "10.0.0.0/8/10.9.9.9", "0.0.0.0/0/192.0.2.3"].map(|entry| parse_entry(entry).unwrap());
        let outbound = OutboundProxy { rules: rules.into() };
        let rule_for = |source: &str, port, transport| outbound.rule_for(SocketAddr::new(source.parse().unwrap(), port), transport);
        let goes_to = |source: &str| rule_for(source, 5060, Transport::Udp).map(|rule| rule.to.as_str());
        assert_eq!(goes_to("10.0.0.7"), Some("sip:192.0.2.1:5060;transport=udp"));
        assert_eq!(goes_to("10.1.0.7"), Some("sip:10.9.9.9:5060;transport=udp"));
        assert_eq!(goes_to("10.9.9.9"), None);
        assert!(rule_for("10.9.9.9", 40_000, Transport::Tcp).is_none(), "a connection comes from any port");
        assert!(rule_for("10.9.9.9", 40_000, Transport::Udp).is_some(), "another program on that host");
        assert_eq!(goes_to("::ffff:203.0.113.7"), Some("sip:192.0.2.3:5060;transport=udp"));
        assert_eq!(goes_to("2001:db8::1"), None);
    }
}
