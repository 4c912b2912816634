//! The trunks as the engine has them: which there are, what is registered through them, how many calls they carry, and how their ways are.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use jackfield_auth::GiveUp;
use jackfield_proto::message::Method;
use jackfield_proto::time::Timestamp;
use jackfield_trunk::admission::{Admission, AdmissionSettings, CountedTags};
use jackfield_trunk::health::{Health, Reason};
use jackfield_trunk::registrations::Registrations;
use jackfield_trunk::{AdmissionLimits, Table, Trunk};

use super::kept::WayOf;
use super::providers::Providers;
use super::trunk_probes::tell;
use crate::config::Config;

/// How often the same is said about one trunk.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// How often a line about what may befall many calls or registrations at once.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Things that are remembered to have been said.
const SAID_MAX: usize = 1024;

/// What the workers share of them.
#[derive(Debug)]
pub(crate) struct Trunks {
    table: ArcSwap<Table>,
    pub(super) registrations: Registrations,
    pub(super) admission: Admission,
    pub(super) health: Health,
    pub(super) providers: Providers,
    said: Said,
}

impl Trunks {
    /// With a key that nobody can guess, by which calls are told apart.
    pub(super) fn new(config: &Config, table: Table, registrations: Registrations, key: u128) -> Self {
        let (limits, health) = (limits_of(&table), Health::default());
        watch(&health, Timestamp::ZERO, &table);
        Self {
            registrations,
            admission: Admission::new(key.to_ne_bytes(), &admission_of(config), limits.iter().map(|(name, limits)| (name, limits))),
            health,
            table: ArcSwap::from_pointee(table),
            providers: Providers::default(),
            said: Said::default(),
        }
    }

    /// Other trunks and limits. What is known of trunks that stay is kept, and so are all calls.
    pub(super) fn replace(&self, now: Timestamp, config: &Config, table: Table) {
        let limits = limits_of(&table);
        self.registrations.configure(config.registrations);
        self.admission.reconfigure(&admission_of(config), limits.iter().map(|(name, limits)| (name, limits)));
        watch(&self.health, now, &table);
        self.providers.keep(&table);
        self.table.store(Arc::new(table));
    }

    /// The trunks in force.
    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// A way has answered.
    pub(super) fn alive(&self, now: Timestamp, (_, way): &WayOf) {
        if let Some(change) = self.health.answered(now, *way) {
            tell(&change);
        }
    }

    /// A way has failed.
    pub(super) fn failing(&self, now: Timestamp, (_, way): &WayOf, reason: Reason) {
        if let Some(change) = self.health.failed(now, *way, reason) {
            tell(&change);
        }
    }

    /// A challenge of a trunk was not answered. Said once in a while, since every call may meet it.
    pub(super) fn complain(&self, trunk: &Arc<str>, method: Method<'_>, reason: &GiveUp) {
        let method = String::from_utf8_lossy(method.as_bytes());
        self.said.now_and_then(&format!("{trunk} challenge"), COMPLAINT_EVERY, || {
            tracing::warn!("trunk [{trunk}]: its challenge of {method} is passed on: {reason}");
        });
    }

    /// Whether an address is that of a trunk's provider: it is configured, or has answered what went there.
    pub(super) fn is_provider(&self, trunk: &Trunk, address: IpAddr) -> bool {
        trunk.settings.incoming.networks.iter().any(|network| network.contains(address))
            || self.providers.has(trunk.id, address)
            || self.registrations.trunk_at(address) == Some(trunk.id)
    }

    /// A challenge in a dialog of a trunk was not answered, as somebody else asks.
    pub(super) fn complain_of_stranger(&self, trunk: &Arc<str>, address: IpAddr) {
        self.said.now_and_then(&format!("{trunk} stranger"), COMPLAINT_EVERY, || {
            tracing::warn!(
                "trunk [{trunk}]: a challenge in a dialog is passed on: it comes from {address}, which is not known for its provider's; if it is, \
                 name it in `from`"
            );
        });
    }

    /// Says something about `what` that may happen to very many at once: at most a line in a second, and then how many there were.
    pub(super) fn say(&self, what: &str, line: impl FnOnce()) {
        self.said.now_and_then(what, LINE_EVERY, line);
    }
}

