use std::path::Path;

use jackfield_relay::{Codecs, Family, Ice, Replace, RtcpMux, Symmetry, Transport};

use super::super::{Environment, Problem};
use super::*;

/// A listener in the first three lines, and these tables.
fn parse(tables: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    let listener = "[listen.lan]\naddress = \"127.0.0.1\"\nmedia-profile = \"lan\"\n";
    Config::parse(Path::new("f"), &format!("{listener}{tables}\n"), &environment)
}

const RELAY: &str = "[media.relay.one]\naddress = \"127.0.0.9:22222\"\n";

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
[listen.wan]
address = "127.0.0.2"
media = "relay"
media-profile = "browser"

[media]
timeout = "500ms"
total = "2s"
unavailable = "480"
probe = { interval = "1s", failures = 3, successes = 2 }

[media.relay.one]
address = "127.0.0.9:22222"
weight = 3

[media.relay.spare]
address = "[2001:db8::1]:22222"
weight = 0

[media.profile.lan]

[media.profile.browser]
interface = "public"
family = "ipv6"
transport = "dtls"
ice = "force"
rtcp-mux = "require"
codecs = { allow = ["opus", "PCMA"], remove = ["G722"], transcode = ["opus/48000/2"] }
symmetric = false
replace = ["origin", "connection"]
flags = ["strict-source"]
"#,
    );
    let config = config.unwrap();
    assert_eq!(config.warnings, []);
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    let browser = Profile {
        interface: Some("public".into()),
        family: Family::Ipv6,
        transport: Transport::Dtls,
        ice: Ice::Force,
        rtcp_mux: RtcpMux::Require,
        codecs: Codecs { allow: names(&["opus", "PCMA"]), remove: names(&["G722"]), transcode: names(&["opus/48000/2"]) },
        symmetry: Symmetry::Asymmetric,
        replace: vec![Replace::Origin, Replace::Connection],
        flags: names(&["strict-source"]),
    };
    let expected = RelaySettings {
        servers: vec![
            Server { name: "one".into(), address: "127.0.0.9:22222".parse().unwrap(), weight: 3 },
            Server { name: "spare".into(), address: "[2001:db8::1]:22222".parse().unwrap(), weight: 0 },
        ],
        timeout: Duration::from_millis(500),
        total: Duration::from_secs(2),
        probe: Probe { interval: Duration::from_secs(1), failures: 3, successes: 2 },
        unavailable: Unavailable::Reply(480),
        profiles: BTreeMap::from([("lan".into(), Profile::default()), ("browser".into(), browser)]),
    };
    assert_eq!(config.media.as_deref(), Some(&expected));
    assert_eq!(expected.check(), Ok(()));
    assert_eq!(*config.media_profiles(), [Arc::from("browser"), "lan".into()]);
}

#[test]
fn a_relay_needs_no_more_than_its_address() {
    let config = parse(&format!("{RELAY}[media.profile.lan]\n[listen.wan]\naddress = \"127.0.0.2\"\nmedia = \"relay\"")).unwrap();
    let server = Server { name: "one".into(), address: "127.0.0.9:22222".parse().unwrap(), weight: 1 };
    let profiles = BTreeMap::from([("lan".into(), Profile::default())]);
    assert_eq!(config.media.as_deref(), Some(&RelaySettings { servers: vec![server], profiles, ..RelaySettings::default() }));
    assert_eq!(config.warnings, []);
    let direct = parse(&format!(
        "media = [\"wan\"]\n{RELAY}[media.profile.lan]\n[media]\nunavailable = \"direct\"\n[listen.wan]\naddress = \"127.0.0.2\""
    ));
    assert_eq!(direct.unwrap().media.map(|media| media.unavailable), Some(Unavailable::Direct));
}

