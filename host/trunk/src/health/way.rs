//! A way to a provider, as it is watched.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use jackfield_proto::proxy::TrunkId;
use siphasher::sip::SipHasher24;

use crate::settings::{Probe, TrunkSettings, Way};

/// Stands for a way: it is made of all that the way says, so that it means the same after a reload, and the same URI by another listener or
/// another transport is another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WayId {
    /// The trunk that it belongs to.
    pub trunk: TrunkId,
    sum: u64,
}

impl WayId {
    /// That of a trunk's way, by its place in [`TrunkSettings::ways`]; 0 where there are none.
    pub fn at(settings: &TrunkSettings, place: usize) -> Self {
        match settings.ways.get(place) {
            Some(way) => Self::of(settings, way),
            None => Self::of(settings, &Way::default()),
        }
    }

    fn of(settings: &TrunkSettings, way: &Way) -> Self {
        let Way { route, next_hop, transport, egress } = way;
        let mut hasher = SipHasher24::new();
        let mut part = |mark: u8, octets: &[u8]| {
            hasher.write_u8(mark);
            hasher.write_usize(octets.len());
            hasher.write(octets);
        };
        route.iter().for_each(|uri| part(1, uri));
        next_hop.iter().for_each(|uri| part(2, uri));
        transport.or(settings.forced.transport).iter().for_each(|transport| part(3, transport.uri_name().as_bytes()));
        egress.iter().for_each(|name| part(4, name.as_bytes()));
        if route.is_empty() && next_hop.is_none() {
            part(5, host(settings).as_bytes());
        }
        Self { trunk: TrunkId::of(&settings.name), sum: hasher.finish() }
    }
}

/// Where requests go that a way leads nowhere, and what probes ask for.
fn host(settings: &TrunkSettings) -> &Arc<str> {
    settings.providers.first().unwrap_or(&settings.name)
}

/// A way and how it is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedWay {
    /// What stands for it.
    pub id: WayId,
    /// The trunk's name.
    pub trunk: Arc<str>,
    /// Which of the trunk's ways it is, counted from 1.
    pub number: usize,
    /// The provider: where requests go that the way leads nowhere, and whom probes are addressed to.
    pub host: Arc<str>,
    /// The way; its transport is the one that is forced, if any.
    pub way: Way,
    /// How it is watched.
    pub probe: Probe,
}

impl WatchedWay {
    /// The ways of a trunk. Where it has none, its provider itself is one; of several providers, the first.
    pub fn all(settings: &TrunkSettings) -> impl Iterator<Item = Self> {
        (0..settings.ways.len().max(1)).map(|place| {
            let way = settings.ways.get(place).cloned().unwrap_or_default();
            Self {
                id: WayId::at(settings, place),
                trunk: settings.name.clone(),
                number: place + 1,
                host: host(settings).clone(),
                way: Way { transport: way.transport.or(settings.forced.transport), ..way },
                probe: settings.probe,
            }
        })
    }
}

impl WatchedWay {
    /// Where it leads: its route set, or its next hop, or the provider itself.
    pub fn leads_to(&self) -> String {
        let Way { route, next_hop, .. } = &self.way;
        let uris = if route.is_empty() { next_hop.as_slice() } else { route };
        let uris: Vec<_> = uris.iter().map(|uri| String::from_utf8_lossy(uri)).collect();
        if uris.is_empty() { self.host.to_string() } else { uris.join(", ") }
    }
}

/// Where it leads and how: `sip:px1;lr from wan over tcp`.
impl fmt::Display for WatchedWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Way { transport, egress, .. } = &self.way;
        f.write_str(&self.leads_to())?;
        egress.iter().try_for_each(|name| write!(f, " from {name}"))?;
        transport.iter().try_for_each(|transport| write!(f, " over {transport}"))
    }
}
