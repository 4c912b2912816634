//! A key that changes, goes, and cannot be asked for.

use std::path::Path;
use std::time::{Duration, Instant};

use jackfield_sipproxy::{ConsulSettings, Documents, Found, MAX_OCTETS, Settings, Source, Timing, Trouble, ask_once};

use super::fake_consul::{FakeConsul, Mood};
use super::{DEADLINE, one, parse, proxies, quick, until};

const KEY: &str = "config/csphost01/system/outboundproxy";

fn consul(fake: &FakeConsul) -> ConsulSettings {
    ConsulSettings { url: fake.url(), key: KEY.to_owned(), ..ConsulSettings::default() }
}

fn settings(fake: &FakeConsul) -> Settings {
    Settings { consul: Some(consul(fake)), timing: quick(), ..Settings::default() }
}

fn kept(fake: &FakeConsul, directory: &Path) -> Settings {
    Settings { cache: Some(directory.join("consul.json")), ..settings(fake) }
}

fn trouble(documents: &Documents) -> Option<&Trouble> {
    documents.troubles().next().map(|(_, trouble)| trouble)
}

fn away(documents: &Documents) -> bool {
    matches!(trouble(documents), Some(Trouble::Away { .. }))
}

fn well(documents: &Documents) -> bool {
    trouble(documents).is_none()
}

fn via(proxy: &str) -> impl Fn(&Documents) -> bool {
    let wanted = format!("a.de via {proxy}");
    move |documents| proxies(documents) == [wanted.as_str()] && well(documents)
}

#[tokio::test]
async fn the_document_is_there_at_the_start_and_each_change_counts_at_once() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    assert_eq!(proxies(&documents.borrow()), ["a.de via p1"]);
    for (round, proxy) in ["p2", "p3", "p4"].into_iter().enumerate() {
        let held = 100 + round as u64;
        fake.asked("a question that is held", |asked| asked.iter().any(|question| question.index() == Some(held))).await;
        fake.put(Some(&one("a.de", proxy)));
        until(&mut documents, proxy, via(proxy)).await;
    }
    let first = fake.questions().remove(0);
    assert_eq!((first.path.as_str(), first.index()), ("/v1/kv/config/csphost01/system/outboundproxy", None));
    assert!(first.query.is_empty() || first.query.keys().all(|name| name == "raw"), "{first:?}");
}

#[tokio::test]
async fn a_query_that_changed_nothing_wakes_nobody_and_is_not_repeated_in_haste() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let pace = Duration::from_millis(40);
    let source = Source::start(Settings { timing: Timing { pace, wait: Duration::from_millis(1), ..quick() }, ..settings(&fake) }).await;
    let mut documents = source.documents();
    let before = documents.borrow_and_update().clone();
    let begin = Instant::now();
    let asked = fake.asked("five questions", |asked| asked.len() >= 5).await;
    assert!(begin.elapsed() >= pace * 2, "{:?}", begin.elapsed());
    assert!(asked.iter().skip(1).all(|question| question.index() == Some(100)));
    assert!(!documents.has_changed().unwrap());
    assert_eq!(*documents.borrow(), before);
}

#[tokio::test]
async fn a_key_that_is_gone_leaves_its_document_and_an_empty_one_ends_it() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    fake.put(None);
    let found = until(&mut documents, "missing", |documents| trouble(documents) == Some(&Trouble::Missing)).await;
    assert_eq!(proxies(&found), ["a.de via p1"]);
    fake.put(Some(&one("a.de", "p1")));
    until(&mut documents, "there again", via("p1")).await;
    fake.put(Some("{}"));
    until(&mut documents, "no provider", |documents| proxies(documents).is_empty() && well(documents)).await;
}

#[tokio::test]
async fn a_key_may_be_written_only_after_the_start() {
    let fake = FakeConsul::start(None).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    assert_eq!(trouble(&documents.borrow()), Some(&Trouble::Missing));
    fake.put(Some(&one("a.de", "p1")));
    until(&mut documents, "the first document", via("p1")).await;
}

