//! For whom calls are.

use super::*;

fn table(agents: &[Agent]) -> Registrations {
    let table = Registrations::new(RegistrationSettings::default());
    for (second, agent) in (0..).zip(agents) {
        assert_eq!(kinds(&agent.granted(&table, after(second), 3600)), [EventKind::Registered]);
    }
    table
}

#[test]
fn a_line_leads_to_its_agent_from_either_uri() {
    let agent = Agent::new("sip:1@p.test", "<sip:s@10.0.0.5:5060;transport=tcp;line=a%62C>").over_tcp("10.0.0.5:40001", 3);
    let table = table(&[agent.clone(), Agent::new("sip:2@p.test", "<sip:s@10.0.0.5:5060;line=other>")]);
    for (request_uri, to) in [
        ("sip:s@192.0.2.1:5060;line=abc", "sip:1@p.test"),
        ("sip:whoever@192.0.2.1:49152;x;Line=ABC", "sip:1@p.test"),
        ("sip:+4930@192.0.2.1", "sip:1@p.test;line=abc"),
        ("sip:+4930@192.0.2.1;line=unknown", "sip:1@p.test;line=abc"),
    ] {
        assert_eq!(found(&table, after(5), request_uri, to, None), ["sip:s@10.0.0.5:5060;transport=tcp;line=a%62C"], "{request_uri}");
    }
    let sought = Sought { request_uri: b"sip:192.0.2.1;line=abc", to_uri: b"", source: "192.0.2.7".parse().unwrap(), trunk: None };
    let all = table.find(after(5), &sought);
    assert_eq!((&all[0].flow, &*all[0].trunk), (&agent.flow, "telekom"));
}

#[test]
fn without_a_line_the_user_part_tells_if_the_trunk_is_known() {
    let table = table(&[
        Agent::new("sip:+4930@p.test", "<sip:desk-7@10.0.0.5>"),
        Agent::new("sip:+4940@p.test", "<sip:s@10.0.0.6;line=x>"),
        Agent::new("sip:+4930@p.test", "<sip:else@10.0.0.7>").trunk("sipgate"),
    ]);
    let find = |request_uri, to, trunk| found(&table, after(9), request_uri, to, trunk);
    assert_eq!(find("sip:desk-7@192.0.2.1", "sip:x@y", Some("telekom")), ["sip:desk-7@10.0.0.5"]);
    assert_eq!(find("sip:%2B4930@192.0.2.1", "sip:x@y", Some("telekom")), ["sip:desk-7@10.0.0.5"]);
    assert_eq!(find("sip:s@192.0.2.1", "sip:x@y", Some("telekom")), ["sip:s@10.0.0.6;line=x"]);
    assert_eq!(find("sip:192.0.2.1", "sip:+4940@p.test", Some("telekom")), ["sip:s@10.0.0.6;line=x"]);
    assert_eq!(find("sip:+4930@192.0.2.1", "sip:x@y", Some("sipgate")), ["sip:else@10.0.0.7"]);
    for (request_uri, trunk) in [
        ("sip:desk-7@192.0.2.1", None),
        ("sip:desk-7@192.0.2.1", Some("sipgate")),
        ("sip:DESK-7@192.0.2.1", Some("telekom")),
        ("sip:s@192.0.2.1;line=of-nobody", Some("telekom")),
        ("sip:192.0.2.1", Some("telekom")),
        ("tel:+4930", Some("telekom")),
        ("no uri", Some("telekom")),
    ] {
        assert_eq!(find(request_uri, "sip:x@y", trunk), [""; 0], "{request_uri} {trunk:?}");
    }
}

#[test]
fn of_several_it_is_the_account_that_to_names_or_else_the_newest() {
    let agents: Vec<_> = (0..200).map(|n| Agent::new(&format!("sip:{n}@p.test"), &format!("<sip:s@10.0.0.{n}>"))).collect();
    let table = table(&agents);
    let hosts = |to| -> Vec<String> { found(&table, after(300), "sip:s@192.0.2.1", to, Some("telekom")) };
    assert_eq!(hosts("sip:x@y"), ["sip:s@10.0.0.199", "sip:s@10.0.0.198", "sip:s@10.0.0.197", "sip:s@10.0.0.196"]);
    assert_eq!(hosts("sip:1@p.test"), ["sip:s@10.0.0.1"]);
    agents[2].granted(&table, after(250), 3600);
    assert_eq!(hosts("sip:x@y")[0], "sip:s@10.0.0.2");
}

#[test]
fn the_registrar_that_sends_a_call_has_the_binding_that_it_is_for() {
    let here = Agent { registrar: "192.0.2.200:5060".parse().unwrap(), ..Agent::new("sip:a@p.test", "<sip:s@10.0.0.1>") };
    let table = table(&[here, Agent::new("sip:b@p.test", "<sip:s@10.0.0.2>")]);
    assert_eq!(found(&table, after(9), "sip:s@192.0.2.1", "", Some("telekom")), ["sip:s@10.0.0.1", "sip:s@10.0.0.2"]);
}

