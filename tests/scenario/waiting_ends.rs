//! What becomes of a call that is cancelled while a plugin waits for an answer, and of one whose proxy ends meanwhile.

use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure, cancel_of};
use crate::support::draft::Draft;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::prometheus::Prometheus;
use crate::support::scene::{Scene, establish, hang_up, invite, start};
use crate::support::site::Held;

use super::services::{ALL, settings};

/// Longer than any of these tests waits for anything.
const WAIT: &str = "wait = \"30s\"";

/// A trunk with room for one call, and a plugin that may ask the server.
fn narrow(provider: &Peer, site: &Held) -> Config {
    let trunk =
        format!("[trunk.telekom]\nprovider = \"telekom.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\ncalls = 1\n", provider.uri(""));
    let grants = ALL.replace("http://127.0.0.1/", &format!("http://{}/", site.address));
    settings()
        .table("[http]\ntimeout = \"30s\"")
        .table(&trunk)
        .table("[admission]\nsource = { calls = 1 }\ntags = { gold = { calls = 1 } }")
        .plugin_with("services", &format!("{grants}\n{WAIT}"), "")
}

/// A call to the trunk, which counts for the source, the tag and the trunk.
fn call(alice: &Peer, link: &Link) -> Draft {
    invite(alice, "sip:49@telekom.test", link).header("X-Then", "trunk telekom").header("X-Tag", "gold")
}

/// The same, which the plugin asks the server about.
fn asking(alice: &Peer, site: &Held, link: &Link) -> Draft {
    call(alice, link).header("X-Http", format!("GET http://{}/route 30000", site.address))
}

#[test]
fn a_call_that_is_cancelled_while_a_plugin_waits_is_487_once_and_goes_nowhere() {
    let (scene, prometheus, site) = (Scene::new(), Prometheus::reserve(), Held::start());
    let (alice, provider) = (scene.peer("alice"), scene.peer("provider"));
    let (_proxy, link) = start(&narrow(&provider, &site).metrics(prometheus.address), &["services"], &alice);
    let cancelled = asking(&alice, &site, &link);
    alice.send(&cancelled, &link);
    let question = site.next();
    alice.send(&cancel_of(&cancelled), &link);
    assert_eq!(alice.expect_status(200).value("CSeq"), "1 CANCEL");
    let answer = alice.expect_status(487);
    alice.send(&ack_of_failure(&cancelled, &answer), &link);
    drop(question);
    let ends = |labels: &[(&str, &str)]| prometheus.sum("jackfield_custom_complete_total", labels);
    prometheus.counts("jackfield_custom_complete_total", &[("method", "INVITE"), ("status", "487")], 1);
    // Source, tag and trunk have room for one call: there was none.
    let next = call(&alice, &link);
    let (at_provider, mut dialog) = establish(&alice, &provider, &next, &link);
    assert_eq!(at_provider.value("Call-ID"), next.value("Call-ID"), "the cancelled call goes nowhere");
    hang_up(&alice, &provider, &mut dialog, &link);
    prometheus.counts("jackfield_custom_complete_total", &[("method", "INVITE"), ("status", "200")], 1);
    assert_eq!(ends(&[("method", "INVITE")]), 2);
    alice.has_taken_nothing_more();
}

#[test]
fn a_call_that_a_plugin_still_waits_for_goes_nowhere_when_the_proxy_ends() {
    let (scene, site) = (Scene::new(), Held::start());
    let (alice, provider) = (scene.peer("alice"), scene.peer("provider"));
    let (mut proxy, link) = start(&narrow(&provider, &site).key("drain = \"200ms\""), &["services"], &alice);
    alice.send(&asking(&alice, &site, &link), &link);
    let question = site.next();
    proxy.signal(Signal::TERM);
    let status = proxy.ended();
    assert!(status.success(), "{status}");
    proxy.logged(&["ending with transactions still running"]);
    drop(question);
    // Whatever the proxy has sent is here before what the two send each other.
    let last = alice.to(provider.to(proxy.address()).local());
    alice.send(&alice.request("MESSAGE", &provider.uri("last"), &last), &last);
    provider.reply(&provider.expect("MESSAGE"), 202);
    alice.expect_status(202);
    let statuses: Vec<_> = alice.heard().iter().map(|octets| octets.slice(..octets.len().min(11))).collect();
    assert!(statuses.iter().all(|status| matches!(&status[..], b"SIP/2.0 100" | b"SIP/2.0 202")), "{statuses:?}");
}

#[test]
fn a_call_that_a_plugin_still_waits_for_has_the_time_of_the_drain() {
    let (scene, site) = (Scene::new(), Held::start());
    let (alice, provider) = (scene.peer("alice"), scene.peer("provider"));
    let (mut proxy, link) = start(&narrow(&provider, &site).key("drain = \"20s\""), &["services"], &alice);
    alice.send(&asking(&alice, &site, &link), &link);
    let question = site.next();
    proxy.signal(Signal::TERM);
    proxy.logged(&["taking no new calls"]);
    drop(question);
    let at_provider = provider.expect("INVITE");
    provider.reply(&at_provider, 200);
    let mut dialog = Dialog::of_caller(&alice.expect_status(200));
    alice.send(&dialog.request(&alice, "ACK", &link), &link);
    provider.expect("ACK");
    let status = proxy.ended();
    assert!(status.success(), "{status}");
}
