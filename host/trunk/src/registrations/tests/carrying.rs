//! What REGISTERs and their responses make of the table.

use super::*;

const AOR: &str = "sip:+4930123@tel.example.test";

#[test]
fn a_2xx_binds_what_the_request_asked_for() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new("SIP:+4930123@TEL.example.test;user=phone", "\"PBX\" <sip:s@10.0.0.5:5060;line=ab12>;q=0.5")
        .header("Supported: replaces, path");
    let events = agent.answered(&table, START, 200, &["Contact: <sip:s@10.0.0.5:5060;line=ab12>;expires=480"]);
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.kind, &*event.trunk, &*event.aor), (EventKind::Registered, "telekom", AOR));
    assert_eq!((&*event.contact, event.line.as_deref()), ("sip:s@10.0.0.5:5060;line=ab12", Some("ab12")));
    assert_eq!((event.expires_in, event.outcome, event.failures), (480, Outcome::Status(200), 0));
    assert_eq!(event.flow, agent.flow);

    let views = table.snapshot(after(80));
    let [view] = views.as_slice() else { panic!("{views:?}") };
    assert_eq!((view.state, view.expires_in, view.refreshes), (BindingState::Registered, Some(400), 0));
    assert_eq!((view.via.as_str(), view.listener.as_str()), ("udp 10.0.0.5:5060", "lan"));
    assert_eq!((view.registrar.as_deref(), view.claims_path, view.last_ago), (Some("198.51.100.9:5060"), true, 80));
    assert_eq!(counted(&table), [1, 0, 0, 0]);
}

/// RFC 3261 10.2.1.1, 10.2.4, 20.10: what the registrar says of this contact, or of all, or else what was asked for, or else an hour.
#[test]
fn the_granted_time_is_the_registrars() {
    let contact = "<sip:a@10.0.0.5;line=x>";
    let other = "<sip:a@10.9.9.9;line=y>;expires=11";
    let both = format!("Contact: {other}, <sip:a@203.0.113.1:40000;line=x>;expires=22");
    for (own, headers, granted) in [
        ("", vec!["Contact: <sip:%61@10.0.0.5:5060;LINE=X>;expires=60"], 60),
        ("", vec!["Contact: <sip:a@10.0.0.5;line=x>;expires=60", "Expires: 90"], 60),
        ("", vec!["Contact: <sip:a@10.0.0.5;line=x>", "Expires: 90"], 90),
        ("", vec!["Expires: 90"], 90),
        ("", vec![], 3600),
        (";expires=70", vec![], 70),
        (";expires=70", vec!["Contact: <sip:a@10.0.0.5;line=x>;expires=4294967296"], u32::MAX),
        (";expires=70", vec!["Contact: <sip:a@10.0.0.5;line=x>;expires=soon"], 3600),
        ("", vec![both.as_str(), "Expires: 90"], 22),
        ("", vec!["Contact: <sip:t-4f2a@192.0.2.1>;expires=33"], 33),
        ("", vec!["Contact: <sip:t-4f2a@192.0.2.1>;expires=33, <sip:t-77aa@192.0.2.1>;expires=44", "Expires: 90"], 90),
    ] {
        let table = Registrations::new(RegistrationSettings::default());
        let events = Agent::new(AOR, &format!("{contact}{own}")).answered(&table, START, 200, &headers);
        assert_eq!((kinds(&events), events[0].expires_in), (vec![EventKind::Registered], granted), "{headers:?}");
    }
}

#[test]
fn a_refresh_that_changes_nothing_is_told_from_one_that_does() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:s@10.0.0.5;line=ab>");
    assert_eq!(kinds(&agent.granted(&table, START, 60)), [EventKind::Registered]);
    assert_eq!(kinds(&agent.granted(&table, after(50), 60)), [EventKind::Refreshed]);

    let moved = Agent { call_id: "after-a-reboot".into(), ..agent.clone().contact("<sip:s@10.0.0.6:5070;line=ab>") };
    let events = moved.granted(&table, after(100), 60);
    assert_eq!((kinds(&events), &*events[0].contact), (vec![EventKind::Changed], "sip:s@10.0.0.6:5070;line=ab"));
    let other_flow = moved.clone().over_tcp("10.0.0.6:40000", 7);
    assert_eq!(kinds(&other_flow.granted(&table, after(110), 60)), [EventKind::Changed]);
    assert_eq!(kinds(&other_flow.granted(&table, after(120), 60)), [EventKind::Refreshed]);
    assert_eq!(table.len(), 1);
    assert_eq!(found(&table, after(121), "sip:s@192.0.2.1;line=ab", "", None), ["sip:s@10.0.0.6:5070;line=ab"]);
}