#[tokio::test]
async fn what_is_no_document_is_refused_with_provider_and_line_and_changes_nothing() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    let too_long = " ".repeat(MAX_OCTETS + 100);
    for (value, line) in [
        ("{ \"a.de\": ", "1:10: a.de: not valid JSON: EOF while parsing a value"),
        (
            "{\n\"a.de\": {\"proxy\": \"p2\", \"options\": \"\\ntransprt=tcp\\n\"}}",
            "2:39: a.de: options, line 2: unknown option `transprt`; did you mean `transport`?",
        ),
        ("", "1:1: is empty; write {} for no providers"),
        (too_long.as_str(), "1:1: has more than 512 KiB; it is not read"),
    ] {
        fake.put(Some(value));
        let refused = |documents: &Documents| matches!(trouble(documents), Some(Trouble::Refused(faults)) if faults.lines() == [line]);
        let found = until(&mut documents, line, refused).await;
        assert_eq!(proxies(&found), ["a.de via p1"]);
    }
    // What is refused is so still when Consul was away in between.
    fake.mood(Mood::HangsUp);
    until(&mut documents, "away", away).await;
    fake.mood(Mood::Good);
    until(&mut documents, "refused", |documents| matches!(trouble(documents), Some(Trouble::Refused(_)))).await;
    fake.put(Some(&one("a.de", "p1")));
    until(&mut documents, "good again", via("p1")).await;
}

#[tokio::test]
async fn consul_away_means_that_the_last_document_stays() {
    for (mood, why) in [
        (Mood::NoLeader, "answers 500: No cluster leader"),
        (Mood::HangsUp, "cut short"),
        (Mood::CutsShort, "cut short"),
        (Mood::Stranger, "without X-Consul-Index"),
        (Mood::Stalls, "no answer within"),
    ] {
        let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
        let timing = Timing { wait: Duration::from_millis(100), answer: Duration::from_millis(300), ..quick() };
        let source = Source::start(Settings { timing, ..settings(&fake) }).await;
        let mut documents = source.documents();
        fake.mood(mood);
        let found = until(&mut documents, why, away).await;
        let Some(Trouble::Away { why: said, .. }) = trouble(&found) else { unreachable!() };
        assert!(said.contains(why), "{mood:?}: {said}");
        assert_eq!(proxies(&found), ["a.de via p1"], "{mood:?}");
        // It goes on asking, and what has changed in the meantime counts when it is back.
        let asked = fake.questions().len();
        fake.asked("more questions", |questions| questions.len() >= asked + 3).await;
        assert_eq!(proxies(&documents.borrow()), ["a.de via p1"], "{mood:?}");
        fake.change(|state| (state.value, state.mood) = (Some(one("a.de", "p2").into_bytes()), Mood::Good));
        until(&mut documents, "back", via("p2")).await;
    }
}

#[tokio::test]
async fn an_agent_that_lost_its_store_changes_nothing_and_is_followed_again() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    fake.asked("a question that is held", |asked| asked.iter().any(|question| question.index() == Some(100))).await;
    fake.mood(Mood::HangsUp);
    until(&mut documents, "away", away).await;
    fake.change(|state| (state.value, state.index, state.mood) = (None, 1, Mood::Good));
    let found = until(&mut documents, "missing", |documents| trouble(documents) == Some(&Trouble::Missing)).await;
    assert_eq!(proxies(&found), ["a.de via p1"]);
    fake.put(Some(&one("a.de", "p2")));
    until(&mut documents, "the new document", via("p2")).await;
}

#[tokio::test]
async fn an_index_that_goes_back_is_asked_for_anew() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    let mut documents = source.documents();
    fake.asked("a question that is held", |asked| asked.iter().any(|question| question.index() == Some(100))).await;
    // Restored from a copy: no connection ends.
    fake.change(|state| (state.value, state.index) = (Some(one("a.de", "p2").into_bytes()), 5));
    until(&mut documents, "the restored document", via("p2")).await;
    let asked = fake.asked("the new index", |asked| asked.last().is_some_and(|question| question.index() == Some(5))).await;
    let indices: Vec<_> = asked.iter().map(|question| question.index()).collect();
    assert_eq!(indices, [None, Some(100), None, Some(5)]);
}

