//! `[media]`: relays that media crosses through, how they are asked, and what a side can get of them.

mod profile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_relay::{Probe, Profile, ProfileId, RelayId, RelaySettings, Server, Unavailable};
use jackfield_trunk::{Relaying, SideMedia};

use super::reader::{Item, Section};
use super::{Config, Listen, Plugins, Trunk};

const KEYS: [&str; 6] = ["relay", "profile", "timeout", "total", "probe", "unavailable"];

/// Names that a profile cannot have: they mean something else where a plugin names one.
const RESERVED: [&str; 2] = ["relay", "direct"];

/// The shortest time that a relay can be given to answer.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(50);
/// The shortest time from one ping to the next.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

impl Config {
    /// The names of the media profiles.
    pub fn media_profiles(&self) -> Arc<[Arc<str>]> {
        self.media.iter().flat_map(|media| media.profiles.keys().cloned()).collect()
    }
}

/// The relays; none where the file names none.
pub(super) fn read(root: &Section<'_, '_>) -> Option<Arc<RelaySettings>> {
    let item = root.item("media")?;
    let section = item.section(&KEYS)?;
    let default = RelaySettings::default();
    let time = |key, default| {
        let range = SHORTEST_TIMEOUT..=RelaySettings::LONGEST_TIMEOUT;
        section.item(key).and_then(|item| item.duration(range)).unwrap_or(default)
    };
    let settings = RelaySettings {
        servers: servers(&section),
        timeout: time("timeout", default.timeout),
        total: time("total", default.total),
        probe: probe(&section.section("probe", &["interval", "failures", "successes"])),
        unavailable: section.item("unavailable").and_then(|item| unavailable(&item)).unwrap_or(default.unavailable),
        profiles: profiles(&section),
    };
    if settings.total < settings.timeout {
        let place = section.item("total").or_else(|| section.item("timeout"));
        place.iter().for_each(|item| item.error("total is shorter than timeout; no relay would have as long as timeout says"));
    }
    let named = section.item("relay");
    if named.is_none() {
        item.key_warning("has no effect: there is no relay; add a table [media.relay.one] with address = \"127.0.0.1:22222\"");
    }
    named.map(|_| Arc::new(settings))
}

fn servers(section: &Section<'_, '_>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for (name, item) in section.item("relay").and_then(|item| item.open_section()).iter().flat_map(|table| table.items()) {
        refuse_bad_name(&item, &name);
        let Some(server) = server(&name, &item) else { continue };
        if let Some(other) = servers.iter().find(|other| other.address == server.address) {
            item.key_error(format!("{} is the address of the relay `{}` already; remove one of them", server.address, other.name));
        }
        // Dialogs remember their relay by a number that is made of its name.
        if let Some(other) = servers.iter().find(|other| RelayId::of(&other.name) == RelayId::of(&name)) {
            item.key_error(format!("cannot be told apart from the relay `{}`; rename one of them", other.name));
        }
        servers.push(server);
    }
    servers
}

fn server(name: &str, item: &Item<'_, '_>) -> Option<Server> {
    let section = item.section(&["address", "weight"])?;
    let Some(address) = section.item("address") else {
        section.missing("address", "is missing; add address = \"127.0.0.1:22222\"");
        return None;
    };
    let text = address.string()?;
    let Some(found) = text.parse().ok().filter(|found: &SocketAddr| found.port() != 0 && !found.ip().is_unspecified()) else {
        address.error(format!("`{text}` is no address and port of a relay; write it like \"127.0.0.1:22222\" or \"[2001:db8::1]:22222\""));
        return None;
    };
    let weight = section.item("weight").and_then(|item| item.number(0..=1_000_000)).and_then(|weight| u32::try_from(weight).ok());
    Some(Server { name: name.into(), address: found, weight: weight.unwrap_or(1) })
}

fn profiles(section: &Section<'_, '_>) -> BTreeMap<Arc<str>, Profile> {
    let mut profiles: BTreeMap<Arc<str>, Profile> = BTreeMap::new();
    for (name, item) in section.item("profile").and_then(|item| item.open_section()).iter().flat_map(|table| table.items()) {
        refuse_bad_name(&item, &name);
        if RESERVED.contains(&name.as_str()) {
            item.key_error(format!("a profile cannot have the name `{name}`, which means something else to plugins; rename it"));
        }
        let Some(profile) = profile::read(&item) else { continue };
        if let Some(other) = profiles.keys().find(|other| ProfileId::of(other) == ProfileId::of(&name)) {
            item.key_error(format!("cannot be told apart from the profile `{other}`; rename one of them"));
        }
        profiles.insert(name.into(), profile);
    }
    profiles
}

fn refuse_bad_name(item: &Item<'_, '_>, name: &str) {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        item.key_error("a name here is made of letters, digits, `-`, `_` and `.`; rename it");
    }
}

fn probe(section: &Section<'_, '_>) -> Probe {
    let default = Probe::default();
    let interval = section.item("interval").and_then(|item| item.duration(SHORTEST_INTERVAL..=RelaySettings::LONGEST_INTERVAL));
    let count = |key, default| {
        let number = section.item(key).and_then(|item| item.number(1..=1000));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    Probe {
        interval: interval.unwrap_or(default.interval),
        failures: count("failures", default.failures),
        successes: count("successes", default.successes),
    }
}

fn unavailable(item: &Item<'_, '_>) -> Option<Unavailable> {
    let text = item.string()?;
    if text == "direct" {
        return Some(Unavailable::Direct);
    }
    let status = text.parse().ok().filter(|status| (400..700).contains(status));
    if status.is_none() {
        item.error(format!("`{text}` is not known; write \"direct\", or a final status from \"400\" to \"699\", like \"503\""));
    }
    status.map(Unavailable::Reply)
}

/// Who writes these thinks that something is relayed, or that somebody gets what a profile says. Plugins can do both at any time.
pub(super) fn warn_about_idle(root: &Section<'_, '_>, listen: &[Listen], trunks: &[Trunk], plugins: &Plugins) {
    if !plugins.chain.is_empty() {
        return;
    }
    let sides = || listen.iter().map(|listen| &listen.media).chain(trunks.iter().map(|trunk| &trunk.settings.media));
    let relays = |side: &SideMedia| side.relay.as_ref().is_some_and(|relay| *relay != Relaying::Direct);
    let media = root.item("media");
    let section = media.as_ref().and_then(|item| item.open_section());
    if section.as_ref().is_some_and(|section| section.item("relay").is_some()) && !sides().any(relays) {
        media.iter().for_each(|item| {
            item.key_warning("has no effect: no listener and no trunk has media = \"relay\", and no plugin could ask for it")
        });
        return;
    }
    for (name, item) in section.iter().filter_map(|section| section.item("profile")?.open_section()).flat_map(|table| table.items()) {
        if !sides().any(|side| side.profile.as_deref() == Some(&*name)) {
            item.key_warning(format!(
                "has no effect: no listener and no trunk has media-profile = \"{name}\", and no plugin could name it"
            ));
        }
    }
}
