//! Nothing that comes from a network fills the table, and no step takes longer because it is full.

use std::time::Instant;

use super::*;

fn notes(table: &Registrations) -> usize {
    table.shards.iter().map(|shard| lock(shard).notes()).sum()
}

fn lists(table: &Registrations) -> usize {
    table.shards.iter().map(|shard| lock(shard).lists.len()).sum()
}

#[test]
fn beyond_the_limit_nothing_is_remembered_and_that_is_counted() {
    let table = Registrations::new(RegistrationSettings { limit: 10, ..RegistrationSettings::default() });
    let agents: Vec<_> = (0..12).map(|n| Agent::new(&format!("sip:{n}@p.test"), &format!("<sip:s@10.0.0.5;line={n}>"))).collect();
    let bound = agents.iter().filter(|agent| !agent.granted(&table, START, 60).is_empty()).count();
    assert_eq!((bound, table.len(), table.not_remembered().over_limit), (10, 10, 2));
    assert_eq!(kinds(&agents[3].granted(&table, after(1), 60)), [EventKind::Refreshed]);
    agents[4].granted(&table, after(1), 0);
    assert_eq!(kinds(&agents[11].granted(&table, after(1), 60)), [EventKind::Registered]);
}

#[test]
fn what_is_out_of_use_makes_room_for_what_is_in_use() {
    let table = Registrations::new(RegistrationSettings { limit: 1, ..RegistrationSettings::default() });
    let (one, two) = (Agent::new("sip:1@p.test", "<sip:s@10.0.0.5;line=1>"), Agent::new("sip:1@p.test", "<sip:s@10.0.0.5;line=2>"));
    one.granted(&table, START, 60);
    assert_eq!(kinds(&two.granted(&table, START, 60)), []);
    table.due(after(60));
    assert_eq!(kinds(&two.granted(&table, after(60), 60)), [EventKind::Registered]);
    assert_eq!((table.len(), counted(&table)), (1, [1, 0, 0, 0]));
    assert_eq!(kinds(&one.answered(&table, after(61), 403, &[])), []);
    assert_eq!(found(&table, after(61), "sip:s@h;line=2", "", None).len(), 1);
}

#[test]
fn refused_registers_fill_a_part_of_the_table_only() {
    let table = Registrations::new(RegistrationSettings { limit: 1000, ..RegistrationSettings::default() });
    for n in 0..5000 {
        Agent::new(&format!("sip:{n}@p.test"), "<sip:s@10.0.0.5>").answered(&table, after(n), 403, &[]);
    }
    assert!(table.len() <= 250, "{}", table.len());
    assert_eq!(counted(&table)[1] as usize, table.len());
    assert!(lists(&table) <= table.len());
}

#[test]
fn one_account_holds_so_many_bindings_and_refused_ones_push_none_out() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = |n: u64| Agent::new("sip:1@p.test", &format!("<sip:s@10.0.0.5;line=l{n}>"));
    let max = shard::AOR_BINDINGS_MAX as u64;
    agent(0).granted(&table, START, 3600);
    (1..200).for_each(|n| drop(agent(n).answered(&table, after(n), 403, &[])));
    assert_eq!(table.len() as u64, max);
    assert_eq!(found(&table, after(200), "sip:s@h;line=l0", "", None).len(), 1);
    for n in 1..max {
        assert_eq!(kinds(&agent(1000 + n).granted(&table, after(200 + n), 3600)), [EventKind::Registered]);
    }
    let events = agent(5000).granted(&table, after(500), 3600);
    assert_eq!((kinds(&events), events[0].line.as_deref()), (vec![EventKind::Removed, EventKind::Registered], Some("l0")));
    assert_eq!((table.len() as u64, counted(&table)), (max, [max as u32, 0, 0, 0]));
}

#[test]
fn a_register_with_very_many_contacts_binds_a_few_of_them() {
    let table = Registrations::new(RegistrationSettings::default());
    let contacts = (0..1200).map(|n| format!("<sip:c{n}@10.0.0.5>")).collect();
    let agent = Agent { contacts, ..Agent::new("sip:1@p.test", "") };
    assert_eq!(agent.granted(&table, START, 60).len(), register::CONTACTS_MAX);
    assert_eq!((table.len(), table.not_remembered().unfit), (8, 1192));
    let listed: Vec<_> = (0..1200).map(|n| format!("Contact: <sip:c{n}@10.0.0.5>;expires=9")).collect();
    let listed: Vec<_> = listed.iter().map(String::as_str).collect();
    assert_eq!(agent.answered(&table, after(1), 200, &listed).len(), register::CONTACTS_MAX);
}