#[test]
fn what_cannot_be_meant_is_named() {
    for (table, problem) in [
        ("[media.relay.two]", "7:14: media.relay.two.address: is missing; add address = \"127.0.0.1:22222\""),
        (
            "[media.relay.two]\naddress = \"relay.test:22222\"",
            "8:11: media.relay.two.address: `relay.test:22222` is no address and port of a relay; write it like \"127.0.0.1:22222\" or \
             \"[2001:db8::1]:22222\"",
        ),
        (
            "[media.relay.two]\naddress = \"127.0.0.9\"",
            "8:11: media.relay.two.address: `127.0.0.9` is no address and port of a relay; write it like \"127.0.0.1:22222\" or \
             \"[2001:db8::1]:22222\"",
        ),
        (
            "[media.relay.two]\naddress = \"127.0.0.9:22222\"",
            "7:14: media.relay.two: 127.0.0.9:22222 is the address of the relay `one` already; remove one of them",
        ),
        ("[media.relay.two]\nadress = \"127.0.0.9:22223\"", "8:1: media.relay.two.adress: unknown key; did you mean `address`?"),
        (
            "[media]\nunavailable = \"200\"",
            "8:15: media.unavailable: `200` is not known; write \"direct\", or a final status from \"400\" to \"699\", like \"503\"",
        ),
        ("[media]\ntimeout = \"1m\"", "8:11: media.timeout: `1m` is out of range; write 50ms to 30s"),
        ("[media]\ntotal = \"500ms\"", "8:9: media.total: total is shorter than timeout; no relay would have as long as timeout says"),
        ("[media]\nprobe = { interval = \"1ms\" }", "8:22: media.probe.interval: `1ms` is out of range; write 100ms to 1h"),
        (
            "[media.profile.relay]",
            "7:16: media.profile.relay: a profile cannot have the name `relay`, which means something else to plugins; rename it",
        ),
        ("[media.profile.\"a b\"]", "7:16: media.profile.\"a b\": a name here is made of letters, digits, `-`, `_` and `.`; rename it"),
        ("[media.profile.x]\ntransport = \"srtp\"", "8:13: media.profile.x.transport: `srtp` is not known; did you mean \"rtp\"?"),
        ("[media.profile.x]\nice = \"forced\"", "8:7: media.profile.x.ice: `forced` is not known; did you mean \"force\"?"),
        ("[media.profile.x]\nreplace = [\"origin\", \"origin\"]", "8:22: media.profile.x.replace[1]: `origin` is here twice; remove one"),
        (
            "[media.profile.x]\ncodecs = { allow = [\"PCMA\"], remove = [\"PCMA\"] }",
            "8:40: media.profile.x.codecs.remove[0]: `PCMA` is in another list as well; it cannot be there and be removed",
        ),
        (
            "[media.profile.x]\ninterface = \" public\"",
            "8:13: media.profile.x.interface: ` public` cannot be meant; write a name of an interface as the relay knows it, like \"public\"",
        ),
    ] {
        let problems = parse(&format!("{RELAY}[media.profile.lan]\n{table}")).unwrap_err();
        let place = |problem: &Problem| format!("{}:{}: {}: {}", problem.line, problem.column, problem.key, problem.message);
        assert!(problems.iter().map(place).any(|found| found == problem), "{problem}: {problems:#?}");
    }
}

/// Profiles are remembered by 16 bits: among a thousand of them two meet almost certainly.
#[test]
fn profiles_that_dialogs_could_not_tell_apart_are_refused() {
    let profiles: String = (0..1_000).map(|number| format!("[media.profile.p{number}]\n")).collect();
    let problems = parse(&format!("{RELAY}[media.profile.lan]\n{profiles}")).unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.starts_with("cannot be told apart from the profile `p")), "{problems:#?}");
}

#[test]
fn what_nobody_uses_is_warned_about_unless_a_plugin_could() {
    let warned = |tables: &str| parse(tables).unwrap().warnings.iter().map(|problem| problem.key.clone()).collect::<Vec<_>>();
    let profiles = "[media.profile.lan]\n[media.profile.idle]\n";
    assert_eq!(warned(&format!("{RELAY}{profiles}")), ["media"]);
    assert_eq!(warned(&format!("media = \"relay\"\n{RELAY}{profiles}")), ["media.profile.idle"]);
    let plugins = "[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n";
    assert_eq!(warned(&format!("{RELAY}{profiles}{plugins}")), [""; 0]);
    assert_eq!(warned(&format!("{profiles}{plugins}")), ["media"], "there is no relay");
}
