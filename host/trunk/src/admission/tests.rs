//! Calls as the shell tells of them, and what is counted then.

mod storm;
mod tags;

use std::time::Duration;

use jackfield_proto::message::{Framing, Limits, Message, Method};
use jackfield_proto::proxy::TrunkId;

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_duration(Duration::from_secs(seconds))
}

fn calls(calls: u32) -> AdmissionLimits {
    AdmissionLimits { calls: Some(calls), ..AdmissionLimits::default() }
}

/// An admission with trunks of these names and limits, and what a test says to it.
struct Desk {
    admission: Admission<u8>,
}

impl Desk {
    fn new(settings: &AdmissionSettings, trunks: &[(&str, AdmissionLimits)]) -> Self {
        let named = named(trunks);
        Self { admission: Admission::new([7; 16], settings, named.iter().map(|(name, limits)| (name, limits))) }
    }

    fn with(trunks: &[(&str, AdmissionLimits)]) -> Self {
        Self::new(&AdmissionSettings::default(), trunks)
    }

    fn reconfigure(&self, settings: &AdmissionSettings, trunks: &[(&str, AdmissionLimits)]) {
        self.admission.reconfigure(settings, named(trunks).iter().map(|(name, limits)| (name, limits)));
    }

    fn begin(&self, call: u64) -> AttemptId {
        self.admission.begin(at(0), call, HERE).unwrap()
    }

    fn admit(&self, id: AttemptId, branch: u8, trunk: &'static str) -> Result<(), Refused> {
        self.admission.admit(at(0), id, target(branch, trunk, ""))
    }

    /// A target without a trunk stands for any of which only the branch matters.
    fn answered(&self, id: AttemptId, branch: u8, callee: u64) {
        self.admission.answered(at(0), id, target(branch, "", ""), Dialog { from: id.call, to: callee }, None);
    }

    fn failed(&self, id: AttemptId, branch: u8, status: Option<u16>) {
        self.admission.target_failed(id, target(branch, "", ""), status);
    }

    /// Calls and peak of a trunk.
    fn trunk(&self, name: &str) -> (u32, u32) {
        let trunks = self.admission.snapshot().trunks;
        let (_, counts) = trunks.iter().find(|(trunk, _)| &**trunk == name).unwrap();
        (counts.calls, counts.peak)
    }

    fn calls(&self, name: &str) -> u32 {
        self.trunk(name).0
    }
}

/// A target; one of no trunk if its name is empty.
fn target(branch: u8, trunk: &str, tag: &'static str) -> TargetKey<'static, u8> {
    TargetKey { branch, trunk: (!trunk.is_empty()).then(|| TrunkId::of(trunk)), tag }
}

fn named(trunks: &[(&str, AdmissionLimits)]) -> Vec<(Arc<str>, AdmissionLimits)> {
    trunks.iter().map(|(name, limits)| (Arc::from(*name), limits.clone())).collect()
}

#[test]
fn a_call_beyond_the_limit_is_refused_until_another_ends() {
    let busy = AdmissionLimits { answer: Busy { status: 486, retry_after: 5 }, ..calls(1) };
    let desk = Desk::with(&[("a", busy)]);
    let (first, second) = (desk.begin(1), desk.begin(2));
    assert_eq!(desk.admit(first, 0, "a"), Ok(()));
    let refused = desk.admit(second, 0, "a").unwrap_err();
    assert_eq!((refused.whose.clone(), refused.limit, refused.reply()), (Whose::Trunk("a".into()), Limit::Calls, Reply::status(486)));
    assert_eq!(refused.to_string(), "trunk a has as many calls as it may have");
    desk.answered(first, 0, 100);
    assert!(desk.admit(second, 0, "a").is_err(), "an answered call is one too");
    desk.admission.ended(Dialog { from: 1, to: 100 });
    assert_eq!(desk.admit(second, 0, "a"), Ok(()));
    desk.admission.over(second, Some(480));
    assert_eq!(desk.trunk("a"), (0, 1));
    assert_eq!(desk.admission.snapshot().tracked, 0);
}

/// RFC 3261 21.5.4.
#[test]
fn a_503_says_when_to_come_again() {
    let reply = Busy { status: 503, retry_after: 7 }.reply();
    assert_eq!(reply, Reply::status(503).header("Retry-After", "7"));
}

#[test]
fn a_call_that_goes_on_to_another_trunk_gives_back_the_place_on_the_one_that_failed() {
    let desk = Desk::with(&[("a", calls(1)), ("b", calls(1))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.failed(id, 0, Some(503));
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 0));
    desk.admit(id, 1, "b").unwrap();
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 1));
    desk.answered(id, 1, 100);
    desk.admission.over(id, Some(200));
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 1));
}

