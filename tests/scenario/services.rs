//! What plugins may ask, on a running proxy: buckets, tables, HTTP, name servers, what the router knows, timers; and the end of requests.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::prometheus::Prometheus;
use crate::support::proxy::run_once;
use crate::support::scene::{Scene, establish, hang_up, invite, start};
use crate::support::wasm::{component, install, octets, with_note};
use crate::support::{site, wait};

/// Every grant: the fixture imports all services.
pub(super) const ALL: &str =
    "grant = { kv = [\"limits\"], tables = [\"rates\"], http = [\"http://127.0.0.1/\"], dns = true, timers = true, state = true }";

const RATES: &str = "prefix,city\n49,germany\n4930,berlin\n";

/// A configuration that has what is granted, without the plugin.
pub(super) fn settings() -> Config {
    Config::new().file("rates.csv", RATES).table("[table.rates]\nfile = \"rates.csv\"\nmatch = \"longest-prefix\"")
}

fn with_plugin() -> Config {
    settings().plugin_with("services", ALL, "")
}

/// What the fixture is answered.
pub(super) fn answer(peer: &Peer, link: &Link, service: &str, question: &str) -> String {
    let message = peer.request("MESSAGE", "sip:bob@example.test", link).header(&format!("X-{service}"), question);
    peer.send(&message, link);
    peer.expect_status(200).value("X-Answer")
}

#[test]
fn a_counter_in_memory_goes_on_over_calls_and_over_a_new_version_of_the_plugin() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&with_plugin(), &["services"], &alice);
    let count = || answer(&alice, &link, "Kv", "increment limits calls 1");
    assert_eq!([count(), count()], [1, 2].map(|n| format!("kv increment limits calls 1 = {n}")));
    let generation = || serde_json::from_str::<serde_json::Value>(&proxy.asked(&["status", "--json"])).expect("JSON")["generation"].clone();
    let before = generation();
    install(&proxy.plugin_file("services"), &with_note(octets("services"), "another"));
    wait::until("the new version", || (generation() != before).then_some(()));
    assert_eq!(count(), "kv increment limits calls 1 = 3");
    // And over a change of the configuration that makes the plugin anew.
    proxy.write_config(&settings().plugin_with("services", &format!("{ALL}\nwait = \"2s\""), ""));
    proxy.signal(Signal::HUP);
    proxy.logged(&["the configuration has been read again"]);
    assert_eq!(count(), "kv increment limits calls 1 = 4");
    assert_eq!(answer(&alice, &link, "Kv", "get other calls"), "kv get other calls ! denied: bucket other");
}

#[test]
fn a_missing_grant_refuses_the_start_and_a_reload_with_the_line_to_add() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&with_plugin(), &["services"], &alice);
    let less = ALL.replace(", dns = true", "");
    proxy.write_config(&settings().plugin_with("services", &less, ""));
    proxy.signal(Signal::HUP);
    let line = proxy.logged(&["jackfield:plugin/dns", "does not grant it"]);
    assert!(line.contains(&format!("write there: {ALL}")), "{line}");
    proxy.logged(&["the configuration stays as it was"]);
    assert_eq!(answer(&alice, &link, "Table", "prefix rates 49301"), "table prefix rates 49301 = 4930|berlin");
    let (status, said) = run_once(&["run"], &proxy.file("proxy.toml"));
    assert!(!status.success() && said.contains(&format!("write there: {ALL}")), "{status}: {said}");
    let (status, said) = run_once(&["check"], &proxy.file("proxy.toml"));
    assert!(!status.success() && said.contains(&format!("write there: {ALL}")), "{status}: {said}");
}

#[test]
fn a_table_follows_its_file_and_a_bad_file_leaves_the_old_one() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&with_plugin(), &["services"], &alice);
    let ask = |number: &str| {
        let question = format!("prefix rates {number}");
        answer(&alice, &link, "Table", &question).replace(&format!("table {question} = "), "")
    };
    assert_eq!([ask("49301"), ask("4989"), ask("1")], ["4930|berlin", "49|germany", "none"]);
    let write = |text: &str| std::fs::write(proxy.file("rates.csv"), text).expect("a file of our own");
    write("prefix,city\n49,everywhere\n");
    wait::until("the new table", || (ask("49301") == "49|everywhere").then_some(()));
    write("prefix,city\n49,one,two\n");
    proxy.logged(&["rates.csv", "line 2", "The table before it goes on serving"]);
    assert_eq!(ask("49301"), "49|everywhere");
    let status = proxy.asked(&["status"]);
    assert!(status.contains("rates") && status.contains("line 2"), "{status}");
    // A start with it, and a check, say where.
    let (status, said) = run_once(&["check"], &proxy.file("proxy.toml"));
    assert!(!status.success() && said.contains("table.rates.file") && said.contains("line 2"), "{said}");
}

