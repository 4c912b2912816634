//! `[trunk.NAME]`: requests for a provider go its way, what is forced stays forced, and what fails is gone on from.

use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::draft::Draft;
use crate::support::link::Link;
use crate::support::load::AnsweringMachine;
use crate::support::peer::{Peer, Received};
use crate::support::scene::{Scene, hang_up, invite, reinvite, start, whole_call};

/// A trunk for provider.test with these further keys.
fn trunk(keys: &str) -> Config {
    Config::new().table(&format!("[trunk.telekom]\nprovider = \"provider.test\"\nprobe.interval = \"off\"\n{keys}"))
}

/// Has an INVITE refused where it arrives, so that it leaves nothing behind.
fn arrival(caller: &Peer, draft: &Draft, callee: &Peer, link: &Link) -> Received {
    caller.send(draft, link);
    let got = callee.expect("INVITE");
    callee.reply(&got, 486);
    callee.expect("ACK");
    let answer = caller.expect_final();
    assert_eq!(answer.status(), 486);
    caller.send(&ack_of_failure(draft, &answer), link);
    got
}

#[test]
fn a_request_for_the_provider_goes_its_way_with_its_request_uri_untouched() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let (_proxy, link) = start(&trunk(&format!("next-hop = {:?}", provider.uri(""))), &[], &pbx);
    let taken = whole_call(&pbx, &provider, &invite(&pbx, "sip:+4912345@Provider.test:5070;user=phone", &link), &link);
    assert_eq!(taken.uri(), "sip:+4912345@Provider.test:5070;user=phone");
    assert_eq!(taken.values("Route"), [""; 0]);
    pbx.send(&pbx.request("OPTIONS", "sip:provider.test", &link), &link);
    let qualify = provider.expect("OPTIONS");
    provider.reply(&qualify, 200);
    pbx.expect_status(200);
}

/// The route set of a trunk comes in the place of what the sender wrote behind our own Route.
#[test]
fn a_proxy_is_visited_by_route_and_may_be_several() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let first = format!("sip:{};lr", provider.address);
    let (proxy, link) = start(&trunk(&format!("proxy = {{ route = [{first:?}, \"sip:second.test;lr\"] }}")), &[], &pbx);
    let invite = invite(&pbx, "sip:49@provider.test", &link).header("Route", format!("<sip:{};lr>", proxy.address()));
    let taken = arrival(&pbx, &invite, &provider, &link);
    assert_eq!(taken.values("Route"), [format!("<{first}>"), "<sip:second.test;lr>".to_owned()]);
    assert_eq!(taken.uri(), "sip:49@provider.test");
}

#[test]
fn what_is_forced_the_sender_cannot_override() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer_with_connections("provider"));
    let keys = format!(
        "next-hop = {:?}\noptions = {{ transport = \"tcp\", user = \"phone\" }}\nset-headers = {{ X-Account = \"ours\" }}\n\
         remove-headers = [\"X-Secret\"]",
        provider.uri("")
    );
    let (_proxy, link) = start(&trunk(&keys), &[], &pbx);
    let invite = invite(&pbx, "sip:49@provider.test;transport=udp;user=ip", &link).header("X-Account", "theirs").header("X-Secret", "1");
    let taken = arrival(&pbx, &invite, &provider, &link);
    assert!(matches!(taken.link, Link::Stream(_)), "it came over TCP");
    assert!(taken.uri().contains(";user=phone") && !taken.uri().contains("user=ip"), "{}", taken.uri());
    assert_eq!((taken.values("X-Account"), taken.values("X-Secret")), (vec!["ours".to_owned()], Vec::new()));
}

/// Silence, a refusal to take anything at all and 503 are gone on from; busy is busy.
#[test]
fn the_next_way_is_tried_after_silence_refusal_and_5xx() {
    let scene = Scene::new();
    let (pbx, silent, second) = (scene.peer("pbx"), scene.peer("silent"), scene.peer("second"));
    let unavailable = AnsweringMachine::refusing(503);
    let nobody = format!("sip:127.0.0.1:{}", crate::support::port::Port::reserve().number);
    for (first, least) in [(silent.uri(""), 300), (format!("sip:{}", unavailable.address), 0), (nobody, 0)] {
        let ways = format!("next-hop = [{first:?}, {:?}]\nresponse-timeout = \"300ms\"", second.uri(""));
        let (_proxy, link) = start(&trunk(&ways), &[], &pbx);
        let begun = Instant::now();
        whole_call(&pbx, &second, &invite(&pbx, "sip:49@provider.test", &link), &link);
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least) && took < Duration::from_secs(3), "{first}: {took:?}");
    }
}

