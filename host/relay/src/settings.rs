//! What the pool is made of and how it is asked, with its defaults and what is wrong with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::health::Probe;
use crate::note::{ProfileId, RelayId};
use crate::profile::Profile;

/// The media relays, how they are asked, and what sides can get of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySettings {
    /// The relays. Default: none.
    pub servers: Vec<Server>,
    /// How long one relay may take; the question is repeated meanwhile. Default 1 s.
    pub timeout: Duration,
    /// How long a question of a new call may take in all, whichever relays are asked. Default 3 s.
    pub total: Duration,
    /// How it is found out which relays are there.
    pub probe: Probe,
    /// What becomes of an INVITE that no relay takes. Default 503.
    pub unavailable: Unavailable,
    /// What sides can get, by name. Default: none.
    pub profiles: BTreeMap<Arc<str>, Profile>,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(1),
            total: Duration::from_secs(3),
            probe: Probe::default(),
            unavailable: Unavailable::Reply(503),
            profiles: BTreeMap::new(),
        }
    }
}

/// One relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name: dialogs remember it by that.
    pub name: Arc<str>,
    /// Where it takes questions of the ng protocol, by UDP.
    pub address: SocketAddr,
    /// Its share of new calls among those that are up. 0: only when no other is.
    pub weight: u32,
}

/// What becomes of an INVITE that no relay takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It gets this response, 400 to 699.
    Reply(u16),
    /// It goes on, and media goes past the relays.
    Direct,
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Two relays are remembered by the same number.
    #[error("media relays {0:?} and {1:?} cannot be told apart: {reason}", reason = if .0 == .1 { "one name twice" } else { "rename one of them" })]
    SameRelay(Arc<str>, Arc<str>),
    /// Two relays have one address.
    #[error("media relays {0:?} and {1:?} have the same address")]
    SameAddress(Arc<str>, Arc<str>),
    /// Two profiles are remembered by the same number.
    #[error("media profiles {0:?} and {1:?} cannot be told apart: rename one of them")]
    SameProfile(Arc<str>, Arc<str>),
    /// A duration that has to be longer than nothing, and no more than this.
    #[error("{what} has to be more than 0 and at most {most:?}")]
    Duration {
        /// What it is for.
        what: &'static str,
        /// The longest that makes sense.
        most: Duration,
    },
    /// A number of pings that has to be at least one.
    #[error("{0} has to be at least 1")]
    NoPings(&'static str),
    /// A status that fails no INVITE.
    #[error("{0} is no status from 400 to 699")]
    Status(u16),
}

impl RelaySettings {
    /// The longest that a question may take: a caller waits for it.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
    /// The longest time between two pings.
    pub const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);

    /// The first thing that is wrong with them.
    ///
    /// # Errors
    /// What it is.
    pub fn check(&self) -> Result<(), SettingsError> {
        for (at, server) in self.servers.iter().enumerate() {
            for other in self.servers.iter().skip(at + 1) {
                if RelayId::of(&server.name) == RelayId::of(&other.name) {
                    return Err(SettingsError::SameRelay(server.name.clone(), other.name.clone()));
                }
                if server.address == other.address {
                    return Err(SettingsError::SameAddress(server.name.clone(), other.name.clone()));
                }
            }
        }
        let mut profiles = BTreeMap::new();
        for name in self.profiles.keys() {
            if let Some(other) = profiles.insert(ProfileId::of(name), name) {
                return Err(SettingsError::SameProfile(other.clone(), name.clone()));
            }
        }
        let durations = [
            ("timeout", self.timeout, Self::LONGEST_TIMEOUT),
            ("total", self.total, Self::LONGEST_TIMEOUT),
            ("probe.interval", self.probe.interval, Self::LONGEST_INTERVAL),
        ];
        if let Some((what, _, most)) = durations.into_iter().find(|(_, duration, most)| duration.is_zero() || duration > most) {
            return Err(SettingsError::Duration { what, most });
        }
        let pings = [("probe.failures", self.probe.failures), ("probe.successes", self.probe.successes)];
        if let Some((what, _)) = pings.into_iter().find(|(_, number)| *number == 0) {
            return Err(SettingsError::NoPings(what));
        }
        match self.unavailable {
            Unavailable::Reply(400..=699) | Unavailable::Direct => Ok(()),
            Unavailable::Reply(status) => Err(SettingsError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, port: u16) -> Server {
        Server { name: name.into(), address: ([127, 0, 0, 1], port).into(), weight: 1 }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(RelaySettings::default().check(), Ok(()));
        let with = |servers: &[Server]| RelaySettings { servers: servers.to_vec(), ..RelaySettings::default() }.check();
        assert_eq!(with(&[server("a", 1), server("b", 2)]), Ok(()));
        assert_eq!(with(&[server("a", 1), server("a", 2)]), Err(SettingsError::SameRelay("a".into(), "a".into())));
        assert_eq!(with(&[server("a", 1), server("b", 1)]), Err(SettingsError::SameAddress("a".into(), "b".into())));
        for status in [0, 200, 399, 700] {
            let settings = RelaySettings { unavailable: Unavailable::Reply(status), ..RelaySettings::default() };
            assert_eq!(settings.check(), Err(SettingsError::Status(status)));
        }
        let timeout = RelaySettings { timeout: Duration::ZERO, ..RelaySettings::default() };
        assert!(matches!(timeout.check(), Err(SettingsError::Duration { what: "timeout", .. })));
        let probe = Probe { failures: 0, ..Probe::default() };
        assert_eq!(RelaySettings { probe, ..RelaySettings::default() }.check(), Err(SettingsError::NoPings("probe.failures")));
    }

    #[test]
    fn profiles_that_cannot_be_told_apart_are_refused() {
        // 16 bits: among a thousand names two meet almost certainly.
        let profiles = (0..1_000).map(|number| (Arc::from(format!("p{number}")), Profile::default())).collect();
        let settings = RelaySettings { profiles, ..RelaySettings::default() };
        assert!(matches!(settings.check(), Err(SettingsError::SameProfile(..))));
    }
}
