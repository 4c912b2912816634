//! `[store.NAME]`: where buckets are that several routers share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jackfield_services::settings::{Password, Server, Servers, Settings, StoreSettings, StoreUrl, TlsSettings};
use toml::de::DeValue;

use super::kv::{is_name, name_advice};
use super::reader::{Item, Section, join};
use super::{Config, Problem, Secret, Severity};

const KEYS: [&str; 11] = [
    "url",
    "sentinel",
    "cluster",
    "username",
    "password-file",
    "password-env",
    "database",
    "certificate-authority",
    "timeout",
    "prefix",
    "operations",
];
const SENTINEL_KEYS: [&str; 4] = ["nodes", "master", "password-file", "password-env"];

/// The port of a Sentinel where none is written.
const SENTINEL_PORT: u16 = 26379;
/// Nodes that may be named; those of a cluster that are not are found.
const NODES: usize = 16;
/// Databases that a server can have at most.
const DATABASES: u64 = 65_536;
/// Octets of a prefix.
const PREFIX_MAX: usize = 128;

const MILLISECOND: Duration = Duration::from_millis(1);

/// `[kv.NAME]`, `[store.NAME]` and `[http]`: what plugins ask beyond the router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// All but the passwords that stand elsewhere.
    pub settings: Settings,
    /// Where those are, by the name of the store.
    pub secrets: BTreeMap<String, StoreSecrets>,
}

/// Where the passwords of a store are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSecrets {
    /// `password-file` or `password-env`.
    pub server: Option<Secret>,
    /// The same of `sentinel`.
    pub sentinel: Option<Secret>,
}

/// What is read of all stores.
pub(super) type Stores = (BTreeMap<String, StoreSettings>, BTreeMap<String, StoreSecrets>);

pub(super) fn read(root: &Section<'_, '_>, base: &Path) -> Stores {
    let used = stores_of_buckets(root);
    let (mut stores, mut secrets) = Stores::default();
    let tables = root.item("store").and_then(|item| item.open_section()).map(|section| section.items()).unwrap_or_default();
    for (name, item) in tables {
        if !is_name(&name) {
            item.key_error(name_advice(&name, "store"));
        } else if !used.contains(&name) {
            item.key_warning(format!("no bucket is in this store; add store = \"{name}\" to a [kv.NAME]"));
        }
        let Some(section) = item.section(&KEYS) else { continue };
        let secret = StoreSecrets {
            server: secret(&section, base),
            sentinel: section.item("sentinel").and_then(|item| secret(&quiet(&item)?, base)),
        };
        // One of which something is wrong still is a store that buckets can name.
        let settings = store(&section, base, &secret).unwrap_or_else(|| StoreSettings::at(Servers::Cluster(Vec::new())));
        stores.insert(name.clone(), settings);
        secrets.insert(name, secret);
    }
    (stores, secrets)
}

fn stores_of_buckets(root: &Section<'_, '_>) -> BTreeSet<String> {
    let buckets = root.item("kv").and_then(|item| quiet(&item)).map(|section| section.items()).unwrap_or_default();
    let named = buckets.iter().filter_map(|(_, bucket)| match quiet(bucket)?.item("store")?.value.get_ref() {
        DeValue::String(name) => Some(name.to_string()),
        _ => None,
    });
    named.collect()
}

/// A table, if it is one; whether it is gets reported elsewhere.
fn quiet<'r, 't>(item: &Item<'r, 't>) -> Option<Section<'r, 't>> {
    match item.value.get_ref() {
        DeValue::Table(_) => item.open_section(),
        _ => None,
    }
}

fn secret(section: &Section<'_, '_>, base: &Path) -> Option<Secret> {
    match (section.item("password-file"), section.item("password-env")) {
        (Some(_), Some(item)) => {
            item.error("there is a password-file already; keep one of them");
            None
        }
        (Some(file), None) => file.path(base).map(Secret::File),
        (None, Some(variable)) => variable.string().map(|name| Secret::Variable(name.to_owned())),
        (None, None) => None,
    }
}

fn store(section: &Section<'_, '_>, base: &Path, secret: &StoreSecrets) -> Option<StoreSettings> {
    let (url, sentinel, cluster) = (section.item("url"), section.item("sentinel"), section.item("cluster"));
    let mut ways = [&url, &sentinel, &cluster].into_iter().flatten();
    let Some(first) = ways.next() else {
        section.missing("url", "is missing; add url = \"redis://ADDRESS:6379\", or `sentinel`, or `cluster`");
        return None;
    };
    let key = first.path.rsplit('.').next().unwrap_or_default();
    ways.for_each(|other| other.key_error(format!("is here with `{key}`; keep one of them")));
    let (servers, said) = match (&url, &sentinel, &cluster) {
        (Some(url), _, _) => {
            let said = store_url(url)?;
            (Servers::Single(said.server.clone()), said)
        }
        (None, Some(sentinel), _) => sentinels(sentinel)?,
        (None, None, Some(cluster)) => nodes_of_cluster(cluster)?,
        (None, None, None) => return None,
    };
    let default = StoreSettings::at(servers);
    let database = section.item("database").and_then(|item| {
        if said.database.is_some() {
            item.key_error("there is a database at the end of the URL already; keep one of them");
        } else if cluster.is_some() {
            item.key_error("a cluster has database 0 alone; remove the key");
        }
        item.number(0..=DATABASES - 1).and_then(|number| u16::try_from(number).ok())
    });
    if said.password.is_some() && secret.server.is_some() {
        let places = [section.item("password-file"), section.item("password-env")];
        places.iter().flatten().for_each(|item| item.key_error("there is a password in the URL already; keep one of them"));
    }
    let username = section.item("username").and_then(|item| {
        if said.username.is_some() {
            item.key_error("there is a user in the URL already; keep one of them");
        }
        item.string().map(str::to_owned)
    });
    let authority = section.item("certificate-authority");
    if !said.secure {
        authority.iter().for_each(|item| item.key_warning("has no effect: no URL begins with rediss://"));
    }
    Some(StoreSettings {
        tls: said.secure.then(|| TlsSettings { certificate_authority: authority.and_then(|item| item.path(base)) }),
        username: username.or(said.username),
        password: said.password,
        database: database.or(said.database).unwrap_or_default(),
        timeout: time(section).unwrap_or(default.timeout),
        prefix: section.item("prefix").and_then(|item| prefix(&item)).unwrap_or(default.prefix),
        operations: section.item("operations").and_then(|item| item.count(1..=1_000_000)).unwrap_or(default.operations),
        servers: default.servers,
    })
}

