//! `[auth.NAME]`: whose users are asked for a password, and for what.

#[cfg(test)]
mod tests;
mod users;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_auth::{Algorithm, Settings, Users};
use jackfield_proto::message::{Message, Method, Uri};
use jackfield_proto::proxy::next_hop_uri;

use super::Network;
use super::host::parse_host;
use super::reader::{Item, Section, join};
use super::trunk::{Secret, networks};

pub use users::{UserLists, UsersError};

const KEYS: [&str; 12] = [
    "realm",
    "users-file",
    "users",
    "common-password-file",
    "common-password-env",
    "algorithms",
    "nonce-life",
    "registrar-domains",
    "hosts",
    "methods",
    "exempt",
    "wrong-per-minute",
];

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a nonce may be used where nothing is said.
const NONCE_LIFE: Duration = Duration::from_secs(60);

/// Wrong passwords of a source in a minute where nothing is said.
const WRONG_PER_MINUTE: u32 = 10;

/// An `[auth.NAME]` table. A listener names it by `authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// NAME.
    pub name: String,
    /// `realm`, `algorithms` (default: those of the hash functions that every user has a hash of), `nonce-life` (default 60 s) and
    /// `wrong-per-minute` (default 10; 0 for any number).
    pub settings: Settings,
    /// `users`: names and hashes.
    pub users: Users,
    /// `users-file`: the same in a file, which is watched.
    pub users_file: Option<PathBuf>,
    /// `common-password-file` or `common-password-env`: a password for every name that has none of its own.
    pub common: Option<Secret>,
    /// `registrar-domains`: a REGISTER for one of these hosts is challenged as by its registrar, with 401; everything else as by a proxy,
    /// with 407.
    pub registrar_domains: Vec<String>,
    /// `hosts`: only requests for these hosts are challenged. Default: all.
    pub hosts: Vec<String>,
    /// `methods`: only requests of these methods are challenged. Default: all.
    pub methods: Vec<String>,
    /// `exempt`: who is not asked.
    pub exempt: Vec<Network>,
}

impl Auth {
    /// The path of a key of this table in the file.
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", join("auth", &self.name))
    }

    /// Whether a request is one that has to be somebody's. ACK and CANCEL cannot be challenged (RFC 3261 22.1).
    pub fn asks_for(&self, request: &Message) -> bool {
        let method = request.method();
        let is_listed = self.methods.is_empty() || self.methods.iter().any(|listed| listed.as_bytes() == method.as_bytes());
        // A Route or a maddr leads to a host as the Request-URI does.
        let leads_to_one =
            || [request.request_uri(), next_hop_uri(request)].into_iter().flat_map(hosts_of).any(|host| has(&self.hosts, host));
        method != Method::ACK && method != Method::CANCEL && is_listed && (self.hosts.is_empty() || leads_to_one())
    }

    /// Whether it is a REGISTER that we speak for the registrar of (RFC 3261 10.2: its Request-URI names the domain).
    pub fn is_to_registrar(&self, request: &Message) -> bool {
        let domain = || Uri::parse(request.request_uri()).is_some_and(|uri| has(&self.registrar_domains, uri.host()));
        request.method() == Method::REGISTER && domain()
    }
}

/// The host that a URI names, and the one that it leads to.
fn hosts_of(uri: &[u8]) -> impl Iterator<Item = &[u8]> {
    let uri = Uri::parse(uri);
    let host = uri.map(|uri| uri.host());
    host.into_iter().chain(uri.and_then(|uri| uri.param(b"maddr").flatten()))
}

fn has(hosts: &[String], host: &[u8]) -> bool {
    let host = if hosts.is_empty() { None } else { str::from_utf8(host).ok().and_then(parse_host) };
    host.is_some_and(|host| hosts.contains(&host))
}

/// All tables in the order of the file.
pub(super) fn read(root: &Section<'_, '_>, base: &Path) -> Vec<Auth> {
    let Some(section) = root.item("auth").and_then(|item| item.open_section()) else { return Vec::new() };
    section.items().into_iter().filter_map(|(name, item)| table(name, &item, base)).collect()
}

fn table(name: String, item: &Item<'_, '_>, base: &Path) -> Option<Auth> {
    let section = item.section(&KEYS)?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        item.key_error("a name here is made of letters, digits, `-`, `_` and `.`; rename it");
    }
    let wrong = section.item("wrong-per-minute").and_then(|item| item.number(0..=1_000_000));
    let settings = Settings {
        realm: realm(&section).unwrap_or_default(),
        algorithms: algorithms(&section),
        nonce_life: section.item("nonce-life").and_then(|item| item.duration(SECOND..=DAY)).unwrap_or(NONCE_LIFE),
        wrong_per_minute: wrong.and_then(|number| u32::try_from(number).ok()).unwrap_or(WRONG_PER_MINUTE),
    };
    let users_file = section.item("users-file").and_then(|item| item.path(base));
    let common = common(&section, base);
    if ["users", "users-file", "common-password-file", "common-password-env"].iter().all(|key| section.item(key).is_none()) {
        section.missing("users-file", "there are no users; add users-file = \"phones.users\", or users = { alice = \"SHA-256:...\" }");
    }
    Some(Auth {
        users: users(&section),
        users_file,
        common,
        registrar_domains: hosts(&section, "registrar-domains"),
        hosts: hosts(&section, "hosts"),
        methods: methods(&section),
        exempt: networks(&section, "exempt"),
        name,
        settings,
    })
}

