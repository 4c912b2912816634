use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, ServiceError};
use jackfield_services::settings::{BucketSettings, Password, Servers, Settings, StoreSettings};
use jackfield_services::{Granted, Outside};

use super::{SLACK, TIMEOUT, ask_a_store_that_went, hurried, is_told_at_once, is_up, within};
use crate::support::cut::Line;
use crate::support::redis::{Redis, is_there};
use crate::support::{ABSENT, Plugin, get, increment, set, until, value};

#[test]
fn keys_carry_the_prefix_and_the_bucket() {
    if is_there("redis::single::keys_carry_the_prefix_and_the_bucket") {
        let redis = Redis::start(&[]);
        let store = StoreSettings { prefix: "site-a:".into(), database: 3, ..StoreSettings::at(Servers::Single(redis.server())) };
        let plugin = Plugin::at(StoreSettings { timeout: Duration::from_secs(4), ..store });
        plugin.ask(set("k", "v", Some(100_000))).unwrap();
        plugin.ask(increment("c", 7, None)).unwrap();
        assert_eq!(redis.cli(&["-n", "3", "get", "site-a:b:k"]), "v");
        assert_eq!(redis.cli(&["-n", "3", "get", "site-a:b:c"]), "7");
        assert_eq!(redis.cli(&["-n", "3", "ttl", "site-a:b:c"]), "-1");
        assert!(redis.cli(&["-n", "3", "pttl", "site-a:b:k"]).parse::<i64>().unwrap() > 50_000);
    }
}

#[test]
fn what_others_wrote_under_a_key_is_told_and_left_alone() {
    if is_there("redis::single::what_others_wrote_under_a_key_is_told_and_left_alone") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::with_servers(Servers::Single(redis.server()));
        plugin.until_it_works();
        redis.cli(&["rpush", "jackfield:b:list", "x"]);
        redis.cli(&["setrange", "jackfield:b:long", "65536", "x"]);
        let wrong = Err(ServiceError::Invalid("something else than a value was written under this key".into()));
        assert_eq!(plugin.get("list"), wrong);
        assert_eq!(plugin.ask(increment("list", 1, None)), wrong);
        assert_eq!(plugin.ask(crate::support::compare_set("list", None, "x", None)), wrong);
        assert!(matches!(plugin.get("long"), Err(ServiceError::Invalid(_))));
        assert_eq!(redis.cli(&["llen", "jackfield:b:list"]), "1");
        assert!(is_up(&plugin), "none of that is the server's fault");
    }
}

#[test]
fn scripts_that_the_server_has_forgotten_are_sent_again() {
    if is_there("redis::single::scripts_that_the_server_has_forgotten_are_sent_again") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::with_servers(Servers::Single(redis.server()));
        assert_eq!(plugin.ask(increment("c", 1, None)), Ok(Answer::Count(1)));
        redis.cli(&["script", "flush"]);
        assert_eq!(plugin.ask(increment("c", 1, None)), Ok(Answer::Count(2)));
    }
}

#[test]
fn a_password_is_sent_and_never_shown() {
    if is_there("redis::single::a_password_is_sent_and_never_shown") {
        let redis = Redis::start_with_password("correct-horse", &[]);
        let mut store = StoreSettings { timeout: Duration::from_secs(4), ..StoreSettings::at(Servers::Single(redis.server())) };
        store.password = Some(Password::new("correct-horse".into()));
        let plugin = Plugin::at(store.clone());
        plugin.until_it_works();
        assert!(!format!("{:?}", plugin.outside).contains("horse"));
        for wrong in [Some("wrong-horse"), None] {
            let plugin = Plugin::at(StoreSettings { password: wrong.map(|text| Password::new(text.into())), ..store.clone() });
            let why = plugin.until_it_is_away();
            assert!(!why.contains("horse"), "{why}");
            assert!(why.contains("password"), "{why}");
        }
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_is_found_again() {
    if is_there("redis::single::a_server_that_is_killed_and_started_again_is_found_again") {
        let mut redis = Redis::start(&[]);
        let plugin = Plugin::at(hurried(Servers::Single(redis.server())));
        for _ in 0..3 {
            plugin.until_it_works();
            redis.kill();
            ask_a_store_that_went(&plugin);
            is_told_at_once(&plugin);
            assert!(!is_up(&plugin));
            redis.run();
        }
        plugin.until_it_works();
        assert!(is_up(&plugin));
    }
}

#[test]
fn a_server_that_was_not_there_at_the_start_is_found() {
    if is_there("redis::single::a_server_that_was_not_there_at_the_start_is_found") {
        let mut redis = Redis::start(&[]);
        redis.kill();
        let plugin = Plugin::at(hurried(Servers::Single(redis.server())));
        let why = plugin.until_it_is_away();
        assert!(why.contains(&format!("[store.s]: {}: Connection refused", redis.server())), "{why}");
        redis.run();
        plugin.until_it_works();
    }
}

#[test]
fn a_frozen_server_costs_few_calls_their_time_and_the_others_none() {
    if is_there("redis::single::a_frozen_server_costs_few_calls_their_time_and_the_others_none") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::at(hurried(Servers::Single(redis.server())));
        for _ in 0..2 {
            plugin.until_it_works();
            redis.freeze();
            let timeouts = ask_a_store_that_went(&plugin);
            assert!((1..=5).contains(&timeouts), "{timeouts}");
            is_told_at_once(&plugin);
            redis.thaw();
            plugin.until_it_works();
        }
    }
}

#[test]
fn a_server_that_freezes_while_nobody_asks_costs_no_call_anything() {
    if is_there("redis::single::a_server_that_freezes_while_nobody_asks_costs_no_call_anything") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::at(hurried(Servers::Single(redis.server())));
        plugin.until_it_works();
        redis.freeze();
        until("news that it is away", || (!is_up(&plugin)).then_some(()));
        is_told_at_once(&plugin);
        redis.thaw();
        until("news that it is back", || is_up(&plugin).then_some(()));
    }
}

