//! The configuration file: TOML in, checked plain types out. Every fault of a file is reported at once, each with its line, its
//! column, its key and what to do about it. What these types say has been checked; nothing here opens a socket or starts anything.

mod admission;
mod auth;
mod change;
mod dns;
mod document;
mod host;
mod http;
mod identity;
mod kv;
mod listen;
mod media;
mod outbound;
mod place;
mod places;
mod plugins;
mod problem;
mod reader;
mod side;
mod sipproxy;
mod source_limits;
mod state;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod tls;
mod trunk;
mod values;
mod watching;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use auth::{Auth, UserLists, UsersError};
pub use jackfield_plugin_host::settings::{Breaker, Change, Grants, OnError, Plugin, Plugins, Probation, Share, Waiting};
pub use jackfield_proto::message::host_address;
use jackfield_proto::net::Transport;
pub use jackfield_proto::network::{Network, NetworkError};
pub use jackfield_proto::proxy::{Border, Limits as CoreLimits, PathPolicy, Timers};
use jackfield_relay::RelaySettings;
use jackfield_transport::TlsFiles;
use jackfield_trunk::admission::AdmissionSettings;
use jackfield_trunk::registrations::RegistrationSettings;
use jackfield_trunk::{Access, SideMedia};
pub use outbound::{OutboundProxy, OutboundRule};
pub use place::{InterfaceFamily, Place};
use places::Places;
pub use problem::{LoadError, Problem, Severity};
pub use sipproxy::{Sipproxy, trunks as sipproxy_trunks};
pub use source_limits::{SourceAnswer, SourceLimits};
pub use state::Environment;
pub use store::{Services, StoreSecrets};
pub use trunk::{Credentials, Secret, Trunk};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// `domains`: hosts in lower case that stand for this proxy beside the addresses of its listeners (RFC 3261 16.4).
    pub domains: Vec<String>,
    /// `[listen.NAME]` in the order of the file; at least one.
    pub listen: Vec<Listen>,
    /// `[auth.NAME]` in the order of the file.
    pub auth: Vec<Auth>,
    /// `[relay]`.
    pub relay: Relay,
    /// `[outbound-proxy]`.
    pub outbound_proxy: OutboundProxy,
    /// `[trunk.NAME]` in the order of the file.
    pub trunks: Vec<Trunk>,
    /// `[media]`: the relays; none where there are none.
    pub media: Option<Arc<RelaySettings>>,
    /// `[admission]`.
    pub admission: AdmissionSettings,
    /// `[sipproxy]`.
    pub sipproxy: Sipproxy,
    /// `[registrations]`: how those at providers are watched.
    pub registrations: RegistrationSettings,
    /// `[dns]`.
    pub dns: jackfield_resolver::Settings,
    /// `[flows]`.
    pub flows: Flows,
    /// `[plugins]`.
    pub plugins: Plugins,
    /// `[table.NAME]`.
    pub tables: jackfield_services::tables::Settings,
    /// `[kv.NAME]`, `[store.NAME]` and `[http]`.
    pub services: Services,
    /// `[timers]`.
    pub timers: Timers,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: Log,
    /// `[admin]`.
    pub admin: Admin,
    /// `workers`: threads that carry messages, 1 to 255. Default: one for each core.
    pub workers: usize,
    /// `drain`: how long running transactions may go on after SIGTERM. Default 60 s.
    pub drain: Duration,
    /// `[explain]` `keep`: calls whose timelines are kept. Default 0.
    pub explain_keep: usize,
    /// `[record]`: the bounds of recordings.
    pub record: jackfield_plugin_host::record::RecordSettings,
    /// `state-directory`: where the proxy may write: keys, compiled plugins, the control socket. Default: see [`Environment`].
    pub state_directory: PathBuf,
    /// `token-key-file` or `token-key-env`: the keys of our tokens, for proxies that share dialogs. Default: `token.key` in the state
    /// directory, made when it is missing (see [`crate::keys`]). What is in a file is taken up by a reload.
    pub token_keys: Option<Secret>,
    /// What is probably not meant, but does not hinder.
    pub warnings: Vec<Problem>,
    /// Where the keys are, for what is found wrong later.
    places: Places,
}

impl Config {
    /// Reads and checks a file, with defaults taken from the environment of this process.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(file: &Path) -> Result<Self, LoadError> {
        let octets = std::fs::read(file).map_err(|source| LoadError::Unreadable { file: file.to_owned(), source })?;
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let invalid = |problems| LoadError::Invalid { file: file.to_owned(), problems };
        let text = str::from_utf8(&octets).map_err(|error| invalid(vec![document::not_utf8(&octets, error)]))?;
        Self::parse(&path, text, &Environment::of_process()).map_err(invalid)
    }

    /// Checks a text as the content of the file `path`, which is not touched; relative paths in it start at the file's directory.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        document::parse(path, text, environment)
    }

    /// The line of a key like `trunk.telekom`; where the file does not have it, of the nearest table around it.
    pub fn line(&self, key: &str) -> usize {
        self.places.nearest(key).0
    }

    /// A problem that shows only when the configuration is used, at the place of a key like `plugins.chain[0]`; where the file does not
    /// have that key, at the place of the nearest table around it.
    pub fn problem(&self, severity: Severity, key: &str, message: String) -> Problem {
        let (line, column) = self.places.nearest(key);
        Problem { severity, line, column, key: key.to_owned(), message }
    }
}