/// RFC 3261 10.2.4: a user agent uses one Call-ID for its registrations, so its new contact stands for the old one.
#[test]
fn an_agent_without_a_line_is_known_again_by_its_call_id() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:100@10.0.0.5:5060>");
    agent.granted(&table, START, 60);
    assert_eq!(kinds(&agent.clone().contact("<sip:100@10.0.0.9:5060>").granted(&table, after(10), 60)), [EventKind::Changed]);
    let stranger = Agent { call_id: "another".into(), ..agent.clone().contact("<sip:100@10.0.0.7>") };
    assert_eq!(kinds(&stranger.granted(&table, after(11), 60)), [EventKind::Registered]);
    // RFC 5626 4.2: several flows of one agent.
    let second_flow = agent.contact("<sip:100@10.0.0.8>;reg-id=2");
    assert_eq!(kinds(&second_flow.granted(&table, after(12), 60)), [EventKind::Registered]);
    assert_eq!(table.len(), 3);
}

#[test]
fn two_agents_with_one_account_are_told_apart_by_their_lines() {
    let table = Registrations::new(RegistrationSettings::default());
    let one = Agent::new(AOR, "<sip:s@10.0.0.5;line=one>");
    let two = Agent { call_id: one.call_id.clone(), ..Agent::new(AOR, "<sip:s@10.0.0.6;line=two>") };
    one.granted(&table, START, 60);
    assert_eq!(kinds(&two.granted(&table, START, 60)), [EventKind::Registered]);
    assert_eq!(kinds(&one.granted(&table, after(30), 60)), [EventKind::Refreshed]);
    assert_eq!(found(&table, after(31), "sip:s@192.0.2.1:9;line=one", "", None), ["sip:s@10.0.0.5;line=one"]);
    assert_eq!(found(&table, after(31), "sip:s@192.0.2.1:9;line=two", "", None), ["sip:s@10.0.0.6;line=two"]);
}

/// RFC 3261 10.2.2.
#[test]
fn bindings_are_removed_by_zero_and_by_the_asterisk() {
    let table = Registrations::new(RegistrationSettings::default());
    let agents: Vec<_> = ["a", "b", "c"].map(|line| Agent::new(AOR, &format!("<sip:s@10.0.0.5;line={line}>"))).into();
    let elsewhere = Agent::new(AOR, "<sip:s@10.0.0.5;line=d>").trunk("sipgate");
    agents.iter().chain([&elsewhere]).for_each(|agent| assert_eq!(kinds(&agent.granted(&table, START, 60)), [EventKind::Registered]));

    let events = agents[0].clone().contact("<sip:s@10.0.0.5;line=a>;expires=0").answered(&table, after(1), 200, &[]);
    assert_eq!((kinds(&events), events[0].line.as_deref(), events[0].expires_in), (vec![EventKind::Removed], Some("a"), 0));
    assert_eq!(table.len(), 3);
    let failed = agents[1].clone().contact("*").header("Expires: 0").answered(&table, after(2), 500, &[]);
    assert_eq!((kinds(&failed), table.len()), (vec![], 3));
    let events = agents[1].clone().contact("*").header("Expires: 0").answered(&table, after(2), 200, &[]);
    assert_eq!((kinds(&events), table.len()), (vec![EventKind::Removed; 2], 1));
    assert_eq!(found(&table, after(3), "sip:s@192.0.2.1;line=d", "", None).len(), 1);
    assert_eq!(kinds(&agents[0].clone().contact("<sip:s@10.0.0.5>;expires=0").answered(&table, after(4), 200, &[])), []);
    // A registrar may take it away as it answers.
    assert_eq!(kinds(&elsewhere.granted(&table, after(5), 0)), [EventKind::Removed]);
    assert!(table.is_empty());
}

#[test]
fn what_only_asks_and_what_is_only_provisional_changes_nothing() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:s@10.0.0.5>");
    assert_eq!(kinds(&agent.answered(&table, START, 100, &[])), []);
    let query = Agent { contacts: Vec::new(), ..agent.clone() };
    assert_eq!(kinds(&query.answered(&table, START, 200, &["Contact: <sip:s@10.0.0.5>;expires=60"])), []);
    assert_eq!(kinds(&agent.answered(&table, START, 423, &["Min-Expires: 600"])), []);
    assert!(table.is_empty());
}

