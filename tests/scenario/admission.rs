//! Limits of trunks, sources and plugins' tags: what is one too many is answered as configured, or goes on to another trunk; and whatever ends
//! a call, its place is free again.

use std::net::Ipv4Addr;

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure, cancel_of};
use crate::support::draft::Draft;
use crate::support::gauges::{Gauges, calls_by_command};
use crate::support::link::Link;
use crate::support::peer::{Peer, Received};
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, start, whole_call};
use crate::support::{PATIENCE, wait};

/// A trunk for NAME.test that goes to a peer.
fn trunk(name: &str, to: &Peer, keys: &str) -> String {
    format!("[trunk.{name}]\nprovider = \"{name}.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\n{keys}\n", to.uri(""))
}

/// Calls with `X-Class: gold` go to the trunk with the tag gold.
const GOLD: &str = "header = \"X-Class\"\nmatch = { \"gold\" = \"gold\" }\ntargets.gold = { trunk = \"telekom\" }\n";

fn to_telekom(caller: &Peer, link: &Link) -> Draft {
    invite(caller, "sip:49@telekom.test", link)
}

/// Places a call, and has the refusal that comes acknowledged.
fn refusal(caller: &Peer, invite: &Draft, link: &Link) -> Received {
    caller.send(invite, link);
    let answer = caller.expect_final();
    caller.send(&ack_of_failure(invite, &answer), link);
    answer
}

/// Waits until a trunk carries so many calls: the answer to a BYE may be here a moment earlier than its place is free.
fn carries(proxy: &Proxy, trunk: &str, calls: u64) {
    wait::until("free place", || (calls_by_command(proxy)[trunk] == calls).then_some(()));
}

#[test]
fn a_trunk_takes_as_many_calls_as_it_may_and_answers_503_with_retry_after() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let config = Config::new().table(&trunk("telekom", &provider, "calls = 2\nretry-after = \"7s\""));
    let (proxy, link) = start(&config, &[], &pbx);
    let (_, mut first) = establish(&pbx, &provider, &to_telekom(&pbx, &link), &link);
    // One that only rings is a call too.
    let ringing = to_telekom(&pbx, &link);
    pbx.send(&ringing, &link);
    let at_provider = provider.expect("INVITE");
    provider.reply(&at_provider, 180);
    pbx.expect_status(180);
    let answer = refusal(&pbx, &to_telekom(&pbx, &link), &link);
    assert_eq!((answer.status(), answer.value("Retry-After").as_str()), (503, "7"));
    provider.has_taken_nothing_more();
    hang_up(&pbx, &provider, &mut first, &link);
    carries(&proxy, "telekom", 1);
    whole_call(&pbx, &provider, &to_telekom(&pbx, &link), &link);
}

#[test]
fn a_trunk_that_is_full_can_say_486() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let (_proxy, link) = start(&Config::new().table(&trunk("telekom", &provider, "calls = 1\nbusy = \"486\"")), &[], &pbx);
    establish(&pbx, &provider, &to_telekom(&pbx, &link), &link);
    let answer = refusal(&pbx, &to_telekom(&pbx, &link), &link);
    assert_eq!((answer.status(), answer.values("Retry-After")), (486, Vec::new()));
}

#[test]
fn a_trunk_takes_so_many_calls_in_a_second() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let (_proxy, link) = start(&Config::new().table(&trunk("telekom", &provider, "calls-per-second = 2")), &[], &pbx);
    // Two at once, and a third half a second later: of a dozen in a moment some are refused, and later one passes again.
    let passes = || {
        let call = to_telekom(&pbx, &link);
        pbx.send(&call, &link);
        let Some(at_provider) = provider.takes_of_call(call.value("Call-ID").as_bytes(), std::time::Duration::from_millis(100)) else {
            let answer = pbx.expect_final();
            pbx.send(&ack_of_failure(&call, &answer), &link);
            assert_eq!((answer.status(), answer.value("Retry-After").as_str()), (503, "5"));
            return false;
        };
        provider.reply(&at_provider, 486);
        let answer = pbx.expect_final();
        pbx.send(&ack_of_failure(&call, &answer), &link);
        answer.status() == 486
    };
    assert!(passes() && passes(), "two at once");
    wait::until("refusal", || (!passes()).then_some(()));
    wait::until("call a little later", || passes().then_some(()));
}

