//! A file that says everything.

use super::*;

#[test]
fn a_full_file_is_read() {
    let config = parse(
        r#"
domains = ["Example.test", "203.0.113.1", "2001:db8::1"]
workers = 2
drain = "30s"
state-directory = "state"
token-key-file = "/run/keys/token"

[listen.wan]
address = "[2001:db8::1]:5060"
transports = ["tcp"]
advertise = "SIP.example.test:5070"

[listen.lan]
address = "192.0.2.1"

[flows]
path = "never"

[relay]
to = ["127.0.0.0/8", "PBX.example", "2001:db8::/32", "192.0.2.9"]

[plugins]
directory = "plugins"
chain = ["line-match", "header-match"]
debounce = "50ms"

[plugins.header-match]
on-error = "next"
memory = "32MiB"
cpu = "10ms"
init-cpu = "2s"
config = { header = "X-Account", weight = 1.5, on = true, n = [1, 0x10], since = 2026-01-02, to = { a = "b" } }

[plugins.line-match]
on-error = "reply 480"
change = "canary"
canary = "2.5%"
promote-after = 10000
probation = { time = "5m", failures = 3, share = "0.5%" }
breaker = false

[timers]
t1 = "100ms"
t2 = "1s"
t4 = "2s"
c = "4m"
trying = "0s"

[limits]
message = "128KiB"
headers = 64
contexts = 1001
branches = 8
max-breadth = 20
retry-after = "2m"
udp-request = 1400

[limits.tcp]
connections = 7
message-time = "5s"
idle-time = "1h"
connect-time = "500ms"

[log]
level = "debug"
format = "json"

[admin]
control = "run/control.sock"
metrics = "127.0.0.1:9090"
"#,
    )
    .unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.domains, ["example.test", "203.0.113.1", "[2001:db8::1]"]);
    let names: Vec<_> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    assert_eq!(names, ["wan", "lan"], "listeners keep the order of the file");
    assert_eq!(config.listen[0].transports, [Transport::Tcp]);
    assert_eq!(config.listen[0].advertise.as_deref(), Some("sip.example.test:5070"));
    assert_eq!((config.listen[1].place.address(), config.listen[1].port_of(Transport::Udp)), (Some([192, 0, 2, 1].into()), 5060));
    for (host, permitted) in [
        ("127.1.2.3", true),
        ("[2001:db8::5]", true),
        ("pbx.EXAMPLE", true),
        ("pbx.example.", true),
        ("192.0.2.9", true),
        ("192.0.2.8", false),
        ("example", false),
    ] {
        assert_eq!(config.relay.permits(host), permitted, "{host}");
    }
    let base = Path::new("/etc/jackfield");
    assert_eq!(config.state_directory, base.join("state"));
    assert_eq!(config.admin, Admin { control: base.join("run/control.sock"), metrics: Some("127.0.0.1:9090".parse().unwrap()) });
    assert_eq!(config.token_keys, Some(Secret::File("/run/keys/token".into())));
    assert_eq!(config.flows, Flows { path: PathPolicy::Never });
    assert_eq!((config.workers, config.drain), (2, Duration::from_secs(30)));
    assert_eq!(config.plugins.directory, Some(base.join("plugins")));
    assert_eq!(config.plugins.chain, ["line-match", "header-match"]);
    assert_eq!(config.plugins.debounce, Duration::from_millis(50));
    assert_eq!(
        config.plugins.table["header-match"],
        Plugin {
            on_error: OnError::Next,
            config: json!({"header": "X-Account", "weight": 1.5, "on": true, "n": [1, 16], "since": "2026-01-02", "to": {"a": "b"}}),
            memory: 32 << 20,
            cpu_per_hook: Duration::from_millis(10),
            cpu_init: Duration::from_secs(2),
            ..Plugin::default()
        }
    );
    assert_eq!(config.plugins.settings("line-match").on_error, OnError::Reply(480));
    assert_eq!(config.plugins.settings("absent"), Plugin::default());
    let line_match = config.plugins.settings("line-match");
    assert_eq!(
        (line_match.change, line_match.canary, line_match.promote_after),
        (Change::Canary, Share::parse("2.5%").unwrap(), Some(10_000))
    );
    let probation = Probation { time: Duration::from_secs(300), failures: 3, share: Share::parse("0.5%").unwrap() };
    assert_eq!((line_match.probation, line_match.breaker), (Some(probation), None));
    assert_eq!(config.plugins.settings("header-match").breaker, Some(Breaker::default()));
    assert_eq!(config.timers.t1, Duration::from_millis(100));
    assert_eq!(config.timers.trying, Duration::ZERO);
    assert_eq!(config.limits.core, CoreLimits { contexts: 501, branches: 8, retry_after: 120, max_breadth: 20 });
    assert_eq!((config.limits.message, config.limits.headers, config.limits.udp_request_max), (131_072, 64, 1400));
    assert_eq!(config.limits.tcp.connections, 7);
    assert_eq!(config.limits.tcp.connect_time, Duration::from_millis(500));
    assert_eq!(config.log, Log { level: LogLevel::Debug, format: LogFormat::Json });
}