fn realm(section: &Section<'_, '_>) -> Option<String> {
    let Some(item) = section.item("realm") else {
        section
            .missing("realm", "is missing; add realm = \"example.com\": what phones show, and what the hashes of passwords are made with");
        return None;
    };
    let realm = item.string()?;
    if realm.is_empty() || realm.trim() != realm || realm.chars().any(char::is_control) {
        item.error("is empty, has blanks around it or control characters in it; write a name like \"example.com\"");
        return None;
    }
    Some(realm.to_owned())
}

fn users(section: &Section<'_, '_>) -> Users {
    let mut users = Users::default();
    for (name, item) in section.item("users").and_then(|item| item.open_section()).iter().flat_map(|table| table.items()) {
        let entries = match item.value.get_ref() {
            toml::de::DeValue::Array(_) => item.list().unwrap_or_default(),
            _ => vec![item],
        };
        for entry in entries {
            let Some(Err(fault)) = entry.string().map(|text| users.add_entry(&name, text)) else { continue };
            entry.error(format!("{fault}; `jackfield hash-password` makes such hashes"));
        }
    }
    users
}

fn common(section: &Section<'_, '_>, base: &Path) -> Option<Secret> {
    match (section.item("common-password-file"), section.item("common-password-env")) {
        (Some(_), Some(item)) => {
            item.error("there is a common-password-file already; keep one of them");
            None
        }
        (Some(file), None) => file.path(base).map(Secret::File),
        (None, Some(variable)) => variable.string().map(|name| Secret::Variable(name.to_owned())),
        (None, None) => None,
    }
}

fn algorithms(section: &Section<'_, '_>) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    let Some(list) = section.item("algorithms") else { return algorithms };
    for item in list.strings().unwrap_or_default() {
        match item.string().map(str::parse) {
            Some(Ok(algorithm)) if algorithms.contains(&algorithm) => item.error(format!("`{algorithm}` is here twice; remove one")),
            Some(Ok(algorithm)) => algorithms.push(algorithm),
            Some(Err(error)) => item.error(error.to_string()),
            None => {}
        }
    }
    if list.list().is_some_and(|all| all.is_empty()) {
        list.error("names no algorithm; write at least one, like [\"SHA-256\", \"MD5\"], or remove the key");
    }
    algorithms
}

fn hosts(section: &Section<'_, '_>, key: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for item in section.item(key).iter().filter_map(|list| list.strings()).flatten() {
        let Some(text) = item.string() else { continue };
        match parse_host(text) {
            Some(host) if hosts.contains(&host) => item.error(format!("`{text}` is here twice; remove one")),
            Some(host) => hosts.push(host),
            None => item.error(format!("`{text}` is no host; write a name or an address alone, like \"example.com\"")),
        }
    }
    hosts
}

fn methods(section: &Section<'_, '_>) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for item in section.item("methods").iter().filter_map(|list| list.strings()).flatten() {
        let Some(text) = item.string() else { continue };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase()) {
            item.error(format!("`{text}` is no method; write it like \"INVITE\", in capitals"));
        } else if matches!(text, "ACK" | "CANCEL") {
            item.error(format!("{text} cannot be challenged (RFC 3261 22.1); remove it"));
        } else if methods.iter().any(|known| known == text) {
            item.error(format!("`{text}` is here twice; remove one"));
        } else {
            methods.push(text.to_owned());
        }
    }
    methods
}

/// `authenticate` of a listener: the name of one of these tables.
pub(super) fn authenticate(section: &Section<'_, '_>, auth: &[Auth]) -> Option<String> {
    let item = section.item("authenticate")?;
    let name = item.string()?;
    if auth.iter().any(|auth| auth.name == name) {
        return Some(name.to_owned());
    }
    let known: Vec<&str> = auth.iter().map(|auth| auth.name.as_str()).collect();
    let hint = super::reader::nearest(name, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    item.error(format!("there is no [auth.{name}]{hint}"));
    None
}

/// Who writes a table thinks that somebody is asked.
pub(super) fn warn_about_idle(root: &Section<'_, '_>, listen: &[super::Listen]) {
    for (name, item) in root.item("auth").and_then(|item| item.open_section()).iter().flat_map(|section| section.items()) {
        if !listen.iter().any(|listen| listen.authenticate.as_ref() == Some(&name)) {
            item.key_warning(format!("has no effect: no listener has authenticate = \"{name}\""));
        }
    }
}
