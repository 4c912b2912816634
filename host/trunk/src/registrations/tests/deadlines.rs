//! Refreshes that stop, and bindings that expire.

use super::*;

const AOR: &str = "sip:1@p.test";

/// Registers and refreshes at these seconds, for an hour each.
fn refreshed_at(seconds: &[u64]) -> (Registrations, Agent) {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new(AOR, "<sip:s@10.0.0.5;line=x>");
    for second in seconds {
        agent.granted(&table, after(*second), 3600);
        assert_eq!(table.due(after(*second)), []);
    }
    (table, agent)
}

#[test]
fn a_refresh_is_overdue_after_the_usual_interval_and_the_grace() {
    let (table, agent) = refreshed_at(&[0, 100, 200, 300]);
    assert_eq!(kinds(&table.due(after(429))), []);
    let events = table.due(after(430));
    assert_eq!((kinds(&events), events[0].expires_in), (vec![EventKind::Overdue], 3600 - 130));
    assert_eq!(counted(&table), [0, 0, 1, 0]);
    assert_eq!(kinds(&table.due(after(1000))), [], "it is told once");
    assert_eq!(found(&table, after(1000), "sip:s@h;line=x", "", None).len(), 1);
    assert_eq!(kinds(&table.due(after(3900))), [EventKind::Expired]);
    assert_eq!(kinds(&agent.granted(&table, after(3901), 60)), [EventKind::Registered]);
    assert_eq!(counted(&table), [1, 0, 0, 0]);
}

#[test]
fn a_refresh_that_comes_late_makes_it_good_again() {
    let (table, agent) = refreshed_at(&[0, 100, 200, 300]);
    table.due(after(430));
    assert_eq!(kinds(&agent.granted(&table, after(440), 3600)), [EventKind::Refreshed]);
    assert_eq!(counted(&table), [1, 0, 0, 0]);
    assert_eq!(kinds(&table.due(after(440 + 140 + 29))), [], "it has taken 140 s, and may again");
    assert_eq!(kinds(&table.due(after(440 + 140 + 30))), [EventKind::Overdue]);
}

#[test]
fn the_first_refreshes_tell_nothing_and_a_few_out_of_turn_little() {
    let (table, _) = refreshed_at(&[0, 1, 2]);
    assert_eq!(kinds(&table.due(after(3601))), []);
    assert_eq!(kinds(&table.due(after(3602))), [EventKind::Expired]);
    let (table, _) = refreshed_at(&[0, 1000, 2000, 3000, 3001]);
    assert_eq!(kinds(&table.due(after(3001 + 875 + 30))), []);
    assert_eq!(kinds(&table.due(after(3001 + 876 + 30))), [EventKind::Overdue]);
}

#[test]
fn a_refresh_that_fails_is_not_missing() {
    let (table, agent) = refreshed_at(&[0, 100, 200, 300]);
    agent.answered(&table, after(400), 503, &[]);
    assert_eq!(kinds(&table.due(after(3899))), []);
    assert_eq!(kinds(&table.due(after(3900))), [EventKind::Expired]);
}

#[test]
fn the_grace_follows_the_settings() {
    let (table, agent) = refreshed_at(&[0, 100, 200]);
    table.configure(RegistrationSettings { refresh_grace: Duration::from_secs(5), ..RegistrationSettings::default() });
    agent.granted(&table, after(300), 3600);
    assert_eq!(kinds(&table.due(after(404))), []);
    assert_eq!(kinds(&table.due(after(405))), [EventKind::Overdue]);
}

#[test]
fn a_shorter_grant_is_noticed_in_time() {
    let (table, agent) = refreshed_at(&[0]);
    agent.granted(&table, after(10), 60);
    assert_eq!(kinds(&table.due(after(69))), []);
    assert_eq!(kinds(&table.due(after(70))), [EventKind::Expired]);
}

#[test]
fn what_has_expired_or_failed_is_shown_for_an_hour() {
    let table = Registrations::new(RegistrationSettings::default());
    Agent::new(AOR, "<sip:s@10.0.0.5>").granted(&table, START, 60);
    Agent::new("sip:2@p.test", "<sip:s@10.0.0.6>").answered(&table, after(30), 404, &[]);
    table.due(after(60));
    assert_eq!((table.len(), counted(&table)), (2, [0, 1, 0, 1]));
    assert_eq!(
        table.snapshot(after(61)).iter().map(|view| (view.state, view.expires_in)).collect::<Vec<_>>(),
        [(BindingState::Expired, None), (BindingState::Failed, None)]
    );
    table.due(after(3630));
    assert_eq!((table.len(), counted(&table)), (1, [0, 0, 0, 1]));
    table.due(after(3660));
    assert_eq!((table.len(), counted(&table)), (0, [0; 4]));
}
