//! The resolver with a source of records that the test has written, and a clock that the test moves.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_proto::net::{ListenerId, Over, Path, Reach, Transport};
use jackfield_proto::proxy::{Cause, Located, Query};
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, sleep};

use crate::record::{Answer, Asked, Failure, Kind, Question, Records, Source, Srv};
use crate::{Resolver, Settings};

/// What the fake servers do with a question.
#[derive(Clone)]
enum Script {
    /// Answer after this time.
    Answer(Duration, Answer),
    /// Say SERVFAIL.
    Refuse,
    /// Nothing, until the question is given up.
    Silence,
}

/// The time after which a question to silent servers is given up.
const GIVEN_UP: Duration = Duration::from_secs(2);

/// Servers that follow scripts; without one, a name does not exist.
#[derive(Clone, Default)]
struct Servers {
    scripts: Arc<Mutex<HashMap<(Kind, String), Script>>>,
    /// The questions that came, as `KIND NAME`.
    asked: Arc<Mutex<Vec<String>>>,
    group: Arc<Asked>,
}

impl Source for Servers {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        self.asked.lock().unwrap().push(format!("{:?} {}", question.kind, question.name));
        let script = self.scripts.lock().unwrap().get(&(question.kind, question.name.to_string())).cloned();
        let nothing = Answer { records: Records::Addresses(Vec::new()), ttl: Duration::from_secs(600) };
        Box::pin(async move {
            match script.unwrap_or(Script::Answer(Duration::ZERO, nothing)) {
                Script::Answer(delay, answer) => {
                    sleep(delay).await;
                    Ok(answer)
                }
                Script::Refuse => Err(Failure::Refused("SERVFAIL".to_owned())),
                Script::Silence => {
                    sleep(GIVEN_UP).await;
                    Err(Failure::Silent)
                }
            }
        })
    }

    fn asked(&self, _: &str) -> Arc<Asked> {
        Arc::clone(&self.group)
    }
}

impl Servers {
    fn script(&self, kind: Kind, name: &str, script: Script) {
        self.scripts.lock().unwrap().insert((kind, name.to_owned()), script);
    }

    fn address(&self, name: &str, address: &str, ttl: u64) {
        let records = Records::Addresses(vec![address.parse().unwrap()]);
        self.script(Kind::A, name, Script::Answer(Duration::ZERO, Answer { records, ttl: Duration::from_secs(ttl) }));
    }

    fn all_silent(&self) {
        self.scripts.lock().unwrap().values_mut().for_each(|script| *script = Script::Silence);
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn resolver(&self) -> Resolver {
        let settings = Settings { hosts: "/nowhere/hosts".into(), ..Settings::default() };
        self.resolver_with(settings)
    }

    fn resolver_with(&self, settings: Settings) -> Resolver {
        Resolver::with_source(settings, Box::new(self.clone()), Arc::new(|_| 0), Handle::current())
    }
}

/// A query for addresses alone, IPv4 by UDP.
fn query(host: &str) -> Query {
    let mut reach = Reach::default();
    reach.insert(Transport::Udp, IpAddr::from([127, 0, 0, 1]));
    Query { host: host.to_owned(), port: Some(5060), transport: None, secure: false, reach }
}

fn addresses(located: &[Located]) -> Vec<String> {
    located.iter().map(|located| located.hop.address.ip().to_string()).collect()
}

/// The addresses, and how long it took to have them.
async fn timed(resolver: &Resolver, query: &Query) -> (Vec<String>, Duration) {
    let begun = Instant::now();
    if let Some(located) = resolver.cached(query) {
        return (addresses(&located), Duration::ZERO);
    }
    let located = resolver.resolve(query).await;
    (addresses(&located), begun.elapsed())
}

/// Lets what was spawned run as far as it can without time passing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_known_is_answered_without_asking() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 60);
    let resolver = servers.resolver();
    assert_eq!(resolver.cached(&query("a.test")), None);
    assert_eq!(addresses(&resolver.resolve(&query("a.test")).await), ["192.0.2.1"]);
    assert_eq!(servers.take_asked(), ["A a.test"]);
    assert_eq!(addresses(&resolver.cached(&query("A.TEST")).unwrap()), ["192.0.2.1"]);
    assert_eq!(servers.take_asked(), [""; 0]);
    let numeric = resolver.cached(&query("127.0.0.1")).unwrap();
    assert_eq!(numeric[0].source, Some(IpAddr::from([127, 0, 0, 1])), "the kernel says from where");
}

