use jackfield::prelude::*;

use super::LineMatch;

const CONFIG: &str = r#"
line = { eylpkkv = "telekom", Qyf = "pbx" }
[targets.telekom]
next-hop = "sip:192.0.2.1"
[targets.pbx]
uri = "sip:reception@pbx.example"
route = ["sip:proxy.example;lr"]
[targets.nobody]
reply = "404 Unknown Line"
"#;

fn plugin(more: &str) -> LineMatch {
    LineMatch::from_toml(&format!("{more}\n{CONFIG}")).unwrap()
}

fn set(plugin: &LineMatch, request: &str) -> Option<String> {
    let decision = plugin.on_request(&Request::parse(request)).unwrap();
    decision.targets().first().map(|target| target.tag.clone())
}

#[test]
fn line_in_request_uri_or_to_selects_its_set() {
    let plugin = plugin("");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=eylpkkv").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nTo: <sip:1@sbc;line=eylpkkv>").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc\nTo: <sip:1@sbc>;line=eylpkkv"), None, "a parameter of To itself is no URI parameter");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc"), None);
}

/// RFC 3261 19.1.4.
#[test]
fn value_and_name_are_compared_without_case() {
    let plugin = plugin("");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;LINE=EYLPKKV").as_deref(), Some("telekom"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=qyf").as_deref(), Some("pbx"));
}

#[test]
fn request_uri_comes_before_to_and_an_unknown_value_does_not_hide_a_known_one() {
    let plugin = plugin("unknown = 'nobody'");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=qyf\nTo: <sip:1@sbc;line=eylpkkv>").as_deref(), Some("pbx"));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=zzz\nTo: <sip:1@sbc;line=eylpkkv>").as_deref(), Some("telekom"));
}

#[test]
fn places_and_parameter_can_be_chosen() {
    let plugin = plugin("parameter = 'account'\nin = ['to']");
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;account=qyf"), None);
    assert_eq!(set(&plugin, "INVITE sip:1@sbc;line=qyf\nTo: <sip:1@sbc;account=eylpkkv>").as_deref(), Some("telekom"));
}

#[test]
fn unknown_value_and_missing_parameter_have_their_own_sets() {
    let plugin = plugin("unknown = 'nobody'\ndefault = 'pbx'");
    let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc;line=zzz")).unwrap();
    assert_eq!(decision.status(), Some(404));
    assert_eq!(set(&plugin, "INVITE sip:1@sbc").as_deref(), Some("pbx"));
}

#[test]
fn without_default_the_host_filters_by_parameter() {
    assert_eq!(plugin("").subscriptions()[0].if_uri_param.as_deref(), Some("line"));
    assert_eq!(plugin("default = 'pbx'").subscriptions()[0].if_uri_param, None);
}

#[test]
fn earlier_plugin_keeps_its_plan() {
    let request = Request::parse("INVITE sip:1@sbc;line=eylpkkv").with_plan(Target::to("sip:elsewhere"));
    assert_eq!(plugin("").on_request(&request).unwrap(), Decision::pass());
}

#[test]
fn errors_name_the_key() {
    let refusal = |config: &str| LineMatch::from_toml(config).err().unwrap().to_string();
    assert_eq!(refusal("line = { a = 'x' }"), "line.a: there is no set \"x\": write a table [targets.x]");
    assert_eq!(refusal(""), "line: give at least one value, like line.abc = \"NAME OF A SET\"");
    assert_eq!(refusal("parameter = 'li ne'\ndefault = 'x'"), "parameter: \"li ne\" is not the name of a URI parameter");
    assert_eq!(refusal("in = []"), "in: say where to look: request-uri, to, or both");
    assert!(refusal("in = ['from']").starts_with("in[0]: unknown variant `from`"));
    assert_eq!(
        refusal("line = { a = 'x', A = 'x' }\n[targets.x]\nuri = 'sip:x'"),
        "line.a: written twice; values are compared without regard to case"
    );
}

#[test]
fn set_may_be_a_trunk() {
    let plugin = plugin("unknown = 'trunk'\ntargets.trunk.trunk = 'telekom'");
    let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc;line=other")).unwrap();
    assert_eq!(*decision.targets()[0], Target::unchanged().trunk("telekom").tag("trunk"));
}