#[test]
fn a_reload_that_is_refused_leaves_tables_as_they_were() {
    let scene = Scene::new();
    let alice = scene.peer("alice");
    let (proxy, link) = start(&with_plugin(), &["services"], &alice);
    std::fs::write(proxy.file("other.csv"), "prefix,city\n49,other\n").expect("a file of our own");
    let other = |grants: &str| {
        Config::new().table("[table.rates]\nfile = \"other.csv\"\nmatch = \"longest-prefix\"").plugin_with("services", grants, "")
    };
    proxy.write_config(&other(&ALL.replace(", dns = true", "")));
    proxy.signal(Signal::HUP);
    proxy.logged(&["the configuration stays as it was"]);
    assert_eq!(answer(&alice, &link, "Table", "prefix rates 49"), "table prefix rates 49 = 49|germany");
    proxy.write_config(&other(ALL));
    proxy.signal(Signal::HUP);
    proxy.logged(&["the configuration has been read again"]);
    assert_eq!(answer(&alice, &link, "Table", "prefix rates 49"), "table prefix rates 49 = 49|other");
}

#[test]
fn what_is_asked_of_others_is_answered_and_counted() {
    let (scene, prometheus, site) = (Scene::new(), Prometheus::reserve(), site::start(Duration::ZERO));
    let alice = scene.peer("alice");
    let grants = ALL.replace("http://127.0.0.1/", &format!("http://{site}/rates/"));
    let config = settings().plugin_with("services", &grants, "").metrics(prometheus.address);
    let (_proxy, link) = start(&config, &["services"], &alice);
    let get = |path: &str| answer(&alice, &link, "Http", &format!("GET http://{site}{path}"));
    assert_eq!(get("/rates/49"), format!("http GET http://{site}/rates/49 = 200 /rates/49"));
    assert!(get("/other").contains(" ! denied"), "{}", get("/other"));
    let located = answer(&alice, &link, "Dns", "locate sip:127.0.0.9:5070;transport=tcp");
    assert_eq!(located, "dns locate sip:127.0.0.9:5070;transport=tcp = 127.0.0.9:5070:Tcp");
    assert!(answer(&alice, &link, "Dns", "addresses localhost").contains("127.0.0.1"));
    let _ = answer(&alice, &link, "Kv", "get limits nothing");
    for (service, waits) in [("http", 2), ("dns", 2), ("kv", 1)] {
        prometheus.counts("jackfield_plugin_waits_total", &[("plugin", "services"), ("service", service)], waits);
    }
    prometheus.counts("jackfield_kv_operations_total", &[("bucket", "limits")], 1);
    prometheus.counts("jackfield_table_rows", &[("table", "rates")], 2);
}

