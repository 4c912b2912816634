use jackfield::prelude::*;

use super::HeaderMatch;

const SETS: &str = r#"
[targets.telekom]
next-hop = "sip:192.0.2.1:5060"
set-headers = { X-Trunk = "telekom" }
[targets.pbx]
next-hop = "sip:192.0.2.9"
[targets.refused]
reply = "403 Not From Here"
"#;

fn plugin(rules: &str) -> HeaderMatch {
    HeaderMatch::from_toml(&format!("{rules}\n{SETS}")).unwrap()
}

fn refusal(rules: &str) -> String {
    HeaderMatch::from_toml(&format!("{rules}\n{SETS}")).err().unwrap().to_string()
}

/// The tag of the first target: the name of the set.
fn set(plugin: &HeaderMatch, request: &str) -> Option<String> {
    let decision = plugin.on_request(&Request::parse(request)).unwrap();
    decision.targets().first().map(|target| target.tag.clone())
}

#[test]
fn exact_value_of_short_form_selects_its_set() {
    let plugin = plugin("header = 'X-My-Account-Number'\nmatch = { 12345678 = 'telekom' }\ndefault = 'pbx'");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-My-Account-Number: 12345678").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nx-my-account-number:12345678  ").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-My-Account-Number: 123456789").as_deref(), Some("pbx"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc").as_deref(), Some("pbx"));
}

#[test]
fn set_becomes_target_with_its_edits_and_stays_open_to_later_plugins() {
    let plugin = plugin("header = 'X-A'\nmatch = { 1 = 'telekom' }");
    let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc\nX-A: 1")).unwrap();
    let target = decision.targets()[0];
    assert_eq!(target.uri, None);
    assert_eq!(target.option_value("next-hop"), Some("sip:192.0.2.1:5060"));
    assert_eq!(target.edits, [Edit::set("X-Trunk", "telekom")]);
    assert!(matches!(decision, Decision::Route(_)));
}

#[test]
fn first_rule_that_matches_wins() {
    let plugin = plugin(
        "[[rule]]\nheader='X-A'\nprefix='12'\nto='telekom'\n[[rule]]\nheader='X-A'\nregex='^1'\nto='pbx'\n[[rule]]\nheader='X-A'\nto='refused'",
    );
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-A: 123").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-A: 13").as_deref(), Some("pbx"));
    let third = plugin.on_request(&Request::parse("INVITE sip:1@sbc\nX-A: 2")).unwrap();
    assert_eq!(third.status(), Some(403));
    assert_eq!(plugin.on_request(&Request::parse("INVITE sip:1@sbc")).unwrap(), Decision::pass());
}

#[test]
fn several_fields_and_parts_are_told_apart() {
    let plugin = plugin(
        "[[rule]]\nheader='X-B'\nexact='b'\nto='telekom'\n[[rule]]\npart='uri-user'\nprefix='+49'\nto='pbx'\n\
         [[rule]]\nuri-param='line'\nexact='abc'\nto='telekom'\n[[rule]]\nheader='X-A'\nexact='a'\nto='pbx'\n\
         [[rule]]\npart='uri-host'\nexact='only.example'\nto='telekom'",
    );
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-B: b").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:+4930@sbc").as_deref(), Some("pbx"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=abc").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-A: a").as_deref(), Some("pbx"));
    assert_eq!(set(&plugin, "INVITE sip:1@only.example").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nX-A: b\nX-B: a"), None);
}

#[test]
fn earlier_plugin_keeps_its_plan() {
    let plugin = plugin("header = 'X-A'\nmatch = { 1 = 'telekom' }\ndefault = 'pbx'");
    let request = Request::parse("INVITE sip:1@sbc\nX-A: 1").with_plan(Target::to("sip:elsewhere"));
    assert_eq!(plugin.on_request(&request).unwrap(), Decision::pass());
}

#[test]
fn without_default_the_host_filters_by_header() {
    let filter = |rules| plugin(rules).subscriptions().remove(0);
    assert_eq!(filter("header = 'X-A'\nmatch = { 1 = 'pbx' }").if_header, ["X-A"]);
    assert!(filter("header = 'X-A'\nmatch = { 1 = 'pbx' }\ndefault = 'pbx'").if_header.is_empty());
    assert!(filter("[[rule]]\nheader='X-A'\nto='pbx'\n[[rule]]\nuri-param='line'\nto='pbx'").if_header.is_empty());
    assert_eq!(filter("methods = ['INVITE']\n[[rule]]\nheader='X-A'\nto='pbx'").methods, ["INVITE"]);
}

#[test]
fn errors_name_the_key() {
    for (rules, error) in [
        ("", "rule: give at least one [[rule]], or header and match"),
        ("match = { 1 = 'pbx' }", "match: give the name of the header field too: header = \"...\""),
        (
            "header = 'X-A'\nmatch = { 1 = 'pbx' }\ndefault = 'nowhere'",
            "default: there is no set \"nowhere\"; the table targets has pbx, refused, telekom",
        ),
        ("header = 'X-A'\nmatch = { 1 = 'pbs' }", "match.1: there is no set \"pbs\"; the table targets has pbx, refused, telekom"),
        ("[[rule]]\nheader='X-A'\nto='no'", "rule[0].to: there is no set \"no\"; the table targets has pbx, refused, telekom"),
        ("[[rule]]\nheader='X-A'\npart='method'\nto='pbx'", "rule[0]: give one of header, uri-param and part"),
        (
            "[[rule]]\nheader='X-A'\nexact='a'\nprefix='a'\nto='pbx'",
            "rule[0]: give one of exact, prefix and regex (none: it is enough that the field is there)",
        ),
        ("[[rule]]\nheader='X A'\nto='pbx'", "rule[0]: header: \"X A\" is not the name of a header field"),
    ] {
        assert_eq!(refusal(rules), error);
    }
    assert!(refusal("[[rule]]\nheader='X-A'\nregex='('\nto='pbx'").starts_with("rule[0]: regex: "));
    assert!(
        refusal("[[rule]]\nheader='X-A'\nexakt='a'\nto='pbx'").starts_with("rule[0].exakt: unknown field `exakt`"),
        "{}",
        refusal("[[rule]]\nheader='X-A'\nexakt='a'\nto='pbx'")
    );
}

#[test]
fn set_may_be_a_trunk() {
    let rules = "header = 'X-A'\nmatch = { 1 = 'trunk' }\n[targets.trunk]\ntrunk = 'telekom'\nset-headers = { X-Seen = '1' }";
    let decision = plugin(rules).on_request(&Request::parse("INVITE sip:1@sbc\nX-A: 1")).unwrap();
    assert_eq!(*decision.targets()[0], Target::unchanged().trunk("telekom").set_header("X-Seen", "1").tag("trunk"));
    let beside = refusal("header = 'X-A'\nmatch = { 1 = 'trunk' }\n[targets.trunk]\ntrunk = 'telekom'\nnext-hop = 'sip:192.0.2.1'");
    assert_eq!(beside, "targets.trunk: next-hop beside trunk is the trunk's to say; leave one of them out");
}
