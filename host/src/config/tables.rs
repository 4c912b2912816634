//! `[table.NAME]`: files that plugins look things up in. The keys are the fields of the tables' own [`TableSettings`]; the files are read when
//! the tables start, and by `jackfield check`.

use std::collections::BTreeMap;
use std::path::Path;

use jackfield_services::tables::{Format, Matching, ROWS, ROWS_MAX, SIZE, SIZE_MAX, Settings, TableSettings};
use toml::de::DeValue;

use super::reader::{Item, Section, nearest};

const KEYS: [&str; 5] = ["file", "match", "key", "size", "rows"];

/// Reads the tables, and sees that those exist which plugins are granted.
pub(super) fn read(root: &Section<'_, '_>, base: &Path) -> Settings {
    let mut tables = BTreeMap::new();
    for (name, item) in root.item("table").and_then(|item| item.open_section()).map(|section| section.items()).unwrap_or_default() {
        refuse_bad_name(&item, &name);
        // What is wrong with one has been reported; its name is known for all that.
        tables.insert(name, item.section(&KEYS).and_then(|section| table(&section, base)));
    }
    refuse_unknown_grants(root, &tables.keys().map(String::as_str).collect::<Vec<_>>());
    let tables = tables.into_iter().filter_map(|(name, table)| table.map(|table| (name, table))).collect();
    Settings { tables, ..Settings::default() }
}

/// What is no list of names has been reported with the plugin.
fn refuse_unknown_grants(root: &Section<'_, '_>, known: &[&str]) {
    let plugins = root.item("plugins").filter(is_table).and_then(|item| item.open_section());
    for (_, plugin) in plugins.iter().flat_map(|section| section.items()).filter(|(_, item)| is_table(item)) {
        let grant = plugin.open_section().and_then(|section| section.item("grant")).filter(is_table);
        let granted = grant.and_then(|item| item.open_section()).and_then(|section| section.item("tables"));
        let granted = granted.filter(|item| matches!(item.value.get_ref(), DeValue::Array(_)));
        for item in granted.iter().filter_map(|item| item.list()).flatten() {
            let DeValue::String(name) = item.value.get_ref() else { continue };
            if known.contains(&&**name) {
                continue;
            }
            item.error(match nearest(name, known) {
                Some(near) => format!("there is no table `{name}`; did you mean `{near}`?"),
                None => format!("there is no table `{name}`; add [table.{name}] with its file, or remove the grant"),
            });
        }
    }
}

fn is_table(item: &Item<'_, '_>) -> bool {
    matches!(item.value.get_ref(), DeValue::Table(_))
}

/// Names stand in grants and in what plugins ask.
fn refuse_bad_name(item: &Item<'_, '_>, name: &str) {
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        item.key_error(format!("`{name}` cannot be a table's name; names are up to 64 letters, digits, `-` and `_`"));
    }
}

fn table(section: &Section<'_, '_>, base: &Path) -> Option<TableSettings> {
    let words = [Matching::Exact, Matching::LongestPrefix, Matching::Network].map(|matching| (matching.name(), matching));
    let matching = section.item("match").and_then(|item| item.word(&words)).unwrap_or_default();
    let key = section.item("key").and_then(|item| key(&item));
    let size = section.item("size").and_then(|item| item.size(1..=SIZE_MAX)).unwrap_or(SIZE);
    let rows = section.item("rows").and_then(|item| item.count(1..=ROWS_MAX as u64)).unwrap_or(ROWS);
    let Some(item) = section.item("file") else {
        section.missing("file", "a table needs a file; add file = \"NAME.csv\" or \"NAME.json\"");
        return None;
    };
    let file = item.path(base)?;
    if Format::of(&file).is_none() {
        item.error("the name ends neither in .csv nor in .json, so nobody can tell how to read it; rename the file to what it is");
    }
    Some(TableSettings { file, matching, key, size, rows })
}

fn key(item: &Item<'_, '_>) -> Option<String> {
    let key = item.string()?;
    if key.is_empty() {
        item.error("is empty; write the name of the column that is looked up, or remove the key: it is the first one then");
    }
    Some(key.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Config, Environment};
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        let text = format!("[listen.lan]\naddress = \"192.0.2.1\"\n{text}");
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        let config = Config::parse(Path::new("/etc/jackfield/jackfield.toml"), &text, &environment);
        config.map(|config| config.tables).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(|problem| problem.display(Path::new("f")).to_string()).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn a_table_has_a_file_and_the_documented_defaults() {
        assert_eq!(parse("").unwrap(), Settings::default());
        let tables = parse(
            "[table.vip]\nfile = \"vip.json\"\n[table.rates]\nfile = \"/srv/rates.CSV\"\nmatch = \"longest-prefix\"\nkey = \"prefix\"\nsize = \"2GiB\"\nrows = 10_000_000\n",
        );
        let rates = TableSettings {
            file: PathBuf::from("/srv/rates.CSV"),
            matching: Matching::LongestPrefix,
            key: Some("prefix".into()),
            size: 2 << 30,
            rows: 10_000_000,
        };
        let vip = TableSettings::new("/etc/jackfield/vip.json");
        assert_eq!((vip.matching, vip.size, vip.rows), (Matching::Exact, 1 << 30, 5_000_000));
        assert_eq!(tables.unwrap().tables, [("vip".to_owned(), vip), ("rates".to_owned(), rates)].into());
    }

    #[test]
    fn what_is_wrong_names_the_key_and_what_to_do() {
        for (text, expected) in [
            ("[table.rates]\n", "f:3:8: table.rates.file: a table needs a file; add file = \"NAME.csv\" or \"NAME.json\""),
            ("[table.rates]\nfile = \"r.txt\"\n", "table.rates.file: the name ends neither in .csv nor in .json"),
            (
                "[table.rates]\nfile = \"r.csv\"\nmatch = \"prefix\"\n",
                "table.rates.match: `prefix` is not known; write one of exact, longest-prefix, network",
            ),
            ("[table.rates]\nfile = \"r.csv\"\nmatch = \"networks\"\n", "did you mean \"network\"?"),
            ("[table.rates]\nfile = \"r.csv\"\nkey = \"\"\n", "table.rates.key: is empty; write the name of the column"),
            ("[table.rates]\nfile = \"r.csv\"\nrow = 1\n", "table.rates.row: unknown key; did you mean `rows`?"),
            ("[table.\"a b\"]\nfile = \"r.csv\"\n", "`a b` cannot be a table's name; names are up to 64 letters"),
        ] {
            let problems = parse(text).unwrap_err();
            assert!(problems.contains(expected), "{text}: {problems}");
        }
    }

    #[test]
    fn a_plugin_is_granted_tables_that_there_are() {
        let text = |granted: &str| {
            format!(
                "[table.rates]\nfile = \"r.csv\"\n[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.a]\ngrant = {{ tables = [{granted}] }}\n"
            )
        };
        assert!(parse(&text("\"rates\"")).is_ok());
        let problems = parse(&text("\"rates\", \"rate\", \"vip\"")).unwrap_err();
        assert!(problems.contains("plugins.a.grant.tables[1]: there is no table `rate`; did you mean `rates`?"), "{problems}");
        assert!(problems.contains("plugins.a.grant.tables[2]: there is no table `vip`; add [table.vip] with its file"), "{problems}");
        assert_eq!(problems.lines().count(), 2, "{problems}");
    }
}