#[test]
fn what_is_too_long_or_nothing_we_understand_is_not_remembered() {
    let table = Registrations::new(RegistrationSettings::default());
    let long = "x".repeat(register::URI_MAX);
    let hostile = [
        Agent::new("sip:1@p.test", &format!("<sip:{long}@10.0.0.5>")),
        Agent::new("sip:1@p.test", &format!("<sip:s@10.0.0.5;line={long}>")),
        Agent::new(&format!("sip:{long}@p.test"), "<sip:s@10.0.0.5>"),
        Agent::new("tel:+4930", "<sip:s@10.0.0.5>"),
        Agent::new("sip:1@p.test", "<mailto:a@b>"),
        Agent::new("sip:1@p.test", "<sip:s@10.0.0.5:99999>"),
        Agent::new("sip:1@p.test", "\"open <sip:s@10.0.0.5>"),
    ];
    for agent in &hostile {
        assert_eq!(kinds(&agent.granted(&table, START, 60)), [], "{:?}", agent.contacts);
    }
    assert_eq!((table.len(), table.not_remembered().unfit), (0, hostile.len() as u64));
    let odd = Agent { call_id: long.repeat(4), ..Agent::new("sip:1@p.test", "<sip:s@10.0.0.5>") };
    assert_eq!(kinds(&odd.granted(&table, START, 60)), [EventKind::Registered]);
    assert_eq!(
        kinds(&odd.clone().contact("<sip:s@10.0.0.6>").granted(&table, START, 60)),
        [EventKind::Registered],
        "its Call-ID says nothing"
    );
}

#[test]
fn refreshing_again_and_again_leaves_no_notes_behind() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = Agent::new("sip:1@p.test", "<sip:s@10.0.0.5>");
    for n in 0..2000u32 {
        agent.granted(&table, after(n.into()), 9000 - 2 * n);
        let now = after(u64::from(n)) + Duration::from_millis(500);
        agent.granted(&table, now, 1);
        table.due(now + Duration::from_secs(1));
    }
    assert!(notes(&table) < 500, "{}", notes(&table));
    assert_eq!(table.len(), 1);
}

/// All have the contact user that Asterisk writes when it is told none, which is one list of 10,000.
#[test]
fn ten_thousand_refreshes_of_one_trunk_are_fast() {
    const AGENTS: usize = 10_000;
    let table = Registrations::new(RegistrationSettings::default());
    let agents: Vec<_> = (0..AGENTS).map(|n| Agent::new(&format!("sip:{n}@p.test"), &format!("<sip:s@10.0.0.5;line={n}>"))).collect();
    let messages: Vec<_> = agents.iter().map(|agent| (agent.request(), agent.response(200, &["Expires: 60"]))).collect();
    let storm = |now: UnixTime| {
        let began = Instant::now();
        for (agent, (request, response)) in agents.iter().zip(&messages) {
            let Agent { trunk, flow, registrar, credentials, .. } = agent;
            let answered = Answered { request, response, trunk, flow, registrar: *registrar, credentials: *credentials };
            assert_eq!(table.answered(now, &answered).len(), 1);
        }
        began.elapsed()
    };
    let (first, refresh) = (storm(START), storm(after(30)));
    let began = Instant::now();
    for n in 0..AGENTS {
        assert_eq!(found(&table, after(31), &format!("sip:s@h;line={n}"), "", Some("telekom")).len(), 1);
        assert_eq!(found(&table, after(31), "sip:s@h", "sip:nobody@p.test", Some("telekom")).len(), 4);
    }
    let finding = began.elapsed();
    let began = Instant::now();
    assert_eq!((table.due(after(60)).len(), table.due(after(90)).len()), (0, AGENTS));
    println!("first {first:?}, refresh {refresh:?}, finding twice {finding:?}, expiry {:?}", began.elapsed());
    // Generous: a build without optimisation on a busy machine. Anything that looks at all for each takes minutes.
    assert!(first + refresh + finding < Duration::from_secs(20));
    assert_eq!(counted(&table), [0, 0, 0, AGENTS as u32]);
}