#[test]
fn a_failure_is_shown_and_what_was_granted_lasts() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:s@10.0.0.5;line=x>");
    let events = agent.answered(&table, START, 403, &[]);
    assert_eq!((kinds(&events), events[0].outcome.status(), events[0].expires_in), (vec![EventKind::Failed], 403, 0));
    assert_eq!(found(&table, START, "sip:s@192.0.2.1;line=x", "", None), [""; 0]);
    assert_eq!(counted(&table), [0, 1, 0, 0]);

    assert_eq!(kinds(&agent.granted(&table, after(10), 60)), [EventKind::Registered]);
    assert_eq!(counted(&table), [1, 0, 0, 0]);
    let events = agent.unanswered(&table, after(40), Cause::Timeout);
    assert_eq!((kinds(&events), events[0].outcome, events[0].expires_in), (vec![EventKind::Failed], Outcome::Timeout, 30));
    let events = agent.answered(&table, after(45), 503, &[]);
    assert_eq!((events[0].failures, events[0].expires_in), (2, 25));
    assert_eq!(found(&table, after(50), "sip:s@192.0.2.1;line=x", "", None).len(), 1);
    assert_eq!(counted(&table), [0, 1, 0, 0]);
    assert_eq!(kinds(&table.due(after(70))), [EventKind::Expired]);
    assert_eq!(counted(&table), [0, 0, 0, 1]);
}

/// RFC 3261 22.2, 22.3: a challenge is the ordinary way to register; refused credentials are not.
#[test]
fn a_challenge_is_a_failure_only_if_it_refuses_credentials() {
    let bare = Agent::new(AOR, "<sip:s@10.0.0.5;line=x>");
    for (status, answer, challenge) in [(401, "Authorization", "WWW-Authenticate"), (407, "Proxy-Authorization", "Proxy-Authenticate")] {
        let table = Registrations::new(RegistrationSettings::default());
        let digest = format!("{challenge}: Digest realm=\"stale=true, x\", nonce=\"2\"");
        let stale = format!("{digest}, stale=TRUE");
        let proved = bare.clone().header(&format!("{answer}: Digest username=\"a\", nonce=\"1\""));
        let hears = |agent: &Agent, status, header: &str| kinds(&agent.answered(&table, START, status, &[header]));
        assert_eq!(hears(&bare, status, &digest), []);
        assert_eq!(hears(&bare, status, &digest), [], "asked again without credentials");
        assert_eq!(hears(&proved, status, &stale), [], "only the nonce is too old");
        assert_eq!(hears(&proved, 200, ""), [EventKind::Registered]);
        assert_eq!(hears(&proved, status, &digest), [], "a nonce of long ago");
        assert_eq!(hears(&proved, status, &digest), [EventKind::Failed]);
        assert_eq!(hears(&proved, status, &digest), [EventKind::Failed]);
        assert_eq!(hears(&proved, 200, ""), [EventKind::Refreshed]);
        assert_eq!(hears(&proved, status, &digest), []);
    }
}

#[test]
fn a_challenge_that_our_own_credentials_do_not_answer_is_a_failure() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent { credentials: Credentials::Ours, ..Agent::new(AOR, "<sip:s@10.0.0.5>") };
    assert_eq!(kinds(&agent.answered(&table, START, 401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"1\""])), [EventKind::Failed]);
}

#[test]
fn events_at_info_name_the_trunk_and_nobody() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:s@10.0.0.5;line=x>");
    let line = |events: Vec<Event>| (events[0].to_string(), events[0].detailed().to_string());
    let detail = ": sip:+4930123@tel.example.test, contact sip:s@10.0.0.5;line=x, from 10.0.0.5:5060";
    for (events, text) in [
        (agent.unanswered(&table, START, Cause::Resolve), "trunk [telekom]: REGISTER failed (name not found)"),
        (agent.granted(&table, START, 60), "trunk [telekom]: registered for 60 s"),
        (agent.granted(&table, after(30), 60), "trunk [telekom]: refreshed for 60 s"),
        (agent.answered(&table, after(60), 403, &[]), "trunk [telekom]: REGISTER failed (403), the registration lasts 30 s more"),
        (table.due(after(90)), "trunk [telekom]: a registration has expired"),
    ] {
        assert_eq!(line(events), (text.to_owned(), format!("{text}{detail}")));
    }
}
