//! What is said of a bad file: each fault with its place and its remedy.

use super::*;

/// Each text follows the listener of LISTEN, which fills the lines 1 and 2, and makes this one problem.
fn each_is_named(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(problems(&format!("{LISTEN}{text}\n")), [format!("f:{expected}")], "{text}");
    }
}

#[test]
fn all_faults_of_a_file_are_named_at_once_and_in_order() {
    let text = r#"domain = ["example.test"]
workers = 0

[listen.lan]
adress = "192.0.2.1:5060"
transports = ["udp", "tsp", 5]

[timers]
t1 = 500

[plugins.header-match]
on-error = "replay 503"
"#;
    assert_eq!(
        problems(text),
        [
            "f:1:1: domain: unknown key; did you mean `domains`?",
            "f:2:11: workers: 0 is out of range; write a number from 1 to 255",
            "f:4:9: listen.lan.address: is missing; add address = \"192.0.2.1:5060\"",
            "f:5:1: listen.lan.adress: unknown key; did you mean `address`?",
            "f:6:22: listen.lan.transports[1]: `tsp` is no transport; did you mean \"tcp\"?",
            "f:6:29: listen.lan.transports[2]: is the number 5; write a string",
            "f:9:6: timers.t1: 500 has no unit; write \"500ms\" or \"500s\"",
            "f:11:1: warning: plugins.header-match: this plugin is not in the chain, so it never runs; add its name to chain",
            "f:12:12: plugins.header-match.on-error: `replay 503` is not known; write \"next\", or \"reply STATUS\" with a status from \
             300 to 699, like \"reply 503\"",
        ]
    );
}

#[test]
fn faults_in_where_requests_may_go_are_named() {
    each_is_named(&[
        ("[relay]\nto = \"pbx\"", "4:6: relay.to: is a string; write a list"),
        (
            "[relay]\nto = [\"sip:pbx\"]",
            "4:7: relay.to[0]: `sip:pbx` is no host, address or block; write it like \"pbx.example.com\" or \"192.0.2.0/24\"",
        ),
        (
            "[relay]\nto = [\"10.0.0.1/8\"]",
            "4:7: relay.to[0]: the address has bits set beyond the prefix; the block is 10.0.0.0/8; write it like \"192.0.2.0/24\"",
        ),
        (
            "[outbound-proxy]\nlist = \"10.0.0.0/8/192.0.2.7, 10.0.0.0/8\"",
            "4:8: outbound-proxy.list: entry 2 (`10.0.0.0/8`): write it like \"10.0.0.0/255.0.0.0/192.0.2.7:5060/tcp\": source, mask, \
             address, and after the address port and transport",
        ),
        (
            "[outbound-proxy]\nlist = [\"::/0/[::1]\", \"::/129/[::1]\"]",
            "4:23: outbound-proxy.list[1]: entry 2 (`::/129/[::1]`): the mask `129` is no prefix length from 0 to 128, and no netmask of \
             leading ones",
        ),
        (
            "[outbound-proxy]\nrules = [{ from = \"10.0.0.0/8\", to = \"192.0.2.7\" }]",
            "4:38: outbound-proxy.rules[0].to: `192.0.2.7` is no SIP URI to send to; write it like \"sip:192.0.2.7:5060;transport=tcp\"",
        ),
        (
            "[outbound-proxy]\nlist = \"10.0.0.0/8/192.0.2.7, 10.1.0.0/16/192.0.2.8\"",
            "4:8: warning: outbound-proxy.list: entry 2 (`10.1.0.0/16/192.0.2.8`) is never reached: rule 1 takes everything from 10.1.0.0/16",
        ),
        (
            "[outbound-proxy]\nrules = [{ from = \"::/0\", to = \"sip:sbc;transport=tls\", egress = \"lan\" }]",
            "4:10: warning: outbound-proxy.rules[0]: nothing can leave to sip:sbc;transport=tls: the listener `lan` does not speak tls",
        ),
        (
            "[outbound-proxy]\nrules = [{ from = \"::/0\", to = \"sip:sbc\", egress = \"wan\" }]",
            "4:52: outbound-proxy.rules[0].egress: there is no listener `wan`; write one of lan",
        ),
    ]);
}

