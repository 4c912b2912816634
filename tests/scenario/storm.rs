//! Tens of thousands of calls that end at every stage and in every way: afterwards nothing is counted any more, and nothing is left open.

use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::dialog::{ack_of_failure, cancel_of};
use crate::support::gauges::{Gauges, contexts};
use crate::support::load::Media;
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite};
use crate::support::storm::{Callee, Caller, Destination, Ghosts, Scripts};
use crate::support::{full, wait};

/// How big it is.
struct Size {
    calls: u64,
    rate: u32,
    ghosts: Ghosts,
    /// Calls of the trunks that have a limit, of a source, and of the tag.
    trunk: u32,
    source: u32,
    tag: u32,
}

impl Size {
    fn new() -> Self {
        match full() {
            true => Self { calls: 50_000, rate: 350, ghosts: Ghosts::Some, trunk: 150, source: 250, tag: 40 },
            false => Self { calls: 1_000, rate: 250, ghosts: Ghosts::None, trunk: 40, source: 60, tag: 10 },
        }
    }
}

/// A class of calls goes to the tag gold of trunk a, by the plugin.
const GOLD: &str = "header = \"X-Class\"\nmatch = { \"gold\" = \"gold\" }\ntargets.gold = { trunk = \"a\" }\n";

fn config(size: &Size, callee: &Callee, nobody: &Port) -> Config {
    let [a, b, c, d] = callee.addresses[..] else { panic!("four callees") };
    let probe = "probe = { interval = \"2s\", interval-down = \"1s\", timeout = \"500ms\" }\nresponse-timeout = \"600ms\"";
    let Size { trunk, source, tag, .. } = size;
    let tables = format!(
        "[timers]\nt1 = \"50ms\"\nt2 = \"200ms\"\nt4 = \"250ms\"\nc = \"2s\"\n\
         [trunk.a]\nprovider = \"a.test\"\nnext-hop = \"sip:{a}\"\n{probe}\ncalls = {trunk}\nfallback = \"b\"\n\
         [trunk.b]\nprovider = \"b.test\"\nnext-hop = \"sip:{b}\"\n{probe}\ncalls = {trunk}\nbusy = \"486\"\nfallback = \"c\"\nanswer-timeout = \"1s\"\n\
         [trunk.c]\nprovider = \"c.test\"\nnext-hop = \"sip:{c}\"\n{probe}\n\
         [trunk.d]\nprovider = \"d.test\"\nnext-hop = [\"sip:127.0.0.1:{}\", \"sip:{d}\"]\n{probe}\ncalls-per-second = {trunk}\ncalls = {trunk}\nfallback = \"a\"\n\
         [admission]\nsource = {{ calls = {source} }}\nexempt = [\"127.0.0.5\"]\ntags = {{ gold = {{ calls = {tag} }} }}\nretry-after = \"2s\"",
        nobody.number
    );
    Config::new().table(&tables).plugin("header-match", GOLD)
}

/// Half of the calls come from the first source, so that it has too many; some of them are gold.
fn order(number: u64) -> (usize, Destination) {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let source = [0, 0, 0, 1, 2, 3][usize::try_from(mixed % 6).expect("below six")];
    let host = ["a.test", "a.test", "b.test", "c.test", "d.test"][usize::try_from(mixed / 6 % 5).expect("below five")];
    let headers = if (mixed / 30).is_multiple_of(8) { vec![("X-Class", "gold")] } else { Vec::new() };
    (source, Destination { host, headers })
}

#[test]
fn all_counts_are_zero_after_a_storm_of_calls_under_load() {
    let size = Size::new();
    let scripts = Scripts { seed: 0x1ac4, ghosts: size.ghosts, media: Media::None };
    let (callee, nobody, gauges) = (Callee::start(4, scripts), Port::reserve(), Gauges::new());
    let mut proxy = Proxy::start(&gauges.of(config(&size, &callee, &nobody)), &["header-match"]);
    let begun = Instant::now();
    let outcomes = Caller::new(proxy.address(), 4, scripts).play(size.calls, size.rate, &order);
    println!("{} calls at {}/s, seed {:#x}, over for their callers after {:.0?}", size.calls, size.rate, scripts.seed, begun.elapsed());
    println!("final responses {:?}\naborts {:?}\nends {:?}", outcomes.finals, outcomes.aborts, outcomes.ends);
    let (admitted, refused) = (gauges.samples("jackfield_calls_admitted"), gauges.samples("jackfield_calls_refused"));
    println!("admitted {admitted:?}\nrefused {refused:?}\nstill counted {:?}", gauges.calls());
    assert_eq!(outcomes.lost, [0; 0], "calls whose caller stayed and heard nothing");
    // RFC 4028 10: what nobody ends is ended 32 s after its interval.
    gauges.are_zero(&proxy, Duration::from_secs(90));
    println!("all counts are zero after {:.0?}", begun.elapsed());
    if full() {
        // RFC 3261 17.1.1.2: timer D has 32 s at least.
        wait::within(Duration::from_secs(60), "end of all contexts", || (contexts(&proxy) == 0).then_some(()));
        println!("no context is left after {:.0?}", begun.elapsed());
    }
    assert!(outcomes.aborts.len() == 7 && outcomes.ends.len() >= 7, "every way to end has been gone");
    assert!(refused.values().any(|count| *count > 0) && admitted.values().all(|count| *count > 0), "limits were reached");
    a_source_has_all_its_places_again(&proxy, size.source);
    gauges.are_zero(&proxy, Duration::from_secs(20));
    assert!(proxy.runs() && !proxy.log().contains("panic"));
}

/// What is counted of a source no gauge shows: so it is tried.
fn a_source_has_all_its_places_again(proxy: &Proxy, places: u32) {
    let scene = Scene::new();
    let caller = scene.peer_at("caller", [127, 0, 0, 2].into());
    let link = caller.to(proxy.address());
    let calls: Vec<_> = (0..places).map(|number| invite(&caller, &format!("sip:free-{number}@c.test"), &link)).collect();
    for call in &calls {
        caller.send(call, &link);
        caller.expect_status(180);
    }
    let too_many = invite(&caller, "sip:free@c.test", &link);
    caller.send(&too_many, &link);
    let answer = caller.expect_final();
    assert_eq!((answer.status(), answer.value("Retry-After").as_str()), (503, "2"));
    caller.send(&ack_of_failure(&too_many, &answer), &link);
    for call in &calls {
        caller.send(&cancel_of(call), &link);
        caller.expect_status(200);
        let answer = caller.expect_final();
        assert_eq!(answer.status(), 487);
        caller.send(&ack_of_failure(call, &answer), &link);
    }
}
