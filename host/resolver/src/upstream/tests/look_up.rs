//! Records as they are and next hops of URIs, through the whole resolver from a name server.

use super::*;

const ZONE: &str = "a.test 60 A 192.0.2.1
    a.test 60 AAAA 2001:db8::1
    a.test 60 TXT \"v=1;\" \"p=2\"
    a.test 60 TXT other
    4.3.e164.test 60 NAPTR 10 20 \"u\" \"E2U+sip\" \"!^.*$!sip:A@b!\" .
    4.3.e164.test 60 NAPTR 10 30 \"s\" \"SIP+D2U\" \"\" _sip._udp.A.test
    _sip._udp.a.test 60 SRV 2 2 5062 a.test
    _sip._udp.a.test 60 SRV 1 2 5061 a.test
    s.test SILENT
    f.test SERVFAIL";

/// A resolver that asks a name server, and knows no file of this machine.
fn resolver(server: &Server) -> crate::Resolver {
    crate::Resolver::start(Settings { hosts: "/nowhere/hosts".into(), ..settings(&[server]) }).unwrap()
}

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn records_of_any_kind_are_told_as_they_are_and_kept_like_all_others() {
    let server = Server::start(ZONE);
    let resolver = resolver(&server);
    let txt = Ok(Records::Txt(vec!["v=1;p=2".into(), "other".into()]));
    assert_eq!(resolver.records(Kind::Txt, "A.test", WITHIN).await, txt);
    let record = |preference, flags: &str, service: &str, regexp: &str, replacement: &str| AnyNaptr {
        order: 10,
        preference,
        flags: flags.into(),
        service: service.into(),
        regexp: regexp.into(),
        replacement: replacement.into(),
    };
    let naptr = [record(20, "u", "E2U+sip", "!^.*$!sip:A@b!", "."), record(30, "s", "SIP+D2U", "", "_sip._udp.a.test.")];
    assert_eq!(resolver.records(Kind::AnyNaptr, "4.3.e164.test", WITHIN).await, Ok(Records::AnyNaptr(naptr.into())));
    assert_eq!(resolver.records(Kind::Naptr, "4.3.e164.test", WITHIN).await.unwrap().naptr().len(), 1, "one leads to a SIP server");
    assert_eq!(resolver.records(Kind::Srv, "_sip._udp.a.test", WITHIN).await.unwrap().srv().len(), 2);
    assert_eq!(resolver.records(Kind::Txt, "none.test", WITHIN).await, Ok(Records::Txt(Vec::new())));
    server.take_asked();
    assert_eq!(resolver.records(Kind::Txt, "a.test", WITHIN).await, txt);
    assert_eq!(server.take_asked(), [""; 0], "it is remembered");
}

#[tokio::test]
async fn what_nobody_can_say_is_an_error_within_the_time_that_is_given() {
    let server = Server::start(ZONE);
    let resolver = resolver(&server);
    let unanswered = |name: &str| Err(crate::LookUpError::Unanswered(name.to_owned()));
    assert_eq!(resolver.records(Kind::Txt, "f.test", WITHIN).await, unanswered("f.test"));
    let begun = Instant::now();
    assert_eq!(resolver.records(Kind::Srv, "s.test", Duration::from_millis(50)).await, unanswered("s.test"));
    assert!(begun.elapsed() < Duration::from_millis(600), "before the question itself is given up");
    let no_name = Err(crate::LookUpError::NoName("a b".to_owned()));
    assert_eq!(resolver.records(Kind::Txt, "a b", WITHIN).await, no_name);
}

#[test]
fn addresses_and_next_hops_are_those_that_the_router_goes_by() {
    let server = Server::start(ZONE);
    let resolver = resolver(&server);
    let addresses =
        |name| resolver.wait(resolver.addresses(name, WITHIN)).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(addresses("a.test").unwrap(), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(addresses("[2001:db8::9]").unwrap(), ["2001:db8::9"]);
    assert_eq!(addresses("localhost").unwrap(), ["127.0.0.1", "::1"]);
    assert_eq!(addresses("x.invalid").unwrap(), [""; 0]);
    assert!(matches!(addresses("f.test"), Err(crate::LookUpError::Unanswered(_))));

    let mut reach = jackfield_proto::net::Reach::default();
    reach.insert(jackfield_proto::net::Transport::Udp, Ipv4Addr::LOCALHOST.into());
    let located = |uri| {
        let located = resolver.wait(resolver.locate_uri(uri, reach, WITHIN));
        located.map(|all| all.iter().map(|located| format!("{} {}", located.hop.transport, located.hop.address)).collect::<Vec<_>>())
    };
    assert_eq!(located("sip:bob@a.test").unwrap(), ["udp 192.0.2.1:5061", "udp 192.0.2.1:5062"]);
    assert_eq!(located("sip:bob@a.test:5080").unwrap(), ["udp 192.0.2.1:5080"]);
    assert_eq!(located("sip:bob@192.0.2.9").unwrap(), ["udp 192.0.2.9:5060"]);
    assert_eq!(located("sip:bob@none.test").unwrap(), [""; 0]);
    assert_eq!(located("sips:bob@a.test").unwrap(), [""; 0], "there is no listener for that");
    assert!(matches!(located("tel:+49"), Err(crate::NextHopError::NoUri(_))));
}
