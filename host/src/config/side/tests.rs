use std::path::Path;

use super::super::{Config, Environment, Problem, Severity};
use jackfield_proto::proxy::Identity;

use super::*;

const LISTENERS: &str =
    "[listen.lan]\naddress = \"127.0.0.1\"\n[listen.wan]\naddress = \"127.0.0.2\"\n[listen.web]\naddress = \"127.0.0.3\"\n";
const RELAY: &str = "[media.relay.one]\naddress = \"127.0.0.9:22222\"\n[media.profile.lan]\n[media.profile.wan]\ninterface = \"public\"\n";

fn parse(tables: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    Config::parse(Path::new("f"), tables, &environment)
}

/// The listener `lan` with these keys, in line 3; `wan` and `web`; and what follows.
fn with_lan(keys: &str, more: &str) -> Result<Config, Vec<Problem>> {
    let lan = "address = \"127.0.0.1\"\n";
    parse(&format!("{}{more}", LISTENERS.replace(lan, &format!("{lan}{keys}\n"))))
}

fn sides(names: &[&str]) -> Towards {
    let side = |name: &&str| match name.strip_prefix("trunk ") {
        Some(name) => SideId::of_trunk(name),
        None => SideId::of_listener(name),
    };
    Towards::Sides(names.iter().map(side).collect())
}

fn hiding_of(border: &Option<Arc<Border>>) -> Option<&Hiding> {
    border.as_ref().and_then(|border| border.hiding.as_ref())
}

#[test]
fn media_is_relayed_as_a_side_says() {
    for (keys, relay) in [
        ("", None),
        ("media = \"direct\"", Some(Relaying::Direct)),
        ("media = \"relay\"", Some(Relaying::Crossing(Towards::Others))),
        ("media = \"always\"", Some(Relaying::Always)),
        ("media = [\"wan\", \"telekom\"]", Some(Relaying::Crossing(sides(&["wan", "trunk telekom"])))),
    ] {
        let trunk = format!("{RELAY}[trunk.telekom]\nprovider = \"tel.t-online.de\"\nmedia-profile = \"wan\"\nmedia = \"relay\"\n");
        let config = with_lan(&format!("media-profile = \"lan\"\n{keys}"), &trunk).unwrap();
        assert_eq!(config.listen[0].media, SideMedia { relay, profile: Some("lan".into()) }, "{keys}");
        let crossing = Some(Relaying::Crossing(Towards::Others));
        assert_eq!(config.trunks[0].settings.media, SideMedia { relay: crossing, profile: Some("wan".into()) });
        assert_eq!(config.listen[1].media, SideMedia::default());
    }
}

#[test]
fn what_is_hidden_is_read() {
    let all = Extent { call_id: true, from: true, to: true, origin: true, identity: true };
    for (hide, hiding) in [
        ("true", Hiding::default()),
        ("[\"wan\"]", Hiding { towards: sides(&["wan"]), ..Hiding::default() }),
        ("{}", Hiding::default()),
        ("{ towards = true, call-id = false }", Hiding::default()),
        (
            "{ towards = [\"web\"], call-id = true, clean = [\"from\", \"to\", \"origin\", \"identity\"], host = \"Border.Example.com\" }",
            Hiding { towards: sides(&["web"]), extent: all, host: Some("border.example.com".into()) },
        ),
    ] {
        let config = with_lan(&format!("hide = {hide}"), "").unwrap();
        let expected = Border { side: SideId::of_listener("lan"), hiding: Some(hiding), identity: None };
        assert_eq!(config.listen[0].border.as_deref(), Some(&expected), "{hide}");
        let others: Vec<_> = config.listen[1..].iter().map(|listen| listen.border.as_deref().cloned()).collect();
        let silent = |name| Some(Border { side: SideId::of_listener(name), ..Border::default() });
        assert_eq!(others, [silent("wan"), silent("web")], "the others are known by their sides");
    }
}

#[test]
fn without_a_side_that_hides_there_is_no_border() {
    for keys in ["", "hide = false"] {
        let config = with_lan(keys, "[trunk.a]\nprovider = \"a.test\"\nhide = false\n").unwrap();
        assert!(config.listen.iter().all(|listen| listen.border.is_none()) && config.trunks[0].settings.border.is_none(), "{keys}");
    }
}

