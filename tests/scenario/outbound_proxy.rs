//! `[outbound-proxy]`: where requests go by where they come from, when no plugin decides.

use crate::support::config::Config;
use crate::support::peer::Peer;
use crate::support::scene::{Scene, invite, start, whole_call};

/// An entry of the list for requests from everywhere on the loopback network.
fn entry(proxy: &Peer) -> String {
    format!("127.0.0.0/255.0.0.0/{}", proxy.address)
}

#[test]
fn a_call_goes_by_the_list_with_its_request_uri_untouched() {
    let scene = Scene::new();
    let (alice, carrier) = (scene.peer("alice"), scene.peer("carrier"));
    let list = format!("10.0.0.0/8/192.0.2.1:5060/tls, {}; 127.0.0.0/8/192.0.2.2", entry(&carrier));
    let (_proxy, link) = start(&Config::new().table(&format!("[outbound-proxy]\nlist = {list:?}")), &[], &alice);
    let invite = invite(&alice, "sip:+4912345@tel.example", &link);
    let taken = whole_call(&alice, &carrier, &invite, &link);
    assert_eq!(taken.uri(), "sip:+4912345@tel.example");
}

#[test]
fn a_plugins_decision_comes_before_the_rules() {
    let scene = Scene::new();
    let (alice, bob, carrier) = (scene.peer("alice"), scene.peer("bob"), scene.peer("carrier"));
    let config = Config::new()
        .plugin("mark", format!("next_hop = {:?}", bob.uri("bob")))
        .table(&format!("[outbound-proxy]\nrules = [{{ from = \"127.0.0.0/8\", to = {:?} }}]", carrier.uri("")));
    let (_proxy, link) = start(&config, &["mark"], &alice);
    whole_call(&alice, &bob, &invite(&alice, "sip:bob@elsewhere.example", &link), &link);
    carrier.has_taken_nothing_more();
}

/// The way back from the outbound proxy is no way to it.
#[test]
fn what_comes_from_the_outbound_proxy_is_not_sent_back() {
    let scene = Scene::new();
    let carrier = scene.peer("carrier");
    let (_proxy, link) = start(&Config::new().table(&format!("[outbound-proxy]\nlist = [{:?}]", entry(&carrier))), &[], &carrier);
    carrier.send(&carrier.request("MESSAGE", "sip:x@tel.example", &link), &link);
    carrier.expect_status(403);
}
