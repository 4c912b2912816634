//! `[trunk.NAME]`: providers, and how requests go there and come from there.

mod credentials;
#[cfg(test)]
mod tests;
mod way;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::Uri;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{ContactPolicy, Edit, StatusSet, is_editable};
use jackfield_trunk::{Access, AdmissionLimits, Busy, Forced, Incoming, Probe, Refusal, TrunkSettings};

use super::host::parse_host;
use super::reader::{Item, Section};
use super::side::{self, Names, Own};
use super::{Listen, Network};

pub use credentials::{Credentials, Secret};

const KEYS: [&str; 33] = [
    "provider",
    "proxy",
    "next-hop",
    "egress",
    "options",
    "set-headers",
    "remove-headers",
    "fallback",
    "fallback-on",
    "response-timeout",
    "answer-timeout",
    "from",
    "from-listeners",
    "from-header",
    "inbound",
    "inbound-set-headers",
    "allow",
    "deny",
    "refuse",
    "contact",
    "username",
    "password-file",
    "password-env",
    "realm",
    "calls",
    "calls-per-second",
    "busy",
    "retry-after",
    "probe",
    "media",
    "media-profile",
    "hide",
    "identity",
];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A `[trunk.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// What it says, without the account.
    pub settings: TrunkSettings,
    /// `username` and what goes with it.
    pub credentials: Option<Credentials>,
}

impl Trunk {
    /// The path of a key of this table in the file.
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", super::reader::join("trunk", &self.settings.name))
    }
}

/// All trunks in the order of the file.
pub(super) fn read(root: &Section<'_, '_>, listen: &[Listen], base: &Path, sides: &Names) -> Vec<Trunk> {
    let Some(section) = root.item("trunk").and_then(|item| item.open_section()) else { return Vec::new() };
    let items = section.items();
    let names: Vec<&str> = items.iter().map(|(name, _)| name.as_str()).collect();
    let mut trunks: Vec<Trunk> = Vec::new();
    for (name, item) in &items {
        let Some(section) = item.section(&KEYS) else { continue };
        let read = Reading { name, section, listen, names: &names, sides };
        let trunk = read.trunk(item, base);
        refuse_shared_provider(item, &trunk, &trunks);
        trunks.push(trunk);
    }
    trunks
}

/// Two trunks for one host would leave it to chance which is taken.
fn refuse_shared_provider(item: &Item<'_, '_>, trunk: &Trunk, others: &[Trunk]) {
    for provider in &trunk.settings.providers {
        if let Some(other) = others.iter().find(|other| other.settings.providers.contains(provider)) {
            item.key_error(format!("the provider {provider} belongs to the trunk `{}` already", other.settings.name));
        }
    }
}

/// One table while it is read.
struct Reading<'a, 'r, 't> {
    name: &'a str,
    section: Section<'r, 't>,
    listen: &'a [Listen],
    names: &'a [&'a str],
    sides: &'a Names,
}

impl Reading<'_, '_, '_> {
    fn trunk(&self, item: &Item<'_, '_>, base: &Path) -> Trunk {
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            item.key_error("a trunk's name is made of letters, digits, `-`, `_` and `.`; rename it");
        }
        let section = &self.section;
        let providers = self.hosts("provider");
        let egress = section.item("egress").and_then(|item| self.listener(&item));
        let forced = self.forced();
        let time = |key, range| section.item(key).and_then(|item| item.duration(range));
        let mut settings = TrunkSettings {
            name: self.name.into(),
            ways: way::read(section, self.listen, egress.as_ref(), forced.transport),
            providers,
            forced,
            response_timeout: time("response-timeout", 50 * MILLISECOND..=32 * SECOND),
            answer_timeout: time("answer-timeout", SECOND..=HOUR),
            fallback: self.fallback(),
            fallback_on: self.fallback_on(),
            incoming: self.incoming(),
            callers: access(section),
            contact: self.contact(),
            account: None,
            admission: admission(section),
            probe: probe(section),
            border: None,
            media: side::media(section, Own::Trunk(self.name), self.sides),
        };
        settings.border = side::border_of_trunk(section, &settings, self.sides, self.listen);
        if settings.ways.is_empty() && settings.providers.is_empty() {
            section.missing(
                "provider",
                "this trunk has nowhere to send to; add provider = \"sip.example.com\", or proxy = \"sip:proxy.example.com;lr\"",
            );
        }
        Trunk { settings, credentials: credentials::read(section, base) }
    }

    fn hosts(&self, key: &str) -> Vec<Arc<str>> {
        let mut hosts: Vec<Arc<str>> = Vec::new();
        for item in one_or_many(&self.section, key) {
            let Some(text) = item.string() else { continue };
            match parse_host(text) {
                Some(host) if hosts.iter().any(|known| **known == *host) => item.error(format!("`{text}` is here twice; remove one")),
                Some(host) => hosts.push(host.into()),
                None => item.error(format!("`{text}` is no host; write a name or an address alone, like \"sip.example.com\"")),
            }
        }
        hosts
    }

    fn listener(&self, item: &Item<'_, '_>) -> Option<Arc<str>> {
        listener(item, self.listen)
    }

    fn forced(&self) -> Forced {
        let mut forced = Forced::default();
        for (name, item) in self.section.item("options").and_then(|item| item.open_section()).iter().flat_map(|table| table.items()) {
            let Some(value) = item.string() else { continue };
            if name == "transport" {
                forced.transport = Transport::from_name(value.as_bytes());
                if forced.transport.is_none() {
                    item.error(format!("`{value}` is no transport; write one of udp, tcp, tls, ws, wss"));
                }
            } else if let (Some(name), Some(value)) = (uri_token(&name), uri_token(value).or((value.is_empty()).then(Bytes::new))) {
                forced.edits.push(Edit::SetUriParam(name, value));
            } else {
                item.error("is no parameter of a URI; names and values are made of letters, digits and -_.!~*'()[]/:&+$");
            }
        }
        forced.edits.extend(set_headers(&self.section, "set-headers"));
        for item in self.section.item("remove-headers").iter().filter_map(|list| list.strings()).flatten() {
            forced.edits.extend(item.string().and_then(|name| header_name(&item, name)).map(Edit::Remove));
        }
        forced
    }

    fn fallback(&self) -> Vec<Arc<str>> {
        let mut fallback: Vec<Arc<str>> = Vec::new();
        for item in one_or_many(&self.section, "fallback") {
            let Some(name) = item.string() else { continue };
            if name == self.name {
                item.error("a trunk cannot be its own fallback; remove it");
            } else if !self.names.contains(&name) {
                let near = super::reader::nearest(name, self.names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                item.error(format!("there is no [trunk.{name}]{near}"));
            } else if fallback.iter().any(|known| **known == *name) {
                item.error(format!("`{name}` is here twice; remove one"));
            } else {
                fallback.push(name.into());
            }
        }
        fallback
    }

    fn fallback_on(&self) -> StatusSet {
        let default = || StatusSet::parse("5xx").unwrap_or_default();
        let Some(item) = self.section.item("fallback-on") else { return default() };
        let Some(text) = item.string() else { return default() };
        StatusSet::parse(text).unwrap_or_else(|| {
            item.error(format!("`{text}` are no statuses; write some from 300 to 699 and classes, like \"403 5xx\""));
            default()
        })
    }

    fn incoming(&self) -> Incoming {
        let section = &self.section;
        let mut listeners = Vec::new();
        for item in one_or_many(section, "from-listeners") {
            listeners.extend(self.listener(&item));
        }
        let header = section.item("from-header").and_then(|item| item.section(&["name", "value"])).and_then(|table| {
            let name = table.item("name");
            if name.is_none() {
                table.missing("name", "is missing; add name = \"X-Trunk\"");
            }
            let name = name.and_then(|item| item.string().map(|text| Bytes::copy_from_slice(text.as_bytes())))?;
            let value = table.item("value").and_then(|item| item.string().map(|text| Bytes::copy_from_slice(text.as_bytes())));
            Some((name, value))
        });
        let to = one_or_many(section, "inbound").iter().filter_map(way::sip_uri).collect();
        Incoming { networks: networks(section, "from"), listeners, header, to, edits: set_headers(section, "inbound-set-headers") }
    }

    fn contact(&self) -> ContactPolicy {
        let words =
            [("keep", ContactPolicy::Kept), ("token", ContactPolicy::Token), ("token-without-path", ContactPolicy::TokenWithoutPath)];
        self.section.item("contact").and_then(|item| item.word(&words)).unwrap_or_default()
    }
}

/// A value that may be a list of such values.
fn one_or_many<'r, 't>(section: &Section<'r, 't>, key: &str) -> Vec<Item<'r, 't>> {
    match section.item(key) {
        Some(item) if matches!(item.value.get_ref(), toml::de::DeValue::Array(_)) => item.list().unwrap_or_default(),
        item => item.into_iter().collect(),
    }
}

/// The name of a listener that is there.
fn listener(item: &Item<'_, '_>, listen: &[Listen]) -> Option<Arc<str>> {
    let name = item.string()?;
    if listen.iter().any(|listen| listen.name == name) {
        return Some(name.into());
    }
    let known: Vec<&str> = listen.iter().map(|listen| listen.name.as_str()).collect();
    item.error(format!("there is no listener `{name}`; there are: {}", known.join(", ")));
    None
}

/// `allow`, `deny` and `refuse` of a table.
pub(super) fn access(section: &Section<'_, '_>) -> Access {
    let refusals = [("403", Refusal::Forbidden), ("silence", Refusal::Silence)];
    let refusal = section.item("refuse").and_then(|item| item.word(&refusals)).unwrap_or_default();
    let access = Access { allow: networks(section, "allow"), deny: networks(section, "deny"), refusal };
    if let Some(item) = section.item("refuse").filter(|_| access.allow.is_empty() && access.deny.is_empty()) {
        item.warning("has no effect: neither allow nor deny is set");
    }
    access
}

pub(super) fn networks(section: &Section<'_, '_>, key: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for item in one_or_many(section, key) {
        match item.string().map(str::parse) {
            Some(Ok(network)) => networks.push(network),
            Some(Err(error)) => item.error(format!("{error}; write it like \"192.0.2.0/24\"")),
            None => {}
        }
    }
    networks
}

/// `calls`, `calls-per-second`, `busy` and `retry-after` of a table.
pub(super) fn admission(section: &Section<'_, '_>) -> AdmissionLimits {
    let number = |key, range| section.item(key).and_then(|item| item.number(range)).and_then(|number| u32::try_from(number).ok());
    AdmissionLimits {
        calls: number("calls", 0..=10_000_000),
        calls_per_second: number("calls-per-second", 1..=1_000_000),
        answer: busy(section),
    }
}

fn busy(section: &Section<'_, '_>) -> Busy {
    let default = Busy::default();
    let status = section.item("busy").and_then(|item| {
        let text = item.string()?;
        let status = text.parse().ok().filter(|status| (400..700).contains(status));
        if status.is_none() {
            item.error(format!("`{text}` is no final status; write one from \"400\" to \"699\", like \"503\" or \"486\""));
        }
        status
    });
    let retry_after = section.item("retry-after").and_then(|item| item.duration(SECOND..=HOUR));
    Busy {
        status: status.unwrap_or(default.status),
        retry_after: retry_after.map_or(default.retry_after, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
    }
}

fn probe(section: &Section<'_, '_>) -> Probe {
    let probe = section.section("probe", &["interval", "interval-down", "timeout", "failures", "successes"]);
    let default = Probe::default();
    let time = |key, default| probe.item(key).and_then(|item| item.duration(SECOND..=HOUR)).unwrap_or(default);
    let count = |key, default| {
        let number = probe.item(key).and_then(|item| item.number(1..=1000));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let interval = match probe.item("interval") {
        Some(item) if matches!(item.value.get_ref(), toml::de::DeValue::String(text) if text == "off") => None,
        Some(item) => item.duration(SECOND..=HOUR).or(default.interval),
        None => default.interval,
    };
    Probe {
        interval,
        interval_down: time("interval-down", default.interval_down),
        timeout: probe.item("timeout").and_then(|item| item.duration(50 * MILLISECOND..=32 * SECOND)).unwrap_or(default.timeout),
        failures: count("failures", default.failures),
        successes: count("successes", default.successes),
    }
}

/// A table of header fields to set.
fn set_headers(section: &Section<'_, '_>, key: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (name, item) in section.item(key).and_then(|item| item.open_section()).iter().flat_map(|table| table.items()) {
        let (Some(name), Some(value)) = (header_name(&item, &name), item.string()) else { continue };
        if value.bytes().any(|octet| octet < 0x20 && octet != b'\t') {
            item.error("a header field's value has no control characters; remove them");
        } else {
            edits.push(Edit::Set(name, Bytes::copy_from_slice(value.as_bytes())));
        }
    }
    edits
}

fn header_name(item: &Item<'_, '_>, name: &str) -> Option<Bytes> {
    if is_editable(name.as_bytes()) {
        return Some(Bytes::copy_from_slice(name.as_bytes()));
    }
    item.key_error(format!("`{name}` cannot be edited: it is no header name, or one that is the proxy's own"));
    None
}

/// `pname` or `pvalue` (RFC 3261 25.1).
fn uri_token(text: &str) -> Option<Bytes> {
    let valid = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()%[]/:&+$".contains(&octet);
    (!text.is_empty() && text.bytes().all(valid)).then(|| Bytes::copy_from_slice(text.as_bytes()))
}

/// A SIP URI with brackets taken off; none if it is none.
fn parse_sip_uri(text: &str) -> Option<Bytes> {
    let text = text.trim();
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let whole = bare.bytes().all(|octet| octet > 0x20 && octet != 0x7f && !b"<>\"".contains(&octet));
    Uri::parse(bare.as_bytes()).filter(|uri| whole && (uri.is_sip() || uri.is_sips()) && !uri.host().is_empty())?;
    Some(Bytes::copy_from_slice(bare.as_bytes()))
}
