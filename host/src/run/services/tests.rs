//! Services of a proxy whose configuration changes, or does not after all.

use std::time::Duration;

use jackfield_services::ask::Answer;
use tempfile::TempDir;

use super::*;
use crate::config::Environment;

/// Files in a directory of the test's own, where nothing runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("rates.csv", "key,city\n49,before\n");
        place.write("others.csv", "key,city\n49,after\n");
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn config(&self, tables: &str) -> Config {
        let text = format!(
            "[listen.test]\naddress = \"127.0.0.1:0\"\n[plugins]\ndirectory = \"plugins\"\nchain = [\"p\"]\n\
             [plugins.p]\ngrant = {{ kv = [\"limits\"], tables = [\"rates\"] }}\n{tables}"
        );
        let file = self.0.path().join("proxy.toml");
        Config::parse(&file, &text, &Environment { state_directory: Some("/nowhere".into()), cores: 1, ..Environment::default() }).unwrap()
    }

    /// Counts in memory, and has the first table.
    fn before(&self) -> Config {
        self.config("[table.rates]\nfile = \"rates.csv\"\nmatch = \"exact\"\n")
    }

    /// Counts in a store that nobody can reach, and has another table of the name.
    fn after(&self, store: &str) -> Config {
        let tables = "[table.rates]\nfile = \"others.csv\"\nmatch = \"exact\"\n[kv.limits]\nstore = \"shared\"\n";
        self.config(&format!("{tables}[store.shared]\nurl = \"redis://127.0.0.1:9\"\ntimeout = \"1ms\"\n{store}"))
    }
}

/// What the plugin is answered.
fn asked(services: &PluginServices, question: Question) -> Result<Answer, ServiceError> {
    let grants = Grants { kv: vec!["limits".to_owned()], tables: vec!["rates".to_owned()], ..Grants::default() };
    services.of_plugin("p", &grants).ask(question, Duration::from_millis(10))
}

fn count(services: &PluginServices) -> Result<Answer, ServiceError> {
    asked(services, Question::KvIncrement { bucket: "limits".to_owned(), key: "calls".to_owned(), by: 1, ttl_ms: None })
}

fn city(services: &PluginServices) -> String {
    match asked(services, Question::TableRow { table: "rates".to_owned(), key: "49".to_owned() }) {
        Ok(Answer::Row(Some(row))) => row.join("|"),
        other => panic!("{other:?}"),
    }
}

fn is_remote(services: &PluginServices) -> [bool; 2] {
    [services.is_remote("limits"), services.is_remote_now("limits")]
}

#[test]
fn a_bucket_moves_into_a_store_and_back_when_the_change_is_taken_up() {
    let place = Place::new();
    let (before, after) = (place.before(), place.after(""));
    let services = PluginServices::start(&before).unwrap();
    assert_eq!(count(&services), Ok(Answer::Count(1)));
    services.prepare(&before, &after).unwrap();
    // Plugins are made for what comes, and calls are still answered by what is.
    assert_eq!(is_remote(&services), [true, false]);
    assert_eq!(count(&services), Ok(Answer::Count(2)));
    services.take_up();
    assert_eq!((is_remote(&services), city(&services)), ([true, true], "49|after".to_owned()));
    assert!(matches!(count(&services), Err(ServiceError::Timeout | ServiceError::Unavailable(_))), "{:?}", count(&services));
    services.prepare(&after, &before).unwrap();
    assert_eq!(is_remote(&services), [false, true]);
    services.take_up();
    assert_eq!((is_remote(&services), city(&services)), ([false, false], "49|before".to_owned()));
    // What it held went with it: a store's numbers and those of before are not the same.
    assert_eq!(count(&services), Ok(Answer::Count(1)));
}

#[test]
fn a_change_that_is_given_up_leaves_buckets_and_tables_as_they_were() {
    let place = Place::new();
    let (before, after) = (place.before(), place.after(""));
    let services = PluginServices::start(&before).unwrap();
    assert_eq!(count(&services), Ok(Answer::Count(1)));
    services.prepare(&before, &after).unwrap();
    services.give_up();
    assert_eq!((is_remote(&services), city(&services)), ([false, false], "49|before".to_owned()));
    assert_eq!(count(&services), Ok(Answer::Count(2)));
    // Nothing is left to be taken up.
    services.take_up();
    assert_eq!((is_remote(&services), city(&services)), ([false, false], "49|before".to_owned()));
}

#[test]
fn a_change_that_cannot_be_made_says_where_and_leaves_all_as_it_was() {
    let place = Place::new();
    let before = place.before();
    let services = PluginServices::start(&before).unwrap();
    place.write("others.csv", "key,city\n49,one,two\n");
    let bad_table = place.after("");
    let refused = services.prepare(&before, &bad_table).unwrap_err().join("\n");
    assert!(refused.contains("table.rates.file") && refused.contains("line 2"), "{refused}");
    assert_eq!((is_remote(&services), city(&services)), ([false, false], "49|before".to_owned()));
    place.write("others.csv", "key,city\n49,after\n");
    let no_password = place.after("password-file = \"password\"\n");
    let refused = services.prepare(&before, &no_password).unwrap_err().join("\n");
    assert!(refused.contains("store.shared.password-file") && refused.contains("password"), "{refused}");
    assert_eq!(is_remote(&services), [false, false]);
    place.write("password", "secret\n");
    std::fs::set_permissions(place.0.path().join("password"), permissions()).unwrap();
    services.prepare(&before, &no_password).unwrap();
    services.take_up();
    assert_eq!((is_remote(&services), city(&services)), ([true, true], "49|after".to_owned()));
}

/// For its owner alone, as a password has to be.
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o600)
}
