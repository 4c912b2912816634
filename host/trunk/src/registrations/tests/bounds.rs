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
fn what_is_shown_is_bounded_and_trouble_is_shown_first() {
    let table = Registrations::new(RegistrationSettings::default());
    let agent = |n: u32| Agent::new(&format!("sip:{n:03}@p.test"), "<sip:s@10.0.0.5>");
    (0..100).for_each(|n| drop(agent(n).granted(&table, START, 60)));
    (40..60).for_each(|n| drop(agent(n).answered(&table, START, 500, &[])));
    for (most, troubled, left_out) in [(0, 0, 100), (5, 5, 95), (30, 20, 70), (100, 20, 0), (usize::MAX, 20, 0)] {
        let overview = table.overview(START, most);
        let failed = overview.bindings.iter().filter(|view| view.state == BindingState::Failed).count();
        assert_eq!((overview.bindings.len(), failed, overview.left_out), (most.min(100), troubled, left_out));
        assert!(overview.bindings.is_sorted_by_key(|view| view.aor.clone()));
        assert_eq!((overview.trunks[0].registered, overview.trunks[0].failed), (80, 20));
    }
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

/// Requests and responses with octets changed, taken out and put in at random; the seed is fixed.
#[test]
fn whatever_the_octets_nothing_panics() {
    let table = Registrations::new(RegistrationSettings { limit: 50, ..RegistrationSettings::default() });
    let agent =
        Agent::new("sip:+49%2030@p.test:5060", "\"a\" <sip:s@[2001:db8::5]:5060;line=a%62;x?y=z>;expires=60;q=1, <sip:b@h>;reg-id=1")
            .header("Authorization: Digest username=\"a\"")
            .header("Expires: 30");
    let contact = "Contact: <sip:s@192.0.2.1;line=ab>;expires=9, <sip:b@h>;expires=";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut taken_in = 0;
    for n in 0..20_000 {
        let [request, response] = [agent.request(), agent.response([200, 401, 407, 503][random(4)], &[contact])].map(|message| {
            let mut octets = message.bytes().to_vec();
            for _ in 0..random(4) {
                let at = random(octets.len());
                match random(3) {
                    0 => octets[at] = [b'<', b'>', b'"', b';', b'%', b'@', b',', b'*', 0, 0xff, b'[', b'='][random(12)],
                    1 => drop(octets.drain(at..(at + random(30)).min(octets.len()))),
                    _ => octets.insert(at, random(256) as u8),
                }
            }
            Message::parse(octets.into(), Framing::Datagram, &Limits::default())
        });
        let (Ok(request), Ok(response)) = (request, response) else { continue };
        let Agent { trunk, flow, registrar, credentials, .. } = &agent;
        let answered = Answered { request: &request, response: &response, trunk, flow, registrar: *registrar, credentials: *credentials };
        taken_in += table.answered(after(n), &answered).len();
        table
            .find(after(n), &Sought { request_uri: request.request_uri(), to_uri: request.call_id(), source: registrar.ip(), trunk: None });
        table.due(after(n));
    }
    assert!(taken_in > 5000 && table.len() <= 50, "{taken_in} {}", table.len());
}

#[test]
fn several_workers_at_once_leave_the_table_in_order() {
    let table = Registrations::new(RegistrationSettings { limit: 300, ..RegistrationSettings::default() });
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let table = &table;
            scope.spawn(move || {
                for n in 0..4000 {
                    let agent = Agent::new(&format!("sip:{}@p.test", (n * 7 + worker) % 100), &format!("<sip:s@10.0.0.5;line={}>", n % 5));
                    match (n + worker) % 4 {
                        0 => drop(agent.answered(table, after(n), 503, &[])),
                        1 => drop(agent.granted(table, after(n), 0)),
                        _ => drop(agent.granted(table, after(n), 60)),
                    }
                    found(table, after(n), &format!("sip:s@h;line={}", n % 5), "sip:7@p.test", Some("telekom"));
                    table.due(after(n));
                }
            });
        }
    });
    let states = counted(&table).iter().sum::<u32>() as usize;
    assert_eq!((states, table.snapshot(after(4000)).len()), (table.len(), table.len()));
    assert!(!table.is_empty());
    table.due(after(8000));
    table.due(after(12_000));
    assert_eq!((table.len(), lists(&table), counted(&table)), (0, 0, [0; 4]));
    assert_eq!(table.trunk_at("198.51.100.9".parse().unwrap()), None);
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