#[tokio::test(start_paused = true)]
async fn questions_of_one_stage_run_together_and_each_only_once() {
    let servers = Servers::default();
    let slow = |records| Script::Answer(SECOND, Answer { records, ttl: 60 * SECOND });
    let srv = Srv { priority: 1, weight: 1, port: 5070, target: "h.test.".into() };
    servers.script(Kind::Naptr, "a.test", slow(Records::Naptr(Vec::new())));
    servers.script(Kind::Srv, "_sip._udp.a.test", slow(Records::Srv(vec![srv])));
    servers.script(Kind::Srv, "_sip._tcp.a.test", slow(Records::Srv(Vec::new())));
    servers.script(Kind::Srv, "_sips._tcp.a.test", slow(Records::Srv(Vec::new())));
    servers.script(Kind::A, "h.test.", slow(Records::Addresses(vec![[192, 0, 2, 1].into()])));
    servers.script(Kind::Aaaa, "h.test.", slow(Records::Addresses(Vec::new())));
    let resolver = servers.resolver();
    let query = Query { port: None, reach: Reach::ALL, ..query("a.test") };
    let begun = Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (resolver, query) = (resolver.clone(), query.clone());
            tokio::spawn(async move { resolver.resolve(&query).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap()[0].hop.address, "192.0.2.1:5070".parse().unwrap());
    }
    assert_eq!(begun.elapsed().as_secs(), 3, "three stages");
    let mut asked = servers.take_asked();
    asked.sort();
    assert_eq!(
        asked,
        ["A h.test.", "Aaaa h.test.", "Naptr a.test", "Srv _sip._tcp.a.test", "Srv _sip._udp.a.test", "Srv _sips._tcp.a.test"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_used_is_refreshed_before_it_expires() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 40);
    let resolver = servers.resolver();
    resolver.resolve(&query("a.test")).await;
    servers.take_asked();
    servers.address("a.test", "192.0.2.2", 40);
    advance(29 * SECOND).await;
    assert_eq!(addresses(&resolver.cached(&query("a.test")).unwrap()), ["192.0.2.1"]);
    settle().await;
    assert_eq!(servers.take_asked(), [""; 0], "not yet");
    advance(2 * SECOND).await;
    for _ in 0..3 {
        assert_eq!(addresses(&resolver.cached(&query("a.test")).unwrap()), ["192.0.2.1"], "nobody waits for it");
    }
    sleep(MILLISECOND).await;
    assert_eq!(servers.take_asked(), ["A a.test"], "one question for three uses");
    assert_eq!(addresses(&resolver.cached(&query("a.test")).unwrap()), ["192.0.2.2"]);
    advance(35 * SECOND).await;
    assert!(resolver.cached(&query("a.test")).is_some(), "the TTL counts from the refresh");
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_known_name_go_on_while_the_servers_are_down() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 10);
    servers.address("b.test", "192.0.2.2", 10);
    let resolver = servers.resolver();
    for host in ["a.test", "b.test"] {
        resolver.resolve(&query(host)).await;
    }
    servers.all_silent();
    // A call to the first name every second for two minutes; none to the second one but at the end.
    let mut lost = Vec::new();
    for _ in 0..120 {
        sleep(SECOND).await;
        let (found, took) = timed(&resolver, &query("a.test")).await;
        assert_eq!(found, ["192.0.2.1"]);
        lost.push(took);
    }
    assert_eq!(lost.iter().sum::<Duration>(), Duration::ZERO, "the refresh ahead has found the outage out before a call could");
    assert_eq!(timed(&resolver, &query("b.test")).await, (vec!["192.0.2.2".to_owned()], Duration::ZERO), "the same servers");
    assert!(resolver.figures().stale > 0);
    let questions = resolver.figures().questions;
    assert!((12..40).contains(&questions), "asked with back-off, not for every call: {questions}");
    // They are back: taken up by the next question.
    servers.address("a.test", "192.0.2.9", 10);
    sleep(11 * SECOND).await;
    timed(&resolver, &query("a.test")).await;
    sleep(MILLISECOND).await;
    assert_eq!(timed(&resolver, &query("a.test")).await.0, ["192.0.2.9"]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_answer_is_waited_for_no_longer_than_patience_allows() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 10);
    let resolver = servers.resolver();
    resolver.resolve(&query("a.test")).await;
    sleep(20 * SECOND).await;
    servers.script(Kind::A, "a.test", Script::Answer(Duration::from_millis(100), answer("192.0.2.2")));
    let (found, took) = timed(&resolver, &query("a.test")).await;
    assert_eq!((found, took.as_millis()), (vec!["192.0.2.2".to_owned()], 100), "servers that answer are waited for");
    sleep(20 * SECOND).await;
    servers.all_silent();
    let (found, took) = timed(&resolver, &query("a.test")).await;
    assert_eq!((found, took.as_millis()), (vec!["192.0.2.2".to_owned()], 400));
    assert_eq!(timed(&resolver, &query("a.test")).await.1, Duration::ZERO, "once");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_was_begun_ahead_has_been_waited_for_already() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 4);
    let resolver = servers.resolver();
    resolver.resolve(&query("a.test")).await;
    servers.all_silent();
    // Used in the last second of its time, and then when it has expired, before the refresh is given up.
    sleep(Duration::from_millis(3100)).await;
    assert!(resolver.cached(&query("a.test")).is_some());
    sleep(SECOND).await;
    let (found, took) = timed(&resolver, &query("a.test")).await;
    assert_eq!((found, took), (vec!["192.0.2.1".to_owned()], Duration::ZERO));
    assert_eq!(resolver.figures().questions, 2);
}