#[test]
fn a_partition_costs_no_more_than_a_frozen_server() {
    if is_there("redis::single::a_partition_costs_no_more_than_a_frozen_server") {
        let redis = Redis::start(&[]);
        let line = Line::to(&redis.server());
        let plugin = Plugin::at(hurried(Servers::Single(line.server())));
        for _ in 0..2 {
            plugin.until_it_works();
            line.cut();
            let timeouts = ask_a_store_that_went(&plugin);
            assert!((1..=5).contains(&timeouts), "{timeouts}");
            is_told_at_once(&plugin);
            line.mend();
            plugin.until_it_works();
        }
    }
}

#[test]
fn a_call_with_little_time_left_waits_no_longer_than_that() {
    if is_there("redis::single::a_call_with_little_time_left_waits_no_longer_than_that") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::at(StoreSettings { timeout: Duration::from_secs(30), ..StoreSettings::at(Servers::Single(redis.server())) });
        plugin.until_it_works();
        redis.freeze();
        let (answer, took) = within(&plugin, Duration::from_millis(20));
        redis.thaw();
        assert_eq!(answer, Err(ServiceError::Timeout));
        assert!(took < Duration::from_millis(20) + SLACK, "{took:?}");
        plugin.until_it_works();
        assert!(is_up(&plugin), "a call in a hurry says nothing about the server");
    }
}

#[test]
fn operations_under_way_are_bounded() {
    if is_there("redis::single::operations_under_way_are_bounded") {
        let redis = Redis::start(&[]);
        let servers = Servers::Single(redis.server());
        let plugin = Plugin::at(StoreSettings { timeout: Duration::from_secs(30), operations: 2, ..StoreSettings::at(servers) });
        plugin.until_it_works();
        redis.freeze();
        for _ in 0..2 {
            assert_eq!(within(&plugin, Duration::from_millis(10)).0, Err(ServiceError::Timeout));
        }
        let full = Err(ServiceError::Unavailable("[store.s]: 2 operations are under way; raise `operations`".into()));
        assert_eq!(plugin.get("k"), full);
        assert_eq!(plugin.outside.samples().stores[0].under_way, 2);
        redis.thaw();
        plugin.until_it_works();
        until("end of all operations", || (plugin.outside.samples().stores[0].under_way == 0).then_some(()));
    }
}

#[test]
fn a_connection_that_the_server_closes_is_made_anew_before_anybody_asks() {
    if is_there("redis::single::a_connection_that_the_server_closes_is_made_anew_before_anybody_asks") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::with_servers(Servers::Single(redis.server()));
        plugin.until_it_works();
        let connections = || {
            let clients = redis.cli(&["client", "list"]);
            clients.lines().filter(|line| !line.contains("cmd=client")).filter_map(|line| line.split(' ').next().map(str::to_owned)).next()
        };
        let before = connections().expect("a connection");
        redis.cli(&["client", "kill", "type", "normal"]);
        until("another connection", || connections().filter(|now| *now != before));
        plugin.until_it_works();
    }
}

#[test]
fn a_master_that_becomes_a_replica_is_left_and_taken_back() {
    if is_there("redis::single::a_master_that_becomes_a_replica_is_left_and_taken_back") {
        let (redis, other) = (Redis::start(&[]), Redis::start(&[]));
        let plugin = Plugin::with_servers(Servers::Single(redis.server()));
        plugin.until_it_works();
        redis.cli(&["replicaof", &other.host.to_string(), "6379"]);
        let why = until("refusal to write", || match plugin.set("k", "v") {
            Err(ServiceError::Unavailable(why)) => Some(why),
            _ => None,
        });
        assert!(why.contains("READONLY") || why.contains("MASTERDOWN"), "{why}");
        redis.cli(&["replicaof", "no", "one"]);
        plugin.until_it_works();
    }
}

