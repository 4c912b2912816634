//! What outlasts a restart of the proxy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// What a proxy that starts now finds.
fn restarted(path: &Path, now: UnixTime) -> (Registrations, Loaded) {
    let table = Registrations::new(RegistrationSettings::default());
    let loaded = Store::new(path).load(&table, now);
    (table, loaded)
}

fn agent(n: u32) -> Agent {
    Agent::new(&format!("sip:{n}@p.test"), &format!("<sip:s@10.0.0.5;line=l{n}>"))
}

#[test]
fn calls_find_their_agents_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let table = Registrations::new(RegistrationSettings::default());
    let lasting = agent(1).header("Supported: path").over_tcp("[2001:db8::7]:40000", 9);
    for second in [0, 100, 200, 300] {
        lasting.granted(&table, after(second), 3600);
    }
    agent(2).granted(&table, after(300), 60);
    agent(3).answered(&table, after(300), 403, &[]);
    lasting.unanswered(&table, after(320), Cause::Timeout);
    let before = table.snapshot(after(400));
    assert!(Store::new(&path).save(&table, after(330)).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");

    let (table, loaded) = restarted(&path, after(400));
    assert_eq!((loaded.restored, loaded.expired, loaded.problems.len()), (1, 1, 0));
    assert_eq!(table.snapshot(after(400)), before[..1]);
    let sought = Sought { request_uri: b"sip:s@192.0.2.1;line=L1", to_uri: b"", source: "198.51.100.9".parse().unwrap(), trunk: None };
    let found = table.find(after(400), &sought);
    let flow = NamedFlow { connection: None, ..lasting.flow.clone() };
    assert_eq!((&found[0].contact[..], &found[0].flow, &*found[0].trunk), (&b"sip:s@10.0.0.5;line=l1"[..], &flow, "telekom"));
    assert_eq!(table.trunk_at("198.51.100.9".parse().unwrap()), Some(TrunkId::of("telekom")));
    assert_eq!(counted(&table), [0, 1, 0, 0]);

    // The same agent, whose connection is another now.
    assert_eq!(kinds(&lasting.granted(&table, after(410), 3600)), [EventKind::Refreshed]);
    assert_eq!(kinds(&table.due(after(410 + 3600))), [EventKind::Expired]);
}

#[test]
fn the_file_is_written_only_when_something_has_changed_and_not_too_often() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let (table, store) = (Registrations::new(RegistrationSettings::default()), Store::new(&path));
    let saved = |now| store.save_if_changed(&table, now).unwrap();
    assert_eq!((saved(START), path.exists()), (false, false));
    agent(1).granted(&table, after(1), 60);
    assert_eq!((saved(after(1)), saved(after(9))), (true, false));
    agent(2).granted(&table, after(9), 60);
    assert!(saved(after(10)));
    agent(3).granted(&table, after(10), 60);
    assert_eq!((saved(after(11)), saved(after(12)), saved(after(20))), (false, true, false));
    agent(3).granted(&table, after(20), 60);
    assert_eq!((saved(after(41)), saved(after(42)), saved(after(80))), (false, true, false), "a refresh can wait");
    agent(3).granted(&table, after(80), 60);
    assert!(saved(after(10)), "the clock was put back");
    agent(3).granted(&table, after(81), 0);
    assert_eq!((store.save(&table, after(10)).unwrap(), store.save(&table, after(10)).unwrap()), (true, false));
}

#[test]
fn what_is_restored_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let (table, store) = (Registrations::new(RegistrationSettings::default()), Store::new(&path));
    agent(1).granted(&table, START, 3600);
    store.save(&table, START).unwrap();
    let table = Registrations::new(RegistrationSettings::default());
    let store = Store::new(&path);
    assert_eq!(store.load(&table, after(1)).restored, 1);
    assert_eq!(store.load(&table, after(1)).restored, 1, "what is there already is left");
    assert_eq!((table.len(), store.save_if_changed(&table, after(99)).unwrap()), (1, false));
}