#[test]
fn faults_in_how_names_are_found_are_named() {
    each_is_named(&[
        (
            "[dns]\nservers = [\"192.0.2.53\", \"ns.example\"]",
            "4:26: dns.servers[1]: `ns.example` is no address; write it like \"192.0.2.53\", \"127.0.0.1:8600\" or \"[2001:db8::53]:53\"",
        ),
        ("[dns]\nservers = \"192.0.2.53\"", "4:11: dns.servers: is a string; write a list"),
        ("[dns]\nservers = [53]", "4:12: dns.servers[0]: is the number 53; write a string"),
        ("[dns]\npatience = \"7s\"", "4:12: dns.patience: `7s` is out of range; write 0ms to 6s"),
        ("[dns]\nprefer = []", "4:10: dns.prefer: names no transport; write at least one, like [\"udp\"], or remove the key"),
        (
            "[dns.domains]\nconsul = []",
            "4:10: dns.domains.consul: names no server; write at least one, like [\"192.0.2.53\"], or remove the key",
        ),
        (
            "[dns.domains]\n\"10.1.2.3\" = [\"192.0.2.53\"]",
            "4:1: dns.domains.\"10.1.2.3\": `10.1.2.3` is no domain; write it like \"consul\" or \"voice.example.com\"",
        ),
        ("[dns]\nprefer = [\"upd\"]", "4:11: dns.prefer[0]: `upd` is not known; did you mean \"udp\"?"),
        ("[dns]\nprefer = [\"ws\"]", "4:11: dns.prefer[0]: `ws` has no SRV name (RFC 7118); it is found by NAPTR, or by the URI"),
        ("[dns]\nfamily = \"ipv5\"", "4:10: dns.family: `ipv5` is not known; did you mean \"ipv4\"?"),
        (
            "[dns]\nmin-ttl = \"1m\"\nmax-ttl = \"30s\"",
            "5:11: dns.max-ttl: max-ttl is shorter than min-ttl; no answer could be kept for as long as both say",
        ),
    ]);
}

#[test]
fn faults_in_times_bounds_log_and_admin_are_named() {
    each_is_named(&[
        (
            "[timers]\nt1 = \"0.5s\"",
            "4:6: timers.t1: `0.5s` is no duration; write a whole number and a unit (ms, s, m, h, d), like \"500ms\" or \"20s\"",
        ),
        ("[timers]\ntrying = \"1s\"", "4:10: timers.trying: `1s` is out of range; write 0ms to 200ms"),
        ("[timers]\nt1 = \"5s\"", "4:6: timers.t1: t2 is shorter than t1; intervals grow from t1 up to t2 (RFC 3261 17.1.2.2)"),
        (
            "[timers]\nc = \"2m\"",
            "4:5: warning: timers.c: timer C has to be longer than 3 minutes (RFC 3261 16.6 item 11); shorter ones end calls that still ring",
        ),
        (
            "[limits]\nmessage = \"1MB\"",
            "4:11: limits.message: `1MB` is no size; write a whole number and a unit (B, KiB, MiB, GiB), like \"16MiB\"",
        ),
        ("[limits]\nmessage = 100", "4:11: limits.message: 100 is out of range; write a number from 1024 to 16777216"),
        (
            "[limits.tcp]\nidle = \"1m\"",
            "4:1: limits.tcp.idle: unknown key; known here: connections, message-time, idle-time, handshake-time, connect-time",
        ),
        ("[log]\nlevel = \"warning\"", "4:9: log.level: `warning` is not known; write one of error, warn, info, debug, trace"),
        ("[log]\nlevel = \"inof\"", "4:9: log.level: `inof` is not known; did you mean \"info\"?"),
        ("[log]\nformat = true", "4:10: log.format: is the truth value true; write a string"),
        ("[admin]\nmetrics = \"127.0.0.1\"", "4:11: admin.metrics: `127.0.0.1` has no port; write it like \"127.0.0.1:9090\""),
        (
            "[admin]\nmetrics = \"192.0.2.1:5060\"",
            "4:11: admin.metrics: 192.0.2.1:5060 is already taken by the listener `lan`; choose another port",
        ),
    ]);
}

