//! `[plugins]` and the tables of single plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use toml::de::DeValue;

use super::reader::{Item, Section};
use super::{Breaker, Change, Grants, OnError, Plugin, Plugins, Probation, Share, Waiting};

/// Keys of `[plugins]` itself; every other one is the name of a plugin.
const OWN_KEYS: [&str; 4] = ["directory", "chain", "debounce", "waiting"];
const WAITING_KEYS: [&str; 3] = ["threads", "queue", "full"];
const PLUGIN_KEYS: [&str; 12] =
    ["on-error", "memory", "cpu", "init-cpu", "wait", "grant", "config", "change", "promote-after", "canary", "probation", "breaker"];
const PROBATION_KEYS: [&str; 3] = ["time", "failures", "share"];
const BREAKER_KEYS: [&str; 4] = ["failures", "share", "window", "open"];
/// What becomes of a changed file.
const CHANGES: [(&str, Change); 3] = [("at-once", Change::AtOnce), ("shadow", Change::Shadow), ("canary", Change::Canary)];
/// Numbers of calls and of failures.
const COUNTS: std::ops::RangeInclusive<u64> = 1..=1_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);
const GRANT_KEYS: [&str; 6] = ["kv", "tables", "http", "dns", "timers", "state"];

pub(super) fn read(root: &Section<'_, '_>, base: &Path) -> Plugins {
    let Some(section) = root.item("plugins").and_then(|item| item.open_section()) else {
        return Plugins::default();
    };
    let chain_item = section.item("chain");
    let chain = chain_item.as_ref().map(chain).unwrap_or_default();
    let directory = section.item("directory");
    if let (Some(item), None, false) = (&chain_item, &directory, chain.is_empty()) {
        item.error("there is no directory to load these from; add directory = \"plugins\" to [plugins]");
    }
    let debounce = section.item("debounce").and_then(|item| item.duration(Duration::ZERO..=Duration::from_secs(60)));
    let mut table = BTreeMap::new();
    for (name, item) in section.items().into_iter().filter(|(name, _)| !OWN_KEYS.contains(&name.as_str())) {
        if !matches!(item.value.get_ref(), DeValue::Table(_)) {
            item.key_error("unknown key; [plugins] has directory, chain, debounce and waiting, and a table [plugins.NAME] for a plugin");
            continue;
        }
        refuse_bad_name(&item, &name);
        if !chain.contains(&name) {
            item.warning("this plugin is not in the chain, so it never runs; add its name to chain");
        }
        table.extend(plugin(&item).map(|plugin| (name, plugin)));
    }
    Plugins {
        directory: directory.and_then(|item| item.path(base)),
        chain,
        table,
        debounce: debounce.unwrap_or(Plugins::default().debounce),
        waiting: section.item("waiting").and_then(|item| waiting(&item)).unwrap_or_default(),
    }
}

/// Where plugins run that wait.
fn waiting(item: &Item<'_, '_>) -> Option<Waiting> {
    let section = item.section(&WAITING_KEYS)?;
    let default = Waiting::default();
    let number = |key, range| section.item(key).and_then(|item| item.count(range));
    Some(Waiting {
        threads: number("threads", 1..=1024).unwrap_or(default.threads),
        queue: number("queue", 0..=1_000_000).unwrap_or(default.queue),
        full: section.item("full").and_then(|item| on_error(&item)).unwrap_or(default.full),
    })
}

fn chain(list: &Item<'_, '_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut chain = Vec::new();
    for item in list.strings().into_iter().flatten() {
        let Some(name) = item.string() else { continue };
        refuse_bad_name(&item, name);
        if OWN_KEYS.contains(&name) {
            item.error(format!("`{name}` is a key of [plugins] and cannot name a plugin; rename its file"));
        }
        if seen.insert(name) {
            chain.push(name.to_owned());
        } else {
            item.error(format!("`{name}` is here twice; a plugin runs once for a request, remove one"));
        }
    }
    chain
}

/// A name is that of a file, without `.wasm`; it must not lead out of the directory.
fn refuse_bad_name(item: &Item<'_, '_>, name: &str) {
    if let Some(stem) = name.strip_suffix(".wasm") {
        item.error(format!("a plugin is named without `.wasm`; write \"{stem}\""));
    } else if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        item.error(format!("`{name}` cannot be a plugin's name; names are up to 64 letters, digits, `-` and `_`"));
    }
}

fn plugin(item: &Item<'_, '_>) -> Option<Plugin> {
    let section = item.section(&PLUGIN_KEYS)?;
    let default = Plugin::default();
    let milli = Duration::from_millis(1);
    let time = |key, longest, default| section.item(key).and_then(|item| item.duration(milli..=longest)).unwrap_or(default);
    Some(Plugin {
        on_error: section.item("on-error").and_then(|item| on_error(&item)).unwrap_or(default.on_error),
        config: section.item("config").and_then(|item| config(&item)).unwrap_or(default.config),
        memory: section.item("memory").and_then(|item| item.size(1 << 20..=1 << 30)).unwrap_or(default.memory),
        cpu_per_hook: time("cpu", Duration::from_secs(1), default.cpu_per_hook),
        cpu_init: time("init-cpu", Duration::from_secs(60), default.cpu_init),
        wait: time("wait", Duration::from_secs(60), default.wait),
        grants: section.item("grant").and_then(|item| grants(&item)).unwrap_or_default(),
        change: change(&section).unwrap_or(default.change),
        promote_after: section.item("promote-after").and_then(|item| item.number(COUNTS)),
        canary: section.item("canary").and_then(|item| share(&item)).unwrap_or(default.canary),
        probation: section.item("probation").map_or(default.probation, |item| probation(&item)),
        breaker: section.item("breaker").map_or(default.breaker, |item| breaker(&item)),
    })
}