#[test]
fn a_target_that_was_refused_takes_nothing_from_another_that_was_not() {
    let desk = Desk::with(&[("a", calls(1))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.admit(id, 1, "a").unwrap_err();
    desk.admission.target_failed(id, target(1, "a", ""), Some(503));
    assert_eq!(desk.calls("a"), 1);
}

#[test]
fn parallel_targets_hold_a_place_each_until_one_answers() {
    let desk = Desk::with(&[("a", calls(2)), ("b", calls(2))]);
    let id = desk.begin(1);
    for (branch, trunk) in [(0, "a"), (1, "b"), (2, "a")] {
        desk.admit(id, branch, trunk).unwrap();
    }
    assert_eq!((desk.calls("a"), desk.calls("b")), (2, 1));
    desk.answered(id, 1, 100);
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 1));
}

/// RFC 3261 16.6 item 8, RFC 3263 4.3: each address of a name has a branch of its own, and only the first of them was asked for.
#[test]
fn a_target_that_goes_on_at_another_address_is_the_same_target() {
    let desk = Desk::with(&[("a", calls(2)), ("b", calls(2))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.admission.target_failed(id, target(1, "a", ""), None);
    assert_eq!(desk.calls("a"), 0);
    desk.admit(id, 2, "b").unwrap();
    desk.admission.answered(at(0), id, target(3, "b", ""), Dialog { from: 1, to: 100 }, None);
    desk.admission.over(id, Some(200));
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 1));
    desk.admission.ended(Dialog { from: 100, to: 1 });
    assert_eq!((desk.calls("b"), desk.admission.snapshot().tracked), (0, 0));
}

/// RFC 3261 13.2.2.4: each 2xx with another To tag is a dialog of its own, and is ended by itself.
#[test]
fn a_call_answered_twice_is_two_until_both_have_ended() {
    let desk = Desk::with(&[("a", calls(2)), ("b", calls(2))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.admit(id, 1, "b").unwrap();
    desk.answered(id, 0, 100);
    desk.answered(id, 1, 101);
    desk.answered(id, 1, 102);
    assert_eq!((desk.calls("a"), desk.calls("b")), (1, 2), "the last was forked further down");
    desk.admission.ended(Dialog { from: 1, to: 101 });
    assert_eq!((desk.calls("a"), desk.calls("b")), (1, 1));
    desk.answered(id, 1, 101);
    assert_eq!((desk.calls("a"), desk.calls("b")), (1, 1), "a 2xx again is no new call");
    desk.admission.ended(Dialog { from: 100, to: 1 });
    desk.admission.ended(Dialog { from: 1, to: 102 });
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 0));
    assert_eq!(desk.admission.snapshot().tracked, 0);
}