#[test]
fn faults_in_addresses_and_names_of_listeners_are_named() {
    each_is_named(&[
        (
            "[listen.b]\naddress = \"pbx.example:5060\"",
            "4:11: listen.b.address: `pbx.example:5060` is a name; write the IP address to bind, and the name into `advertise`",
        ),
        (
            "[listen.b]\naddress = \"2001:db8::1:70000\"",
            "4:11: listen.b.address: `2001:db8::1:70000` is ambiguous; write IPv6 in brackets, like \"[2001:db8::1]:5060\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.1:70000\"",
            "4:11: listen.b.address: `192.0.2.1:70000` has no valid port; write a number from 0 to 65535",
        ),
        (
            "[listen.b]\naddress = \"0.0.0.0:5070\"",
            "4:11: listen.b.address: 0.0.0.0 is no address that peers can answer to; add advertise = \"HOST\", or listen on an address of this machine",
        ),
        (
            "[listen.b]\naddress = \"0.0.0.0\"\nadvertise = \"a\"",
            "3:9: listen.b: 0.0.0.0:5060 is already taken by the listener `lan` in line 1; give one of them another port or transport",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\nadvertise = \"sip:a\"",
            "5:13: listen.b.advertise: `sip:a` is no host or host:port; write it like \"sip.example.com\" or \"203.0.113.1:5060\"",
        ),
        (
            "[listen.\"a b\"]\naddress = \"192.0.2.2\"",
            "3:9: listen.\"a b\": a listener's name is made of letters, digits, `-`, `_` and `.`; rename it",
        ),
    ]);
}

