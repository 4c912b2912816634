use std::time::Instant;

use jackfield_services::ask::{Answer, ServiceError};
use jackfield_services::settings::{Servers, StoreSettings};

use super::{SLACK, TIMEOUT, hurried, is_up};
use crate::support::redis::{Redis, RedisCluster, is_there};
use crate::support::{Plugin, increment, until, value};

const KEYS: u32 = 60;

fn all_seeds(cluster: &RedisCluster) -> Servers {
    Servers::Cluster(cluster.nodes.iter().map(Redis::server).collect())
}

fn at(cluster: &RedisCluster) -> Plugin {
    Plugin::with_servers(all_seeds(cluster))
}

fn key(number: u32) -> String {
    format!("key-{number}")
}

/// The node that has a key of the bucket.
fn owner<'c>(cluster: &'c RedisCluster, name: &str) -> &'c Redis {
    cluster.master_of(&format!("jackfield:b:{name}"))
}

#[test]
fn keys_are_at_the_masters_of_their_slots() {
    if is_there("redis::cluster::keys_are_at_the_masters_of_their_slots") {
        let cluster = RedisCluster::start(3, 0);
        // One node is enough to find the others.
        let plugin = Plugin::with_servers(Servers::Cluster(vec![cluster.nodes[2].server()]));
        for number in 0..KEYS {
            assert_eq!(plugin.set(&key(number), "v"), Ok(Answer::Done));
        }
        for node in &cluster.nodes {
            let size: u32 = node.cli(&["dbsize"]).parse().unwrap();
            assert!(size > 0 && size < KEYS, "{size}");
        }
        until("links to all masters", || is_up(&plugin).then_some(()));
    }
}

#[test]
fn a_slot_that_moves_is_followed_while_it_moves_and_afterwards() {
    if is_there("redis::cluster::a_slot_that_moves_is_followed_while_it_moves_and_afterwards") {
        let cluster = RedisCluster::start(3, 0);
        let plugin = at(&cluster);
        // All of them share a slot.
        for name in ["{t}stays", "{t}goes"] {
            assert_eq!(plugin.set(name, "1"), Ok(Answer::Done));
        }
        let from = owner(&cluster, "{t}");
        let to = cluster.nodes.iter().find(|node| node.host != from.host).unwrap();
        let slot = from.cli(&["cluster", "keyslot", "jackfield:b:{t}"]);
        let (from_id, to_id) = (from.cli(&["cluster", "myid"]), to.cli(&["cluster", "myid"]));
        to.cli(&["cluster", "setslot", &slot, "importing", &from_id]);
        from.cli(&["cluster", "setslot", &slot, "migrating", &to_id]);
        let moving = |name: &str| {
            let key = format!("jackfield:b:{name}");
            assert_eq!(from.cli(&["migrate", &to.host.to_string(), "6379", &key, "0", "5000"]), "OK");
        };
        moving("{t}goes");
        for name in ["{t}stays", "{t}goes"] {
            assert_eq!(plugin.ask(increment(name, 1, None)), Ok(Answer::Count(2)), "{name}");
        }
        assert_eq!(plugin.ask(increment("{t}new", 1, None)), Ok(Answer::Count(1)), "a new key begins where the slot goes");
        moving("{t}stays");
        // The one that takes over first, as Redis advises.
        for node in [to, from].into_iter().chain(cluster.nodes.iter().filter(|node| node.host != to.host && node.host != from.host)) {
            assert_eq!(node.cli(&["cluster", "setslot", &slot, "node", &to_id]), "OK");
        }
        for name in ["{t}stays", "{t}goes", "{t}new"] {
            assert!(matches!(plugin.ask(increment(name, 1, None)), Ok(Answer::Count(2 | 3))), "{name}");
        }
        assert_eq!(to.cli(&["get", "jackfield:b:{t}stays"]), "3");
    }
}

