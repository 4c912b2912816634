//! What an author writes and tests, without WebAssembly.

use jackfield::prelude::*;
use jackfield::testing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trunks {
    trunk: HashMap<String, Trunk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trunk {
    uri: String,
    proxy: String,
    backup: String,
    account: String,
}

#[jackfield::plugin]
impl Plugin for Trunks {
    fn on_request(&self, req: &Request) -> Result<Decision> {
        let Some(line) = req.uri_param("line") else { return Ok(Decision::pass()) };
        let Some(t) = self.trunk.get(&line) else { return Ok(Decision::reply(404, "Unknown line")) };
        if req.header("X-Account-Number").is_some_and(|a| a != t.account) {
            return Ok(Decision::reply(403, "Account mismatch"));
        }
        Ok(Decision::forward([&t.proxy, &t.backup].map(|p| Target::to(&t.uri).via_proxy(p).transport("tcp").tag(&line))))
    }
}

const TRUNKS: &str = "[trunk.abc]\nuri='sip:o@t'\nproxy='sip:px1;lr'\nbackup='sip:px2;lr'\naccount='1'";

#[test]
fn line_selects_trunk() {
    let p = Trunks::from_toml(TRUNKS).unwrap();
    let d = p.on_request(&Request::parse("INVITE sip:1@sbc;line=abc SIP/2.0")).unwrap();
    assert_eq!(d.targets()[1].route, ["sip:px2;lr"]);
    assert_eq!(d.targets()[1].option_value("transport"), Some("tcp"));
    assert_eq!(d.plan().unwrap().groups.len(), 1);
}

#[test]
fn configuration_errors_name_the_key() {
    let refusal = |text: &str| Trunks::from_toml(text).err().unwrap().to_string();
    assert_eq!(refusal(""), "missing field `trunk`");
    assert_eq!(refusal("[trunk.abc]\nuri='x'\nproxy='y'\nbackup='z'"), "trunk.abc: missing field `account`");
    assert_eq!(refusal(&TRUNKS.replace("uri='sip:o@t'", "uri=5")), "trunk.abc.uri: invalid type: integer `5`, expected a string");
    let unknown = refusal(&format!("{TRUNKS}\nprxy='x'"));
    assert_eq!(unknown, "trunk.abc.prxy: unknown field `prxy`, expected one of `uri`, `proxy`, `backup`, `account`");
}

#[test]
fn hooks_written_are_hooks_subscribed() {
    let plugin = Trunks::from_toml(TRUNKS).unwrap();
    assert_eq!(plugin.subscriptions(), [Subscription::to([Hook::Request])]);
}

struct Watcher {
    limit: usize,
}

#[derive(Deserialize)]
struct WatcherConfig {
    limits: Vec<usize>,
}

#[jackfield::plugin(methods("INVITE", "MESSAGE"), if_header("X-A", "X-B"))]
impl Plugin for Watcher {
    fn new(config: WatcherConfig) -> Result<Self> {
        Ok(Self { limit: config.limits.into_iter().sum() })
    }

    fn validate(&self) -> Result<()> {
        if self.limit == 0 {
            bail!("limits: the sum is {}", self.limit);
        }
        Ok(())
    }

    fn on_request(&self, request: &Request) -> Result<Decision> {
        request.set_note("seen", "yes");
        jackfield::info!("{} of {}", request.method(), self.limit);
        metrics::Counter::new("requests", &[("method", &request.method())]).add(2);
        Ok(Decision::pass())
    }

    #[subscribe(statuses("5xx", "404"))]
    #[subscribe(methods("BYE"), in_dialog)]
    fn on_response(&self, request: &Request, response: &Response, branch: &Branch) -> Result<Outcome> {
        match (request.note("seen"), response.status()) {
            (Some(_), 503) => Ok(Outcome::replace(Reply::new(480, "").header("X-Attempt", branch.attempt.to_string()))),
            _ => Ok(Outcome::edit([Edit::remove("Server")])),
        }
    }

    fn on_failure(&self, _: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery> {
        let status: u16 = response.map_or("0".parse()?, Response::status);
        Ok(if failure.remaining == 0 && status == 404 { Recovery::instead(Target::to("sip:voicemail")) } else { Recovery::Next })
    }
}

fn watcher() -> Watcher {
    Watcher::from_json(r#"{"limits": [1, 2]}"#).unwrap()
}

#[test]
fn attributes_narrow_the_subscriptions() {
    let plain = Subscription::to([Hook::Request, Hook::Failure]).methods(["INVITE", "MESSAGE"]).if_header(["X-A", "X-B"]);
    let errors = Subscription::to([Hook::Response]).statuses(["5xx", "404"]);
    let byes = Subscription::to([Hook::Response]).methods(["BYE"]).in_dialog();
    assert_eq!(watcher().subscriptions(), [errors, byes, plain]);
}

#[test]
fn plugin_may_differ_from_its_configuration_and_check_itself() {
    assert_eq!(watcher().limit, 3);
    assert_eq!(Watcher::from_toml("limits = [0]").err().unwrap().to_string(), "limits: the sum is 0");
}

#[test]
fn notes_logs_and_metrics_can_be_looked_at() {
    testing::take_log();
    let request = Request::parse("INVITE sip:1@sbc");
    watcher().on_request(&request).unwrap();
    watcher().on_request(&request).unwrap();
    assert_eq!(request.note("seen").as_deref(), Some("yes"));
    assert_eq!(testing::take_log()[1], (log::Level::Info, "INVITE of 3".to_owned()));
    assert_eq!(testing::metric("requests", &[("method", "INVITE")]), 4.0);

    let branch = Branch { tag: String::new(), attempt: 2, elapsed: Duration::ZERO };
    let outcome = watcher().on_response(&request, &Response::parse("503 Service Unavailable"), &branch).unwrap();
    assert_eq!(outcome, Outcome::Replace(Reply::new(480, "").header("X-Attempt", "2")));
}

#[test]
fn clock_and_randomness_are_the_test_s() {
    testing::set_unix_ms(5_000);
    assert_eq!((clock::unix_ms(), clock::monotonic()), (5_000, Duration::from_secs(5)));
    assert!(clock::local("Europe/Berlin").is_err());
    let time = clock::LocalTime { year: 2026, month: 1, day: 2, hour: 3, minute: 4, second: 5, weekday: 5 };
    testing::set_local_time(time);
    assert_eq!(clock::local("Europe/Berlin").unwrap(), time);
    testing::seed(7);
    let first = (random::number(), random::bytes(3));
    testing::seed(7);
    assert_eq!((random::number(), random::bytes(3)), first);
    assert_ne!(random::number(), random::number());
}

#[test]
fn failure_can_be_given_other_targets() {
    let request = Request::parse("INVITE sip:1@sbc");
    let failure = Failure { cause: Cause::Status, tag: String::new(), attempt: 1, remaining: 0 };
    let recovery = watcher().on_failure(&request, Some(&Response::parse("SIP/2.0 404 Not Found")), &failure).unwrap();
    assert_eq!(recovery, Recovery::Instead(vec![Group::serial([Target::to("sip:voicemail")])]));
}

#[derive(Deserialize)]
struct Ledger {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Ledger {
    fn on_request(&self, _: &Request) -> Result<Decision> {
        Ok(Decision::pass())
    }

    fn on_registration(&self, event: &Registration) {
        let (kind, trunk) = (event.kind(), event.trunk().unwrap_or_default());
        metrics::Counter::new("registrations", &[("kind", kind.name()), ("trunk", &trunk)]).add(1);
        jackfield::info!("{} {kind} from {} by {}", event.aor(), event.source().address, event.listener());
    }
}

#[test]
fn registrations_are_told_without_a_filter() {
    let plugin = Ledger::from_toml("").unwrap();
    let expected = [Subscription::to([Hook::Registration]), Subscription::to([Hook::Request]).methods(["INVITE"])];
    assert_eq!(plugin.subscriptions(), expected);
    assert!(watcher().subscriptions().iter().all(|made| !made.hooks.contains(&Hook::Registration)), "only where it is written");
}

#[test]
fn registrations_can_be_made_for_tests() {
    testing::take_log();
    let event = Registration::of(RegistrationKind::Failed, "sip:1@tel.t-online.de")
        .with_contact("sip:1@10.0.0.5;line=abc")
        .with_line("abc")
        .with_trunk("telekom")
        .with_status(403)
        .with_expires_in(Duration::from_secs(90))
        .with_source("10.0.0.5", 5070, Transport::Tcp)
        .with_listener("lan");
    assert_eq!((event.contact().as_str(), event.line().as_deref()), ("sip:1@10.0.0.5;line=abc", Some("abc")));
    assert_eq!((event.status(), event.expires_in()), (Some(403), Some(Duration::from_secs(90))));
    let plugin = Ledger::from_toml("").unwrap();
    plugin.on_registration(&event);
    plugin.on_registration(&Registration::of(RegistrationKind::Other("moved".to_owned()), "sip:2@x"));
    assert_eq!(testing::metric("registrations", &[("kind", "failed"), ("trunk", "telekom")]), 1.0);
    assert_eq!(testing::metric("registrations", &[("kind", "moved"), ("trunk", "")]), 1.0);
    assert_eq!(testing::take_log()[0].1, "sip:1@tel.t-online.de failed from 10.0.0.5 by lan");
}

#[derive(Deserialize)]
struct Accounts {}

#[jackfield::plugin(methods("INVITE"), if_header("X-Account"))]
impl Plugin for Accounts {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        request.set_note("account", &request.header("X-Account").unwrap_or_default());
        Ok(Decision::pass())
    }

    fn on_complete(&self, event: &Completed) {
        let (account, tag) = (event.note("account").unwrap_or_default(), event.tag().unwrap_or_default());
        let (status, setup) = (event.status().unwrap_or_default(), event.setup().as_millis());
        jackfield::info!("{} {account} by {tag} {status} after {setup} ms, {} tried", event.uri(), event.attempts());
    }

    fn on_timer(&self, id: &str) {
        jackfield::info!("{id} has run out");
    }
}

#[test]
fn end_of_a_request_is_told_by_method_and_timers_without_a_filter() {
    let plugin = Accounts::from_toml("").unwrap();
    let request = Subscription::to([Hook::Request]).methods(["INVITE"]).if_header(["X-Account"]);
    let complete = Subscription::to([Hook::Complete]).methods(["INVITE"]);
    assert_eq!(plugin.subscriptions(), [complete, Subscription::to([Hook::Timer]), request]);
}

#[test]
fn end_of_a_request_knows_its_notes() {
    testing::take_log();
    let plugin = Accounts::from_toml("").unwrap();
    let request = Request::parse("INVITE sip:1@sbc\nX-Account: 7\nCall-ID: c@x");
    plugin.on_request(&request).unwrap();
    let end = Completed::of(&request, 200).with_tag("a").with_attempts(2).with_setup(Duration::from_millis(1250));
    assert_eq!((end.call_id().as_str(), end.method().as_str(), end.transaction_id()), ("c@x", "INVITE", request.transaction_id()));
    plugin.on_complete(&end);
    plugin.on_timer("refresh");
    let lines: Vec<String> = testing::take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["sip:1@sbc 7 by a 200 after 1250 ms, 2 tried", "refresh has run out"]);
    assert_eq!(Completed::of(&Request::parse("ACK sip:1@sbc"), None).status(), None);
}