#[tokio::test]
async fn a_start_without_consul_begins_with_the_document_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    assert_eq!(kept(&fake, directory.path()).kept().unwrap(), None);
    drop(Source::start(kept(&fake, directory.path())).await);
    assert_eq!(kept(&fake, directory.path()).kept().unwrap().map(|kept| kept.document), Some(parse(&one("a.de", "p1"))));
    for mood in [Mood::HangsUp, Mood::NoLeader, Mood::Stalls] {
        fake.mood(mood);
        let timing = Timing { start: Duration::from_millis(300), ..quick() };
        let begin = Instant::now();
        let source = Source::start(Settings { timing, ..kept(&fake, directory.path()) }).await;
        assert!(begin.elapsed() < DEADLINE / 4, "the start does not wait for Consul");
        let mut documents = source.documents();
        let now = documents.borrow().clone();
        assert_eq!(proxies(&now), ["a.de via p1"], "{mood:?}");
        assert!(now.consul.as_ref().is_some_and(|said| said.from_disk.is_some()) && away(&now), "{mood:?} {now:?}");
        fake.mood(Mood::Good);
        if mood != Mood::Stalls {
            let found = until(&mut documents, "back", via("p1")).await;
            assert_eq!(found.consul.unwrap().from_disk, None);
        }
    }
    // An agent with an empty store is no reason to forget it either.
    fake.put(None);
    let source = Source::start(kept(&fake, directory.path())).await;
    let now = source.documents().borrow().clone();
    assert_eq!((proxies(&now).as_slice(), trouble(&now)), (["a.de via p1".to_owned()].as_slice(), Some(&Trouble::Missing)));
}

#[tokio::test]
async fn what_is_refused_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(kept(&fake, directory.path())).await;
    fake.put(Some("{"));
    until(&mut source.documents(), "refused", |documents| !well(documents)).await;
    drop(source);
    let source = Source::start(kept(&fake, directory.path())).await;
    let now = source.documents().borrow().clone();
    assert_eq!(proxies(&now), ["a.de via p1"]);
    assert!(matches!(trouble(&now), Some(Trouble::Refused(_))), "{now:?}");
}

#[tokio::test]
async fn without_consul_and_without_a_disk_the_start_waits_no_longer_than_it_may() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    fake.mood(Mood::HangsUp);
    let timing = Timing { start: Duration::from_millis(200), ..quick() };
    let source = Source::start(Settings { timing, ..settings(&fake) }).await;
    let mut documents = source.documents();
    assert!(proxies(&documents.borrow()).is_empty() && away(&documents.borrow()));
    fake.mood(Mood::Good);
    until(&mut documents, "the first document", via("p1")).await;
}

#[tokio::test]
async fn a_token_is_read_from_its_file_again_and_told_to_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "wrong-secret\n").unwrap();
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    fake.change(|state| state.token = Some("right-secret".to_owned()));
    let consul = ConsulSettings { token_file: Some(file.clone()), datacenter: Some("dc2".to_owned()), ..consul(&fake) };
    let timing = Timing { start: Duration::from_millis(100), ..quick() };
    let source = Source::start(Settings { consul: Some(consul), timing, ..Settings::default() }).await;
    let mut documents = source.documents();
    let found = until(&mut documents, "refused by Consul", away).await;
    let said = trouble(&found).unwrap().to_string();
    assert!(said.contains("403") && said.contains("token") && !said.contains("secret"), "{said}");
    std::fs::write(&file, "right-secret\n").unwrap();
    until(&mut documents, "the right token", via("p1")).await;
    std::fs::write(&file, "\n").unwrap();
    fake.put(Some(&one("a.de", "p2")));
    let found = until(&mut documents, "no token", away).await;
    assert!(trouble(&found).unwrap().to_string().contains("there is none in it"));
    let asked = fake.questions();
    assert!(asked.iter().all(|question| question.query.get("dc").is_some_and(|dc| dc == "dc2")), "{asked:?}");
}

#[tokio::test]
async fn nobody_asks_any_more_when_the_source_is_dropped() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let source = Source::start(settings(&fake)).await;
    fake.asked("a question that is held", |asked| asked.iter().any(|question| question.index() == Some(100))).await;
    assert_eq!(fake.connections(), 1);
    drop(source);
    let begin = Instant::now();
    while fake.connections() > 0 {
        assert!(begin.elapsed() < DEADLINE, "the connection ends");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn consul_can_be_asked_once() {
    let fake = FakeConsul::start(Some(&one("a.de", "p1"))).await;
    let ask = || async { ask_once(&consul(&fake), Duration::from_millis(500)).await };
    assert!(matches!(ask().await, Ok(Found::Document(document)) if document == parse(&one("a.de", "p1"))));
    fake.put(Some("{"));
    assert!(matches!(ask().await, Ok(Found::Refused(_))));
    fake.put(None);
    assert!(matches!(ask().await, Ok(Found::Nothing)));
    fake.mood(Mood::Stalls);
    assert_eq!(ask().await.unwrap_err().to_string(), "no answer within 500ms");
}