fn answer(address: &str) -> Answer {
    Answer { records: Records::Addresses(vec![address.parse().unwrap()]), ttl: 10 * SECOND }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_records_is_believed_and_servfail_is_not() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 10);
    let resolver = servers.resolver();
    resolver.resolve(&query("a.test")).await;
    sleep(11 * SECOND).await;
    servers.script(Kind::A, "a.test", Script::Refuse);
    assert_eq!(timed(&resolver, &query("a.test")).await, (vec!["192.0.2.1".to_owned()], Duration::ZERO));
    servers.scripts.lock().unwrap().clear();
    sleep(2 * SECOND).await;
    timed(&resolver, &query("a.test")).await;
    sleep(MILLISECOND).await;
    assert_eq!(timed(&resolver, &query("a.test")).await.0, [""; 0], "NXDOMAIN");
    servers.address("a.test", "192.0.2.3", 10);
    sleep(50 * SECOND).await;
    timed(&resolver, &query("a.test")).await;
    sleep(MILLISECOND).await;
    assert_eq!(timed(&resolver, &query("a.test")).await.0, ["192.0.2.3"], "and not for longer than negative_ttl");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_fails_in_bounded_time_and_then_at_once() {
    let servers = Servers::default();
    servers.script(Kind::A, "a.test", Script::Silence);
    let resolver = servers.resolver();
    let (found, took) = timed(&resolver, &query("a.test")).await;
    assert_eq!((found, took), (Vec::new(), GIVEN_UP));
    assert_eq!(timed(&resolver, &query("a.test")).await, (Vec::new(), Duration::ZERO));
    assert_eq!(resolver.figures().failures, 1);
    servers.address("a.test", "192.0.2.1", 10);
    sleep(SECOND).await;
    assert_eq!(timed(&resolver, &query("a.test")).await.0, ["192.0.2.1"], "and again soon");
}

#[tokio::test(start_paused = true)]
async fn questions_under_way_are_bounded() {
    let servers = Servers::default();
    let settings = Settings { questions: 2, hosts: "/nowhere/hosts".into(), ..Settings::default() };
    let resolver = servers.resolver_with(settings);
    for host in ["a.test", "b.test", "c.test"] {
        servers.script(Kind::A, host, Script::Silence);
    }
    for host in ["a.test", "b.test"] {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve(&query(host)).await });
    }
    settle().await;
    assert_eq!(timed(&resolver, &query("c.test")).await, (Vec::new(), Duration::ZERO));
    assert_eq!((resolver.figures().refused, resolver.figures().pending), (1, 2));
    sleep(GIVEN_UP + MILLISECOND).await;
    assert_eq!(resolver.figures().pending, 0);
}

