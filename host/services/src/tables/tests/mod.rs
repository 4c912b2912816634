//! Tables of files that the test writes.

mod files;
mod model;
mod reload;

use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory for one file, and the settings of a table of it.
struct Place {
    directory: tempfile::TempDir,
    settings: TableSettings,
}

impl Place {
    fn new(file: &str, matching: Matching) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = TableSettings { matching, ..TableSettings::new(directory.path().join(file)) };
        Self { directory, settings }
    }

    fn file(&self) -> PathBuf {
        self.settings.file.clone()
    }

    fn write(&self, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.file(), content).unwrap();
        self
    }

    /// Puts a file into the place of the one before in one step.
    fn replace(&self, content: impl AsRef<[u8]>) {
        let beside = self.directory.path().join("beside");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }

    fn load(&self) -> Result<Table, TableError> {
        load("t", &self.settings)
    }

    fn tables(&self) -> Settings {
        Settings { tables: [("t".to_owned(), self.settings.clone())].into(), ..Settings::default() }
    }
}

fn row(row: Option<Row<'_>>) -> Option<String> {
    row.map(|row| row.to_texts().join("|"))
}

const RATES: &str = "prefix,country,rate\n49,Germany,0.01\n4930,Berlin,0.01\n49301,\"Berlin, Mitte\",0.02\n+1,USA,0.03\n*#,code,0\n";

#[test]
fn the_longest_key_that_a_number_begins_with_wins() {
    let place = Place::new("rates.csv", Matching::LongestPrefix);
    let table = place.write(RATES).load().unwrap();
    assert_eq!(table.columns().collect::<Vec<_>>(), ["prefix", "country", "rate"]);
    for (number, expected) in [
        ("49", Some("49|Germany|0.01")),
        ("4989123", Some("49|Germany|0.01")),
        ("49302", Some("4930|Berlin|0.01")),
        ("4930199", Some("49301|Berlin, Mitte|0.02")),
        ("+1212", Some("+1|USA|0.03")),
        ("*#06#", Some("*#|code|0")),
        ("4", None),
        ("1212", None),
        ("", None),
        ("*", None),
        ("\u{e9}", None),
    ] {
        assert_eq!(row(table.longest_prefix(number).unwrap()).as_deref(), expected, "{number}");
    }
}

#[test]
fn keys_may_be_any_text_and_stand_in_any_column() {
    let mut place = Place::new("t.csv", Matching::LongestPrefix);
    place.settings.key = Some("name".into());
    place.write(format!("n,name,m\n1,m\u{fc}nchen,a\n2,m\u{fc},b\n3,{},c\n4,{}x,d\n", "long".repeat(100), "long".repeat(100)));
    let table = place.load().unwrap();
    assert_eq!(row(table.longest_prefix("m\u{fc}nchen-nord").unwrap()).unwrap(), "1|m\u{fc}nchen|a");
    assert_eq!(row(table.longest_prefix("m\u{fc}nster").unwrap()).unwrap(), "2|m\u{fc}|b");
    // The first octet of the letter is that of another one as well.
    assert_eq!(row(table.longest_prefix("m\u{fa}").unwrap()), None);
    assert_eq!(row(table.longest_prefix(&"long".repeat(101)).unwrap()).unwrap(), format!("3|{}|c", "long".repeat(100)));
    assert_eq!(row(table.longest_prefix(&format!("{}xy", "long".repeat(100))).unwrap()).unwrap(), format!("4|{}x|d", "long".repeat(100)));
    assert_eq!(row(table.longest_prefix(&"long".repeat(99)).unwrap()), None);

    let mut place = Place::new("t.csv", Matching::Exact);
    place.settings.key = Some("name".into());
    let table = place.write("n,name\r\n1,b\r\n2,\"a \"\"quoted\"\" one\"\r\n").load().unwrap();
    assert_eq!(row(table.exact("b").unwrap()).unwrap(), "1|b");
    assert_eq!(row(table.exact("a \"quoted\" one").unwrap()).unwrap(), "2|a \"quoted\" one");
    assert_eq!(row(table.exact("B").unwrap()), None);
    assert_eq!(row(table.exact("").unwrap()), None);
}

