use std::path::Path;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{ContactPolicy, Edit, StatusSet};
use jackfield_trunk::{Busy, Probe, Refusal, Way};

use super::super::{Config, Environment, Problem};
use super::*;

fn parse(table: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    let listeners = "[listen.lan]\naddress = \"127.0.0.1\"\n[listen.wan]\naddress = \"127.0.0.2\"\n";
    Config::parse(Path::new("/etc/jackfield/f"), &format!("{listeners}{table}\n"), &environment)
}

#[test]
fn every_key_is_read() {
    let read = parse(
        r#"[trunk.telekom]
provider = ["tel.T-Online.de", "192.0.2.1"]
proxy = ["csphost01.cs-proxy.service.pascom", "sip:b.test:5070;transport=tcp;lr", { route = ["sip:c;lr", "sip:d;lr"], egress = "lan", transport = "udp" }, { next-hop = "e.test:5061" }]
egress = "wan"
options = { transport = "tcp", user = "phone" }
set-headers = { X-A = "b" }
remove-headers = ["X-B"]
fallback = ["second"]
fallback-on = "403 5xx"
response-timeout = "2s"
answer-timeout = "60s"
from = ["198.51.100.0/24"]
from-listeners = "wan"
from-header = { name = "X-Trunk", value = "telekom" }
inbound = ["10.0.0.5", "sip:10.0.0.6:5070"]
inbound-set-headers = { X-Trunk = "telekom" }
allow = ["10.0.0.0/8"]
deny = "10.0.0.9"
refuse = "silence"
contact = "token"
username = "49301234"
password-file = "secret"
realm = "tel.t-online.de"
calls = 100
calls-per-second = 10
busy = "486"
retry-after = "9s"
probe = { interval = "10s", interval-down = "2s", timeout = "1s", failures = 2, successes = 3 }
[trunk.second]
next-hop = "sip:192.0.2.7"
probe.interval = "off"
"#,
    );
    let config = read.unwrap();
    let Trunk { settings, credentials } = &config.trunks[0];
    let way = |route: &[&str], egress: &str| Way {
        route: route.iter().map(|uri| Bytes::copy_from_slice(uri.as_bytes())).collect(),
        egress: Some(egress.into()),
        ..Way::default()
    };
    assert_eq!(settings.providers, ["tel.t-online.de", "192.0.2.1"].map(std::sync::Arc::<str>::from));
    assert_eq!(
        settings.ways,
        [
            way(&["sip:csphost01.cs-proxy.service.pascom;lr"], "wan"),
            way(&["sip:b.test:5070;transport=tcp;lr"], "wan"),
            Way { transport: Some(Transport::Udp), ..way(&["sip:c;lr", "sip:d;lr"], "lan") },
            Way { next_hop: Some("sip:e.test:5061".into()), ..way(&[], "wan") },
        ]
    );
    let edits = vec![Edit::SetUriParam("user".into(), "phone".into()), Edit::Set("X-A".into(), "b".into()), Edit::Remove("X-B".into())];
    assert_eq!(settings.forced, Forced { transport: Some(Transport::Tcp), edits });
    assert_eq!((&settings.fallback[..], settings.fallback_on), (&["second".into()][..], StatusSet::parse("403 5xx").unwrap()));
    assert_eq!((settings.response_timeout, settings.answer_timeout), (Some(2 * SECOND), Some(60 * SECOND)));
    assert_eq!(settings.incoming.to, [Bytes::from("sip:10.0.0.5"), Bytes::from("sip:10.0.0.6:5070")]);
    assert_eq!(settings.incoming.header, Some(("X-Trunk".into(), Some("telekom".into()))));
    assert_eq!(settings.incoming.edits, [Edit::Set("X-Trunk".into(), "telekom".into())]);
    assert_eq!((settings.callers.refusal, settings.contact), (Refusal::Silence, ContactPolicy::Token));
    assert!(settings.callers.permits("10.1.1.1".parse().unwrap()) && !settings.callers.permits("10.0.0.9".parse().unwrap()));
    let secret = Secret::File("/etc/jackfield/secret".into());
    assert_eq!(*credentials, Some(Credentials { username: "49301234".into(), realm: Some("tel.t-online.de".into()), secret }));
    let answer = Busy { status: 486, retry_after: 9 };
    assert_eq!(settings.admission, AdmissionLimits { calls: Some(100), calls_per_second: Some(10), answer });
    let probe = Probe { interval: Some(10 * SECOND), interval_down: 2 * SECOND, timeout: SECOND, failures: 2, successes: 3 };
    assert_eq!(settings.probe, probe);
    assert_eq!(config.trunks[1].settings.probe, Probe { interval: None, ..Probe::default() });
}