/// What was said lately, so that a storm does not fill the log.
#[derive(Debug, Default)]
struct Said(Mutex<HashMap<String, Lately>>);

#[derive(Debug)]
struct Lately {
    at: Instant,
    /// Lines left out since.
    left_out: u64,
}

impl Said {
    fn now_and_then(&self, what: &str, every: Duration, line: impl FnOnce()) {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX {
            said.retain(|_, lately| now.duration_since(lately.at) < COMPLAINT_EVERY);
        }
        let has_room = said.len() < SAID_MAX;
        let left_out = match said.get_mut(what) {
            Some(lately) if now.duration_since(lately.at) < every => {
                lately.left_out += 1;
                return;
            }
            Some(lately) => std::mem::replace(lately, Lately { at: now, left_out: 0 }).left_out,
            None if has_room => {
                said.insert(what.to_owned(), Lately { at: now, left_out: 0 });
                0
            }
            None => 0,
        };
        drop(said);
        line();
        if left_out > 0 {
            tracing::info!("{left_out} more lines like this were left out ({what})");
        }
    }
}

/// What nobody limits is counted only while some plugin may ask for it.
fn admission_of(config: &Config) -> AdmissionSettings {
    let plugins = &config.plugins;
    let is_asked = plugins.chain.iter().any(|name| plugins.table.get(name).is_some_and(|plugin| plugin.grants.state));
    let counted_tags = if is_asked { CountedTags::All } else { CountedTags::Limited };
    AdmissionSettings { counted_tags, ..config.admission.clone() }
}

fn limits_of(table: &Table) -> Vec<(Arc<str>, AdmissionLimits)> {
    table.trunks().iter().map(|trunk| (Arc::clone(&trunk.settings.name), trunk.settings.admission.clone())).collect()
}

fn watch(health: &Health, now: Timestamp, table: &Table) {
    let ways = table.trunks().iter().flat_map(|trunk| trunk.watched.iter().cloned());
    health.reconfigure(now, ways, &mut draw);
}

/// A random number for what need not be unguessable.
fn draw() -> u32 {
    RandomState::new().hash_one(0u8) as u32
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What nobody asks about costs nothing.
    #[test]
    fn tags_without_limits_are_counted_where_a_plugin_of_the_chain_may_ask_for_them() {
        let listen = "[listen.lan]\naddress = \"127.0.0.1:5060\"\n";
        for (plugins, counted) in [
            ("", CountedTags::Limited),
            ("[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n", CountedTags::Limited),
            ("[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.a]\ngrant = { dns = true, state = false }\n", CountedTags::Limited),
            ("[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.b]\ngrant = { state = true }\n", CountedTags::Limited),
            ("[plugins]\ndirectory = \"p\"\nchain = [\"a\", \"b\"]\n[plugins.b]\ngrant = { state = true }\n", CountedTags::All),
        ] {
            let state_directory = Some("/nowhere".into());
            let environment = crate::config::Environment { state_directory, cores: 1, ..Default::default() };
            let config = Config::parse(std::path::Path::new("/nowhere/test.toml"), &format!("{listen}{plugins}"), &environment).unwrap();
            assert_eq!(admission_of(&config), AdmissionSettings { counted_tags: counted, ..config.admission.clone() }, "{plugins}");
        }
    }

    #[test]
    fn a_storm_is_one_line_and_other_things_are_said_all_the_same() {
        let (said, lines) = (Said::default(), Cell::new(0));
        let say = |what: &str, every| said.now_and_then(what, every, || lines.set(lines.get() + 1));
        (0..1000).for_each(|_| say("a", COMPLAINT_EVERY));
        say("b", COMPLAINT_EVERY);
        assert_eq!(lines.get(), 2);
        (0..3).for_each(|_| say("b", Duration::ZERO));
        assert_eq!(lines.get(), 5);
        (0..5000).for_each(|number| say(&number.to_string(), COMPLAINT_EVERY));
        assert!(said.0.lock().unwrap().len() <= SAID_MAX);
    }
}