#[test]
fn busy_is_no_reason_to_try_another_way() {
    let scene = Scene::new();
    let (pbx, first, second) = (scene.peer("pbx"), scene.peer("first"), scene.peer("second"));
    let (_proxy, link) = start(&trunk(&format!("next-hop = [{:?}, {:?}]", first.uri(""), second.uri(""))), &[], &pbx);
    arrival(&pbx, &invite(&pbx, "sip:49@provider.test", &link), &first, &link);
    second.has_taken_nothing_more();
}

#[test]
fn a_listed_status_is_a_reason() {
    let scene = Scene::new();
    let (pbx, first, second) = (scene.peer("pbx"), AnsweringMachine::refusing(403), scene.peer("second"));
    let ways = format!("next-hop = [\"sip:{}\", {:?}]\nfallback-on = \"403\"", first.address, second.uri(""));
    let (_proxy, link) = start(&trunk(&ways), &[], &pbx);
    whole_call(&pbx, &second, &invite(&pbx, "sip:49@provider.test", &link), &link);
}

/// A way that has failed is tried after those that have not: the second call does not wait for it.
#[test]
fn what_has_just_failed_is_tried_last() {
    let scene = Scene::new();
    let (pbx, silent, second) = (scene.peer("pbx"), scene.peer("silent"), scene.peer("second"));
    let ways = format!("next-hop = [{:?}, {:?}]\nresponse-timeout = \"2s\"", silent.uri(""), second.uri(""));
    let (_proxy, link) = start(&trunk(&ways), &[], &pbx);
    whole_call(&pbx, &second, &invite(&pbx, "sip:49@provider.test", &link), &link);
    silent.expect("INVITE");
    silent.forget();
    let begun = Instant::now();
    whole_call(&pbx, &second, &invite(&pbx, "sip:49@provider.test", &link), &link);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    silent.has_taken_nothing_more();
}

/// Another provider knows only its own domain.
#[test]
fn a_fallback_trunk_gets_its_own_host() {
    let scene = Scene::new();
    let (pbx, second) = (scene.peer("pbx"), scene.peer("second"));
    let unavailable = AnsweringMachine::refusing(500);
    let config = trunk(&format!("next-hop = \"sip:{}\"\nfallback = \"other\"", unavailable.address)).table(&format!(
        "[trunk.other]\nprovider = \"other.test\"\nnext-hop = {:?}\nset-headers = {{ X-Trunk = \"other\" }}",
        second.uri("")
    ));
    let (_proxy, link) = start(&config, &[], &pbx);
    let taken = arrival(&pbx, &invite(&pbx, "sip:49@provider.test;user=phone", &link), &second, &link);
    assert_eq!((taken.uri().as_str(), taken.value("X-Trunk").as_str()), ("sip:49@other.test;user=phone", "other"));
}

#[test]
fn a_plugin_names_a_trunk() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let table = "header = \"X-Account\"\nmatch = { \"1\" = \"telekom\" }\ntargets.telekom = { trunk = \"telekom\", set-headers = { X-By = \"plugin\" } }\n";
    let config =
        trunk(&format!("next-hop = {:?}\nset-headers = {{ X-Forced = \"trunk\" }}", provider.uri(""))).plugin("header-match", table);
    let (_proxy, link) = start(&config, &["header-match"], &pbx);
    let taken = arrival(&pbx, &invite(&pbx, "sip:49@example.test", &link).header("X-Account", "1"), &provider, &link);
    assert_eq!((taken.value("X-By").as_str(), taken.value("X-Forced").as_str()), ("plugin", "trunk"));
}