#[test]
fn plugins_are_told_what_the_router_knows() {
    let scene = Scene::new();
    let (alice, provider) = (scene.peer("alice"), scene.peer("provider"));
    let trunk = format!("[trunk.telekom]\nprovider = \"telekom.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"", provider.uri(""));
    let (_proxy, link) = start(&with_plugin().table(&trunk), &["services"], &alice);
    let state = |question: &str| answer(&alice, &link, "State", question).replace(&format!("state {question} = "), "");
    assert_eq!([state("trunk-up telekom"), state("trunk-up other"), state("trunk-calls telekom")], ["true", "none", "0"]);
    assert_eq!([state("active-calls gold"), state("contacts sip:alice@telekom.test")], ["0", "none"]);
    // The tag has no limits: its calls are counted as somebody may ask.
    let call = invite(&alice, "sip:49@telekom.test", &link).header("X-Then", "trunk telekom").header("X-Tag", "gold");
    let (_, mut dialog) = establish(&alice, &provider, &call, &link);
    assert_eq!([state("trunk-calls telekom"), state("active-calls gold"), state("active-calls other")], ["1", "1", "0"]);
    hang_up(&alice, &provider, &mut dialog, &link);
    wait::until("the end of the call", || (state("active-calls gold") == "0" && state("trunk-calls telekom") == "0").then_some(()));
}

#[test]
fn a_registered_contact_is_found_by_its_address_of_record() {
    let scene = Scene::new();
    let (alice, provider) = (scene.peer("alice"), scene.peer("provider"));
    let trunk = format!("[trunk.telekom]\nprovider = \"telekom.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"", provider.uri(""));
    let (_proxy, link) = start(&with_plugin().table(&trunk), &["services"], &alice);
    let contact = format!("<{};line=a1>;expires=600", alice.uri("alice"));
    let register = alice
        .request("REGISTER", "sip:telekom.test", &link)
        .without("To")
        .header("To", "<sip:Alice@Telekom.TEST>")
        .without("Contact")
        .header("Contact", contact.clone())
        .header("X-Then", "pass");
    alice.send(&register, &link);
    let at_provider = provider.expect("REGISTER");
    let granted = provider.response(&at_provider, 200).without("Contact").header("Contact", at_provider.value("Contact"));
    provider.send(&granted, &at_provider.link);
    alice.expect_status(200);
    let found = answer(&alice, &link, "State", "contacts sip:Alice@telekom.test;user=phone");
    assert!(found.ends_with(&format!("= {};line=a1", alice.uri("alice"))), "{found}");
    assert!(answer(&alice, &link, "State", "contacts sip:bob@telekom.test").ends_with("= none"));
}

#[test]
fn timers_run_and_the_end_of_each_request_is_told() {
    let (scene, prometheus) = (Scene::new(), Prometheus::reserve());
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = settings().plugin_with("services", ALL, "timer = 50").metrics(prometheus.address);
    let (proxy, link) = start(&config, &["services"], &alice);
    let ticks = |id: &str| prometheus.sum("jackfield_custom_timer_total", &[("id", id)]);
    wait::until("three ticks of the timer of the configuration", || (ticks("start") >= 3).then_some(()));
    assert_eq!(answer(&alice, &link, "Timer", "after once 20"), "timer after once 20 = done");
    wait::until("the other timer", || (ticks("once") == 1).then_some(()));
    let call =
        invite(&alice, "sip:bob@example.test", &link).header("X-Then", format!("forward {}", bob.uri("bob"))).header("X-Tag", "gold");
    let (_, mut dialog) = establish(&alice, &bob, &call, &link);
    prometheus.counts("jackfield_custom_complete_total", &[("method", "INVITE"), ("status", "200"), ("tag", "gold")], 1);
    proxy.logged(&["complete", "INVITE 200 gold 1"]);
    hang_up(&alice, &bob, &mut dialog, &link);
}

#[test]
fn a_check_judges_plugins_with_their_tables_and_asks_no_store() {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    std::fs::create_dir(directory.path().join("plugins")).expect("a directory of our own");
    std::fs::copy(component("services"), directory.path().join("plugins/services.wasm")).expect("a built plugin");
    std::fs::write(directory.path().join("rates.csv"), RATES).expect("a file of our own");
    let store = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    store.set_nonblocking(true).expect("an open socket");
    let at = store.local_addr().expect("a bound socket");
    let file = directory.path().join("proxy.toml");
    let write = |table: &str| {
        let text = format!(
            "[listen.main]\naddress = \"127.0.0.1:5060\"\n[plugins]\ndirectory = \"plugins\"\nchain = [\"services\"]\n[plugins.services]\n{ALL}\n\
             [kv.limits]\nstore = \"shared\"\n[store.shared]\nurl = \"redis://{at}\"\n{table}"
        );
        std::fs::write(&file, text).expect("a file of our own");
        run_once(&["check"], &file)
    };
    let (status, said) = write("[table.rates]\nfile = \"rates.csv\"\nmatch = \"longest-prefix\"\n");
    assert!(status.success(), "{said}");
    let (status, said) = write("");
    assert!(!status.success() && said.contains("there is no table `rates`; add [table.rates] with its file"), "{said}");
    assert!(store.accept().is_err(), "the store was asked");
}
