//! `[sipproxy]`: documents in which a PBX has written down its outbound proxies, and the trunks that they stand for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::proxy::StatusSet;
use jackfield_sipproxy::{ConsulSettings, Documents, Entry, Settings};
use jackfield_trunk::{AdmissionLimits, Forced, Origin, TrunkSettings, Way};

use super::reader::{Item, Section};
use super::{Config, Environment};

const KEYS: [&str; 2] = ["file", "consul"];
const CONSUL_KEYS: [&str; 5] = ["url", "key", "token-file", "datacenter", "ca-file"];

/// Where Consul is if the file does not say: the agent of this machine.
const URL: &str = "http://127.0.0.1:8500";
/// The key of a pascom host.
const KEY: &str = "config/HOSTNAME/system/outboundproxy";
/// The last good document of Consul, in the state directory.
const CACHE: &str = "sipproxy-consul.json";

/// `[sipproxy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sipproxy {
    /// `file`: `sipproxy.json`.
    pub file: Option<PathBuf>,
    /// `[sipproxy.consul]`.
    pub consul: Option<ConsulSettings>,
}

pub(super) fn read(root: &Section<'_, '_>, base: &Path, environment: &Environment) -> Sipproxy {
    let section = root.section("sipproxy", &KEYS);
    let file = section.item("file").and_then(|item| item.path(base));
    let consul = section.item("consul").and_then(|item| consul(&item, base, environment));
    if section.items().is_empty() {
        root.item("sipproxy").iter().for_each(|item| item.key_warning("has no effect: neither file nor consul is set"));
    }
    Sipproxy { file, consul }
}

fn consul(item: &Item<'_, '_>, base: &Path, environment: &Environment) -> Option<ConsulSettings> {
    let section = item.section(&CONSUL_KEYS)?;
    let text = |key: &str| {
        let item = section.item(key)?;
        let text = item.string()?;
        if text.is_empty() {
            item.error("is empty; write a value, or remove the key");
        }
        Some(text.to_owned())
    };
    let template = text("key").unwrap_or_else(|| KEY.to_owned());
    let key = match (&environment.host_name, ConsulSettings::wants_host_name(&template)) {
        (Some(name), true) => ConsulSettings::key_of_host(&template, name),
        (None, true) => {
            section.missing("key", "the system does not tell its host name; add key = \"...\" without HOSTNAME");
            template
        }
        (_, false) => template,
    };
    let settings = ConsulSettings {
        url: text("url").unwrap_or_else(|| URL.to_owned()),
        key,
        token_file: section.item("token-file").and_then(|item| item.path(base)),
        datacenter: text("datacenter"),
        ca_file: section.item("ca-file").and_then(|item| item.path(base)),
    };
    match settings.endpoint() {
        Err(error) => section.item("url").iter().for_each(|item| item.error(error.to_string())),
        Ok(url) if url.scheme() == "http" => {
            section.item("ca-file").iter().for_each(|item| item.key_warning("has no effect: the URL is not https"));
        }
        Ok(_) => {}
    }
    Some(settings)
}

impl Config {
    /// What follows the documents of `[sipproxy]`.
    pub fn sipproxy_settings(&self) -> Settings {
        let Sipproxy { file, consul } = self.sipproxy.clone();
        let cache = consul.is_some().then(|| self.state_directory.join(CACHE));
        Settings { file, consul, cache, ..Settings::default() }
    }

    /// What an entry names that is not there: a listener, a provider or trunk. It is used nevertheless, as far as it goes. `trunks` are
    /// the names of all trunks.
    pub fn doubts_about(&self, entry: &Entry, trunks: &[Arc<str>]) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(egress) = entry.options.egress.as_ref().filter(|egress| self.listen.iter().all(|listen| listen.name != ***egress)) {
            let known: Vec<&str> = self.listen.iter().map(|listen| listen.name.as_str()).collect();
            doubts.push(format!("options: egress: there is no listener `{egress}`; there are: {}", known.join(", ")));
        }
        for fallback in entry.options.fallback.iter().filter(|name| !trunks.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            doubts.push(format!("options: fallback: there is no provider and no trunk `{fallback}`"));
        }
        doubts
    }
}

/// The trunks that documents stand for, one for each entry; which of them are in force is for [`jackfield_trunk::Table`] to say.
pub fn trunks(documents: &Documents) -> Vec<(Origin, TrunkSettings)> {
    let providers: HashSet<_> = documents.entries().map(|(_, entry)| &*entry.provider).collect();
    let origin = |origin| match origin {
        jackfield_sipproxy::Origin::File => Origin::File,
        jackfield_sipproxy::Origin::Consul => Origin::Consul,
    };
    documents.entries().map(|(from, entry)| (origin(from), trunk(entry, &providers))).collect()
}

