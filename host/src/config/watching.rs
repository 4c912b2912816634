//! `[explain]` and `[record]`: what is kept of calls for those who want to understand them.

use std::path::Path;

use jackfield_plugin_host::record::RecordSettings;
use jackfield_plugin_host::trace::CALLS_MAX;

use super::reader::Section;

/// Calls of one recording, at most.
const RECORDED_MAX: u64 = 10_000_000;
/// Octets of one recording, at most.
const SIZE_MAX: u64 = 64 << 30;

/// `[explain]`: how many calls' timelines are kept; 0, the default, keeps none.
pub(super) fn explain(root: &Section<'_, '_>) -> usize {
    let section = root.section("explain", &["keep"]);
    section.item("keep").and_then(|item| item.count(0..=CALLS_MAX as u64)).unwrap_or(0)
}

/// `[record]`: the bounds of recordings.
pub(super) fn record(root: &Section<'_, '_>, base: &Path, state_directory: &Path) -> RecordSettings {
    let section = root.section("record", &["directory", "calls", "size"]);
    let default = RecordSettings::in_directory(state_directory.join("recordings"));
    RecordSettings {
        directory: section.item("directory").and_then(|item| item.path(base)).unwrap_or(default.directory),
        calls: section.item("calls").and_then(|item| item.count(1..=RECORDED_MAX)).map_or(default.calls, |calls| calls as u64),
        size: section.item("size").and_then(|item| item.size(1 << 20..=SIZE_MAX)).unwrap_or(default.size),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Config, Environment};
    use super::*;

    #[test]
    fn every_key_is_read() {
        let parse = |tables: &str| {
            let environment = Environment { root: true, cores: 1, ..Environment::default() };
            let text = format!("state-directory = \"/s\"\n[listen.a]\naddress = \"127.0.0.1\"\n{tables}");
            Config::parse(Path::new("/etc/f"), &text, &environment).unwrap()
        };
        let config = parse("[explain]\nkeep = 7\n[record]\ndirectory = \"r\"\ncalls = 9\nsize = \"2MiB\"\n");
        assert_eq!(config.explain_keep, 7);
        assert_eq!(config.record, RecordSettings { directory: PathBuf::from("/etc/r"), calls: 9, size: 2 << 20 });
        let config = parse("");
        assert_eq!((config.explain_keep, config.record), (0, RecordSettings::in_directory(PathBuf::from("/s/recordings"))));
    }
}