/// RFC 3261 22: the trunk's account answers, and the PBX hears nothing of it; the numbers of the dialog fit for both sides.
#[test]
fn a_challenge_is_answered_with_the_trunks_account() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!("next-hop = {:?}\nusername = \"49301\"\npassword-file = \"secret\"", provider.uri(""));
    let (_proxy, link) = start(&trunk(&keys).file("secret", "pass\n"), &[], &pbx);
    let invite = invite(&pbx, "sip:49@provider.test", &link);
    pbx.send(&invite, &link);
    let bare = provider.expect("INVITE");
    let challenge = "Digest realm=\"provider.test\", nonce=\"n0nce\", algorithm=SHA-256, qop=\"auth\"";
    provider.send(&provider.response(&bare, 407).header("Proxy-Authenticate", challenge), &bare.link);
    provider.expect("ACK");
    let again = provider.expect("INVITE");
    let credentials = again.value("Proxy-Authorization");
    assert!(credentials.contains("username=\"49301\"") && credentials.contains("nc=00000001"), "{credentials}");
    let number = |message: &Received| message.message.cseq().unwrap().0;
    assert_eq!(number(&again), number(&bare) + 1);
    provider.reply(&again, 180);
    pbx.expect_status(180);
    provider.reply(&again, 200);
    let answer = pbx.expect_status(200);
    assert_eq!(answer.value("CSeq"), "1 INVITE");
    let mut dialog = crate::support::dialog::Dialog::of_caller(&answer);
    pbx.send(&dialog.request(&pbx, "ACK", &link), &link);
    assert_eq!(number(&provider.expect("ACK")), number(&again));
    let later = reinvite(&pbx, &provider, &mut dialog, &link);
    assert!(number(&later) > number(&again));
    hang_up(&pbx, &provider, &mut dialog, &link);
}

/// No loop: a second challenge with the same nonce is passed on.
#[test]
fn a_refused_account_is_not_tried_again() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!("next-hop = {:?}\nusername = \"49301\"\npassword-file = \"secret\"", provider.uri(""));
    let (proxy, link) = start(&trunk(&keys).file("secret", "pass\n"), &[], &pbx);
    let register = pbx.request("REGISTER", "sip:provider.test", &link);
    pbx.send(&register, &link);
    for _ in 0..2 {
        let got = provider.expect("REGISTER");
        let challenge = "Digest realm=\"provider.test\", nonce=\"same\", algorithm=MD5, qop=\"auth\"";
        provider.send(&provider.response(&got, 401).header("WWW-Authenticate", challenge), &got.link);
    }
    let refused = pbx.expect_status(401);
    assert_eq!(refused.value("CSeq"), "1 REGISTER");
    assert!(!proxy.log().contains("pass\n") && proxy.log().contains("telekom"));
}

/// RFC 3261 22.3: the proxy of a provider may ask, and then the provider itself.
#[test]
fn two_realms_of_one_provider_are_both_answered() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!("next-hop = {:?}\nusername = \"49301\"\npassword-file = \"secret\"", provider.uri(""));
    let (_proxy, link) = start(&trunk(&keys).file("secret", "pass\n"), &[], &pbx);
    pbx.send(&pbx.request("REGISTER", "sip:provider.test", &link), &link);
    for (status, field, realm) in [(407, "Proxy-Authenticate", "edge"), (401, "WWW-Authenticate", "registrar")] {
        let got = provider.expect("REGISTER");
        let challenge = format!("Digest realm=\"{realm}\", nonce=\"of the {realm}\", algorithm=MD5, qop=\"auth\"");
        provider.send(&provider.response(&got, status).header(field, challenge), &got.link);
    }
    let got = provider.expect("REGISTER");
    for (field, realm) in [("Proxy-Authorization", "realm=\"edge\""), ("Authorization", "realm=\"registrar\"")] {
        assert!(got.value(field).contains(realm), "{field}: {}", got.value(field));
    }
    provider.reply(&got, 200);
    pbx.expect_status(200);
}

/// Contract of a provider's limit: one more is turned away at once, and the place is free when the call has ended.
#[test]
fn a_call_too_many_is_turned_away_until_one_has_ended() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!("next-hop = {:?}\ncalls = 1\nretry-after = \"7s\"", provider.uri(""));
    let (_proxy, link) = start(&trunk(&keys), &[], &pbx);
    let first = invite(&pbx, "sip:49@provider.test", &link);
    let (_, mut dialog) = crate::support::scene::establish(&pbx, &provider, &first, &link);
    let second = invite(&pbx, "sip:50@provider.test", &link);
    pbx.send(&second, &link);
    let busy = pbx.expect_final();
    assert_eq!((busy.status(), busy.value("Retry-After").as_str()), (503, "7"));
    pbx.send(&ack_of_failure(&second, &busy), &link);
    hang_up(&pbx, &provider, &mut dialog, &link);
    whole_call(&pbx, &provider, &invite(&pbx, "sip:51@provider.test", &link), &link);
}

