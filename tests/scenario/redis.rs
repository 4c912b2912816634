//! Buckets in a real Redis: shared by routers; and when it is stopped, frozen or cut off under load, only calls that ask it notice, and they no
//! longer than they may.

use std::time::Duration;

use crate::support::config::Config;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Proxy;
use crate::support::redis::{Cuttable, Redis, is_there};
use crate::support::scene::Scene;
use crate::support::{full, wait};

use super::services::{ALL, answer};

/// How long one operation may take, and how long a call may wait in all.
const OPERATION: Duration = Duration::from_millis(200);
const WAIT: Duration = Duration::from_millis(500);

/// What a busy machine may add to a call's setup beside what it waits for.
const SLACK: Duration = Duration::from_millis(700);

fn with_store(config: Config, at: std::net::SocketAddr) -> Config {
    let (operation, wait) = (OPERATION.as_millis(), WAIT.as_millis());
    config
        .table(&format!("[store.shared]\nurl = \"redis://{at}/0\"\ntimeout = \"{operation}ms\"\n[kv.limits]\nstore = \"shared\""))
        .plugin_with("services", &format!("{ALL}\nwait = \"{wait}ms\""), "")
}

#[test]
fn two_routers_count_in_one_bucket() {
    if !is_there("two_routers_count_in_one_bucket") {
        return;
    }
    let (scene, redis) = (Scene::new(), Redis::start());
    let alice = scene.peer("alice");
    let start = || Proxy::start(&with_store(super::services::settings(), redis.address()), &["services"]);
    let (one, two) = (start(), start());
    let links = [alice.to(one.address()), alice.to(two.address())];
    let counted: Vec<_> = (0..4).map(|n| answer(&alice, &links[n % 2], "Kv", "increment limits calls 1")).collect();
    let expected: Vec<_> = (1..5).map(|n| format!("kv increment limits calls 1 = {n}")).collect();
    assert_eq!(counted, expected);
    assert!(one.asked(&["status"]).contains("shared"), "{}", one.asked(&["status"]));
}

/// What calls of this number ask for.
fn order(number: u64, machine: &str) -> Order {
    let uri = "sip:bob@example.test".to_owned();
    let then = ("X-Then", format!("forward {machine}"));
    let (class, headers) = match number % 3 {
        0 => ("asks", vec![then, ("X-Kv", "increment limits load 1".to_owned())]),
        1 => ("asks nothing", vec![then]),
        _ => ("another plugin", vec![("X-Class", "plain".to_owned())]),
    };
    Order { uri, headers, class }
}

#[test]
fn a_store_that_is_stopped_frozen_or_cut_off_under_load_costs_no_call_that_does_not_need_it() {
    if !is_there("a_store_that_is_stopped_frozen_or_cut_off_under_load") {
        return;
    }
    let (rate, seconds) = if full() { (200, 15) } else { (60, 3) };
    let (mut redis, machine, prometheus) = (Redis::start(), AnsweringMachine::start(), Prometheus::reserve());
    let way = Cuttable::to(redis.address());
    let uri = format!("sip:machine@{}", machine.address);
    let plain = format!(
        "header = \"X-Class\"\nmatch = {{ plain = \"plain\" }}\n[plugins.header-match.config.targets.plain]\nnext-hop = {uri:?}\nfinal = true\n"
    );
    let config = with_store(super::services::settings().plugin("header-match", plain), way.address).metrics(prometheus.address);
    let proxy = Proxy::start(&config, &["header-match", "services"]);
    let load = Load::start(proxy.address(), rate, move |number| order(number, &uri));
    let calls = |seconds: u64| {
        let until = load.placed() + u64::from(rate) * seconds;
        wait::within(Duration::from_secs(120), "more calls", || (load.placed() >= until).then_some(()));
    };
    let waits = |failed: &str| prometheus.sum(&format!("jackfield_plugin_waits{failed}_total"), &[("service", "kv")]);
    let is_up = |wanted: u64| prometheus.counts("jackfield_store_up", &[("store", "shared")], wanted);
    // Each time: calls are told that there is no answer; and when it is back, they have answers again.
    let mut outage = |what: &str, begin: &mut dyn FnMut(&mut Redis), end: &mut dyn FnMut(&mut Redis)| {
        let failed = waits("_failed");
        begin(&mut redis);
        calls(seconds);
        is_up(0);
        let failed_then = waits("_failed");
        assert!(failed_then > failed, "{what}: nobody noticed");
        end(&mut redis);
        is_up(1);
        let answered = waits("") - waits("_failed");
        calls(1);
        assert!(waits("") - waits("_failed") > answered, "{what}: nobody has an answer again");
        println!("{what}: {} questions failed", failed_then - failed);
    };
    calls(1);
    assert_eq!(waits("_failed"), 0);
    outage("stopped", &mut Redis::stop, &mut Redis::resume);
    outage("frozen", &mut |redis| redis.freeze(), &mut |redis| redis.thaw());
    outage("cut off", &mut |_| way.cut(), &mut |_| way.mend());
    let tallies = load.finish();
    println!("{tallies:?}");
    for (class, tally) in &tallies {
        assert_eq!((tally.failed(), tally.completed > 0), (0, true), "{class}: {tally:?}");
        let limit = if *class == "asks" { WAIT + SLACK } else { SLACK };
        assert!(tally.slowest < limit, "{class} waited longer than {limit:?}: {tally:?}");
    }
}