#[test]
fn a_full_trunk_hands_calls_on_to_its_fallback() {
    let scene = Scene::new();
    let (pbx, first, second) = (scene.peer("pbx"), scene.peer("first"), scene.peer("second"));
    let tables = trunk("telekom", &first, "calls = 1\nfallback = \"other\"") + &trunk("other", &second, "calls = 1\nbusy = \"486\"");
    let (proxy, link) = start(&Config::new().table(&tables), &[], &pbx);
    let (_, mut of_first) = establish(&pbx, &first, &to_telekom(&pbx, &link), &link);
    let (taken, mut of_second) = establish(&pbx, &second, &to_telekom(&pbx, &link), &link);
    assert_eq!(taken.uri(), "sip:49@other.test");
    // Both are full: what the last of them says is the answer.
    assert_eq!(refusal(&pbx, &to_telekom(&pbx, &link), &link).status(), 486);
    hang_up(&pbx, &first, &mut of_first, &link);
    hang_up(&pbx, &second, &mut of_second, &link);
    carries(&proxy, "telekom", 0);
    whole_call(&pbx, &first, &to_telekom(&pbx, &link), &link);
}

#[test]
fn each_source_has_as_many_calls_as_it_may_and_some_have_no_limit() {
    let scene = Scene::new();
    let host = |last| Ipv4Addr::new(127, 0, 0, last).into();
    let (one, other, free) = (scene.peer_at("one", host(8)), scene.peer_at("other", host(9)), scene.peer_at("free", host(10)));
    let provider = scene.peer("provider");
    let admission = "[admission]\nsource = { calls = 1 }\nexempt = [\"127.0.0.10\"]\nbusy = \"486\"";
    let config = Config::new().table(&trunk("telekom", &provider, "")).table(admission);
    let (proxy, link) = start(&config, &[], &one);
    let (_, mut of_one) = establish(&one, &provider, &to_telekom(&one, &link), &link);
    assert_eq!(refusal(&one, &to_telekom(&one, &link), &link).status(), 486);
    let hers = other.to(proxy.address());
    let (_, mut of_other) = establish(&other, &provider, &to_telekom(&other, &hers), &hers);
    let ours = free.to(proxy.address());
    for _ in 0..3 {
        establish(&free, &provider, &to_telekom(&free, &ours), &ours);
    }
    hang_up(&one, &provider, &mut of_one, &link);
    carries(&proxy, "telekom", 4);
    whole_call(&one, &provider, &to_telekom(&one, &link), &link);
    hang_up(&other, &provider, &mut of_other, &hers);
}

#[test]
fn a_source_places_so_many_calls_in_a_second() {
    let scene = Scene::new();
    let (pbx, provider) = (scene.peer("pbx"), scene.peer("provider"));
    let admission = "[admission]\nsource = { calls-per-second = 1 }\nretry-after = \"3s\"";
    let (_proxy, link) = start(&Config::new().relay_to("127.0.0.1").table(admission), &[], &pbx);
    // Where they go does not matter: this one goes to no trunk.
    whole_call(&pbx, &provider, &invite(&pbx, &provider.uri("49"), &link), &link);
    let answer = refusal(&pbx, &invite(&pbx, &provider.uri("49"), &link), &link);
    assert_eq!((answer.status(), answer.value("Retry-After").as_str()), (503, "3"));
}

#[test]
fn a_tag_of_a_plugin_has_a_limit_of_its_own() {
    let scene = Scene::new();
    let (pbx, provider, second) = (scene.peer("pbx"), scene.peer("provider"), scene.peer("second"));
    let tables = trunk("telekom", &provider, "fallback = \"other\"") + &trunk("other", &second, "");
    let admission = "[admission]\ntags = { gold = { calls = 1 } }\nbusy = \"486\"";
    let gauges = Gauges::new();
    let config = gauges.of(Config::new().table(&tables).table(admission).plugin("header-match", GOLD));
    let (proxy, link) = start(&config, &["header-match"], &pbx);
    let gold = || to_telekom(&pbx, &link).header("X-Class", "gold");
    let (_, mut dialog) = establish(&pbx, &provider, &gold(), &link);
    assert_eq!(gauges.calls()["jackfield_calls{of=\"tag\",name=\"gold\"}"], 1);
    // The fallback has the same tag, and so does not help.
    assert_eq!(refusal(&pbx, &gold(), &link).status(), 486);
    second.has_taken_nothing_more();
    whole_call(&pbx, &provider, &to_telekom(&pbx, &link), &link);
    hang_up(&pbx, &provider, &mut dialog, &link);
    gauges.are_zero(&proxy, PATIENCE);
    whole_call(&pbx, &provider, &gold(), &link);
}