fn time(section: &Section<'_, '_>) -> Option<Duration> {
    section.item("timeout")?.duration(MILLISECOND..=Duration::from_secs(60))
}

fn prefix(item: &Item<'_, '_>) -> Option<String> {
    let text = item.string()?;
    if text.len() > PREFIX_MAX || text.contains(|c: char| c.is_control() || matches!(c, '{' | '}')) {
        // Braces would put all keys of a cluster into one slot.
        item.error(format!("cannot be a prefix; write up to {PREFIX_MAX} characters without braces"));
    }
    Some(text.to_owned())
}

/// The URL is in no message: there may be a password in it.
fn store_url(item: &Item<'_, '_>) -> Option<StoreUrl> {
    match StoreUrl::parse(item.string()?) {
        Ok(url) => Some(url),
        Err(error) => {
            item.error(error.to_string());
            None
        }
    }
}

fn sentinels(item: &Item<'_, '_>) -> Option<(Servers, StoreUrl)> {
    let section = item.section(&SENTINEL_KEYS)?;
    let master = section.item("master").and_then(|item| item.string().map(str::to_owned));
    let Some(list) = section.item("nodes") else {
        section.missing("nodes", "is missing; add nodes = [\"ADDRESS:26379\"]");
        return None;
    };
    let Some(master) = master else {
        section.missing("master", "is missing; add master = \"mymaster\", as the Sentinels call it");
        return None;
    };
    let nodes = nodes(&list, |item| {
        let text = item.string()?;
        let bare = !text.contains("://");
        let mut url = if bare { format!("redis://{text}") } else { text.to_owned() };
        let port = text.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()) && !port.is_empty());
        if !port {
            url = format!("{}:{SENTINEL_PORT}", url.trim_end_matches('/'));
        }
        let found = StoreUrl::parse(&url).ok();
        let found = found.filter(|url| url.username.is_none() && url.password.is_none() && url.database.is_none());
        if found.is_none() {
            item.error("is no Sentinel; write it like \"192.0.2.1:26379\", or \"rediss://192.0.2.1:26379\" for TLS, without a user");
        }
        found
    })?;
    let first = nodes.first()?.clone();
    let servers = nodes.into_iter().map(|node| node.server).collect();
    Some((Servers::Sentinel { nodes: servers, master, password: None }, first))
}

fn nodes_of_cluster(list: &Item<'_, '_>) -> Option<(Servers, StoreUrl)> {
    let nodes = nodes(list, |item| {
        let url = store_url(item)?;
        if url.database.is_some_and(|number| number != 0) {
            item.error("a cluster has database 0 alone; remove the number at the end");
        }
        Some(url)
    })?;
    let first = nodes.first()?.clone();
    let servers: Vec<Server> = nodes.into_iter().map(|node| node.server).collect();
    Some((Servers::Cluster(servers), first))
}

/// What the nodes of a list say, which has to be the same for all of them but the place.
fn nodes(list: &Item<'_, '_>, read: impl Fn(&Item<'_, '_>) -> Option<StoreUrl>) -> Option<Vec<StoreUrl>> {
    let items = list.strings()?;
    if items.is_empty() || items.len() > NODES {
        list.error(format!("names {} nodes; write 1 to {NODES}", items.len()));
        return None;
    }
    let mut nodes: Vec<StoreUrl> = Vec::new();
    for item in items {
        let Some(node) = read(&item) else { continue };
        let alike = |first: &&StoreUrl| StoreUrl { server: node.server.clone(), ..(*first).clone() } == node;
        if nodes.iter().any(|known| known.server == node.server) {
            item.error("is here twice; remove one");
        } else if nodes.first().is_some_and(|first| !alike(&first)) {
            item.error("has another scheme, user, password or database than the first node; write them alike");
        }
        nodes.push(node);
    }
    (!nodes.is_empty()).then_some(nodes)
}

impl Config {
    /// The settings of buckets, stores and HTTP with the passwords, which are read now.
    ///
    /// # Errors
    /// Each password that cannot be had, at the key that names it.
    pub fn services_with_passwords(&self) -> Result<Settings, Vec<Problem>> {
        let (mut settings, mut problems) = (self.services.settings.clone(), Vec::new());
        for (name, secrets) in &self.services.secrets {
            let mut read = |secret: &Option<Secret>, table: &str| {
                let secret = secret.as_ref()?;
                let key = format!("{}{table}.{}", join("store", name), secret.key());
                let password = secret.read().map_err(|message| problems.push(self.problem(Severity::Error, &key, message)));
                password.ok().map(Password::new)
            };
            let (server, sentinel) = (read(&secrets.server, ""), read(&secrets.sentinel, ".sentinel"));
            let Some(store) = settings.stores.get_mut(name) else { continue };
            store.password = server.or(store.password.take());
            if let Servers::Sentinel { password, .. } = &mut store.servers {
                *password = sentinel;
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests;