#[test]
fn a_torn_or_changed_file_loses_only_the_lines_that_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let table = Registrations::new(RegistrationSettings::default());
    (0..40).for_each(|n| drop(agent(n).granted(&table, START, 3600)));
    Store::new(&path).save(&table, START).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 41);

    fs::write(&path, &text[..text.len() - 20]).unwrap();
    let (table, loaded) = restarted(&path, after(1));
    assert_eq!((table.len(), loaded.restored, loaded.unusable), (39, 39, 1));
    assert_eq!(loaded.problems[0].to_string(), format!("{}:41: no registration: it has no end, or is too long", path.display()));

    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[3] = "{\"trunk\":\"telekom\"}".to_owned();
    lines[5] = String::new();
    lines[7] = lines[7].replace("sip:s@", "sip:s s@");
    lines[9] = lines[9].replace("\"udp\"", "\"sctp\"");
    lines[11] = lines[11].replace("10.0.0.5:5060", "10.0.0.500:5060");
    lines[13] = "x".repeat(100_000);
    lines[15] = lines[15].replace("line=", &"y".repeat(1000));
    lines[17] = "[".repeat(10_000);
    lines[19] = lines[18].clone();
    let mut octets = lines.join("\n").into_bytes();
    octets.extend(b"\n\xff\xfe\n");
    fs::write(&path, octets).unwrap();
    let (table, loaded) = restarted(&path, after(1));
    assert_eq!((table.len(), loaded.unusable, loaded.problems.len()), (31, 9, 8));
    for (problem, start) in loaded.problems.iter().zip([
        ":4: no registration: missing field `aor`",
        ":6: no registration: EOF",
        ":8: no registration: a URI",
        ":10: no registration: a URI, a transport",
        ":12: no registration: invalid",
        ":14: no registration: it has no end, or is too long",
        ":16: no registration: a URI, a transport or a length",
        ":18: no registration: ",
    ]) {
        let start = format!("{}{start}", path.display());
        assert!(problem.to_string().starts_with(&start), "{problem}");
    }
}

#[test]
fn a_file_of_another_kind_and_no_file_are_an_empty_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let (table, loaded) = restarted(&path, START);
    assert!(table.is_empty() && loaded.problems.is_empty());
    for text in ["", "\n", "{\"jackfield-registrations\":2}\n", "nonsense", "\0\0\0"] {
        fs::write(&path, text).unwrap();
        let (table, loaded) = restarted(&path, START);
        assert!(table.is_empty());
        assert_eq!(loaded.problems.len(), usize::from(!text.is_empty()), "{text:?}");
    }
    let (_, loaded) = restarted(directory.path(), START);
    assert!(matches!(loaded.problems[..], [StoreProblem::Unreadable { .. }]));
}

#[test]
fn a_clock_that_was_put_back_makes_nothing_last_longer_than_it_was_granted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let table = Registrations::new(RegistrationSettings::default());
    agent(1).granted(&table, after(1_000_000), 60);
    Store::new(&path).save(&table, after(1_000_000)).unwrap();
    let (table, _) = restarted(&path, START);
    assert_eq!(table.snapshot(START)[0].expires_in, Some(60));
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gone").join("registrations.jsonl");
    let (table, store) = (Registrations::new(RegistrationSettings::default()), Store::new(&path));
    agent(1).granted(&table, START, 60);
    let error = store.save_if_changed(&table, START).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
    assert!(!store.save_if_changed(&table, after(1)).unwrap(), "not at once");
    fs::create_dir(directory.path().join("gone")).unwrap();
    assert!(store.save_if_changed(&table, after(2)).unwrap());
    assert_eq!(restarted(&path, after(3)).0.len(), 1);
}

#[test]
fn a_lower_limit_holds_for_what_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrations.jsonl");
    let table = Registrations::new(RegistrationSettings::default());
    (0..9).for_each(|n| drop(agent(n).granted(&table, START, 3600)));
    Store::new(&path).save(&table, START).unwrap();
    let table = Registrations::new(RegistrationSettings { limit: 5, ..RegistrationSettings::default() });
    let loaded = Store::new(&path).load(&table, after(1));
    assert_eq!((loaded.restored, loaded.over_limit, table.len()), (5, 4, 5));
}