/// Who has one call at most: the trunk, the source and the tag.
struct Narrow {
    /// Prints what passed if the test fails.
    _scene: Scene,
    gauges: Gauges,
    pbx: Peer,
    provider: Peer,
    proxy: Proxy,
    link: Link,
}

impl Narrow {
    fn new(keys: &str) -> Self {
        let scene = Scene::new();
        let (gauges, pbx, provider) = (Gauges::new(), scene.peer("pbx"), scene.peer("provider"));
        let admission = "[admission]\nsource = { calls = 1 }\ntags = { gold = { calls = 1 } }";
        let config = Config::new()
            .table("[timers]\nt1 = \"20ms\"\nt2 = \"80ms\"\nt4 = \"100ms\"\nc = \"1s\"")
            .table(&trunk("telekom", &provider, &format!("calls = 1\n{keys}")))
            .table(admission)
            .plugin("header-match", GOLD);
        let (proxy, link) = start(&gauges.of(config), &["header-match"], &pbx);
        Self { _scene: scene, gauges, pbx, provider, proxy, link }
    }

    fn draft(&self) -> Draft {
        to_telekom(&self.pbx, &self.link).header("X-Class", "gold")
    }

    /// A call that rings.
    fn rings(&self) -> (Draft, Received) {
        let call = self.draft();
        self.pbx.send(&call, &self.link);
        let at_provider = self.provider.expect("INVITE");
        self.provider.reply(&at_provider, 180);
        self.pbx.expect_status(180);
        (call, at_provider)
    }

    fn is_up(&self) -> (Received, Dialog) {
        establish(&self.pbx, &self.provider, &self.draft(), &self.link)
    }

    /// There is one call, and no place for another.
    fn is_full(&self) {
        assert!(self.gauges.calls().values().all(|calls| *calls == 1), "{:?}", self.gauges.calls());
        assert_eq!(refusal(&self.pbx, &self.draft(), &self.link).status(), 503);
    }

    /// There is none, and a place for one.
    fn is_free(&self, after: &str) {
        self.gauges.are_zero(&self.proxy, PATIENCE);
        println!("free after {after}");
        whole_call(&self.pbx, &self.provider, &self.draft(), &self.link);
        self.gauges.are_zero(&self.proxy, PATIENCE);
    }

    fn is_refused(&self, call: &Draft) -> u16 {
        let answer = self.pbx.expect_final();
        self.pbx.send(&ack_of_failure(call, &answer), &self.link);
        answer.status()
    }
}

#[test]
fn a_place_is_free_after_a_bye_from_either_side() {
    let narrow = Narrow::new("");
    let Narrow { pbx, provider, link, .. } = &narrow;
    let (_, mut of_pbx) = narrow.is_up();
    narrow.is_full();
    hang_up(pbx, provider, &mut of_pbx, link);
    narrow.is_free("BYE of the caller");
    let (at_provider, _) = narrow.is_up();
    narrow.is_full();
    let mut of_provider = Dialog::of_callee(&at_provider, provider);
    let back = provider.to(narrow.proxy.address());
    hang_up(provider, pbx, &mut of_provider, &back);
    narrow.is_free("BYE of the callee");
    // RFC 3261 15.1.1: a BYE that nobody answers ends the call as well.
    let (_, mut of_pbx) = narrow.is_up();
    pbx.send(&of_pbx.request(pbx, "BYE", link), link);
    provider.expect("BYE");
    narrow.is_free("BYE that nobody answers");
}

#[test]
fn a_place_is_free_after_cancel_and_rejection() {
    let narrow = Narrow::new("");
    let Narrow { pbx, provider, link, .. } = &narrow;
    let (call, at_provider) = narrow.rings();
    narrow.is_full();
    pbx.send(&cancel_of(&call), link);
    let cancel = provider.expect("CANCEL");
    provider.reply(&cancel, 200);
    pbx.expect_status(200);
    provider.reply(&at_provider, 487);
    provider.expect("ACK");
    assert_eq!(narrow.is_refused(&call), 487);
    narrow.is_free("CANCEL");
    for status in [302, 404, 486, 503, 603] {
        let (call, at_provider) = narrow.rings();
        narrow.is_full();
        provider.reply(&at_provider, status);
        provider.expect("ACK");
        assert!(narrow.is_refused(&call) >= 300);
        narrow.is_free(&status.to_string());
    }
}

