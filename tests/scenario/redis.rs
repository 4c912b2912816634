//! Buckets in a real Redis: shared by routers; and when it is stopped, frozen or cut off under load, only calls that ask it notice, and they no
//! longer than they may.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Proxy;
use crate::support::redis::{Cuttable, Redis, is_there};
use crate::support::scene::{Scene, start};
use crate::support::{full, wait};

use super::services::{ALL, answer};

/// How long one operation may take, and how long a call may wait in all.
const OPERATION: Duration = Duration::from_millis(200);
const WAIT: Duration = Duration::from_millis(500);

/// What a busy machine may add to a call's setup beside what it waits for.
const SLACK: Duration = Duration::from_millis(700);

fn with_store(config: Config, at: SocketAddr) -> Config {
    with_store_and(config, at, "")
}

/// The same with more keys of the store.
fn with_store_and(config: Config, at: SocketAddr, keys: &str) -> Config {
    let operation = OPERATION.as_millis();
    let store = format!("[store.shared]\nurl = \"redis://{at}/0\"\ntimeout = \"{operation}ms\"\n{keys}\n[kv.limits]\nstore = \"shared\"");
    in_memory(config.table(&store))
}

/// The plugin, and no store.
fn in_memory(config: Config) -> Config {
    config.plugin_with("services", &format!("{ALL}\nwait = \"{}ms\"", WAIT.as_millis()), "")
}

#[test]
fn two_routers_count_in_one_bucket() {
    if !is_there("two_routers_count_in_one_bucket") {
        return;
    }
    let (scene, redis) = (Scene::new(), Redis::start());
    let alice = scene.peer("alice");
    let router = || Proxy::start(&with_store(super::services::settings(), redis.address()), &["services"]);
    let (one, two) = (router(), router());
    let links = [alice.to(one.address()), alice.to(two.address())];
    let counted: Vec<_> = (0..4).map(|n| answer(&alice, &links[n % 2], "Kv", "increment limits calls 1")).collect();
    let expected: Vec<_> = (1..5).map(|n| format!("kv increment limits calls 1 = {n}")).collect();
    assert_eq!(counted, expected);
    assert!(one.asked(&["status"]).contains("shared"), "{}", one.asked(&["status"]));
}

/// Takes up a configuration.
fn reload(proxy: &Proxy, config: &Config) {
    let before = proxy.log().len();
    proxy.write_config(config);
    proxy.signal(Signal::HUP);
    wait::until("the configuration", || proxy.log_after(before).contains("the configuration has been read again").then_some(()));
}

#[test]
fn a_bucket_moves_into_a_store_and_back_on_a_reload() {
    if !is_there("a_bucket_moves_into_a_store_and_back_on_a_reload") {
        return;
    }
    let (scene, redis) = (Scene::new(), Redis::start());
    let alice = scene.peer("alice");
    let memory = || in_memory(super::services::settings());
    let (proxy, link) = start(&memory(), &["services"], &alice);
    let count = || {
        let answer = answer(&alice, &link, "Kv", "increment limits calls 1");
        answer.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!([count(), count()], ["1", "2"]);
    reload(&proxy, &with_store(super::services::settings(), redis.address()));
    assert_eq!([count(), count(), count()], ["1", "2", "3"], "the store has numbers of its own");
    assert!(proxy.asked(&["status"]).contains("shared"), "{}", proxy.asked(&["status"]));
    reload(&proxy, &memory());
    assert_eq!(count(), "1", "nothing is carried over");
    reload(&proxy, &with_store(super::services::settings(), redis.address()));
    assert_eq!(count(), "4", "the store has kept what was in it");
}

#[test]
fn a_password_file_is_read_again_with_the_configuration() {
    if !is_there("a_password_file_is_read_again_with_the_configuration") {
        return;
    }
    let (scene, mut redis) = (Scene::new(), Redis::start_with_password("first-horse"));
    let alice = scene.peer("alice");
    let settings = super::services::settings().file("password", "first-horse\n");
    let config = with_store_and(settings, redis.address(), "password-file = \"password\"");
    let (proxy, link) = start(&config, &["services"], &alice);
    let count = || answer(&alice, &link, "Kv", "increment limits calls 1").replace("kv increment limits calls 1 ", "");
    assert_eq!(count(), "= 1");
    redis.stop();
    redis.password = Some("second-horse");
    redis.resume();
    let refused = wait::until("refusal", || Some(count()).filter(|answer| answer.contains("password")));
    assert!(refused.starts_with("! unavailable: ") && !refused.contains("horse"), "{refused}");
    // A file that is not there changes nothing.
    std::fs::remove_file(proxy.file("password")).expect("a file of our own");
    proxy.signal(Signal::HUP);
    proxy.logged(&["store.shared.password-file"]);
    proxy.logged(&["the configuration stays as it was"]);
    std::fs::write(proxy.file("password"), "second-horse\n").expect("a file of our own");
    reload(&proxy, &config);
    assert_eq!(count(), "= 1", "an empty server, asked at once");
    assert!(!proxy.log().contains("horse"), "a password is never shown");
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