/// A trunk that says nothing is behind the border of the listener which its requests leave from.
#[test]
fn a_trunk_is_a_side_of_its_own_where_it_says_something_or_is_named() {
    let trunk = |keys: &str| format!("[trunk.telekom]\nprovider = \"tel.t-online.de\"\negress = \"wan\"\n{keys}\n");
    let border = |lan: &str, trunk: &str| with_lan(lan, trunk).unwrap().trunks[0].settings.border.as_deref().cloned();
    assert_eq!(border("hide = true", &trunk("")), None);
    let own = |hiding| Some(Border { side: SideId::of_trunk("telekom"), hiding, identity: None });
    assert_eq!(border("", &trunk("hide = true")), own(Some(Hiding::default())));
    assert_eq!(border("hide = true", &trunk("hide = false")), own(None));
    assert_eq!(border("hide = [\"telekom\"]", &trunk("")), own(None));
}

#[test]
fn a_trunk_that_is_named_shows_no_more_than_its_listener_lets_through() {
    let hides = "[listen.wan]\naddress = \"127.0.0.2\"\nhide = { call-id = true }\n";
    for (egress, expected) in [("egress = \"wan\"", true), ("", true), ("egress = \"web\"", false)] {
        let file =
            LISTENERS.replace("[listen.wan]\naddress = \"127.0.0.2\"\n", hides).replace("0.0.1\"\n", "0.0.1\"\nhide = [\"telekom\"]\n");
        let config = parse(&format!("{file}[trunk.telekom]\nprovider = \"a.test\"\n{egress}\n")).unwrap();
        let border = config.trunks[0].settings.border.clone();
        assert_eq!(hiding_of(&border).is_some_and(|hiding| hiding.extent.call_id), expected, "{egress}");
    }
}

#[test]
fn a_listener_in_a_list_stands_for_the_trunks_behind_it() {
    let trunks = "[trunk.a]\nprovider = \"a.test\"\negress = \"wan\"\nhide = [\"web\"]\n\
                  [trunk.b]\nprovider = \"b.test\"\negress = \"web\"\nhide = true\n\
                  [trunk.c]\nprovider = \"c.test\"\nhide = false\n\
                  [trunk.d]\nprovider = \"d.test\"\negress = \"wan\"\n";
    let config = with_lan("hide = [\"wan\"]", trunks).unwrap();
    let towards = |side: &str| {
        let border = match side.strip_prefix("trunk ") {
            Some(name) => &config.trunks.iter().find(|trunk| *trunk.settings.name == *name).unwrap().settings.border,
            None => &config.listen.iter().find(|listen| listen.name == side).unwrap().border,
        };
        hiding_of(border).map(|hiding| hiding.towards.clone()).unwrap()
    };
    let covers = |of: &str, side: SideId| towards(of).covers(side);
    assert!(covers("lan", SideId::of_trunk("a")) && covers("lan", SideId::of_trunk("c")), "c may leave from wan as well");
    assert!(!covers("lan", SideId::of_trunk("b")) && !covers("lan", SideId::of_listener("web")));
    assert!(!covers("lan", SideId::of_trunk("d")), "d is wan itself");
    assert!(covers("trunk a", SideId::of_trunk("b")) && !covers("trunk a", SideId::of_trunk("a")));
    assert_eq!(towards("trunk b"), Towards::Others);
}

/// A trunk that says something of identities is a side of its own; what it leaves out is as its listener has it.
#[test]
fn sides_say_what_passes_of_identities() {
    let trunk = |keys: &str| format!("[trunk.telekom]\nprovider = \"tel.t-online.de\"\negress = \"lan\"\n{keys}\n");
    let identities = |keys: &str, of_trunk: &str| {
        let config = with_lan(keys, &trunk(of_trunk)).unwrap();
        let identity = |border: &Option<Arc<Border>>| border.as_ref().and_then(|border| border.identity.clone());
        let of_trunk = &config.trunks[0].settings.border;
        (
            [identity(&config.listen[0].border), identity(of_trunk)],
            of_trunk.as_ref().map(|border| border.side),
            hiding_of(of_trunk).cloned(),
        )
    };
    let (trusted, untrusted) = (Arc::new(Identity::default()), Arc::new(Identity::untrusted()));
    let own = Some(SideId::of_trunk("telekom"));
    assert_eq!(identities("", ""), ([None, None], None, None));
    assert_eq!(identities("identity = \"untrusted\"", ""), ([Some(untrusted.clone()), None], None, None));
    let both = ([Some(untrusted.clone()), Some(trusted)], own, Some(Hiding::default()));
    assert_eq!(identities("identity = \"untrusted\"\nhide = true", "identity = \"trusted\""), both);
    let hides = ([Some(untrusted.clone()), Some(untrusted)], own, Some(Hiding::default()));
    assert_eq!(identities("identity = {}", "hide = true"), hides);
    let warned = with_lan("identity = { assert = \"a.test\" }", "").unwrap().warnings;
    assert_eq!(warned.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), ["listen.lan.identity"]);
}

