//! What the parts of the engine are told by a configuration.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_proto::message;
use jackfield_proto::net::Listener;
use jackfield_proto::proxy::{Border, KeyRing, MediaPolicy, Settings, SideId};
use jackfield_relay::RelaySettings;
use jackfield_transport as transport;
use jackfield_trunk::Access;

use super::media::ListenerMedia;
use super::policy::Policy;
use super::source_limits;
use crate::config::Config;

/// What a change of configuration may change outside the core.
#[derive(Debug)]
pub(super) struct Rules {
    /// By [`jackfield_proto::net::ListenerId`].
    pub(super) listeners: Arc<[Listener]>,
    /// Names of the media profiles, which a decision may name.
    pub(super) profiles: Arc<[Arc<str>]>,
    /// Who may send to a listener, by its name; those where everybody may are not in it.
    pub(super) access: HashMap<Arc<str>, Access>,
    pub(super) message: message::Limits,
    pub(super) policy: Policy,
    pub(super) media: ListenerMedia,
    pub(super) settings: Arc<Settings>,
    pub(super) retry_after: u32,
}

impl Rules {
    pub(super) fn new(config: &Config, listeners: Arc<[Listener]>, settings: Arc<Settings>) -> Self {
        let retry_after = settings.limits.retry_after;
        let restricted = config.listen.iter().filter(|listen| listen.access != Access::default());
        let access = restricted.map(|listen| (listen.name.as_str().into(), listen.access.clone())).collect();
        let (message, policy, media) =
            (message_limits(config), Policy::new(config, settings.clone()), ListenerMedia::new(config, &listeners));
        Self { listeners, profiles: config.media_profiles(), access, message, policy, media, settings, retry_after }
    }
}

fn message_limits(config: &Config) -> message::Limits {
    message::Limits { message: config.limits.message, headers: config.limits.headers }
}

/// What the transports are told by a configuration.
pub fn transport_settings(config: &Config) -> transport::Settings {
    let tcp = &config.limits.tcp;
    transport::Settings {
        connections: tcp.connections,
        message: message_limits(config),
        unfinished: tcp.message_time,
        idle: tcp.idle_time,
        handshake: tcp.handshake_time,
        connect: tcp.connect_time,
        source: source_limits::source_limits(config),
        ..transport::Settings::default()
    }
}

/// The media relays of a configuration.
pub(super) fn relay_settings(config: &Config) -> RelaySettings {
    config.media.as_deref().cloned().unwrap_or_default()
}

/// What the core is told by one.
pub(super) fn core_settings(config: &Config, listeners: &[Listener], token_keys: KeyRing) -> Settings {
    Settings {
        listeners: listeners.to_vec(),
        domains: config.domains.clone(),
        timers: config.timers,
        limits: config.limits.core,
        udp_request_max: config.limits.udp_request_max,
        token_keys,
        path: config.flows.path,
        borders: borders(config, listeners),
        media: if config.media.is_some() { MediaPolicy::Asked } else { MediaPolicy::Never },
    }
}

/// What each listener says about what crosses its border; empty where nobody says anything.
fn borders(config: &Config, listeners: &[Listener]) -> Vec<Arc<Border>> {
    if config.listen.iter().all(|listen| listen.border.is_none()) {
        return Vec::new();
    }
    let of = |listener: &Listener| {
        let said = config.listen.iter().find(|listen| listen.name == *listener.name).and_then(|listen| listen.border.clone());
        said.unwrap_or_else(|| Arc::new(Border { side: SideId::of_listener(&listener.name), ..Border::default() }))
    };
    listeners.iter().map(of).collect()
}