/// Timer B (RFC 3261 16.8), the trunk's own patience, and timer C for one that rings without end.
#[test]
fn a_place_is_free_after_the_time_of_a_callee() {
    let narrow = Narrow::new("");
    let call = narrow.draft();
    narrow.pbx.send(&call, &narrow.link);
    narrow.provider.expect("INVITE");
    narrow.is_full();
    assert!(matches!(narrow.is_refused(&call), 408 | 504));
    narrow.is_free("silence");
    let (call, at_provider) = narrow.rings();
    narrow.is_full();
    let cancel = narrow.provider.expect("CANCEL");
    narrow.provider.reply(&cancel, 200);
    narrow.provider.reply(&at_provider, 487);
    narrow.provider.expect("ACK");
    assert!(narrow.is_refused(&call) >= 400);
    narrow.is_free("ringing for longer than timer C");
}

#[test]
fn a_place_is_free_after_the_patience_of_its_trunk() {
    let narrow = Narrow::new("response-timeout = \"100ms\"\nanswer-timeout = \"1s\"");
    let call = narrow.draft();
    narrow.pbx.send(&call, &narrow.link);
    narrow.provider.expect("INVITE");
    assert!(narrow.is_refused(&call) >= 400);
    narrow.is_free("no response in time");
    // One that rings on after the CANCEL: RFC 3261 9.1 gives it 64 T1.
    let (call, _) = narrow.rings();
    let cancel = narrow.provider.expect("CANCEL");
    narrow.provider.reply(&cancel, 200);
    assert!(narrow.is_refused(&call) >= 400);
    narrow.is_free("no answer in time");
}

/// RFC 3261 12.2.1.2: who answers 481 knows the dialog no more; 408 stands for who is gone.
#[test]
fn a_place_is_free_after_481_and_408_in_the_dialog() {
    let narrow = Narrow::new("");
    let Narrow { pbx, provider, link, .. } = &narrow;
    for (method, status) in [("INVITE", 481), ("INVITE", 408), ("UPDATE", 481), ("BYE", 481), ("BYE", 408)] {
        let (_, mut of_pbx) = narrow.is_up();
        narrow.is_full();
        let request = of_pbx.request(pbx, method, link);
        pbx.send(&request, link);
        let at_provider = provider.expect(method);
        provider.reply(&at_provider, status);
        // RFC 4320 4.2: nobody passes on a 408 to what is no INVITE.
        if status != 408 || method == "INVITE" {
            let answer = pbx.expect_final();
            assert_eq!(answer.status(), status);
            if method == "INVITE" {
                provider.expect("ACK");
                pbx.send(&ack_of_failure(&request, &answer), link);
            }
        }
        narrow.is_free(&format!("{status} to {method}"));
    }
}

#[test]
fn a_call_that_goes_on_to_the_fallback_leaves_no_place_taken_behind() {
    let scene = Scene::new();
    let (pbx, second) = (scene.peer("pbx"), scene.peer("second"));
    let (gauges, broken) = (Gauges::new(), crate::support::load::AnsweringMachine::refusing(500));
    let first = format!(
        "[trunk.telekom]\nprovider = \"telekom.test\"\nnext-hop = \"sip:{}\"\nprobe.interval = \"off\"\ncalls = 1\nfallback = \"other\"\n",
        broken.address
    );
    let config = gauges.of(Config::new().table(&(first + &trunk("other", &second, "calls = 1"))));
    let (proxy, link) = start(&config, &[], &pbx);
    let (_, mut dialog) = establish(&pbx, &second, &to_telekom(&pbx, &link), &link);
    let calls = gauges.calls();
    let of = |name: &str| calls[&format!("jackfield_calls{{of=\"trunk\",name=\"{name}\"}}")];
    assert_eq!((of("telekom"), of("other")), (0, 1));
    hang_up(&pbx, &second, &mut dialog, &link);
    gauges.are_zero(&proxy, PATIENCE);
}
