//! Plugins that do harm: the call they harm gets the configured answer, the next call finds a sound instance.

use jackfield_plugin_host::settings::{OnError, Plugin};

use crate::rig::{Rig, ask, flow, listeners, now, profiles, request, status, told, trunks, view};

#[test]
fn each_misdeed_costs_one_call_and_no_more() {
    let rig = Rig::new(&[("one", "{}")]);
    for (what, reason) in [
        ("loop", "cpu"),
        ("panic", "trap"),
        ("recursion", "trap"),
        ("memory", "memory"),
        ("exit", "trap"),
        ("sleep", "trap"),
        ("handles", "trap"),
        ("too-many-notes", "trap"),
        ("too-many-names", "trap"),
        ("too-much-randomness", "trap"),
        ("huge-decision", "trap"),
        ("note-then-panic", "trap"),
        ("edit-via", "invalid-decision"),
    ] {
        assert_eq!(rig.told("calls").parse::<u32>().map(|calls| calls > 0), Ok(true));
        let before = rig.failures("one", "on-request", reason);
        assert_eq!(status(&rig.ask(what)), 503, "{what}");
        assert_eq!(rig.failures("one", "on-request", reason), before + 1, "{what}: {:?}", rig.status("one").last_error);
        assert_eq!(rig.told("calls"), "1", "{what}: an instance that has not been called before");
    }
}

#[test]
fn an_answered_error_leaves_the_instance_where_it_is() {
    let rig = Rig::new(&[("one", "{}")]);
    assert_eq!(rig.told("calls"), "1");
    assert_eq!(status(&rig.ask("error")), 503);
    assert_eq!(rig.told("calls"), "3");
}

#[test]
fn failures_that_come_faster_than_spares_harm_nobody_else() {
    let rig = Rig::with(&[("one", "{}")], |plugins| plugins.table.get_mut("one").unwrap().breaker = None);
    for _ in 0..50 {
        assert_eq!(status(&rig.ask("panic")), 503);
        assert_eq!(rig.told("reply"), "As told");
    }
    assert_eq!((0..50).filter(|_| status(&rig.ask("panic")) == 503).count(), 50);
    assert_eq!(rig.told("calls"), "1");
    assert_eq!(rig.failures("one", "on-request", "trap"), 100);
}

#[test]
fn a_panic_is_told_in_words() {
    let rig = Rig::new(&[("one", "{}")]);
    assert_eq!(status(&rig.ask("panic")), 503);
    let said = rig.status("one").last_error.unwrap();
    assert!(said.starts_with("on-request: ") && said.contains("behaves badly") && said.contains("lib.rs"), "{said}");
    assert!(!said.contains('\n'), "{said}");
}

#[test]
fn limits_are_those_of_the_configuration() {
    let rig = Rig::with(&[("small", "{}"), ("large", "{}")], |plugins| {
        let small = Plugin { memory: 2 << 20, on_error: OnError::Next, ..plugins.settings("small") };
        plugins.table.insert("small".into(), small);
    });
    assert_eq!(status(&rig.ask("memory")), 503);
    let said = rig.status("small").last_error.unwrap();
    assert!(said.contains("its limit is 2097152"), "{said}");
    assert!(rig.status("large").last_error.unwrap().contains("its limit is 16777216"));
}

#[test]
fn one_looping_call_disturbs_no_other_worker() {
    let rig = Rig::new(&[("one", "{}")]);
    let chain = rig.host.chain();
    let (looping, sound) = (request("X-Do: loop\r\n"), request("X-Do: reply\r\n"));
    let (flow, listeners, trunks, profiles) = (flow(), listeners(), trunks(), profiles());
    let view = |request| view(request, &flow, &listeners, &trunks, &profiles);
    std::thread::scope(|scope| {
        let loops = scope.spawn(|| (0..20).all(|_| status(&now(chain.on_request(1, view(&looping)))) == 503));
        while !loops.is_finished() {
            assert_eq!(told(ask(&chain, &sound)), "As told");
        }
        assert!(loops.join().unwrap());
    });
    assert_eq!(rig.failures("one", "on-request", "cpu"), 20);
}