#[test]
fn what_cannot_be_meant_is_named() {
    let relay = format!("{RELAY}[trunk.telekom]\nprovider = \"tel.t-online.de\"\n");
    for (keys, more, problem) in [
        ("media = \"relays\"", &*relay, "media: `relays` is not known; did you mean \"relay\"?"),
        ("media = \"wan\"", &relay, "media: sides are written as a list: [\"wan\"]"),
        (
            "media = true",
            &relay,
            "media: is the truth value true; write \"direct\", \"relay\", \"always\", or a list of sides like [\"wan\"]",
        ),
        ("media = [\"wann\"]", &relay, "media[0]: there is no listener or trunk `wann`; did you mean `wan`?"),
        ("media = [\"provider\"]", &relay, "media[0]: there is no listener or trunk `provider`; there are: lan, wan, web, telekom"),
        ("media = [\"wan\", 5]", &relay, "media[1]: is the number 5; write a string"),
        ("media = []", &relay, "media: names no side; write at least one listener or trunk, like [\"wan\"], or remove the key"),
        ("media = \"relay\"", "", "media: there is no media relay; add a table [media.relay.one] with address = \"127.0.0.1:22222\""),
        ("media-profile = \"lann\"", &relay, "media-profile: there is no [media.profile.lann]; did you mean `lan`?"),
        ("media-profile = \"lan\"", "", "media-profile: there is no [media.profile.lan]"),
        ("hide = [\"lan\"]", "", "hide[0]: `lan` is this side itself, and this is about others; remove it"),
        ("hide = [\"wan\", \"wan\"]", "", "hide[1]: `wan` is here twice; remove one"),
        (
            "hide = { towards = false }",
            "",
            "hide.towards: is the truth value false; write true for all other sides, or a list of sides like [\"wan\"]",
        ),
        ("hide = { clean = [\"form\"] }", "", "hide.clean[0]: `form` is not known; did you mean \"from\"?"),
        ("hide = { clean = [\"to\", \"to\"] }", "", "hide.clean[1]: `to` is here twice; remove one"),
        ("hide = { callid = true }", "", "hide.callid: unknown key; did you mean `call-id`?"),
        (
            "hide = { clean = [\"to\"], host = \"sip:a\" }",
            "",
            "hide.host: `sip:a` is no host; write a name or an address alone, like \"border.example.com\"",
        ),
        (
            "hide = \"wan\"",
            "",
            "hide: is a string; write true, false, a list of sides like [\"wan\"], or a table like { towards = [\"wan\"], clean = [\"from\"] }",
        ),
    ] {
        let problems = with_lan(keys, more).unwrap_err();
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let found: Vec<_> = errors.map(|problem| format!("{}: {}: {}", problem.line, problem.key, problem.message)).collect();
        assert_eq!(found, [format!("3: listen.lan.{problem}")], "{keys}");
    }
    let warnings = with_lan("hide = { host = \"a.test\" }", "").unwrap().warnings;
    assert_eq!(warnings.iter().map(|warning| warning.key.as_str()).collect::<Vec<_>>(), ["listen.lan.hide.host"]);
}

#[test]
fn a_name_of_a_listener_and_a_trunk_stands_for_both() {
    let trunk = "[trunk.wan]\nprovider = \"a.test\"\n[trunk.lan]\nprovider = \"b.test\"\n";
    let config = with_lan("hide = [\"wan\", \"lan\"]", trunk).unwrap();
    assert_eq!(hiding_of(&config.listen[0].border).unwrap().towards, sides(&["wan", "trunk wan", "trunk lan"]));
}