fn trunk(entry: &Entry, providers: &HashSet<&str>) -> TrunkSettings {
    let options = &entry.options;
    // The name of a trunk is written as it is, a host in any case.
    let fallback = |name: &Arc<str>| {
        let host = name.to_ascii_lowercase();
        if providers.contains(host.as_str()) { host.into() } else { Arc::clone(name) }
    };
    let route = entry.proxy.iter().map(|proxy| Bytes::copy_from_slice(proxy.uri.as_bytes())).collect();
    let way = Way { route, egress: options.egress.clone(), ..Way::default() };
    TrunkSettings {
        name: Arc::clone(&entry.provider),
        providers: vec![Arc::clone(&entry.provider)],
        ways: vec![way],
        forced: Forced { transport: options.transport, ..Forced::default() },
        response_timeout: options.response_timeout,
        answer_timeout: options.answer_timeout,
        fallback: options.fallback.iter().map(fallback).collect(),
        fallback_on: StatusSet::parse("5xx").unwrap_or_default(),
        contact: options.contact.unwrap_or_default(),
        admission: AdmissionLimits { calls: options.calls, ..AdmissionLimits::default() },
        ..TrunkSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jackfield_proto::net::Transport;
    use jackfield_proto::proxy::ContactPolicy;
    use jackfield_sipproxy::{Document, Said};

    use super::super::Problem;
    use super::*;

    fn parse(table: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, host_name: Some("csphost01".into()), ..Environment::default() };
        Config::parse(Path::new("/etc/jackfield/f"), &format!("[listen.lan]\naddress = \"127.0.0.1\"\n{table}"), &environment)
    }

    #[test]
    fn consul_needs_no_more_than_its_name() {
        let config = parse("[sipproxy]\nfile = \"sipproxy.json\"\nconsul = {}").unwrap();
        let consul = ConsulSettings {
            url: URL.into(),
            key: "config/csphost01/system/outboundproxy".into(),
            token_file: None,
            datacenter: None,
            ca_file: None,
        };
        let file = Some(PathBuf::from("/etc/jackfield/sipproxy.json"));
        assert_eq!(config.sipproxy, Sipproxy { file: file.clone(), consul: Some(consul.clone()) });
        let cache = Some(PathBuf::from("/var/lib/jackfield/sipproxy-consul.json"));
        assert_eq!(config.sipproxy_settings(), Settings { file, consul: Some(consul), cache, ..Settings::default() });
        assert_eq!(parse("").unwrap().sipproxy_settings(), Settings::default());
    }

    #[test]
    fn all_of_consul_is_read() {
        let table = "[sipproxy.consul]\nurl = \"https://c:8501\"\nkey = \"a/b\"\ntoken-file = \"token\"\ndatacenter = \"dc2\"\nca-file = \"/ca.pem\"";
        let consul = ConsulSettings {
            url: "https://c:8501".into(),
            key: "a/b".into(),
            token_file: Some("/etc/jackfield/token".into()),
            datacenter: Some("dc2".into()),
            ca_file: Some("/ca.pem".into()),
        };
        assert_eq!(parse(table).unwrap().sipproxy.consul, Some(consul));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (table, problem) in [
            ("fil = \"a\"", "4:1: sipproxy.fil: unknown key; did you mean `file`?"),
            ("file = \"\"", "4:8: sipproxy.file: is empty; write a path"),
            ("consul = \"c\"", "4:10: sipproxy.consul: is a string; write a table"),
            ("consul = { key = \"\" }", "4:18: sipproxy.consul.key: is empty; write a value, or remove the key"),
            ("consul = { url = \"ftp://c\" }", "4:18: sipproxy.consul.url: has the scheme ftp; write http or https"),
            (
                "consul = { url = \"http://me:pw@c\" }",
                "4:18: sipproxy.consul.url: has a user, a query or a fragment in it; write the place alone, and a token into a file",
            ),
        ] {
            let problems = parse(&format!("[sipproxy]\n{table}")).unwrap_err();
            let found: Vec<_> = problems.iter().map(|p| format!("{}:{}: {}: {}", p.line, p.column, p.key, p.message)).collect();
            assert_eq!(found, [problem], "{table}");
        }
        let warned = |table: &str| parse(table).unwrap().warnings.iter().map(|p| p.message.clone()).collect::<Vec<_>>();
        assert_eq!(warned("[sipproxy]"), ["has no effect: neither file nor consul is set"]);
        assert_eq!(warned("[sipproxy.consul]\nca-file = \"a\""), ["has no effect: the URL is not https"]);
    }

    #[test]
    fn an_entry_becomes_a_trunk() {
        let text = r#"{ "tel.t-online.de": { "proxy": "csphost01-ifens5.cs-proxy.service.pascom", "options": "\ntransport=tcp\n" },
            "b.de": { "options": "egress=wan\nfallback=Tel.T-Online.de\nfallback=Second\ncontact=token\ncalls=5\nresponse-timeout=2s" } }"#;
        let document = Some(Arc::new(Document::parse(text.as_bytes()).unwrap()));
        let documents = Documents { consul: Some(Said { document, ..Said::default() }), file: None };
        let trunks = trunks(&documents);
        let [(Origin::Consul, first), (Origin::Consul, second)] = trunks.as_slice() else { panic!("{trunks:?}") };
        let way = Way { route: vec!["sip:csphost01-ifens5.cs-proxy.service.pascom;lr".into()], ..Way::default() };
        let fallback_on = StatusSet::parse("5xx").unwrap();
        let expected = TrunkSettings {
            name: "tel.t-online.de".into(),
            providers: vec!["tel.t-online.de".into()],
            ways: vec![way],
            forced: Forced { transport: Some(Transport::Tcp), ..Forced::default() },
            fallback_on,
            ..TrunkSettings::default()
        };
        assert_eq!(*first, expected);
        let expected = TrunkSettings {
            name: "b.de".into(),
            providers: vec!["b.de".into()],
            ways: vec![Way { egress: Some("wan".into()), ..Way::default() }],
            fallback: vec!["tel.t-online.de".into(), "Second".into()],
            fallback_on,
            contact: ContactPolicy::Token,
            response_timeout: Some(Duration::from_secs(2)),
            admission: AdmissionLimits { calls: Some(5), ..AdmissionLimits::default() },
            ..TrunkSettings::default()
        };
        assert_eq!(*second, expected);
        let entry = documents.entries().nth(1).unwrap().1;
        let names = ["tel.t-online.de".into(), "b.de".into()];
        assert_eq!(
            parse("").unwrap().doubts_about(entry, &names),
            [
                "options: egress: there is no listener `wan`; there are: lan",
                "options: fallback: there is no provider and no trunk `Second`"
            ]
        );
    }
}