#[test]
fn a_frozen_node_costs_the_keys_of_others_nothing() {
    if is_there("redis::cluster::a_frozen_node_costs_the_keys_of_others_nothing") {
        let cluster = RedisCluster::start(3, 0);
        let plugin = Plugin::at(hurried(all_seeds(&cluster)));
        until("links to all masters", || is_up(&plugin).then_some(()));
        let frozen = owner(&cluster, &key(0));
        let elsewhere: Vec<_> = (0..KEYS).map(key).filter(|name| owner(&cluster, name).host != frozen.host).take(10).collect();
        frozen.freeze();
        let mut timeouts = 0;
        for _ in 0..50 {
            let begun = Instant::now();
            match plugin.get(&key(0)) {
                Err(ServiceError::Timeout) => timeouts += 1,
                Err(ServiceError::Unavailable(_)) => {}
                other => panic!("{other:?}"),
            }
            assert!(begun.elapsed() < TIMEOUT + SLACK);
            for name in &elsewhere {
                let begun = Instant::now();
                let answer = plugin.set(name, "v");
                // A cluster of which a node is gone may refuse for a moment, while its nodes agree on that.
                assert!(answer == Ok(Answer::Done) || matches!(answer, Err(ServiceError::Unavailable(_))), "{answer:?}");
                assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
            }
        }
        assert!((1..=5).contains(&timeouts), "{timeouts}");
        assert!(!is_up(&plugin));
        frozen.thaw();
        until("the frozen node again", || plugin.set(&key(0), "back").ok());
        assert_eq!(plugin.get(&key(0)), value("back"));
    }
}

#[test]
fn a_replica_that_takes_over_is_found() {
    if is_there("redis::cluster::a_replica_that_takes_over_is_found") {
        let mut cluster = RedisCluster::start(3, 1);
        let plugin = Plugin::at(StoreSettings { timeout: TIMEOUT, ..StoreSettings::at(all_seeds(&cluster)) });
        until("write", || plugin.set("k", "1").ok());
        let master = owner(&cluster, "k").host;
        until("copy", || {
            let acknowledged = owner(&cluster, "k").cli(&["info", "replication"]);
            acknowledged.contains("state=online").then_some(())
        });
        let index = cluster.nodes.iter().position(|node| node.host == master).unwrap();
        cluster.nodes[index].kill();
        until("write at the replica", || {
            let begun = Instant::now();
            let answer = plugin.set("k", "2");
            assert!(begun.elapsed() < TIMEOUT + SLACK, "{answer:?} took {:?}", begun.elapsed());
            answer.ok()
        });
        assert_eq!(plugin.get("k"), value("2"));
        cluster.nodes[index].run();
        until("all parts", || is_up(&plugin).then_some(()));
        assert_eq!(plugin.get("k"), value("2"));
    }
}

#[test]
fn a_cluster_that_is_not_there_is_told_and_found_later() {
    if is_there("redis::cluster::a_cluster_that_is_not_there_is_told_and_found_later") {
        let mut cluster = RedisCluster::start(3, 0);
        cluster.nodes.iter_mut().for_each(Redis::kill);
        let plugin = Plugin::at(hurried(all_seeds(&cluster)));
        let why = plugin.until_it_is_away();
        assert!(why.contains("Connection refused"), "{why}");
        cluster.nodes.iter_mut().for_each(Redis::run);
        plugin.until_it_works();
    }
}

#[test]
fn a_server_that_is_no_cluster_is_told() {
    if is_there("redis::cluster::a_server_that_is_no_cluster_is_told") {
        let redis = Redis::start(&[]);
        let plugin = Plugin::with_servers(Servers::Cluster(vec![redis.server()]));
        let why = plugin.until_it_is_away();
        assert!(why.contains("cluster support disabled"), "{why}");
        let cluster = RedisCluster::start(3, 0);
        let plugin = Plugin::with_servers(Servers::Single(cluster.nodes[0].server()));
        let why = until("redirection", || {
            (0..KEYS).find_map(|number| match plugin.set(&key(number), "v") {
                Err(ServiceError::Unavailable(why)) => Some(why),
                _ => None,
            })
        });
        assert_eq!(why, "[store.s]: the server belongs to a cluster; write `cluster` instead of `url` in [store]");
    }
}
