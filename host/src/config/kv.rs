//! `[kv.NAME]`: the buckets of plugins.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_services::settings::{BucketSettings, StoreSettings};
use toml::de::DeValue;

use super::reader::{Item, Section};

const KEYS: [&str; 3] = ["store", "entries", "memory"];

/// The longest name of a bucket or a store.
const NAME_MAX: usize = 64;

/// The buckets: those with a table, and with the defaults those that are granted without one.
pub(super) fn read(root: &Section<'_, '_>, stores: &BTreeMap<String, StoreSettings>) -> BTreeMap<String, BucketSettings> {
    let grants = granted(root, "kv");
    let mut names = BTreeSet::new();
    for item in &grants {
        let Some(name) = item.string() else { continue };
        match is_name(name) {
            true => _ = names.insert(name.to_owned()),
            false => item.error(name_advice(name, "bucket")),
        }
    }
    let mut buckets = BTreeMap::new();
    let tables = root.item("kv").and_then(|item| item.open_section()).map(|section| section.items()).unwrap_or_default();
    for (name, item) in tables {
        if !is_name(&name) {
            item.key_error(name_advice(&name, "bucket"));
        } else if !names.contains(&name) {
            item.key_warning("no plugin is granted this bucket; add it to `kv` in the `grant` of one");
        }
        buckets.extend(bucket(&item, stores).map(|bucket| (name, bucket)));
    }
    names.into_iter().for_each(|name| _ = buckets.entry(name).or_default());
    buckets
}

fn bucket(item: &Item<'_, '_>, stores: &BTreeMap<String, StoreSettings>) -> Option<BucketSettings> {
    let section = item.section(&KEYS)?;
    let default = BucketSettings::default();
    let (entries, memory) = (section.item("entries"), section.item("memory"));
    let store = section.item("store").and_then(|item| {
        let name = item.string()?;
        if !stores.contains_key(name) {
            let known: Vec<_> = stores.keys().map(String::as_str).collect();
            item.error(match known.is_empty() {
                true => format!("there is no store `{name}`; add a table [store.{name}] with url = \"redis://ADDRESS:6379\""),
                false => format!("there is no store `{name}`; there are: {}", known.join(", ")),
            });
        }
        Some(name.to_owned())
    });
    if store.is_some() {
        let idle = [&entries, &memory];
        idle.into_iter()
            .flatten()
            .for_each(|item| item.key_warning("has no effect: the bucket is in a store, whose server has bounds of its own"));
    }
    Some(BucketSettings {
        store,
        entries: entries.and_then(|item| item.count(1..=100_000_000)).unwrap_or(default.entries),
        octets: memory
            .and_then(|item| item.size(64 << 10..=1 << 40))
            .and_then(|octets| usize::try_from(octets).ok())
            .unwrap_or(default.octets),
    })
}

/// What the plugins are granted of a service that is named by a list. Lists that are none are reported where the plugins are read.
pub(super) fn granted<'r, 't>(root: &Section<'r, 't>, service: &str) -> Vec<Item<'r, 't>> {
    let table = |item: &Item<'r, 't>| match item.value.get_ref() {
        DeValue::Table(_) => item.open_section(),
        _ => None,
    };
    let list = |item: Item<'r, 't>| match item.value.get_ref() {
        DeValue::Array(_) => item.list(),
        _ => None,
    };
    let plugins = root.item("plugins").and_then(|item| table(&item)).map(|section| section.items()).unwrap_or_default();
    let grants = plugins.iter().filter_map(|(_, plugin)| table(&table(plugin)?.item("grant")?));
    let lists = grants.filter_map(|grant| list(grant.item(service)?));
    lists.flatten().filter(|item| matches!(item.value.get_ref(), DeValue::String(_))).collect()
}

/// A name is part of the keys in a store, before a `:`.
pub(super) fn is_name(name: &str) -> bool {
    let fine = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(fine)
}

pub(super) fn name_advice(name: &str, of: &str) -> String {
    format!("`{name}` cannot be the name of a {of}; names are up to {NAME_MAX} letters, digits, `-`, `_` and `.`")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Environment, Problem};
    use super::*;

    /// A plugin `a` that is granted `limits` and `routes`.
    const PLUGIN: &str = "[listen.lan]\naddress = \"127.0.0.1\"\n[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.a]\n";

    fn parse(text: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        Config::parse(Path::new("/etc/jackfield/f"), &format!("{PLUGIN}{text}"), &environment)
    }

    #[test]
    fn a_bucket_without_a_table_is_in_memory_with_the_defaults() {
        let config = parse("grant = { kv = [\"limits\", \"routes\"] }\n[kv.limits]\nentries = 10\nmemory = \"1MiB\"").unwrap();
        let limits = BucketSettings { store: None, entries: 10, octets: 1 << 20 };
        let routes = BucketSettings { store: None, entries: 100_000, octets: 64 << 20 };
        assert_eq!(config.services.settings.buckets, [("limits".to_owned(), limits), ("routes".to_owned(), routes)].into());
        assert_eq!(config.warnings, []);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let granted = "grant = { kv = [\"b\"] }\n";
        for (text, expected) in [
            (
                "grant = { kv = [\"a:b\"] }",
                "7:17: plugins.a.grant.kv[0]: `a:b` cannot be the name of a bucket; names are up to 64 letters, digits, `-`, `_` and `.`",
            ),
            ("[kv.\"a b\"]", "7:5: kv.\"a b\": `a b` cannot be the name of a bucket; names are up to 64 letters, digits, `-`, `_` and `.`"),
            ("[kv.b]\nsize = 1", "8:1: kv.b.size: unknown key; known here: store, entries, memory"),
            ("[kv.b]\nentries = 0", "8:11: kv.b.entries: 0 is out of range; write a number from 1 to 100000000"),
            ("[kv.b]\nmemory = \"1KiB\"", "8:10: kv.b.memory: `1KiB` is out of range; write 65536 to 1099511627776 octets"),
            ("[kv.b]\nstore = \"s\"", "8:9: kv.b.store: there is no store `s`; add a table [store.s] with url = \"redis://ADDRESS:6379\""),
            ("[kv.b]\nstore = \"s\"\n[store.t]\nurl = \"redis://h\"", "8:9: kv.b.store: there is no store `s`; there are: t"),
        ] {
            let problems = parse(&if text.starts_with("grant") { text.to_owned() } else { format!("{granted}{text}") }).unwrap_err();
            let errors = problems.iter().filter(|problem| problem.severity == super::super::Severity::Error);
            let found: Vec<_> = errors.map(|p| format!("{}:{}: {}: {}", p.line, p.column, p.key, p.message)).collect();
            let moved = if text.starts_with("grant") { expected.to_owned() } else { down_a_line(expected) };
            assert_eq!(found, [moved], "{text}");
        }
    }

    /// The table stands behind the line with the grant.
    fn down_a_line(problem: &str) -> String {
        let (line, rest) = problem.split_once(':').unwrap();
        format!("{}:{rest}", line.parse::<usize>().unwrap() + 1)
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let warnings = |text: &str| parse(text).unwrap().warnings.iter().map(|p| format!("{}: {}", p.key, p.message)).collect::<Vec<_>>();
        assert_eq!(warnings("[kv.b]"), ["kv.b: no plugin is granted this bucket; add it to `kv` in the `grant` of one"]);
        assert_eq!(
            warnings("grant = { kv = [\"b\"] }\n[kv.b]\nstore = \"s\"\nentries = 5\n[store.s]\nurl = \"redis://h\""),
            ["kv.b.entries: has no effect: the bucket is in a store, whose server has bounds of its own"]
        );
    }
}