/// A `[listen.NAME]` table: an address with the transports spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// NAME: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// `address` or `interface`: where it is.
    pub place: Place,
    /// The port in `address`, or `port` of an interface; 0 is any free port. Default: that of each transport.
    pub port: Option<u16>,
    /// `transports`, each at most once. Default UDP and TCP.
    pub transports: Vec<Transport>,
    /// `advertise`: the `host[:port]` that goes into Via and Record-Route; without a port with that of the listener. Default: the bound
    /// address and port.
    pub advertise: Option<String>,
    /// `[listen.NAME.tls]`: there if TLS or secure WebSocket is spoken.
    pub tls: Option<TlsFiles>,
    /// `websocket.origins`: those of web pages that may connect. Default: any.
    pub origins: Vec<Arc<str>>,
    /// `allow`, `deny` and `refuse`: who may send requests here that belong to no dialog of ours.
    pub access: Access,
    /// `authenticate`: NAME of the `[auth.NAME]` whose users are asked for here. Default: nobody is asked.
    pub authenticate: Option<String>,
    /// `hide`: what it says about what crosses its border. Each listener has one as soon as any side says something.
    pub border: Option<Arc<Border>>,
    /// `media` and `media-profile`.
    pub media: SideMedia,
}

impl Listen {
    /// The port where a transport is spoken.
    pub fn port_of(&self, transport: Transport) -> u16 {
        self.port.unwrap_or(transport.default_port())
    }

    /// The path of a key of this table in the file.
    pub fn key(&self, key: &str) -> String {
        let path = reader::join("listen", &self.name);
        if key.is_empty() { path } else { format!("{path}.{key}") }
    }
}

/// `[relay]`: where a request from outside may be sent without a plugin's decision. Nothing by default, so that there is no open relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// Address blocks of `to`.
    pub networks: Vec<Network>,
    /// Host names of `to`, in lower case.
    pub hosts: Vec<String>,
}

impl Relay {
    /// Whether a request for this host (of a URI; in any case, IPv6 in brackets) may be relayed.
    pub fn permits(&self, host: &str) -> bool {
        match host_address(host.as_bytes()) {
            Some(address) => self.permits_address(address),
            None => {
                let name = host.strip_suffix('.').unwrap_or(host);
                self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
            }
        }
    }

    /// Whether a request for this address may be relayed.
    pub fn permits_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// `[limits]`: bounds of what messages, transactions and connections may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Limits of the core. `contexts` is the share of one worker: the file's number divided by the workers, rounded up.
    pub core: CoreLimits,
    /// `message`: octets of one message. Default 64 KiB.
    pub message: usize,
    /// `headers`: header fields of one message. Default 256.
    pub headers: usize,
    /// `udp-request`: octets above which a request leaves over TCP where UDP was meant (RFC 3261 18.1.1). Default 1,300.
    pub udp_request_max: usize,
    /// `[limits.tcp]`.
    pub tcp: TcpLimits,
    /// `[limits.source]`.
    pub source: SourceLimits,
}

/// `[limits.tcp]`: of connections, whatever is spoken on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// `connections`: open connections of the whole process; one beyond that is closed at once. Default 10,000.
    pub connections: usize,
    /// `message-time`: how long a message may be unfinished before its connection is closed. Default 20 s.
    pub message_time: Duration,
    /// `idle-time`: how long a connection may carry nothing before it is closed. Default 10 min.
    pub idle_time: Duration,
    /// `handshake-time`: how long TLS and WebSocket may take on a connection that is there. Default 10 s.
    pub handshake_time: Duration,
    /// `connect-time`: how long opening a connection may take before the next target is tried. Default 4 s.
    pub connect_time: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            message_time: Duration::from_secs(20),
            idle_time: Duration::from_secs(600),
            handshake_time: Duration::from_secs(10),
            connect_time: Duration::from_secs(4),
        }
    }
}

/// `[flows]`: how those are reached that only a flow leads to (RFC 5626).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// `path`: whether a REGISTER gets our Path. Default `"supported"`.
    pub path: PathPolicy,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// `level`: the least severe level that is written. Default `"info"`. The variable RUST_LOG has precedence.
    pub level: LogLevel,
    /// `format`. Default `"human"`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Human }
    }
}

/// A level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `"error"`.
    Error,
    /// `"warn"`.
    Warn,
    /// `"info"`.
    Info,
    /// `"debug"`: with addresses and numbers of callers.
    Debug,
    /// `"trace"`: with a line for each message.
    Trace,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `"human"`: text.
    Human,
    /// `"json"`: one JSON object for each line.
    Json,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `control`: the path of the control socket. Default: `control.sock` in the state directory.
    pub control: PathBuf,
    /// `metrics`: the address of the Prometheus listener. Default: none.
    pub metrics: Option<SocketAddr>,
}