#[test]
fn what_cannot_be_meant_is_named() {
    for (table, problem) in [
        ("provder = \"a\"", "6:1: trunk.a.provder: unknown key; did you mean `provider`?"),
        ("proxy = \"sip:\"", "6:9: trunk.a.proxy: `sip:` is no SIP URI; write it like \"sip:proxy.example.com:5060;transport=tcp;lr\""),
        ("provider = \"a b\"", "6:12: trunk.a.provider: `a b` is no host; write a name or an address alone, like \"sip.example.com\""),
        ("proxy = \"p\"\negress = \"wam\"", "7:10: trunk.a.egress: there is no listener `wam`; there are: lan, wan"),
        ("proxy = \"p\"\nfallback = \"b\"", "7:12: trunk.a.fallback: there is no [trunk.b]; did you mean `a`?"),
        ("proxy = \"p\"\nfallback = \"a\"", "7:12: trunk.a.fallback: a trunk cannot be its own fallback; remove it"),
        ("proxy = \"p\"\nrealm = \"r\"", "7:9: trunk.a.realm: there is no username; add username = \"...\""),
        (
            "proxy = \"p\"\nset-headers = { Via = \"x\" }",
            "7:17: trunk.a.set-headers.Via: `Via` cannot be edited: it is no header name, or one that is the proxy's own",
        ),
        (
            "proxy = \"p\"\nbusy = \"200\"",
            "7:8: trunk.a.busy: `200` is no final status; write one from \"400\" to \"699\", like \"503\" or \"486\"",
        ),
        (
            "calls = 1",
            "5:8: trunk.a.provider: this trunk has nowhere to send to; add provider = \"sip.example.com\", or proxy = \"sip:proxy.example.com;lr\"",
        ),
        (
            "proxy = \"p\"\noptions = { transport = \"sctp\" }",
            "7:25: trunk.a.options.transport: `sctp` is no transport; write one of udp, tcp, tls, ws, wss",
        ),
    ] {
        let problems = parse(&format!("[trunk.a]\n{table}")).unwrap_err();
        let place = |problem: &Problem| format!("{}:{}: {}: {}", problem.line, problem.column, problem.key, problem.message);
        assert!(problems.iter().map(place).any(|found| found == problem), "{problem}: {problems:?}");
    }
}

#[test]
fn one_host_belongs_to_one_trunk() {
    let problems = parse("[trunk.a]\nprovider = \"p.test\"\n[trunk.b]\nprovider = \"P.test\"").unwrap_err();
    assert_eq!(problems[0].message, "the provider p.test belongs to the trunk `a` already");
}

#[test]
fn a_way_that_nothing_can_take_is_warned_about() {
    let warned = |table: &str| parse(&format!("[trunk.a]\n{table}")).unwrap().warnings.into_iter().map(|w| w.message).collect::<Vec<_>>();
    assert_eq!(warned("proxy = \"sip:p;transport=tls;lr\""), ["nothing can leave this way: no listener speaks tls"]);
    assert_eq!(warned("proxy = \"p\"\noptions = { transport = \"tcp\" }"), [""; 0]);
    assert!(warned("proxy = \"sip:p\"")[0].starts_with("has no `;lr`"));
}

/// No password is in what the configuration prints.
#[test]
fn a_password_is_read_from_where_it_is_and_printed_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let table = format!("[trunk.a]\nproxy = \"p\"\nusername = \"u\"\npassword-file = {file:?}");
    let config = parse(&table).unwrap();
    let missing = config.trunks_with_accounts().unwrap_err();
    assert_eq!((missing[0].line, missing[0].key.as_str()), (8, "trunk.a.password-file"));
    std::fs::write(&file, "pass word\nsecond line\n").unwrap();
    let trunks = config.trunks_with_accounts().unwrap();
    assert_eq!(trunks[0].account.as_ref().unwrap().password, "pass word");
    assert!(!format!("{config:?}{trunks:?}").contains("pass word"));
}
