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

#[test]
fn hosts_are_found_in_any_uri() {
    for (uri, host) in [
        ("sip:tel.t-online.de", "tel.t-online.de"),
        ("sips:a;x=y?@b@host.test:5061;lr?Subject=a@b", "b"),
        ("sip:a;b@host.test:5060;transport=tcp", "host.test"),
        ("sip:[2001:db8::1]:5060;lr", "[2001:db8::1]"),
        ("sip:[2001:db8::1]", "[2001:db8::1]"),
        ("tel:+4930;phone-context=x", "+4930"),
        ("nonsense", ""),
    ] {
        assert_eq!(super::uri::host(uri), host, "{uri}");
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
        "host.\"a\": nothing is forced: give uri-params, remove-uri-params, set-headers, remove-headers or transport"
    );
    assert!(refusal("[host.a]\ntransprt='tcp'").starts_with("host.a.transprt: unknown field `transprt`"));
}