#[test]
fn a_registrars_address_says_which_trunk_it_is_while_that_is_one() {
    let agent = Agent::new("sip:a@p.test", "<sip:s@10.0.0.1>");
    let table = table(std::slice::from_ref(&agent));
    let at = |address: &str| table.trunk_at(address.parse().unwrap());
    assert_eq!(
        (at("198.51.100.9"), at("::ffff:198.51.100.9"), at("198.51.100.8")),
        (Some(TrunkId::of("telekom")), Some(TrunkId::of("telekom")), None)
    );
    let other = agent.clone().trunk("sipgate");
    other.granted(&table, START, 60);
    assert_eq!(at("198.51.100.9"), None);
    other.granted(&table, START, 0);
    let moved = Agent { registrar: "198.51.100.8:5060".parse().unwrap(), ..agent };
    moved.granted(&table, after(1), 60);
    assert_eq!((at("198.51.100.9"), at("198.51.100.8")), (None, Some(TrunkId::of("telekom"))));
    table.due(after(61));
    assert_eq!(at("198.51.100.8"), None);
}

#[test]
fn only_what_is_live_is_found() {
    let agent = Agent::new("sip:a@p.test", "<sip:s@10.0.0.1;line=x>");
    let table = Registrations::new(RegistrationSettings::default());
    agent.granted(&table, START, 60);
    let find = |now| found(&table, now, "sip:s@192.0.2.1;line=x", "", None).len();
    assert_eq!((find(after(59)), find(after(60))), (1, 0));
    table.due(after(60));
    assert_eq!(find(after(60)), 0);
    agent.granted(&table, after(100), 60);
    assert_eq!(find(after(101)), 1);
    agent.granted(&table, after(102), 0);
    assert_eq!(find(after(102)), 0);
}

#[test]
fn contacts_without_a_port_with_port_zero_and_with_ipv6_are_found_as_they_were_written() {
    for contact in
        ["sip:s@[2001:db8::5]:0;line=six", "sip:[2001:db8::5];line=six", "sips:s@pbx.example.test:0;line=six", "sip:s@10.0.0.5:0;line=six"]
    {
        let table = table(&[Agent::new("sip:a@[2001:db8::1]", &format!("<{contact}>"))]);
        assert_eq!(found(&table, after(1), "sip:s@[2001:db8::2]:5060;line=six", "", None), [contact]);
    }
}

/// The contacts of an address-of-record at trunks: URI, line, trunk and seconds.
fn contacts(table: &Registrations, now: UnixTime, aor: &str, trunks: &[&str]) -> Vec<(String, Option<String>, String, u32)> {
    let found = table.contacts(now, aor.as_bytes(), trunks.iter().map(|name| TrunkId::of(name)));
    found.into_iter().map(|contact| (contact.uri, contact.line, contact.trunk.to_string(), contact.expires_in)).collect()
}

#[test]
fn the_contacts_of_an_address_of_record_are_told_trunk_by_trunk_and_the_newest_first() {
    let table = table(&[
        Agent::new("sip:a@p.test", "<sip:s@10.0.0.1>"),
        Agent::new("sip:a@p.test", "<sip:s@10.0.0.2;line=x>"),
        Agent::new("sip:b@p.test", "<sip:s@10.0.0.3>"),
        Agent::new("sip:a@p.test", "<sip:s@10.0.0.4>").trunk("sipgate"),
    ]);
    let of = |uri: &str, line: Option<&str>, trunk: &str, seconds| (uri.to_owned(), line.map(str::to_owned), trunk.to_owned(), seconds);
    let [oldest, newest, other] = [
        of("sip:s@10.0.0.1", None, "telekom", 3590),
        of("sip:s@10.0.0.2;line=x", Some("x"), "telekom", 3591),
        of("sip:s@10.0.0.4", None, "sipgate", 3593),
    ];
    let found = |aor, trunks: &[&str]| contacts(&table, after(10), aor, trunks);
    assert_eq!(found("sip:a@p.test", &["telekom", "sipgate"]), [newest.clone(), oldest.clone(), other.clone()]);
    assert_eq!(found("sip:a@p.test", &["sipgate", "telekom"]), [other, newest.clone(), oldest.clone()]);
    // RFC 3261 10.3: an address-of-record is found without its parameters, and whatever the case of its host.
    assert_eq!(found("sip:a@P.TEST;user=phone", &["telekom"]), [newest, oldest]);
    for (aor, trunk) in
        [("sip:A@p.test", "telekom"), ("sip:c@p.test", "telekom"), ("sip:a@p.test", "nobody"), ("tel:+49", "telekom"), ("", "telekom")]
    {
        assert_eq!(found(aor, &[trunk]), [], "{aor} {trunk}");
    }
}

#[test]
fn contacts_that_have_expired_are_not_told_and_of_many_only_so_many() {
    let table = Registrations::new(RegistrationSettings::default());
    for host in 0..100 {
        Agent::new("sip:a@p.test", &format!("<sip:s@10.0.0.{host}>")).granted(&table, after(host), 60);
    }
    let hosts = |now| -> Vec<String> { contacts(&table, now, "sip:a@p.test", &["telekom"]).into_iter().map(|found| found.0).collect() };
    let newest: Vec<_> = (0..100).rev().map(|host| format!("sip:s@10.0.0.{host}")).collect();
    assert_eq!(hosts(after(50)), newest[..64]);
    assert_eq!(hosts(after(157)), newest[..2], "all but two have had their minute");
    assert_eq!(hosts(after(159)), [""; 0]);
}
