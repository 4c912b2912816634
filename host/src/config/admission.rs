//! `[admission]`: how many calls a source may have, and a plugin's tag. Those of a trunk stand in its own table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jackfield_trunk::admission::{AdmissionSettings, CountedTags};
use jackfield_trunk::{AdmissionLimits, Busy};

use super::reader::{Item, Section};
use super::trunk;

const KEYS: [&str; 7] = ["source", "exempt", "tags", "busy", "retry-after", "longest-call", "tracked"];

const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The table in the document.
pub(super) fn read(root: &Section<'_, '_>) -> AdmissionSettings {
    let section = root.section("admission", &KEYS);
    let default = AdmissionSettings::default();
    let answer = trunk::admission(&section).answer;
    let read = AdmissionSettings {
        source: section.item("source").map(|item| limits(&item, &answer)).unwrap_or_default(),
        exempt: trunk::networks(&section, "exempt"),
        tags: tags(&section, &answer),
        // Plugins may ask about any tag: that depends on their grants.
        counted_tags: CountedTags::Limited,
        longest_call: section.item("longest-call").and_then(|item| item.duration(MINUTE..=WEEK)).unwrap_or(default.longest_call),
        tracked: section.item("tracked").and_then(|item| item.count(1000..=10_000_000)).unwrap_or(default.tracked),
    };
    warn_about_idle_keys(&section);
    read
}

fn tags(section: &Section<'_, '_>, answer: &Busy) -> BTreeMap<Arc<str>, AdmissionLimits> {
    let tags = section.item("tags").and_then(|item| item.open_section());
    tags.iter().flat_map(Section::items).map(|(tag, item)| (tag.into(), limits(&item, answer))).collect()
}

fn limits(item: &Item<'_, '_>, answer: &Busy) -> AdmissionLimits {
    let Some(table) = item.section(&["calls", "calls-per-second"]) else { return AdmissionLimits::default() };
    let limits = AdmissionLimits { answer: answer.clone(), ..trunk::admission(&table) };
    if limits.calls.is_none() && limits.calls_per_second.is_none() {
        item.warning("has no effect: neither calls nor calls-per-second is set");
    }
    limits
}

/// Who writes these thinks that something is limited.
fn warn_about_idle_keys(section: &Section<'_, '_>) {
    let warn = |keys: &[&str], message: &str| {
        keys.iter().filter_map(|key| section.item(key)).for_each(|item| item.warning(message));
    };
    if section.item("source").is_none() {
        warn(&["exempt"], "has no effect: source is not set");
        if section.item("tags").is_none() {
            warn(
                &["busy", "retry-after"],
                "has no effect: neither source nor tags is set; a trunk has a busy and a retry-after of its own",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Environment, Problem};
    use super::*;

    fn parse(table: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        Config::parse(Path::new("f"), &format!("[listen.a]\naddress = \"127.0.0.1\"\n[admission]\n{table}\n"), &environment)
    }

    #[test]
    fn every_key_is_read() {
        let read = parse(
            "source = { calls = 100, calls-per-second = 10 }\nexempt = [\"10.0.0.0/8\"]\ntags = { gold = { calls = 10 } }\nbusy = \"486\"\n\
             retry-after = \"9s\"\nlongest-call = \"2h\"\ntracked = 5000",
        );
        let answer = Busy { status: 486, retry_after: 9 };
        let expected = AdmissionSettings {
            source: AdmissionLimits { calls: Some(100), calls_per_second: Some(10), answer: answer.clone() },
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
            tags: [("gold".into(), AdmissionLimits { calls: Some(10), calls_per_second: None, answer })].into(),
            counted_tags: CountedTags::Limited,
            longest_call: Duration::from_secs(7200),
            tracked: 5000,
        };
        assert_eq!(read.unwrap().admission, expected);
        assert_eq!(parse("").unwrap().admission, AdmissionSettings::default());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (table, problem) in [
            ("calls = 1", "4:1: admission.calls: unknown key; known here: source, exempt, tags, busy, retry-after, longest-call, tracked"),
            ("source = { cals = 1 }", "4:12: admission.source.cals: unknown key; did you mean `calls`?"),
            ("tags = { gold = 10 }", "4:17: admission.tags.gold: is the number 10; write a table"),
            ("longest-call = \"1s\"", "4:16: admission.longest-call: `1s` is out of range; write 1m to 7d"),
            ("busy = \"200\"", "4:8: admission.busy: `200` is no final status; write one from \"400\" to \"699\", like \"503\" or \"486\""),
        ] {
            let problems = parse(table).unwrap_err();
            let place = |problem: &Problem| format!("{}:{}: {}: {}", problem.line, problem.column, problem.key, problem.message);
            assert!(problems.iter().map(place).any(|found| found == problem), "{problem}: {problems:?}");
        }
    }

    #[test]
    fn keys_without_effect_are_warned_about() {
        let warned = |table: &str| parse(table).unwrap().warnings.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>();
        assert_eq!(warned("exempt = [\"10.0.0.1\"]\nbusy = \"486\""), ["admission.exempt", "admission.busy"]);
        assert_eq!(warned("tags = { gold = {} }\nbusy = \"486\""), ["admission.tags.gold"]);
        assert_eq!(warned("source = { calls = 1 }\nexempt = [\"10.0.0.1\"]\nbusy = \"486\""), [""; 0]);
    }
}
