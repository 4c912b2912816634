//! Files that change while tables serve.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

/// How long a change may take until it is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The state of the table once it is as wanted.
fn wait_for(tables: &Tables, wanted: impl Fn(&TableStatus) -> bool) -> TableStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = tables.status().into_iter().next().unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{status:?}");
        thread::yield_now();
    }
}

fn value(tables: &Tables) -> String {
    let table = tables.get("t").unwrap();
    row(table.exact("k").unwrap()).unwrap()
}

#[test]
fn a_changed_file_takes_the_place_of_the_old_one() {
    let place = Place::new("t.csv", Matching::Exact);
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    let before = tables.get("t").unwrap();
    assert_eq!(value(&tables), "k|1");
    place.replace("key,v\nk,2\nl,3\n");
    let status = wait_for(&tables, |status| status.reloads == 1);
    assert_eq!((status.rows, status.refused), (2, None));
    assert_eq!(value(&tables), "k|2");
    // Who holds the old one can go on reading in it.
    assert_eq!(row(before.exact("k").unwrap()).unwrap(), "k|1");
    place.write("key,v\nk,in place\n");
    wait_for(&tables, |status| status.reloads == 2);
    assert_eq!(value(&tables), "k|in place");
}

#[test]
fn a_bad_file_leaves_the_old_table_and_says_why_until_it_is_good() {
    let place = Place::new("t.csv", Matching::Exact);
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    place.replace("key,v\nk,2\nx\n");
    let refused = wait_for(&tables, |status| status.refusals == 1).refused.unwrap();
    assert!(refused.contains("line 3: the row has 1 fields"), "{refused}");
    assert_eq!(value(&tables), "k|1");
    fs::remove_file(place.file()).unwrap();
    let refused = wait_for(&tables, |status| status.refusals == 2).refused.unwrap();
    assert!(refused.contains("is gone"), "{refused}");
    assert_eq!(value(&tables), "k|1");
    place.replace("key,v\nk,3\n");
    let status = wait_for(&tables, |status| status.reloads == 1);
    assert_eq!((status.refused, status.refusals), (None, 2));
    assert_eq!(value(&tables), "k|3");
}

#[test]
fn a_configuration_is_taken_up_as_a_whole_or_not_at_all() {
    let (place, other) = (Place::new("t.csv", Matching::Exact), Place::new("o.csv", Matching::Exact));
    let refused = Tables::start(place.tables()).unwrap_err().to_string();
    assert!(refused.contains("[table.t]") && refused.contains("cannot be read"), "{refused}");
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    let before = tables.get("t").unwrap();
    let mut both = place.tables();
    both.tables.insert("o".into(), other.settings.clone());
    assert_eq!(check(&both).len(), 1);
    let wrong = tables.reconfigure(both.clone()).unwrap_err();
    assert_eq!((wrong.len(), wrong[0].name.as_str(), tables.status().len()), (1, "o", 1));
    other.write("key,v\nk,2\n");
    tables.reconfigure(both).unwrap();
    assert!(Arc::ptr_eq(&before, &tables.get("t").unwrap()), "nothing has changed for it");
    let mut changed = place.tables();
    changed.tables.get_mut("t").unwrap().key = Some("v".into());
    tables.reconfigure(changed).unwrap();
    assert_eq!(row(tables.get("t").unwrap().exact("1").unwrap()).unwrap(), "k|1");
    assert!(tables.get("o").is_none());
}

#[test]
fn a_change_that_was_prepared_is_undone_as_a_whole() {
    let (place, other) = (Place::new("t.csv", Matching::Exact), Place::new("o.csv", Matching::Exact));
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    let before = tables.get("t").unwrap();
    other.write("key,v\nk,2\n");
    let mut next = other.tables();
    next.tables.insert("o".into(), other.settings.clone());
    tables.prepare(next.clone()).unwrap();
    assert_eq!((value(&tables), tables.get("o").is_some()), ("k|2".to_owned(), true));
    tables.restore();
    assert!(Arc::ptr_eq(&before, &tables.get("t").unwrap()) && tables.get("o").is_none());
    assert_eq!(tables.status().len(), 1);
    // Its file is looked after as before.
    place.replace("key,v\nk,3\n");
    wait_for(&tables, |status| status.reloads == 1);
    assert_eq!(value(&tables), "k|3");
    // What has been taken up is not undone, nor is anything undone twice.
    tables.restore();
    assert_eq!(value(&tables), "k|3");
    tables.prepare(next.clone()).unwrap();
    tables.reconfigure(next).unwrap();
    tables.restore();
    assert_eq!((value(&tables), tables.status().len()), ("k|2".to_owned(), 2));
}

#[test]
fn a_file_that_changes_while_a_change_is_prepared_is_read_again_after_it_was_undone() {
    let (place, other) = (Place::new("t.csv", Matching::Exact), Place::new("o.csv", Matching::Exact));
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    other.write("key,v\nk,2\n");
    tables.prepare(other.tables()).unwrap();
    place.replace("key,v\nk,3\n");
    tables.restore();
    wait_for(&tables, |status| status.reloads == 1);
    assert_eq!(value(&tables), "k|3");
}

#[test]
fn a_table_that_a_change_has_replaced_is_gone_with_its_memory() {
    let (place, other) = (Place::new("t.csv", Matching::Exact), Place::new("o.csv", Matching::Exact));
    let tables = Tables::start(place.write("key,v\nk,1\n").tables()).unwrap();
    let before = Arc::downgrade(&tables.get("t").unwrap());
    other.write("key,v\nk,2\n");
    tables.prepare(other.tables()).unwrap();
    assert!(before.upgrade().is_some(), "it may be wanted again");
    tables.reconfigure(other.tables()).unwrap();
    assert!(before.upgrade().is_none());
}

#[test]
fn look_ups_during_reloads_see_one_table_or_the_other_and_never_a_mixture() {
    const ROWS: u32 = 2000;
    let content = |version: u32| (0..ROWS).fold("key,version\n".to_owned(), |text, key| text + &format!("{key:04},{version}\n"));
    let place = Place::new("t.csv", Matching::LongestPrefix);
    let settings = Settings { debounce: Duration::from_millis(1), ..place.write(content(0)).tables() };
    let tables = Tables::start(settings).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for start in 0..2 {
            let (tables, ended) = (&tables, &ended);
            scope.spawn(move || {
                let mut key = start;
                let mut newest = 0;
                while !ended.load(Ordering::Relaxed) {
                    let table = tables.get("t").unwrap();
                    let versions = [key, key + 7].map(|key| {
                        let number = format!("{:04}99", key % ROWS);
                        let version = table.longest_prefix(&number).unwrap().unwrap().cells().nth(1).unwrap();
                        version.parse::<u32>().unwrap()
                    });
                    assert_eq!(versions[0], versions[1]);
                    assert!(versions[0] >= newest, "an old table came back");
                    newest = versions[0];
                    key += 13;
                }
            });
        }
        for version in 1..=20 {
            place.replace(content(version));
            wait_for(&tables, |status| status.reloads == u64::from(version));
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(tables.status()[0].refusals, 0);
}
