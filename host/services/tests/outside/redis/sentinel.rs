use std::time::Duration;

use jackfield_services::ask::{Answer, ServiceError};
use jackfield_services::settings::{Servers, StoreSettings};

use super::{SLACK, TIMEOUT, is_up};
use crate::support::redis::{Redis, is_there};
use crate::support::{Plugin, increment, until, value};

/// A master, a replica and Sentinels that know both.
struct Guarded {
    master: Redis,
    replica: Redis,
    sentinels: Vec<Redis>,
}

impl Guarded {
    fn start(sentinels: usize) -> Self {
        let master = Redis::start(&[]);
        let replica = Redis::start(&["--replicaof", &master.host.to_string(), "6379"]);
        until("replica in step", || replica.cli(&["info", "replication"]).contains("master_link_status:up").then_some(()));
        let quorum = sentinels / 2 + 1;
        let sentinels: Vec<_> = (0..sentinels).map(|_| Redis::start_sentinel(&master, quorum)).collect();
        let guarded = Self { master, replica, sentinels };
        for sentinel in &guarded.sentinels {
            until("Sentinel that knows all", || {
                let known = sentinel.cli(&["sentinel", "master", "jackfield"]);
                let lines: Vec<_> = known.lines().collect();
                let number = |name: &str| lines.iter().skip_while(|line| **line != name).nth(1).and_then(|line| line.parse::<usize>().ok());
                let others = guarded.sentinels.len() - 1;
                (number("num-slaves") == Some(1) && number("num-other-sentinels") == Some(others)).then_some(())
            });
        }
        guarded
    }

    fn settings(&self) -> StoreSettings {
        let nodes = self.sentinels.iter().map(Redis::server).collect();
        StoreSettings::at(Servers::Sentinel { nodes, master: "jackfield".into(), password: None })
    }
}

#[test]
fn after_a_failover_the_new_master_is_used_with_all_that_was_written() {
    if is_there("redis::sentinel::after_a_failover_the_new_master_is_used_with_all_that_was_written") {
        let mut guarded = Guarded::start(3);
        // One of them is gone: the others are asked.
        guarded.sentinels[0].kill();
        let plugin = Plugin::at(StoreSettings { timeout: TIMEOUT, ..guarded.settings() });
        plugin.until_it_works();
        until("write", || plugin.set("k", "before").ok());
        until("copy", || (guarded.replica.cli(&["get", "jackfield:b:k"]) == "before").then_some(()));
        guarded.master.kill();
        until("write at the new master", || {
            let begun = std::time::Instant::now();
            let answer = plugin.ask(increment("c", 1, None));
            assert!(begun.elapsed() < TIMEOUT + SLACK, "{answer:?} took {:?}", begun.elapsed());
            match answer {
                Ok(_) => Some(()),
                Err(ServiceError::Timeout | ServiceError::Unavailable(_)) => None,
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(plugin.get("k"), value("before"));
        assert_eq!(guarded.replica.cli(&["get", "jackfield:b:k"]), "before");
        assert!(is_up(&plugin));
    }
}

#[test]
fn a_master_that_is_frozen_is_replaced_and_not_returned_to() {
    if is_there("redis::sentinel::a_master_that_is_frozen_is_replaced_and_not_returned_to") {
        let guarded = Guarded::start(1);
        let plugin = Plugin::at(StoreSettings { timeout: Duration::from_millis(500), ..guarded.settings() });
        plugin.until_it_works();
        guarded.master.freeze();
        until("write at the new master", || plugin.set("k", "after").ok());
        guarded.master.thaw();
        until("old master that has become a replica", || guarded.master.cli(&["role"]).starts_with("slave").then_some(()));
        until("answer", || (plugin.get("k") == value("after")).then_some(()));
        assert_eq!(guarded.replica.cli(&["get", "jackfield:b:k"]), "after");
    }
}

#[test]
fn a_switch_of_masters_that_breaks_no_connection_is_followed() {
    if is_there("redis::sentinel::a_switch_of_masters_that_breaks_no_connection_is_followed") {
        let guarded = Guarded::start(1);
        let plugin = Plugin::at(StoreSettings { timeout: Duration::from_secs(4), ..guarded.settings() });
        plugin.until_it_works();
        until("failover", || guarded.sentinels[0].cli(&["sentinel", "failover", "jackfield"]).contains("OK").then_some(()));
        until("new master", || guarded.replica.cli(&["role"]).starts_with("master").then_some(()));
        until("write at the new master", || {
            let counted = plugin.ask(increment("c", 1, None));
            (matches!(counted, Ok(Answer::Count(_))) && !guarded.replica.cli(&["get", "jackfield:b:c"]).is_empty()).then_some(())
        });
    }
}

#[test]
fn a_master_that_no_sentinel_knows_is_named() {
    if is_there("redis::sentinel::a_master_that_no_sentinel_knows_is_named") {
        let guarded = Guarded::start(1);
        let nodes = guarded.sentinels.iter().map(Redis::server).collect();
        let plugin = Plugin::with_servers(Servers::Sentinel { nodes, master: "other".into(), password: None });
        let why = plugin.until_it_is_away();
        assert!(why.ends_with("it knows no master `other`"), "{why}");
    }
}