#[test]
fn what_a_provider_sends_goes_to_the_pbx_and_is_marked() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!(
        "next-hop = {:?}\nfrom = [\"127.0.0.1\"]\nfrom-header = {{ name = \"X-Carrier\", value = \"t\" }}\ninbound = {:?}\n\
         inbound-set-headers = {{ X-Trunk = \"telekom\" }}",
        provider.uri(""),
        pbx.uri("")
    );
    let (proxy, link) = start(&trunk(&keys), &[], &provider);
    let uri = format!("sip:4930@{}", proxy.address());
    let taken = whole_call(&provider, &pbx, &invite(&provider, &uri, &link).header("X-Carrier", "t"), &link);
    assert_eq!((taken.uri(), taken.value("X-Trunk")), (uri.clone(), "telekom".to_owned()));
    provider.send(&provider.request("MESSAGE", &uri, &link), &link);
    provider.expect_status(404);
}

/// Behind a router that translates addresses a provider knows that one's.
#[test]
fn what_a_provider_sends_to_the_name_of_a_listener_is_for_us() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let keys = format!("next-hop = {:?}\nfrom = [\"127.0.0.1\"]\ninbound = {:?}", provider.uri(""), pbx.uri(""));
    let (_proxy, link) = start(&trunk(&keys).at_listener("advertise = \"203.0.113.9:5099\""), &[], &provider);
    provider.send(&provider.request("MESSAGE", "sip:4930@203.0.113.9:5099", &link), &link);
    let got = pbx.expect("MESSAGE");
    pbx.reply(&got, 200);
    provider.expect_status(200);
    provider.send(&provider.request("MESSAGE", "sip:4930@203.0.113.9", &link), &link);
    provider.expect_status(403);
}

/// A reload is taken up as a whole or not at all.
#[test]
fn a_reload_that_is_refused_leaves_the_documents_as_they_were() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let document = |host: &str| format!("{{ {host:?}: {{ \"proxy\": \"{}\" }} }}", provider.address);
    let config = |file: &str| {
        let config = Config::new().file("one.json", document("one.test")).file("two.json", document("two.test"));
        config.table(&format!("[sipproxy]\nfile = {file:?}"))
    };
    let (proxy, link) = start(&config("one.json"), &[], &pbx);
    let lost = "[trunk.lost]\nprovider = \"lost.test\"\nusername = \"u\"\npassword-file = \"nowhere\"";
    proxy.write_config(&config("two.json").table(lost));
    proxy.signal(rustix::process::Signal::HUP);
    proxy.logged(&["the configuration stays as it was"]);
    // Probes come there as well.
    let passes = |uri| {
        let draft = pbx.request("MESSAGE", uri, &link);
        pbx.send(&draft, &link);
        let got = provider.takes_of_call(draft.value("Call-ID").as_bytes(), provider.patience).expect("the message arrives");
        provider.reply(&got, 200);
        pbx.expect_status(200);
    };
    passes("sip:49@one.test");
    pbx.send(&pbx.request("MESSAGE", "sip:49@two.test", &link), &link);
    pbx.expect_status(403);
    proxy.write_config(&config("two.json"));
    proxy.signal(rustix::process::Signal::HUP);
    proxy.logged(&["the configuration has been read again"]);
    passes("sip:49@two.test");
}

#[test]
fn the_log_says_how_each_trunk_goes() {
    let scene = Scene::new();
    let pbx = scene.peer("pbx");
    let config = trunk("proxy = \"csphost01-ifens5.cs-proxy.service.pascom\"");
    let (proxy, _link) = start(&config, &[], &pbx);
    assert!(proxy.log().contains("Will route trunk [telekom] via proxy [csphost01-ifens5.cs-proxy.service.pascom]"), "{}", proxy.log());
}