/// A query for a domain whose services are looked for.
fn domain(host: &str) -> Query {
    Query { port: None, transport: Some(Transport::Udp), ..query(host) }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_could_answer_about_is_not_looked_for_at_the_domain() {
    for script in [Script::Refuse, Script::Silence, Script::Answer(20 * SECOND, answer("192.0.2.7"))] {
        let servers = Servers::default();
        servers.address("a.test", "192.0.2.1", 600);
        servers.script(Kind::Srv, "_sip._udp.a.test", script);
        let resolver = servers.resolver();
        assert_eq!(timed(&resolver, &domain("a.test")).await.0, [""; 0]);
        assert_eq!(timed(&resolver, &domain("a.test")).await.0, [""; 0], "nor while it is not asked again yet");
        assert!(!servers.take_asked().contains(&"A a.test".to_owned()));
        servers.scripts.lock().unwrap().remove(&(Kind::Srv, "_sip._udp.a.test".to_owned()));
        sleep(20 * SECOND).await;
        assert_eq!(timed(&resolver, &domain("a.test")).await.0, ["192.0.2.1"], "there are none: the domain itself");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_there_is_no_room_to_ask_about_is_not_looked_for_at_the_domain() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 600);
    let resolver = servers.resolver_with(Settings { questions: 1, hosts: "/nowhere/hosts".into(), ..Settings::default() });
    resolver.resolve(&query("a.test")).await;
    servers.script(Kind::A, "b.test", Script::Silence);
    let other = resolver.clone();
    tokio::spawn(async move { other.resolve(&query("b.test")).await });
    settle().await;
    assert_eq!(timed(&resolver, &domain("a.test")).await, (Vec::new(), Duration::ZERO));
    assert_eq!(resolver.figures().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_slow_does_not_make_its_servers_silent() {
    let servers = Servers::default();
    for host in ["slow.test", "dead.test", "a.test"] {
        servers.address(host, "192.0.2.1", 10);
    }
    let resolver = servers.resolver();
    for host in ["slow.test", "dead.test", "a.test"] {
        resolver.resolve(&query(host)).await;
    }
    sleep(20 * SECOND).await;
    servers.script(Kind::A, "slow.test", Script::Answer(SECOND, answer("192.0.2.2")));
    servers.script(Kind::A, "dead.test", Script::Silence);
    servers.script(Kind::A, "a.test", Script::Answer(100 * MILLISECOND, answer("192.0.2.9")));
    for host in ["slow.test", "dead.test"] {
        let (found, took) = timed(&resolver, &query(host)).await;
        assert_eq!((found, took.as_millis()), (vec!["192.0.2.1".to_owned()], 400), "{host}");
    }
    assert!(!servers.group.are_silent());
    let (found, took) = timed(&resolver, &query("a.test")).await;
    assert_eq!((found, took.as_millis()), (vec!["192.0.2.9".to_owned()], 100), "servers that answer are waited for");
    sleep(3 * SECOND).await;
    assert!(!servers.group.are_silent(), "a question was given up, and others have been answered meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_what_counts() {
    let servers = Servers::default();
    servers.address("a.test", "192.0.2.1", 600);
    let settings = Settings { hosts: "/nowhere/hosts".into(), ..Settings::default() };
    let resolver = servers.resolver_with(settings.clone());
    resolver.resolve(&query("a.test")).await;
    let others = Settings { servers: vec!["127.0.0.1:5353".parse().unwrap()], ..settings };
    resolver.reconfigure(others).unwrap();
    servers.address("a.test", "192.0.2.2", 600);
    assert_eq!(timed(&resolver, &query("a.test")).await.0, ["192.0.2.2"], "other servers are asked");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_fail_are_named_with_the_listener_until_they_are_heard_from() {
    let resolver = Servers::default().resolver();
    let remote = "127.0.0.1:5060".parse().unwrap();
    let path = Path { transport: Transport::Udp, listener: ListenerId(2), remote, over: Over::Any };
    resolver.failed(path, None, Cause::Timeout);
    assert_eq!(resolver.cached(&query("127.0.0.1")).unwrap()[0].failing_from.as_slice(), [ListenerId(2)]);
    assert_eq!(resolver.due_probes(), []);
    advance(5 * SECOND).await;
    assert_eq!(resolver.due_probes().len(), 1);
    assert!(resolver.heard_from(&path));
    assert!(resolver.cached(&query("127.0.0.1")).unwrap()[0].failing_from.is_empty());
}