/// RFC 3261 15: the caller may send BYE in an early dialog.
#[test]
fn a_2xx_that_a_bye_has_overtaken_begins_nothing() {
    let desk = Desk::with(&[("a", calls(9))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.admission.ended(Dialog { from: 1, to: 100 });
    assert_eq!(desk.calls("a"), 1, "the INVITE still rings");
    desk.answered(id, 0, 100);
    assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
}

#[test]
fn ends_that_come_again_and_answers_that_come_too_late_change_nothing() {
    let desk = Desk::with(&[("a", calls(9))]);
    let (failed, ended) = (desk.begin(1), desk.begin(2));
    for id in [failed, ended] {
        desk.admit(id, 0, "a").unwrap();
    }
    desk.answered(ended, 0, 100);
    for _ in 0..2 {
        desk.admission.over(failed, Some(408));
        desk.failed(failed, 0, None);
        desk.answered(failed, 0, 101);
        desk.admission.ended(Dialog { from: 100, to: 2 });
        desk.answered(ended, 0, 100);
        desk.admission.over(ended, Some(200));
        assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
    }
}

/// RFC 3261 22.3: the same Call-ID and tag come again with credentials; who handles that may be faster than who tells of the challenge.
#[test]
fn a_challenged_call_that_comes_again_is_one_call() {
    let limits = AdmissionLimits { calls_per_second: Some(1), ..AdmissionLimits::default() };
    let desk = Desk::with(&[("a", limits)]);
    let first = desk.begin(1);
    desk.admit(first, 0, "a").unwrap();
    let second = desk.begin(1);
    desk.admission.over(first, Some(407));
    assert_eq!(desk.admit(second, 0, "a"), Ok(()), "the first has paid nothing");
    desk.admission.over(first, Some(407));
    assert_eq!(desk.calls("a"), 1);
    desk.answered(second, 0, 100);
    desk.admission.ended(Dialog { from: 1, to: 100 });
    assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
}

#[test]
fn ways_of_one_trunk_cost_a_call_once() {
    let limits = AdmissionLimits { calls_per_second: Some(1), ..AdmissionLimits::default() };
    let desk = Desk::with(&[("a", limits)]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    desk.failed(id, 0, None);
    assert_eq!(desk.admit(id, 1, "a"), Ok(()));
    let other = desk.begin(2);
    assert_eq!(desk.admit(other, 0, "a").unwrap_err().limit, Limit::CallsPerSecond);
}

#[test]
fn a_source_and_a_tag_have_limits_of_their_own() {
    let settings = AdmissionSettings {
        source: calls(2),
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        tags: [("gold".into(), calls(1))].into(),
        ..AdmissionSettings::default()
    };
    let desk = Desk::new(&settings, &[("a", calls(9))]);
    let (first, second) = (desk.begin(1), desk.begin(2));
    let refused = desk.admission.begin(at(0), 3, HERE).unwrap_err();
    assert_eq!((refused.whose, refused.limit), (Whose::Source, Limit::Calls));
    assert!(desk.admission.begin(at(0), 3, "10.0.0.1".parse().unwrap()).is_ok());
    desk.admission.admit(at(0), first, target(0, "a", "gold")).unwrap();
    let refused = desk.admission.admit(at(0), second, target(0, "a", "gold")).unwrap_err();
    assert_eq!((refused.whose, refused.limit), (Whose::Tag("gold".into()), Limit::Calls));
    assert_eq!(desk.calls("a"), 1, "who is refused for the tag holds no place of the trunk");
    desk.admission.admit(at(0), second, target(1, "a", "silver")).unwrap();
    let Counts { calls, refused, .. } = desk.admission.snapshot().sources[0].1;
    assert_eq!((calls, refused), (2, 1));
    desk.answered(first, 0, 100);
    desk.admission.over(second, None);
    desk.admission.ended(Dialog { from: 1, to: 100 });
    let snapshot = desk.admission.snapshot();
    let left = snapshot.sources.iter().map(|(_, counts)| counts.calls).chain(snapshot.tags.iter().map(|(_, counts)| counts.calls));
    assert_eq!((left.sum::<u32>(), snapshot.tracked), (0, 0));
}

/// A target without a trunk: its source is counted for as long as the call is.
#[test]
fn a_source_is_counted_while_its_call_is_up_wherever_that_went() {
    let desk = Desk::new(&AdmissionSettings { source: calls(1), ..AdmissionSettings::default() }, &[]);
    let id = desk.begin(1);
    desk.admission.admit(at(0), id, target(0, "", "")).unwrap();
    desk.answered(id, 0, 100);
    desk.admission.over(id, Some(200));
    assert!(desk.admission.begin(at(0), 2, HERE).is_err());
    desk.admission.ended(Dialog { from: 100, to: 1 });
    assert!(desk.admission.begin(at(0), 2, HERE).is_ok());
}

fn due(desk: &Desk, now: u64) -> Expired {
    let mut expired = Expired::default();
    (0..8).for_each(|_| expired += desk.admission.due(at(now)));
    expired
}

/// RFC 4028 10: a session that nobody refreshes is over; 7.2: without Session-Expires there is no timer.
#[test]
fn a_call_ends_with_its_session_timer() {
    let desk = Desk::with(&[("a", calls(9))]);
    let dialog = |call| Dialog { from: call, to: call + 100 };
    for call in 1..=3 {
        let id = desk.begin(call);
        desk.admit(id, 0, "a").unwrap();
        desk.admission.answered(at(0), id, target(0, "a", ""), dialog(call), Some(90));
    }
    desk.admission.refreshed(at(100), dialog(2), Some(1800));
    desk.admission.refreshed(at(100), Dialog { from: 103, to: 3 }, None);
    assert_eq!(due(&desk, 121), Expired::default());
    assert_eq!(due(&desk, 122), Expired { session_timer: 1, longest_call: 0 });
    assert_eq!(due(&desk, 1931), Expired::default());
    assert_eq!(due(&desk, 1932), Expired { session_timer: 1, longest_call: 0 });
    assert_eq!(desk.calls("a"), 1);
    assert_eq!(due(&desk, 12 * 3600 - 1), Expired::default());
    assert_eq!(due(&desk, 12 * 3600), Expired { session_timer: 0, longest_call: 1 });
    assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
}

#[test]
fn an_attempt_that_nobody_ends_is_given_up_in_the_end() {
    let settings = AdmissionSettings { longest_call: Duration::from_secs(60), ..AdmissionSettings::default() };
    let desk = Desk::new(&settings, &[("a", calls(9))]);
    let id = desk.begin(1);
    desk.admit(id, 0, "a").unwrap();
    assert_eq!((due(&desk, 59).longest_call, due(&desk, 60).longest_call), (0, 1));
    assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
}

#[test]
fn limits_change_and_counts_stay() {
    let desk = Desk::with(&[("a", calls(1)), ("b", AdmissionLimits::default())]);
    let ids = [desk.begin(1), desk.begin(2), desk.begin(3)];
    desk.admit(ids[0], 0, "a").unwrap();
    desk.admit(ids[1], 0, "b").unwrap();
    desk.reconfigure(&AdmissionSettings::default(), &[("a", calls(2))]);
    desk.admit(ids[2], 0, "a").unwrap();
    assert_eq!(desk.calls("a"), 2);
    desk.reconfigure(&AdmissionSettings::default(), &[("a", calls(1)), ("b", calls(1))]);
    assert_eq!((desk.calls("a"), desk.calls("b")), (2, 1), "what was gone counts again");
    let more = desk.begin(4);
    assert!(desk.admit(more, 0, "a").is_err() && desk.admit(more, 1, "b").is_err());
    for id in ids {
        desk.admission.over(id, None);
    }
    assert_eq!((desk.calls("a"), desk.calls("b")), (0, 0));
    assert_eq!(desk.admit(more, 2, "b"), Ok(()));
}

#[test]
fn without_room_what_is_limited_is_refused_and_all_else_passes_uncounted() {
    let settings = AdmissionSettings { tracked: PARTS, source: AdmissionLimits::default(), ..AdmissionSettings::default() };
    let desk = Desk::new(&settings, &[("free", AdmissionLimits::default()), ("bound", calls(1_000_000))]);
    // All in the same part, which has room for one.
    desk.admit(desk.begin(1), 0, "bound").unwrap();
    let id = desk.begin(2);
    assert_eq!(desk.admit(id, 0, "free"), Ok(()));
    assert_eq!(desk.admit(id, 1, "bound").unwrap_err().limit, Limit::Tracked);
    assert_eq!((desk.admission.snapshot().uncounted, desk.calls("free")), (1, 0));
    desk.answered(id, 0, 100);
    desk.admission.ended(Dialog { from: 2, to: 100 });
    assert_eq!(desk.calls("bound"), 1);
}

#[test]
fn attempts_and_targets_of_one_call_are_bounded() {
    let desk = Desk::with(&[("a", calls(1000))]);
    let attempts: Vec<AttemptId> = (0..40).map(|_| desk.begin(1)).collect();
    let admitted = attempts.iter().filter(|id| desk.admit(**id, 0, "a").is_ok()).count();
    assert_eq!(admitted, 16);
    let targets = (1..=200).filter(|branch| desk.admit(attempts[0], *branch, "a").is_ok()).count();
    assert_eq!(targets, attempt::LEGS - 1);
    attempts.iter().for_each(|id| desk.admission.over(*id, None));
    assert_eq!((desk.calls("a"), desk.admission.snapshot().tracked), (0, 0));
}

fn message(start: &str, from: &str, to: &str, more: &str) -> Message {
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bKa\r\nFrom: <sip:a@a.test>{from}\r\nTo: <sip:b@b.test>{to}\r\n\
         Call-ID: one\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap()
}

#[test]
fn a_dialog_is_found_from_both_sides() {
    let Desk { admission } = Desk::with(&[("a", calls(9))]);
    let invite = message("INVITE sip:b@b.test SIP/2.0", ";tag=caller", "", "");
    let id = admission.begin(at(0), admission.call(&invite), HERE).unwrap();
    admission.admit(at(0), id, target(0, "a", "")).unwrap();
    let answer = message("SIP/2.0 200 OK", ";tag=caller", ";tag=callee", "x: 1800;refresher=uac\r\n");
    assert_eq!(session_interval(&answer), Some(1800));
    admission.answered(at(0), id, target(0, "a", ""), admission.dialog(&answer), session_interval(&answer));
    let other = message("BYE sip:a@a.test SIP/2.0", ";tag=somebody", ";tag=caller", "");
    admission.ended(admission.dialog(&other));
    assert_eq!(admission.snapshot().tracked, 1);
    let bye = message("BYE sip:a@a.test SIP/2.0", ";tag=callee", ";tag=caller", "");
    admission.ended(admission.dialog(&bye));
    assert_eq!(admission.snapshot().tracked, 0);
}

#[test]
fn what_is_no_interval_is_none() {
    for (field, interval) in [("Session-Expires: 90", Some(90)), ("Session-Expires: 4294967296", None), ("x: soon", None), ("x: ;1", None)]
    {
        assert_eq!(session_interval(&message("SIP/2.0 200 OK", "", "", &format!("{field}\r\n"))), interval, "{field}");
    }
}

/// RFC 3261 12.2.1.2, 15.1.1, 22.2; RFC 5057 5.1.
#[test]
fn a_dialog_ends_by_bye_and_by_who_knows_it_no_more() {
    for (method, status, ends) in [
        (Method::BYE, Some(200), true),
        (Method::BYE, Some(481), true),
        (Method::BYE, None, true),
        (Method::BYE, Some(401), false),
        (Method::BYE, Some(407), false),
        (Method::INVITE, Some(481), true),
        (Method::UPDATE, Some(408), true),
        (Method::INVITE, Some(488), false),
        (Method::INVITE, None, false),
        (Method::PRACK, Some(481), false),
        (Method::SUBSCRIBE, Some(481), false),
        (Method::INFO, Some(481), true),
    ] {
        assert_eq!(ends_dialog(method, status), ends, "{method} {status:?}");
    }
}