#[test]
fn faults_in_transports_of_listeners_are_named() {
    each_is_named(&[
        (
            "[listen.b]\naddress = \"192.0.2.1\"\ntransports = [\"udp\"]",
            "3:9: listen.b: 192.0.2.1:5060 is already taken by the listener `lan` in line 1; give one of them another port or transport",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = []",
            "5:14: listen.b.transports: is empty; write at least one transport, like [\"udp\", \"tcp\"]",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"TCP\"]",
            "5:15: listen.b.transports[0]: transports are written in lower case: \"tcp\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"tls\"]",
            "5:14: listen.b.transports: tls needs a certificate; add a table [listen.b.tls] with certificate = \"FILE.pem\" and key = \"FILE.key\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2:5070\"\ntransports = [\"udp\", \"tcp\", \"wss\"]\ntls = { certificate = \"c\", key = \"k\" }",
            "5:14: listen.b.transports: tcp and wss cannot share port 5070; leave the port out of `address`, so that each has its own, or \
             write a listener for each",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"tls\"]\ntls = { certificate = \"c\" }",
            "6:1: listen.b.tls.key: is missing: tls needs it; add key = \"FILE.key\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"tls\"]\n[listen.b.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient-certificate = \"request\"",
            "9:22: listen.b.tls.client-certificate: there is nobody to verify certificates of clients with; add client-ca = \"FILE.pem\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"tls\"]\n[listen.b.tls]\ncertificate = \"c\"\nkey = \"k\"\nverify-server = \"no\"",
            "9:17: listen.b.tls.verify-server: is a string; write true or false, without quotes",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntls = { certificate = \"c\", key = \"k\" }",
            "5:1: warning: listen.b.tls: is not used: neither \"tls\" nor \"wss\" is among the transports",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"ws\"]\nwebsocket.origins = [\"https://a.example/phone\"]",
            "6:22: listen.b.websocket.origins[0]: `https://a.example/phone` is no origin; write scheme and host without a path, like \
             \"https://phone.example.com\"",
        ),
        (
            "[listen.b]\naddress = \"192.0.2.2\"\ntransports = [\"udp\", \"udp\"]",
            "5:22: listen.b.transports[1]: `udp` is here twice; remove one",
        ),
    ]);
}

#[test]
fn faults_in_the_chain_are_named() {
    each_is_named(&[
        (
            "[plugins]\nchain = [\"a\"]",
            "4:9: plugins.chain: there is no directory to load these from; add directory = \"plugins\" to [plugins]",
        ),
        (
            "[plugins]\ndirectory = \"p\"\nchain = [\"a\", \"a\"]",
            "5:15: plugins.chain[1]: `a` is here twice; a plugin runs once for a request, remove one",
        ),
        ("[plugins]\ndirectory = \"p\"\nchain = [\"a.wasm\"]", "5:10: plugins.chain[0]: a plugin is named without `.wasm`; write \"a\""),
        (
            "[plugins]\ndirectory = \"p\"\nchain = [\"../a\"]",
            "5:10: plugins.chain[0]: `../a` cannot be a plugin's name; names are up to 64 letters, digits, `-` and `_`",
        ),
        (
            "[plugins]\ndirectory = \"p\"\nchain = [\"chain\"]",
            "5:10: plugins.chain[0]: `chain` is a key of [plugins] and cannot name a plugin; rename its file",
        ),
        ("[plugins]\ndirectory = \"\"", "4:13: plugins.directory: is empty; write a path"),
        (
            "[plugins]\ncha1n = [\"a\"]",
            "4:1: plugins.cha1n: unknown key; [plugins] has directory, chain, debounce and waiting, and a table [plugins.NAME] for a plugin",
        ),
    ]);
}

#[test]
fn faults_in_the_configuration_of_a_plugin_are_named() {
    let head = format!("{LISTEN}[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n");
    for (text, expected) in [
        ("[plugins.a]\nonerror = \"next\"", "7:1: plugins.a.onerror: unknown key; did you mean `on-error`?"),
        ("[plugins.a]\nmemory = \"8KiB\"", "7:10: plugins.a.memory: `8KiB` is out of range; write 1048576 to 1073741824 octets"),
        ("[plugins.a]\ncpu = \"2s\"", "7:7: plugins.a.cpu: `2s` is out of range; write 1ms to 1s"),
        ("[plugins.a]\nchange = \"shadows\"", "7:10: plugins.a.change: `shadows` is not known; did you mean \"shadow\"?"),
        (
            "[plugins.a]\nchange = \"canary\"\ncanary = \"5\"",
            "8:10: plugins.a.canary: `5` is no share; write a percentage from \"0%\" to \"100%\", like \"5%\" or \"0.25%\"",
        ),
        (
            "[plugins.a]\ncanary = \"5%\"",
            "7:10: warning: plugins.a.canary: no share of the calls goes to a changed file here; add change = \"canary\"",
        ),
        (
            "[plugins.a]\npromote-after = 5",
            "7:17: warning: plugins.a.promote-after: a changed file serves at once here; add change = \"shadow\" or change = \"canary\"",
        ),
        (
            "[plugins.a]\nprobation = true",
            "7:13: plugins.a.probation: is true; leave it out for the defaults, write false, or a table like \
             { time = \"60s\", failures = 5, share = \"1%\" }",
        ),
        (
            "[plugins.a]\nbreaker = \"off\"",
            "7:11: plugins.a.breaker: is a string; write false, or a table like \
             { failures = 20, share = \"50%\", window = \"10s\", open = \"10s\" }",
        ),
        ("[plugins.a]\nbreaker = { fail = 1 }", "7:13: plugins.a.breaker.fail: unknown key; known here: failures, share, window, open"),
        (
            "[plugins.a]\nprobation = { failures = 0 }",
            "7:26: plugins.a.probation.failures: 0 is out of range; write a number from 1 to 1000000000",
        ),
        ("[plugins.a]\nconfig = 1", "7:10: plugins.a.config: is the number 1; write a table"),
        ("[plugins.a.config]\nx = [1.0, nan]", "7:11: plugins.a.config.x[1]: nan cannot be handed to a plugin; write a finite number"),
        (
            "[plugins.a.config]\nx = 9223372036854775808",
            "7:5: plugins.a.config.x: 9223372036854775808 does not fit into 64 bits; write it as a string",
        ),
    ] {
        assert_eq!(problems(&format!("{head}{text}\n")), [format!("f:{expected}")], "{text}");
    }
}

#[test]
fn a_file_without_listener_or_without_a_place_for_state_is_refused() {
    let advice = "there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"";
    assert_eq!(problems(""), [format!("f:1:1: listen: {advice}")]);
    assert_eq!(problems("\n[listen]\n"), [format!("f:2:2: listen: {advice}")]);
    let homeless = Config::parse(Path::new("f"), LISTEN, &Environment::default()).unwrap_err();
    assert_eq!(homeless.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), ["state-directory"]);
    let long = format!("state-directory = \"/{}\"\n{LISTEN}", "x".repeat(100));
    assert!(problems(&long)[0].starts_with("f:1:1: admin.control: the path /xxx"), "{:?}", problems(&long));
}

#[test]
fn broken_toml_is_named_with_its_place() {
    let found = problems("domains = [\n\n[listen.lan]\naddress = \n");
    assert!(found.len() >= 2 && found.iter().all(|line| line.contains("not valid TOML: ")), "{found:#?}");
    assert!(found[1].starts_with("f:4:"), "{found:#?}");
    let duplicate = problems("workers = 1\nworkers = 2\n");
    assert_eq!(duplicate, ["f:2:1: not valid TOML: duplicate key"]);
}