/// What becomes of a changed file; keys that go with another choice are mentioned.
fn change(section: &Section<'_, '_>) -> Option<Change> {
    let change = section.item("change").map_or(Some(Change::AtOnce), |item| item.word(&CHANGES))?;
    if let (Some(item), Change::AtOnce) = (section.item("promote-after"), change) {
        item.warning("a changed file serves at once here; add change = \"shadow\" or change = \"canary\"");
    }
    if let (Some(item), Change::AtOnce | Change::Shadow) = (section.item("canary"), change) {
        item.warning("no share of the calls goes to a changed file here; add change = \"canary\"");
    }
    Some(change)
}

fn share(item: &Item<'_, '_>) -> Option<Share> {
    let text = item.string()?;
    let share = Share::parse(text);
    if share.is_none() {
        item.error(format!("`{text}` is no share; write a percentage from \"0%\" to \"100%\", like \"5%\" or \"0.25%\""));
    }
    share
}

/// None where it is switched off. What is wrong has been reported: then it does not matter what it is.
fn probation(item: &Item<'_, '_>) -> Option<Probation> {
    let section = table_or_off(item, &PROBATION_KEYS, "like { time = \"60s\", failures = 5, share = \"1%\" }")?;
    let default = Probation::default();
    Some(Probation {
        time: section.item("time").and_then(|item| item.duration(Duration::from_millis(100)..=24 * HOUR)).unwrap_or(default.time),
        failures: section.item("failures").and_then(|item| item.number(COUNTS)).unwrap_or(default.failures),
        share: section.item("share").and_then(|item| share(&item)).unwrap_or(default.share),
    })
}

fn breaker(item: &Item<'_, '_>) -> Option<Breaker> {
    let section = table_or_off(item, &BREAKER_KEYS, "like { failures = 20, share = \"50%\", window = \"10s\", open = \"10s\" }")?;
    let default = Breaker::default();
    let time = |key, default| section.item(key).and_then(|item| item.duration(Duration::from_millis(100)..=HOUR)).unwrap_or(default);
    Some(Breaker {
        failures: section.item("failures").and_then(|item| item.number(COUNTS)).unwrap_or(default.failures),
        share: section.item("share").and_then(|item| share(&item)).unwrap_or(default.share),
        window: time("window", default.window),
        open: time("open", default.open),
    })
}

/// A table, or `false`, which is none.
fn table_or_off<'r, 't>(item: &Item<'r, 't>, keys: &[&str], example: &str) -> Option<Section<'r, 't>> {
    match item.value.get_ref() {
        DeValue::Table(_) => item.section(keys),
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => {
            item.error(format!("is true; leave it out for the defaults, write false, or a table {example}"));
            None
        }
        _ => item.wrong_type(&format!("false, or a table {example}")),
    }
}

fn grants(item: &Item<'_, '_>) -> Option<Grants> {
    let section = item.section(&GRANT_KEYS)?;
    let names = |key| {
        let item = section.item(key);
        let items = item.as_ref().and_then(|item| item.strings()).unwrap_or_default();
        items.iter().filter_map(|item| item.string().map(str::to_owned)).collect()
    };
    let truth = |key| section.item(key).and_then(|item| item.truth()).unwrap_or_default();
    Some(Grants {
        kv: names("kv"),
        tables: names("tables"),
        http: names("http"),
        dns: truth("dns"),
        timers: truth("timers"),
        state: truth("state"),
    })
}

fn on_error(item: &Item<'_, '_>) -> Option<OnError> {
    let text = item.string()?;
    if text == "next" {
        return Some(OnError::Next);
    }
    let status = text.strip_prefix("reply ").and_then(|status| status.trim().parse::<u16>().ok());
    let status = status.filter(|status| (300..700).contains(status));
    if status.is_none() {
        item.error(format!("`{text}` is not known; write \"next\", or \"reply STATUS\" with a status from 300 to 699, like \"reply 503\""));
    }
    status.map(OnError::Reply)
}

fn config(item: &Item<'_, '_>) -> Option<Value> {
    match item.value.get_ref() {
        DeValue::Table(_) => json(item),
        _ => item.wrong_type("a table"),
    }
}

/// The value as JSON, for the plugin to judge.
fn json(item: &Item<'_, '_>) -> Option<Value> {
    match item.value.get_ref() {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(truth) => Some(Value::Bool(*truth)),
        DeValue::Datetime(time) => Some(Value::String(time.to_string())),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            if number.is_none() {
                item.error(format!("{integer} does not fit into 64 bits; write it as a string"));
            }
            number.map(Value::from)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            if number.is_none() {
                item.error(format!("{float} cannot be handed to a plugin; write a finite number"));
            }
            number.map(Value::Number)
        }
        // Every element is looked at even after one has failed, so that all faults are named.
        DeValue::Array(_) => {
            let values: Vec<_> = item.list()?.iter().map(json).collect();
            values.into_iter().collect::<Option<_>>().map(Value::Array)
        }
        DeValue::Table(_) => {
            let entries: Vec<_> =
                item.open_section()?.items().iter().map(|(name, item)| json(item).map(|value| (name.clone(), value))).collect();
            entries.into_iter().collect::<Option<_>>().map(Value::Object)
        }
    }
}
