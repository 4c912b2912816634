//! The trunks in force, and how they are found.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::{Numbering, TrunkId, TrunkSide};

use crate::health::WatchedWay;
use crate::settings::{Incoming, TrunkSettings};

/// Where the settings of a trunk stand. What is named first wins where two name the same provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A table of the configuration.
    Configuration,
    /// The file of `[sipproxy]`.
    File,
    /// The key in Consul.
    Consul,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::File => "file",
            Self::Consul => "Consul",
        })
    }
}

/// A trunk in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// What stands for it in tokens and counts.
    pub id: TrunkId,
    /// Where its settings stand.
    pub origin: Origin,
    /// What these say.
    pub settings: TrunkSettings,
    /// Its ways as they are watched, in their order: where the settings have none, the one to where requests say.
    pub watched: Vec<WatchedWay>,
}

impl Trunk {
    fn new(origin: Origin, settings: TrunkSettings) -> Self {
        Self { id: TrunkId::of(&settings.name), origin, watched: WatchedWay::all(&settings).collect(), settings }
    }

    /// It as one side of what a request begins: what is challenged is answered for whom we hold an account.
    pub fn side(&self) -> TrunkSide {
        let numbering = if self.settings.account.is_some() { Numbering::Spaced } else { Numbering::Kept };
        TrunkSide { id: self.id, numbering }
    }
}

/// A trunk that is passed over, since another one has its name or one of its providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The one that is not in force.
    pub name: Arc<str>,
    /// Where it stands.
    pub origin: Origin,
    /// The one that is.
    pub by: Arc<str>,
    /// Where that one stands.
    pub by_origin: Origin,
}

/// All trunks in force.
#[derive(Clone, Debug, Default)]
pub struct Table {
    trunks: Vec<Arc<Trunk>>,
    by_host: HashMap<Arc<str>, usize>,
    by_id: HashMap<TrunkId, usize>,
    /// Those that say what comes from them.
    with_incoming: Vec<usize>,
    names: Arc<[Arc<str>]>,
    overridden: Vec<Overridden>,
}

impl Table {
    /// The trunks of all origins. A provider belongs to the first that names it, in the order of the origins.
    pub fn new(mut settings: Vec<(Origin, TrunkSettings)>) -> Self {
        settings.sort_by_key(|(origin, _)| *origin);
        let mut table = Self::default();
        for (origin, settings) in settings {
            let id = TrunkId::of(&settings.name);
            let taken = settings.providers.iter().find_map(|host| table.by_host.get(host)).or_else(|| table.by_id.get(&id));
            if let Some(first) = taken.and_then(|index| table.trunks.get(*index)) {
                let by = Arc::clone(&first.settings.name);
                let overridden = Overridden { name: settings.name, origin, by, by_origin: first.origin };
                table.overridden.push(overridden);
                continue;
            }
            let index = table.trunks.len();
            table.by_host.extend(settings.providers.iter().map(|host| (Arc::clone(host), index)));
            table.by_id.insert(id, index);
            if settings.incoming.says_something() {
                table.with_incoming.push(index);
            }
            table.trunks.push(Arc::new(Trunk::new(origin, settings)));
        }
        table.names = table.trunks.iter().map(|trunk| Arc::clone(&trunk.settings.name)).collect();
        table
    }

    /// All, in the order of origins and files.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }

    /// Their names.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// Those that are not in force.
    pub fn overridden(&self) -> &[Overridden] {
        &self.overridden
    }

    /// The trunk that stands behind an identifier; none if it is no longer there.
    pub fn by_id(&self, id: TrunkId) -> Option<&Arc<Trunk>> {
        self.by_id.get(&id).and_then(|index| self.trunks.get(*index))
    }

    /// The trunk of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.by_id(TrunkId::of(name)).filter(|trunk| *trunk.settings.name == *name)
    }

    /// The trunk that a host (of a URI, in any case) belongs to.
    pub fn by_host(&self, host: &[u8]) -> Option<&Arc<Trunk>> {
        if self.by_host.is_empty() {
            return None;
        }
        let host = str::from_utf8(host).ok()?;
        let name = host.strip_suffix('.').unwrap_or(host);
        let index = match self.by_host.get(name) {
            Some(index) => index,
            None => self.by_host.get(&*name.to_ascii_lowercase())?,
        };
        self.trunks.get(*index)
    }

    /// The trunk that a request has come from, by its source or its listener, and its header fields where these count as well; the first
    /// that fits.
    pub fn of_source(&self, source: IpAddr, listener: &str, request: &Message) -> Option<&Arc<Trunk>> {
        self.with_incoming().find(|trunk| trunk.settings.incoming.fits(source, listener, request))
    }

    /// The trunk that a header field of a request names, of those that nothing else marks. Anybody can write it, a PBX in a request to another
    /// trunk too: it only says where a request goes that is for us.
    pub fn of_header(&self, request: &Message) -> Option<&Arc<Trunk>> {
        self.with_incoming().find(|trunk| trunk.settings.incoming.is_by_header_alone() && trunk.settings.incoming.has_header(request))
    }

    fn with_incoming(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.with_incoming.iter().filter_map(|index| self.trunks.get(*index))
    }
}

impl Incoming {
    fn fits(&self, source: IpAddr, listener: &str, request: &Message) -> bool {
        if self.networks.is_empty() && self.listeners.is_empty() {
            return false;
        }
        let by_network = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(source));
        let by_listener = self.listeners.is_empty() || self.listeners.iter().any(|name| **name == *listener);
        by_network && by_listener && (self.header.is_none() || self.has_header(request))
    }

    fn says_something(&self) -> bool {
        !self.networks.is_empty() || !self.listeners.is_empty() || self.header.is_some()
    }

    fn is_by_header_alone(&self) -> bool {
        self.networks.is_empty() && self.listeners.is_empty() && self.header.is_some()
    }

    fn has_header(&self, request: &Message) -> bool {
        self.header.as_ref().is_some_and(|(name, wanted)| {
            request.values(&Name::from_bytes(name)).any(|value| wanted.as_ref().is_none_or(|wanted| value.bytes == wanted))
        })
    }
}
