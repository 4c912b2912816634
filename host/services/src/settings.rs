//! What the configuration says about buckets, stores and HTTP: plain values, checked by those who read the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::url::{BadUrl, StoreUrl};

/// `[kv.NAME]`, `[store.NAME]` and `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[kv.NAME]`, and with the defaults each bucket that some plugin is granted without a table of its own.
    pub buckets: BTreeMap<String, BucketSettings>,
    /// `[store.NAME]`.
    pub stores: BTreeMap<String, StoreSettings>,
    /// `[http]`.
    pub http: HttpSettings,
}

/// `[kv.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// `store`: the name of the `[store.NAME]` it is in. None: in the memory of this process.
    pub store: Option<String>,
    /// `entries`: keys it may have, in memory. Default 100,000.
    pub entries: usize,
    /// `memory`: octets of keys and values with what they cost, in memory. Default 64 MiB.
    pub octets: usize,
}

impl Default for BucketSettings {
    fn default() -> Self {
        Self { store: None, entries: 100_000, octets: 64 << 20 }
    }
}

/// `[store.NAME]`: Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// `url`, `sentinel` or `cluster`.
    pub servers: Servers,
    /// There if the URLs begin with `rediss://`.
    pub tls: Option<TlsSettings>,
    /// `username`, or the user of the URL. Default: the server's default user.
    pub username: Option<String>,
    /// The password of the URL, of `password-file` or of `password-env`.
    pub password: Option<Password>,
    /// The number at the end of the URL, or `database`. Default 0.
    pub database: u16,
    /// `timeout`: how long one operation may take. Default 200 ms.
    pub timeout: Duration,
    /// `prefix`: what each key begins with, before the name of the bucket and `:`. Default `jackfield:`.
    pub prefix: String,
    /// `operations`: those that may be under way at a time. Default 1,024.
    pub operations: usize,
}

impl StoreSettings {
    /// The defaults for a store at these servers.
    pub fn at(servers: Servers) -> Self {
        Self {
            servers,
            tls: None,
            username: None,
            password: None,
            database: 0,
            timeout: Duration::from_millis(200),
            prefix: "jackfield:".to_owned(),
            operations: 1024,
        }
    }
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// `url`: one server.
    Single(Server),
    /// `sentinel`: these know which server is the master.
    Sentinel {
        /// `nodes`, asked in this order.
        nodes: Vec<Server>,
        /// `master`: what they call it.
        master: String,
        /// `sentinel.password-file` or `sentinel.password-env`: the password of the Sentinels themselves. Default: none.
        password: Option<Password>,
    },
    /// `cluster`: some of its nodes; the others are found.
    Cluster(Vec<Server>),
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How a server has to show who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `certificate-authority`: PEM of those that may have signed its certificate. Default: those of the system.
    pub certificate_authority: Option<PathBuf>,
}

/// A password, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `[http]`: requests of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// `timeout`: how long one request may take, from the connection to the end of the body. Default 2 s.
    pub timeout: Duration,
    /// `body`: octets that the body of a request or of a response may have. Default 1 MiB.
    pub body: usize,
    /// `requests`: those that may be under way at a time. Default 256.
    pub requests: usize,
    /// `certificate-authority`: PEM of those that may have signed a server's certificate. Default: those of the system.
    pub certificate_authority: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), body: 1 << 20, requests: 256, certificate_authority: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let mut store = StoreSettings::at(Servers::Single(Server { host: "::1".into(), port: 6379 }));
        store.password = Some(Password::new("hunter2".into()));
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}
