use jackfield::prelude::*;

use super::OptionInjection;

const CONFIG: &str = r#"
[host."tel.t-online.de"]
uri-params = { user = "phone" }
remove-uri-params = ["line"]
set-headers = { Privacy = "id" }
remove-headers = ["X-Internal"]
transport = "tcp"
[host."*.provider.example"]
transport = "udp"
[host."*.example"]
set-headers = { X-Wide = "1" }
"#;

fn plugin() -> OptionInjection {
    OptionInjection::from_toml(CONFIG).unwrap()
}

fn forced() -> Vec<Edit> {
    vec![Edit::remove_uri_param("line"), Edit::set_uri_param("user", "phone"), Edit::remove("X-Internal"), Edit::set("Privacy", "id")]
}

#[test]
fn edits_come_after_those_of_earlier_plugins_and_transport_is_replaced() {
    let plan = Target::to("sip:1@tel.t-online.de;transport=udp").transport("udp").set_header("Privacy", "none");
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@sbc").with_plan(plan)).unwrap();
    let target = decision.targets()[0];
    assert_eq!(target.edits[1..], forced());
    assert_eq!(target.options, [("transport".to_owned(), "tcp".to_owned())]);
    assert!(matches!(decision, Decision::Route(_)), "later plugins of the chain still have their turn");
}

#[test]
fn media_is_forced_by_destination_on_what_a_trunk_sends_too() {
    let plugin = OptionInjection::from_toml("[host.'*.provider.example']\nmedia = 'relay'\n[host.'web.test']\nmedia = 'browser'").unwrap();
    let plan = [
        Target::to("sip:1@a.provider.example").media("direct"),
        Target::to("sip:1@b.provider.example").trunk("telekom"),
        Target::to("sip:1@web.test"),
        Target::to("sip:1@other.test").media("direct"),
    ];
    let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc").with_plan(plan)).unwrap();
    let media: Vec<_> = decision.targets().iter().map(|target| target.option_value("media")).collect();
    assert_eq!(media, [Some("relay"), Some("relay"), Some("browser"), Some("direct")]);
    let nobody_routed = plugin.on_request(&Request::parse("INVITE sip:1@web.test")).unwrap();
    assert_eq!(nobody_routed, Decision::pass(), "where there is no target, there is nothing that could say it");
}

#[test]
fn every_target_is_looked_at_by_itself() {
    let plan =
        Plan::serial([Target::to("sip:1@other.test"), Target::to("sip:1@TEL.t-online.de.")]).then(Target::to("sip:a.provider.example"));
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@sbc").with_plan(plan)).unwrap();
    let [other, telekom, provider] = decision.targets()[..] else { panic!("three targets went in") };
    assert_eq!(*other, Target::to("sip:1@other.test"));
    assert_eq!(telekom.edits, forced());
    assert_eq!(provider.option_value("transport"), Some("udp"));
}

#[test]
fn target_that_keeps_the_request_uri_goes_by_its_host() {
    let plan = Target::unchanged().next_hop("sip:192.0.2.1");
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@tel.t-online.de").with_plan(plan)).unwrap();
    assert_eq!(decision.targets()[0].edits, forced());
}

#[test]
fn proxy_and_next_hop_count_where_the_uri_has_no_entry() {
    let by_route = Target::to("sip:1@elsewhere.test").via_proxy("sip:p1.provider.example;lr");
    let by_hop = Target::to("sip:1@elsewhere.test").next_hop("sip:user@p2.provider.example:5070");
    let request = Request::parse("INVITE sip:1@sbc").with_plan([by_route, by_hop]);
    let decision = plugin().on_request(&request).unwrap();
    assert!(decision.targets().iter().all(|target| target.option_value("transport") == Some("udp")));
}

#[test]
fn most_specific_entry_counts() {
    let plan = [Target::to("sip:a.provider.example"), Target::to("sip:b.example"), Target::to("sip:example")];
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@sbc").with_plan(plan)).unwrap();
    let [provider, wide, bare] = decision.targets()[..] else { panic!("three targets went in") };
    assert!(provider.edits.is_empty());
    assert_eq!(wide.edits, [Edit::set("X-Wide", "1")]);
    assert!(bare.edits.is_empty(), "*.example is every host below example, not itself");
}

#[test]
fn request_that_nobody_routed_is_edited_with_the_transport_in_its_uri() {
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@tel.t-online.de;transport=udp")).unwrap();
    let mut edits = forced();
    edits.push(Edit::set_uri_param("transport", "tcp"));
    assert_eq!(decision, Decision::Next(edits));
    assert_eq!(plugin().on_request(&Request::parse("INVITE sip:1@other.test")).unwrap(), Decision::pass());
}

