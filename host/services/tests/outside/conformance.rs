//! What every bucket does, wherever it is: one table, run in memory, in one server and in a cluster.

use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, Question, ServiceError};
use jackfield_services::settings::{Servers, Settings};

use crate::support::redis::{Redis, RedisCluster, is_there};
use crate::support::{ABSENT, Plugin, compare_set, delete, get, increment, set, until, value};

#[test]
fn memory() {
    conforms(&Plugin::new(&Settings::default()));
}

/// The names of the others have `redis` in them, so that a machine without it can leave them out.
#[test]
fn redis_single() {
    if is_there("conformance::redis_single") {
        let redis = Redis::start(&[]);
        conforms(&Plugin::with_servers(Servers::Single(redis.server())));
    }
}

#[test]
fn redis_cluster() {
    if is_there("conformance::redis_cluster") {
        let cluster = RedisCluster::start(3, 0);
        conforms(&Plugin::with_servers(Servers::Cluster(vec![cluster.nodes[1].server()])));
    }
}

fn conforms(plugin: &Plugin) {
    plugin.until_it_works();
    for (step, (question, expected)) in table().into_iter().enumerate() {
        let answer = plugin.ask(question.clone());
        assert_eq!(answer, expected, "step {step}: {question:?}");
    }
    values_are_octets(plugin);
    times_to_live(plugin);
    nothing_is_lost_between_threads(plugin);
}

fn table() -> Vec<(Question, Result<Answer, ServiceError>)> {
    let done = Ok(Answer::Done);
    let count = |count| Ok(Answer::Count(count));
    let truth = |truth| Ok(Answer::Truth(truth));
    let no_counter = Err(ServiceError::Invalid("the value is no counter: decimal digits within 64 bits".into()));
    let overflow = Err(ServiceError::Invalid("the counter would leave 64 bits".into()));
    let mut table = vec![
        // Values.
        (get("v"), ABSENT),
        (set("v", "1", None), done.clone()),
        (get("v"), value("1")),
        (set("v", "", None), done.clone()),
        (get("v"), value("")),
        (delete("v"), done.clone()),
        (get("v"), ABSENT),
        (delete("v"), done.clone()),
        (set("", "of an empty key", None), done.clone()),
        (get(""), value("of an empty key")),
        (set("{tag}ä \r\n:*", "x", None), done.clone()),
        (get("{tag}ä \r\n:*"), value("x")),
        // Counters.
        (increment("c", 5, None), count(5)),
        (increment("c", -7, None), count(-2)),
        (get("c"), value("-2")),
        (increment("c", 0, None), count(-2)),
        (set("c", "9007199254740993", None), done.clone()),
        (increment("c", 1, None), count(9_007_199_254_740_994)),
        (increment("c", i64::MAX, None), overflow.clone()),
        (get("c"), value("9007199254740994")),
        (set("c", "-9223372036854775808", None), done.clone()),
        (increment("c", i64::MAX, None), count(-1)),
        (increment("new", i64::MIN, None), count(i64::MIN)),
        (increment("new", -1, None), overflow),
        // Comparing.
        (compare_set("s", Some("x"), "y", None), truth(false)),
        (get("s"), ABSENT),
        (compare_set("s", Some(""), "y", None), truth(false)),
        (compare_set("s", None, "1", None), truth(true)),
        (compare_set("s", None, "2", None), truth(false)),
        (compare_set("s", Some("2"), "3", None), truth(false)),
        (get("s"), value("1")),
        (compare_set("s", Some("1"), "", None), truth(true)),
        (compare_set("s", None, "2", None), truth(false)),
        (compare_set("s", Some(""), "4", None), truth(true)),
        (get("s"), value("4")),
    ];
    for text in ["", "x", "1.5", " 1", "1 ", "01", "+1", "-0", "1e3", "9223372036854775808"] {
        table.extend([(set("n", text, None), done.clone()), (increment("n", 1, None), no_counter.clone()), (get("n"), value(text))]);
    }
    table
}

fn values_are_octets(plugin: &Plugin) {
    let octets: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    let question = |value: &[u8]| Question::KvSet { bucket: "b".into(), key: "o".into(), value: value.into(), ttl_ms: None };
    assert_eq!(plugin.ask(question(&octets)), Ok(Answer::Done));
    assert_eq!(plugin.get("o"), Ok(Answer::Value(Some(octets.clone()))));
    let other = Question::KvCompareSet { bucket: "b".into(), key: "o".into(), expect: Some(octets), value: vec![0xff], ttl_ms: None };
    assert_eq!(plugin.ask(other), Ok(Answer::Truth(true)));
    assert_eq!(plugin.get("o"), Ok(Answer::Value(Some(vec![0xff]))));
}

/// When a key that lives so long is gone: not before, and soon after.
fn gone(plugin: &Plugin, key: &str, written: Instant, ttl: Duration) {
    until("end of a time to live", || match plugin.get(key) {
        ABSENT => Some(()),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    });
    // Servers count in milliseconds, and theirs may begin a little earlier than ours.
    assert!(written.elapsed() + Duration::from_millis(2) >= ttl, "{key} went after {:?}", written.elapsed());
}

fn times_to_live(plugin: &Plugin) {
    let ttl = Duration::from_millis(300);
    let begun = Instant::now();
    for key in ["t-set", "t-kept"] {
        plugin.ask(set(key, "1", Some(300))).unwrap();
    }
    plugin.ask(increment("t-count", 1, Some(300))).unwrap();
    assert_eq!(plugin.ask(compare_set("t-cas", None, "1", Some(300))), Ok(Answer::Truth(true)));
    // Counting does not lengthen it, nor does it begin with a later count.
    assert_eq!(plugin.ask(increment("t-count", 1, Some(1_000_000))), Ok(Answer::Count(2)));
    plugin.ask(increment("t-for-ever", 1, None)).unwrap();
    plugin.ask(increment("t-for-ever", 1, Some(1))).unwrap();
    // Writing anew without one takes it away.
    plugin.ask(set("t-kept", "2", None)).unwrap();
    // A comparison that fails does not touch it.
    assert_eq!(plugin.ask(compare_set("t-cas", None, "1", Some(1_000_000))), Ok(Answer::Truth(false)));
    for key in ["t-set", "t-count", "t-cas"] {
        gone(plugin, key, begun, ttl);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(plugin.get("t-kept"), value("2"));
    assert_eq!(plugin.get("t-for-ever"), value("2"));
    assert_eq!(plugin.ask(increment("t-count", 1, None)), Ok(Answer::Count(1)), "it begins anew");
}

fn nothing_is_lost_between_threads(plugin: &Plugin) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    plugin.ask(increment("sum", 1, None)).unwrap();
                    until("exchange of a value", || {
                        let before = plugin.get("exchanged").unwrap();
                        let Answer::Value(before) = before else { panic!("{before:?}") };
                        let text = before.as_deref().map_or("0", |octets| str::from_utf8(octets).unwrap());
                        let after = (text.parse::<u32>().unwrap() + 1).to_string();
                        let before = before.as_ref().map(|_| text);
                        (plugin.ask(compare_set("exchanged", before, &after, None)) == Ok(Answer::Truth(true))).then_some(())
                    });
                }
            });
        }
    });
    assert_eq!(plugin.get("sum"), value("200"));
    assert_eq!(plugin.get("exchanged"), value("200"));
}
