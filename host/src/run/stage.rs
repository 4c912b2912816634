//! From a configuration to a simulation: what [`super::run`] starts, with nothing that reaches out of the process.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use jackfield_proto::net::Listener;
use jackfield_proto::proxy::KeyRing;
use jackfield_resolver::Source;
use jackfield_sipproxy::Documents;
use jackfield_trunk::registrations::{Registrations, UnixTime};

use super::certificates::Materials;
use super::decider::PluginDecider;
use super::listeners::{self, Interfaces};
use super::trunks;
use super::world::{Staged, World};
use crate::config::{Config, LoadError, Place};
use crate::engine::{Authentication, Fixed, Setup, Simulation};
use crate::keys;
use crate::metrics::Metrics;
use crate::plugin::trace::{Listen, Tracer};
use crate::plugin::{PluginHost, PluginSettings, Services};

/// Where the numbers of a simulation begin: the same each time.
const SEED: u128 = 0x6a61_636b_6669_656c_6473_696d_756c_6174;

/// The key of the tokens where the proxy's own cannot be read.
const KEY: [u8; 16] = *b"a simulation key";

/// What a simulation is set up with, beside its configuration.
pub(crate) struct StageOptions {
    /// Where listeners are, by their names.
    pub(crate) addresses: Vec<(String, IpAddr, Option<u16>)>,
    /// What name servers say.
    pub(crate) records: Box<dyn Source>,
    /// When it begins.
    pub(crate) begin: UnixTime,
}

/// A simulation that has been set up.
pub(crate) struct Stage {
    pub(crate) simulation: Simulation<PluginDecider>,
    /// What plugins are told, and what they decide.
    pub(crate) world: Arc<World>,
    /// What is to be known of it.
    pub(crate) notes: Vec<String>,
    metrics: Arc<Metrics>,
    plugins: Vec<String>,
    /// Kept, as its end is that of the plugins.
    _host: Arc<PluginHost>,
}

impl Stage {
    /// Hook calls that have failed so far.
    pub(crate) fn hook_failures(&self) -> u64 {
        self.plugins.iter().map(|plugin| self.metrics.plugin(plugin).failures()).sum()
    }
}

/// Sets a simulation up.
///
/// # Errors
/// Something that the configuration names cannot be had: a password, a list of users, a plugin; or there is no listener.
pub(crate) fn set(mut config: Config, options: StageOptions) -> Result<Stage> {
    let StageOptions { addresses, records, begin } = options;
    let mut notes = Vec::new();
    move_listeners(&mut config, &addresses)?;
    let listeners = listeners(&config, &mut notes)?;
    // What nobody has named in the configuration is that of this machine, and no fixed answer.
    if config.dns.hosts == std::path::Path::new("/etc/hosts") {
        config.dns.hosts = "/dev/null".into();
    }
    if !config.plugins.chain.is_empty() || !config.trunks.is_empty() {
        notes.extend(config.media.as_ref().map(|_| "media relays are not asked: bodies go as they are".to_owned()));
    }
    let token_keys = keys::known(&config).unwrap_or_else(|why| {
        notes.push(format!("the keys of the tokens are made up: {why}"));
        KeyRing::from(KEY)
    });
    let invalid = |problems| LoadError::Invalid { file: config.path.clone(), problems };
    let table = trunks::table(&config, &Documents::default()).map_err(invalid)?;
    let lists = config.user_lists().map_err(invalid)?;
    let metrics = Arc::new(Metrics::new(1));
    let world = World::new(begin);
    let services = Arc::new(Staged::new(&config, &world)?);
    let settings = PluginSettings {
        workers: 1,
        state_directory: None,
        metrics: Arc::clone(&metrics),
        tracer: Tracer::to(Arc::clone(&world) as Arc<dyn Listen>),
        services: Arc::clone(&services) as Arc<dyn Services>,
    };
    let host = PluginHost::start(config.plugins.clone(), settings).context("the plugins cannot be loaded")?;
    let setup = Setup {
        config: &config,
        token_keys,
        authentication: Arc::new(Authentication::simulated(&config, lists, SEED, 1)),
        trunks: table,
        registrations: Registrations::new(config.registrations),
        metrics: Arc::clone(&metrics),
        tracer: Arc::default(),
    };
    let ours: Vec<IpAddr> = listeners.iter().map(|listener| listener.address.ip()).collect();
    let routes = Arc::new(move |destination| route(&ours, destination));
    let fixed = Fixed { unix: begin, seed: SEED, listeners, records, routes };
    let simulation = Simulation::start(Arc::new(PluginDecider(Arc::clone(&host))), setup, fixed)?;
    world.follow(simulation.clock());
    services.router_runs(simulation.router());
    let plugins = config.plugins.chain.clone();
    Ok(Stage { simulation, world, notes, metrics, plugins, _host: host })
}

/// Puts listeners where they are to be.
fn move_listeners(config: &mut Config, addresses: &[(String, IpAddr, Option<u16>)]) -> Result<()> {
    for (name, ip, port) in addresses {
        let names = config.listen.iter().map(|listen| listen.name.as_str()).collect::<Vec<_>>().join(", ");
        let listen = config.listen.iter_mut().find(|listen| listen.name == *name);
        let listen = listen.with_context(|| format!("--address: there is no listener `{name}`; the configuration has {names}"))?;
        listen.place = Place::Address(*ip);
        listen.port = port.or(listen.port);
    }
    Ok(())
}

/// The listeners of a configuration, bound by nobody.
fn listeners(config: &Config, notes: &mut Vec<String>) -> Result<Arc<[Listener]>> {
    let interfaces = Interfaces::for_config(config).context("cannot read the addresses of the interfaces")?;
    let endpoints = listeners::endpoints(config, &Materials::new(), &interfaces);
    for listen in &config.listen {
        if !endpoints.iter().any(|endpoint| *endpoint.name == *listen.name) {
            notes.push(format!(
                "listener {0} is left out, as its interface has no address here; --address {0}=IP[:PORT] says where it is",
                listen.name
            ));
        }
    }
    let listeners: Arc<[Listener]> = endpoints.iter().map(|endpoint| endpoint.listener(endpoint.address)).collect();
    anyhow::ensure!(!listeners.is_empty(), "there is no listener whose address is known; say one with --address NAME=IP[:PORT]");
    Ok(listeners)
}

/// From which of our addresses something would leave: from a loopback address as Linux has it, else from the one that has most of its
/// leading bits in common with the destination, which is right wherever no longer way has been configured.
fn route(ours: &[IpAddr], destination: IpAddr) -> Option<IpAddr> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => v6.into(),
    };
    let common = |ours: &IpAddr| (bits(*ours) ^ bits(destination)).leading_zeros();
    match destination {
        IpAddr::V4(v4) if v4.is_loopback() => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        _ => ours.iter().filter(|ours| ours.is_ipv4() == destination.is_ipv4()).max_by_key(|ours| common(ours)).copied(),
    }
}