/// Rules that contradict each other, so that the last one shows.
const GATEWAYS: &str = r#"
[host."gw.test"]
set-headers = { X-To = "gw" }
[host."other.test"]
set-headers = { X-To = "other", X-Other = "1" }
transport = "tcp"
[host."[2001:db8::1]"]
set-headers = { X-To = "v6" }
"#;

fn edits_of(request: &Request) -> Vec<Edit> {
    match OptionInjection::from_toml(GATEWAYS).unwrap().on_request(request).unwrap() {
        Decision::Next(edits) => edits,
        decision => panic!("nobody has routed it: {decision:?}"),
    }
}

fn to(gateway: &str) -> Edit {
    Edit::set("X-To", gateway)
}

#[test]
fn sender_cannot_evade_a_rule_by_route_or_maddr() {
    for (request, edits) in [
        ("INVITE sip:1@x.test\nRoute: <sip:gw.test;lr>, <sip:other.test;lr>", vec![to("gw")]),
        ("INVITE sip:1@x.test\nRoute: \"a, b\" <sip:a;b@gw.test:5070;lr>", vec![to("gw")]),
        ("INVITE sip:1@x.test;maddr=gw.test", vec![to("gw")]),
        ("INVITE sip:1@x.test;MADDR=GW.test.", vec![to("gw")]),
        ("INVITE sip:1@x.test\nRoute: <sip:x.test;lr;maddr=gw.test>", vec![to("gw")]),
        ("INVITE sip:1@gw.test;maddr=x.test", vec![to("gw")]),
        ("INVITE sip:1@[2001:DB8:0::1]", vec![to("v6")]),
        ("INVITE sip:1@x.test;maddr=2001:db8:0:0::1", vec![to("v6")]),
        ("INVITE sip:1@x.test;user=a@gw.test", vec![]),
        ("INVITE sip:1@x.test\nRoute: <sip:x.test;lr>, <sip:gw.test;lr>", vec![]),
    ] {
        assert_eq!(edits_of(&Request::parse(request)), edits, "{request}");
    }
}

#[test]
fn rule_of_the_destination_comes_behind_that_of_the_request_uri() {
    let other = [Edit::set("X-Other", "1"), to("other")];
    let by_route = edits_of(&Request::parse("INVITE sip:1@other.test\nRoute: <sip:gw.test;lr>"));
    assert_eq!(by_route, [&other[..], &[to("gw")]].concat(), "and the transport, which the Route decides, stays out of the Request-URI");
    let by_maddr = edits_of(&Request::parse("INVITE sip:1@gw.test;maddr=other.test"));
    assert_eq!(by_maddr, [&[to("gw")], &other[..], &[Edit::set_uri_param("transport", "tcp")]].concat());
}

#[test]
fn where_a_target_is_really_sent_has_the_last_word() {
    let other = [Edit::set("X-Other", "1"), to("other")];
    let both = [&other[..], &[to("gw")]].concat();
    for (request, target, edits) in [
        ("sip:1@other.test", Target::unchanged().next_hop("sip:gw.test"), &both),
        ("sip:1@other.test", Target::unchanged().via_proxy("sip:gw.test;lr"), &both),
        ("sip:1@other.test", Target::unchanged().via_proxy("<sip:gw.test;lr>"), &both),
        ("sip:1@x.test", Target::to("sip:1@other.test").next_hop("sip:x.test;maddr=gw.test"), &both),
        ("sip:1@x.test", Target::to("sip:1@x.test").via_proxy("sip:other.test;lr").next_hop("sip:gw.test"), &both),
        ("sip:1@x.test\nRoute: <sip:gw.test;lr>", Target::to("sip:1@other.test"), &both),
        ("sip:1@x.test\nRoute: <sip:other.test;lr>", Target::to("sip:1@x.test").next_hop("sip:gw.test"), &vec![to("gw")]),
        ("sip:1@other.test", Target::to("sip:1@gw.test"), &vec![to("gw")]),
        ("sip:1@x.test;maddr=gw.test", Target::unchanged(), &vec![to("gw")]),
    ] {
        let request = Request::parse(&format!("INVITE {request}")).with_plan(target);
        let decision = OptionInjection::from_toml(GATEWAYS).unwrap().on_request(&request).unwrap();
        assert_eq!(decision.targets()[0].edits, *edits, "{decision:?}");
    }
}

#[test]
fn edits_of_the_plan_count_for_where_its_uri_leads() {
    let plan = Plan::from(Target::to("sip:1@x.test")).edit(Edit::set_uri_param("maddr", "gw.test"));
    let request = Request::parse("INVITE sip:1@sbc").with_plan(plan);
    let decision = OptionInjection::from_toml(GATEWAYS).unwrap().on_request(&request).unwrap();
    assert_eq!(decision.targets()[0].edits, [to("gw")]);
    let target = Target::to("sip:1@x.test;maddr=gw.test").edit(Edit::remove_uri_param("maddr"));
    let request = Request::parse("INVITE sip:1@sbc").with_plan(target);
    assert_eq!(OptionInjection::from_toml(GATEWAYS).unwrap().on_request(&request).unwrap(), Decision::pass());
}