#[test]
fn a_full_server_is_told() {
    if is_there("redis::single::a_full_server_is_told") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::with_servers(Servers::Single(redis.server()));
        plugin.until_it_works();
        redis.cli(&["config", "set", "maxmemory", "1"]);
        let full = Err(ServiceError::Unavailable("[store.s]: the server has no memory left (OOM)".into()));
        assert_eq!(plugin.set("k", "v"), full);
        assert_eq!(plugin.ask(increment("c", 1, None)), full);
        redis.cli(&["config", "set", "maxmemory", "0"]);
        plugin.until_it_works();
    }
}

#[test]
fn routers_share_what_is_in_a_store() {
    if is_there("redis::single::routers_share_what_is_in_a_store") {
        let redis = Redis::start(&[]);
        let routers = [(); 2].map(|()| Plugin::with_servers(Servers::Single(redis.server())));
        for (expected, router) in (1..=10).zip(routers.iter().cycle()) {
            assert_eq!(router.ask(increment("calls", 1, Some(60_000))), Ok(Answer::Count(expected)));
        }
    }
}

#[test]
fn a_change_of_the_configuration_keeps_connections_and_what_is_in_memory() {
    if is_there("redis::single::a_change_of_the_configuration_keeps_connections_and_what_is_in_memory") {
        let redis = Redis::start(&[]);
        let store = StoreSettings { timeout: Duration::from_secs(4), ..StoreSettings::at(Servers::Single(redis.server())) };
        let bucket = |store: Option<&str>| BucketSettings { store: store.map(Into::into), ..BucketSettings::default() };
        let mut settings = Settings::default();
        settings.stores.insert("s".into(), store.clone());
        settings.buckets = [("b".into(), bucket(Some("s"))), ("m".into(), bucket(None))].into();
        let outside = Outside::new(&settings).unwrap();
        let granted = Granted::new(&["b".into(), "m".into()], &[]).unwrap();
        let ask = |question| outside.answer(&granted, question, Duration::from_secs(5));
        let in_memory = |question| match question {
            jackfield_services::ask::Question::KvSet { key, value, ttl_ms, .. } => {
                jackfield_services::ask::Question::KvSet { bucket: "m".into(), key, value, ttl_ms }
            }
            _ => jackfield_services::ask::Question::KvGet { bucket: "m".into(), key: "k".into() },
        };
        ask(set("k", "in the store", None)).unwrap();
        ask(in_memory(set("k", "in memory", None))).unwrap();
        let clients =
            || redis.cli(&["info", "stats"]).lines().find(|line| line.starts_with("total_connections_received")).map(str::to_owned);
        let _ = clients();
        let number = |line: Option<String>| line.and_then(|line| line.split(':').nth(1)?.trim().parse::<u32>().ok()).unwrap();
        let before = number(clients());
        settings.buckets.get_mut("m").unwrap().entries = 5;
        outside.reconfigure(&settings).unwrap();
        assert_eq!(ask(get("k")), value("in the store"));
        assert_eq!(ask(in_memory(get("k"))), value("in memory"));
        assert_eq!(number(clients()), before + 1, "only the question of redis-cli made a new connection");
        assert!(outside.is_remote("b") && !outside.is_remote("m"));
        // A store of which something has changed is connected anew.
        settings.stores.insert("s".into(), StoreSettings { prefix: "other:".into(), ..store });
        outside.reconfigure(&settings).unwrap();
        assert_eq!(ask(get("k")), ABSENT);
        // A store that is not there leaves everything as it is.
        let mut wrong = settings.clone();
        wrong.buckets.insert("b".into(), bucket(Some("t")));
        assert_eq!(outside.reconfigure(&wrong).unwrap_err().to_string(), "[kv.b]: there is no [store.t]");
        assert_eq!(ask(get("k")), ABSENT);
        // What is not there any more has lost what it held.
        settings.buckets.remove("m");
        outside.reconfigure(&settings).unwrap();
        assert_eq!(ask(in_memory(get("k"))), ABSENT);
    }
}

#[test]
fn many_threads_that_ask_a_frozen_server_are_all_answered_in_time() {
    if is_there("redis::single::many_threads_that_ask_a_frozen_server_are_all_answered_in_time") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::at(hurried(Servers::Single(redis.server())));
        plugin.until_it_works();
        redis.freeze();
        let longest = std::thread::scope(|scope| {
            let asking = || {
                let times = (0..20).map(|_| {
                    let begun = Instant::now();
                    assert!(plugin.get("k").is_err());
                    begun.elapsed()
                });
                times.max().unwrap()
            };
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(asking)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
        });
        redis.thaw();
        assert!(longest < TIMEOUT + SLACK, "{longest:?}");
        plugin.until_it_works();
    }
}