#[test]
fn the_narrowest_network_wins_and_mapped_addresses_are_those_of_ipv4() {
    let place = Place::new("nets.csv", Matching::Network);
    let table =
        place.write("net,who\n10.0.0.0/8,a\n10.1.0.0/16,b\n10.1.2.3,c\n2001:db8::/32,d\n::ffff:192.0.2.0/120,e\n0.0.0.0/0,f\n").load();
    let table = table.unwrap();
    for (address, expected) in [
        ("10.9.9.9", Some("10.0.0.0/8|a")),
        ("10.1.2.2", Some("10.1.0.0/16|b")),
        ("10.1.2.3", Some("10.1.2.3|c")),
        ("10.1.2.4", Some("10.1.0.0/16|b")),
        ("10.2.0.0", Some("10.0.0.0/8|a")),
        ("11.0.0.0", Some("0.0.0.0/0|f")),
        ("255.255.255.255", Some("0.0.0.0/0|f")),
        ("::ffff:10.1.2.3", Some("10.1.2.3|c")),
        ("192.0.2.9", Some("::ffff:192.0.2.0/120|e")),
        ("2001:db8:ffff::1", Some("2001:db8::/32|d")),
        ("2001:db9::", None),
        ("::1", None),
    ] {
        assert_eq!(row(table.network(address.parse().unwrap()).unwrap()).as_deref(), expected, "{address}");
    }
}

#[test]
fn a_plugin_is_answered_about_the_tables_that_it_is_granted() {
    let (rates, nets) = (Place::new("rates.csv", Matching::LongestPrefix), Place::new("nets.json", Matching::Network));
    rates.write(RATES);
    nets.write(r#"{"192.0.2.0/24": {"trunk": "a"}}"#);
    let (names, settings) = (["nets", "rates", "gone"].map(str::to_owned), [("nets", &nets), ("rates", &rates)]);
    let settings = settings.into_iter().map(|(name, place)| (name.to_owned(), place.settings.clone())).collect();
    let tables = Tables::start(Settings { tables: settings, ..Settings::default() }).unwrap();
    let ask = |question| tables.ask(&names, &question);
    let texts = |texts: &[&str]| Ok(Answer::Row(Some(texts.iter().map(|text| (*text).to_owned()).collect())));
    let table = |name: &str| name.to_owned();
    assert_eq!(ask(Question::TableColumns { table: table("nets") }), texts(&["key", "trunk"]));
    assert_eq!(ask(Question::TablePrefix { table: table("rates"), number: "4930".into() }), texts(&["4930", "Berlin", "0.01"]));
    assert_eq!(ask(Question::TablePrefix { table: table("rates"), number: "7".into() }), Ok(Answer::Row(None)));
    assert_eq!(ask(Question::TableNetwork { table: table("nets"), address: "192.0.2.1".into() }), texts(&["192.0.2.0/24", "a"]));
    assert_eq!(ask(Question::TableContains { table: table("nets"), address: "[::ffff:192.0.2.1]".into() }), Ok(Answer::Truth(true)));
    assert_eq!(ask(Question::TableContains { table: table("nets"), address: "192.0.3.1".into() }), Ok(Answer::Truth(false)));

    let invalid = |text: &str| Err(ServiceError::Invalid(text.to_owned()));
    let wrong = r#"[table.rates]: its rows are found by match = "longest-prefix"; for this question write match = "exact""#;
    assert_eq!(ask(Question::TableRow { table: table("rates"), key: "49".into() }), invalid(wrong));
    assert_eq!(ask(Question::TableContains { table: table("nets"), address: "x".into() }), invalid("`x` is no IP address"));
    let gone = "there is no table `gone`; add [table.gone] with its file";
    assert_eq!(ask(Question::TableColumns { table: table("gone") }), invalid(gone));
    assert_eq!(tables.ask(&names[..1], &Question::TableColumns { table: table("rates") }), Err(ServiceError::Denied));
    assert!(matches!(ask(Question::UnixMs), Err(ServiceError::Invalid(_))));
}