#[test]
fn requests_in_a_dialog_get_the_header_fields_and_keep_their_request_uri() {
    let subscriptions = plugin().subscriptions();
    assert!(subscriptions.iter().all(|subscription| !subscription.initial_only));
    let bye = Request::parse("BYE sip:1@192.0.2.7;transport=udp\nRoute: <sip:other.test;lr>").in_dialog();
    assert_eq!(edits_of(&bye), [Edit::set("X-Other", "1"), to("other")]);
    let bye = Request::parse("BYE sip:1@tel.t-online.de;line=a").in_dialog();
    assert_eq!(plugin().on_request(&bye).unwrap(), Decision::edit(forced().split_off(2)));
}

#[test]
fn hosts_are_found_in_any_uri() {
    for (uri, host) in [
        ("sip:tel.t-online.de", Some("tel.t-online.de")),
        ("sips:a;x=y?@b@host.test:5061;lr?Subject=a@b", Some("host.test")),
        ("sip:a;b@host.test:5060;transport=tcp", Some("host.test")),
        ("sip:host.test;x=a@b", Some("b")),
        ("sip:1@host.test;x=a@b", Some("host.test")),
        ("sip:[2001:db8::1]:5060;lr", Some("[2001:db8::1]")),
        ("sip:[2001:DB8:0::1]", Some("[2001:db8::1]")),
        ("tel:+4930;phone-context=x", None),
        ("nonsense", None),
    ] {
        assert_eq!(super::uri::host(uri).as_deref(), host, "{uri}");
    }
}

#[test]
fn errors_name_the_key() {
    let refusal = |config: &str| OptionInjection::from_toml(config).err().unwrap().to_string();
    assert_eq!(refusal(""), "missing field `host`");
    assert_eq!(refusal("[host]"), "host: give at least one table, like [host.\"*.provider.example\"]");
    assert_eq!(
        refusal("[host.'a:5060']\ntransport='tcp'"),
        "host.\"a:5060\": expected a host, or *. and the end of host names, without port"
    );
    assert_eq!(refusal("[host.a]\ntransport='sctp'"), "host.\"a\": transport: expected udp, tcp, tls, ws or wss, not \"sctp\"");
    assert_eq!(refusal("[host.a]\nset-headers={Via='x'}"), "host.\"a\": set-headers.Via: Via belongs to the proxy and cannot be edited");
    assert_eq!(
        refusal("[host.a]"),
        "host.\"a\": nothing is forced: give uri-params, remove-uri-params, set-headers, remove-headers, transport or media"
    );
    assert_eq!(refusal("[host.a]\nmedia=''"), "host.\"a\": media: expected relay, direct or the NAME of a [media.profile.NAME], not \"\"");
    assert!(refusal("[host.a]\ntransprt='tcp'").starts_with("host.a.transprt: unknown field `transprt`"));
}

#[test]
fn entries_that_hold_for_one_request_fit_into_one_list() {
    let config = |counts: &[usize]| {
        let entry = |(at, count): (usize, &usize)| {
            let headers: Vec<String> = (0..*count).map(|n| format!("X-{n}='1'")).collect();
            format!("[host.h{at}]\nset-headers={{{}}}\n", headers.join(","))
        };
        counts.iter().enumerate().map(entry).collect::<String>()
    };
    for (counts, fits) in [(&[64][..], true), (&[65], false), (&[20, 22, 22, 20], true), (&[21, 1, 22, 22], false)] {
        assert_eq!(OptionInjection::from_toml(&config(counts)).is_ok(), fits, "{counts:?}");
    }
    let refusal = OptionInjection::from_toml(&config(&[65])).err().unwrap().to_string();
    assert_eq!(refusal, "host: where three entries hold for one request: 65 edits are too many; at most 64 are possible");
}

#[test]
fn target_that_goes_by_a_trunk_keeps_the_transport_of_the_trunk() {
    let plan = Target::to("sip:1@tel.t-online.de").trunk("telekom");
    let decision = plugin().on_request(&Request::parse("INVITE sip:1@sbc").with_plan(plan)).unwrap();
    let target = decision.targets()[0];
    assert_eq!((&target.edits, target.option_value("transport")), (&forced(), None));
    let plan = Target::to("sip:1@x.test").trunk("telekom");
    let request = Request::parse("INVITE sip:1@sbc\nRoute: <sip:tel.t-online.de;lr>").with_plan(plan);
    assert_eq!(plugin().on_request(&request).unwrap(), Decision::pass(), "where the trunk's proxies are is not said by the sender's Route");
}
