//! The services of a candidate that runs beside the serving version: it may look at everything, and changes nothing. What it writes goes
//! to a place of its own, which only it reads.
//!
//! The serving version was asked before it, and has counted the call already. So what that one asked of buckets comes with the copy: where
//! the candidate asks the same, about a key that it has not written itself, it gets the same answer. Where it asks something else about
//! such a key, it sees the bucket as it is by then, with what the serving version has done to it; and what is left of the time to live
//! of a counter that it begins with is not known, so that it takes the time that the candidate itself names, from then on.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

/// Keys that a candidate may have written.
const KEYS_MAX: usize = 10_000;
/// Octets of their names and values together.
const OCTETS_MAX: usize = 8 << 20;

/// Answers of buckets that come with a copy.
const KEPT_MAX: usize = 16;
/// Octets of a value that does.
const KEPT_OCTETS: usize = 1024;

/// What the serving version has asked of buckets in one hook, and heard.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<(Question, Answer)>);

impl Kept {
    pub(crate) fn add(&mut self, question: &Question, answer: &Answer) {
        let octets = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let asked = match question {
            Question::KvGet { .. } | Question::KvDelete { .. } | Question::KvIncrement { .. } => 0,
            Question::KvSet { value, .. } => value.len(),
            Question::KvCompareSet { expect, value, .. } => value.len().max(octets(expect)),
            _ => return,
        };
        let heard = if let Answer::Value(value) = answer { octets(value) } else { 0 };
        if self.0.len() < KEPT_MAX && asked.max(heard) <= KEPT_OCTETS {
            self.0.push((question.clone(), answer.clone()));
        }
    }

    /// The answer to the same question, each once.
    fn take(&mut self, question: &Question) -> Option<Answer> {
        let at = self.0.iter().position(|(asked, _)| asked == question)?;
        Some(self.0.remove(at).1)
    }
}

/// Answers the questions of a candidate.
pub(crate) struct Aside {
    services: Arc<dyn Ask>,
    written: Mutex<Written>,
    /// What came with the copy in hand.
    kept: Mutex<Kept>,
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("services", &self.services).finish_non_exhaustive()
    }
}

/// What it has written: bucket and key with the value, none where it was deleted.
#[derive(Default)]
struct Written {
    keys: HashMap<(String, String), Entry>,
    octets: usize,
}

struct Entry {
    value: Option<Vec<u8>>,
    until: Option<Instant>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    fn octets(&self, (bucket, key): &(String, String)) -> usize {
        bucket.len() + key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

impl Written {
    /// The value if the key has been written: none in it if it is deleted since. What has expired is as if it had never been written.
    fn value(&mut self, place: &(String, String), now: Instant) -> Option<Option<Vec<u8>>> {
        let entry = self.keys.get(place)?;
        if entry.is_over(now) {
            self.octets -= entry.octets(place);
            self.keys.remove(place);
            return None;
        }
        Some(entry.value.clone())
    }

    /// Makes room where there is none.
    fn sweep(&mut self, now: Instant) {
        self.keys.retain(|_, entry| !entry.is_over(now));
        self.octets = self.keys.iter().map(|(place, entry)| entry.octets(place)).sum();
    }

    fn write(&mut self, place: (String, String), entry: Entry) -> Result<(), ServiceError> {
        if self.keys.len() >= KEYS_MAX || self.octets + entry.octets(&place) > OCTETS_MAX {
            self.sweep(Instant::now());
        }
        let before = self.keys.get(&place).map(|entry| entry.octets(&place));
        let octets = self.octets - before.unwrap_or(0) + entry.octets(&place);
        if octets > OCTETS_MAX || (before.is_none() && self.keys.len() >= KEYS_MAX) {
            return Err(ServiceError::Unavailable("a candidate that runs beside the serving version may not write so much".to_owned()));
        }
        self.octets = octets;
        self.keys.insert(place, entry);
        Ok(())
    }
}

impl Aside {
    pub(crate) fn new(services: Arc<dyn Ask>) -> Self {
        Self { services, written: Mutex::default(), kept: Mutex::default() }
    }

    /// A copy comes, with what the serving version has asked about it.
    pub(crate) fn follow(&self, kept: Kept) {
        *self.kept() = kept;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the serving version has heard, if it has asked the same about a key that the candidate has not written.
    fn heard_before(&self, question: &Question) -> Option<Answer> {
        let (Question::KvGet { bucket, key }
        | Question::KvSet { bucket, key, .. }
        | Question::KvDelete { bucket, key }
        | Question::KvIncrement { bucket, key, .. }
        | Question::KvCompareSet { bucket, key, .. }) = question
        else {
            return None;
        };
        let answer = self.kept().take(question)?;
        let place = (bucket.clone(), key.clone());
        self.written().value(&place, Instant::now()).is_none().then_some(answer)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the bucket may be used: a write that goes nowhere is refused like one that does.
    fn check(&self, bucket: &str, within: Duration) -> Result<(), ServiceError> {
        self.services.ask(Question::KvOpen { bucket: bucket.to_owned() }, within).map(drop)
    }

    /// What the candidate sees under a key.
    fn seen(&self, place: &(String, String), within: Duration) -> Result<Option<Vec<u8>>, ServiceError> {
        if let Some(value) = self.written().value(place, Instant::now()) {
            return Ok(value);
        }
        let (bucket, key) = place.clone();
        match self.services.ask(Question::KvGet { bucket, key }, within)? {
            Answer::Value(value) => Ok(value),
            other => Err(ServiceError::Unavailable(format!("the bucket gave another kind of answer: {other:.80?}"))),
        }
    }

    fn set(&self, place: (String, String), value: Option<Vec<u8>>, ttl_ms: Option<u64>) -> Result<(), ServiceError> {
        let until = ttl_ms.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)));
        self.written().write(place, Entry { value, until })
    }

    fn increment(&self, place: (String, String), by: i64, ttl_ms: Option<u64>, within: Duration) -> Result<Answer, ServiceError> {
        let present = self.seen(&place, within)?;
        let number = match &present {
            None => 0,
            Some(value) => str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(no_number)?,
        };
        let count = number.checked_add(by).ok_or_else(no_number)?;
        let value = count.to_string().into_bytes();
        let mut written = self.written();
        match written.keys.get(&place).filter(|_| present.is_some()).map(|entry| entry.until) {
            // A time to live holds from the first count on.
            Some(until) => written.write(place, Entry { value: Some(value), until })?,
            // What the host has left of a counter's time is not known, and it is no more than this.
            None => {
                let until = ttl_ms.and_then(|ttl| Instant::now().checked_add(Duration::from_millis(ttl)));
                written.write(place, Entry { value: Some(value), until })?;
            }
        }
        Ok(Answer::Count(count))
    }
}

fn no_number() -> ServiceError {
    ServiceError::Invalid("the value is no number, or would leave 64 bits".to_owned())
}

impl Ask for Aside {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        if let Some(answer) = self.heard_before(&question) {
            return Ok(answer);
        }
        match question {
            Question::KvGet { bucket, key } => self.seen(&(bucket, key), within).map(Answer::Value),
            Question::KvSet { bucket, key, value, ttl_ms } => {
                self.check(&bucket, within)?;
                self.set((bucket, key), Some(value), ttl_ms).map(|()| Answer::Done)
            }
            Question::KvDelete { bucket, key } => {
                self.check(&bucket, within)?;
                self.set((bucket, key), None, None).map(|()| Answer::Done)
            }
            Question::KvIncrement { bucket, key, by, ttl_ms } => self.increment((bucket, key), by, ttl_ms, within),
            Question::KvCompareSet { bucket, key, expect, value, ttl_ms } => {
                let place = (bucket, key);
                if self.seen(&place, within)? != expect {
                    return Ok(Answer::Truth(false));
                }
                self.set(place, Some(value), ttl_ms).map(|()| Answer::Truth(true))
            }
            Question::Http(ref request) if !["GET", "HEAD"].contains(&request.method.as_str()) => Err(ServiceError::Denied),
            Question::TimerStart { .. } | Question::TimerStop { .. } => Ok(Answer::Done),
            other @ (Question::KvOpen { .. }
            | Question::TableColumns { .. }
            | Question::TableRow { .. }
            | Question::TablePrefix { .. }
            | Question::TableNetwork { .. }
            | Question::TableContains { .. }
            | Question::Http(_)
            | Question::DnsLocate { .. }
            | Question::Dns { .. }
            | Question::Contacts { .. }
            | Question::TrunkUp { .. }
            | Question::TrunkCalls { .. }
            | Question::ActiveCalls { .. }
            | Question::UnixMs
            | Question::MonotonicNs
            | Question::LocalTime { .. }
            | Question::RandomOctets { .. }
            | Question::RandomNumber) => self.services.ask(other, within),
        }
    }
}

#[cfg(test)]
mod tests {
    use jackfield_services::ask::{HttpRequest, HttpResponse};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    /// The host's services: one bucket with one key; every question that would change something is a defect.
    #[derive(Debug)]
    struct Host;

    impl Ask for Host {
        fn ask(&self, question: Question, _within: Duration) -> Result<Answer, ServiceError> {
            match question {
                Question::KvOpen { bucket } if bucket == "limits" => Ok(Answer::Done),
                Question::KvOpen { .. } => Err(ServiceError::Denied),
                Question::KvGet { bucket, .. } if bucket != "limits" => Err(ServiceError::Denied),
                Question::KvGet { key, .. } => Ok(Answer::Value((key == "there").then(|| b"7".to_vec()))),
                Question::Http(request) => {
                    assert!(request.method == "GET" || request.method == "HEAD", "{request:?}");
                    Ok(Answer::Http(HttpResponse { status: 200, headers: Vec::new(), body: Vec::new() }))
                }
                Question::UnixMs => Ok(Answer::Number(5)),
                other => panic!("{other:?} reached the host"),
            }
        }
    }

    fn aside() -> Aside {
        Aside::new(Arc::new(Host))
    }

    fn get(aside: &Aside, key: &str) -> Option<Vec<u8>> {
        match aside.ask(Question::KvGet { bucket: "limits".into(), key: key.into() }, WITHIN) {
            Ok(Answer::Value(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    fn set(bucket: &str, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Question {
        Question::KvSet { bucket: bucket.into(), key: key.into(), value: value.to_vec(), ttl_ms }
    }

    #[test]
    fn what_is_written_is_read_again_and_never_reaches_the_host() {
        let aside = aside();
        assert_eq!((get(&aside, "there"), get(&aside, "new")), (Some(b"7".to_vec()), None));
        for key in ["there", "new"] {
            assert_eq!(aside.ask(set("limits", key, b"written", None), WITHIN), Ok(Answer::Done));
            assert_eq!(get(&aside, key), Some(b"written".to_vec()));
            aside.ask(Question::KvDelete { bucket: "limits".into(), key: key.into() }, WITHIN).unwrap();
            assert_eq!(get(&aside, key), None, "what was deleted does not shine through");
        }
        aside.ask(set("limits", "short", b"x", Some(0)), WITHIN).unwrap();
        assert_eq!(get(&aside, "short"), None, "it has expired");
    }

    #[test]
    fn counting_and_comparing_begin_with_what_the_host_has() {
        let aside = aside();
        let add = |key: &str, by| aside.ask(Question::KvIncrement { bucket: "limits".into(), key: key.into(), by, ttl_ms: None }, WITHIN);
        assert_eq!((add("there", 3), add("there", -1), add("new", 2)), (Ok(Answer::Count(10)), Ok(Answer::Count(9)), Ok(Answer::Count(2))));
        assert!(matches!(add("there", i64::MAX), Err(ServiceError::Invalid(_))));
        aside.ask(set("limits", "text", b"no number", None), WITHIN).unwrap();
        assert!(matches!(add("text", 1), Err(ServiceError::Invalid(_))));
        let swap = |expect: Option<&[u8]>, value: &[u8]| {
            let question = Question::KvCompareSet {
                bucket: "limits".into(),
                key: "there".into(),
                expect: expect.map(<[u8]>::to_vec),
                value: value.to_vec(),
                ttl_ms: None,
            };
            aside.ask(question, WITHIN)
        };
        assert_eq!((swap(Some(b"7"), b"8"), swap(Some(b"9"), b"8")), (Ok(Answer::Truth(false)), Ok(Answer::Truth(true))));
        assert_eq!(get(&aside, "there"), Some(b"8".to_vec()));
    }

    #[test]
    fn what_the_serving_version_has_counted_is_not_counted_again() {
        let aside = aside();
        let add = |by, ttl_ms| Question::KvIncrement { bucket: "limits".into(), key: "there".into(), by, ttl_ms };
        let copy = |counted: i64| {
            let mut kept = Kept::default();
            kept.add(&add(1, Some(60_000)), &Answer::Count(counted));
            aside.follow(kept);
        };
        copy(7);
        assert_eq!(aside.ask(add(1, Some(60_000)), WITHIN), Ok(Answer::Count(7)), "the host has it already");
        copy(8);
        assert_eq!(aside.ask(add(2, None), WITHIN), Ok(Answer::Count(9)), "something else begins with what the host has");
        assert_eq!(aside.ask(add(1, Some(60_000)), WITHIN), Ok(Answer::Count(10)), "what it has written itself is its own");
        copy(9);
        assert_eq!(get(&aside, "other"), None);
    }

    #[test]
    fn a_count_that_begins_with_the_hosts_ends_with_its_time() {
        let aside = aside();
        let add = Question::KvIncrement { bucket: "limits".into(), key: "there".into(), by: 5, ttl_ms: Some(0) };
        assert_eq!(aside.ask(add, WITHIN), Ok(Answer::Count(12)));
        assert_eq!(get(&aside, "there"), Some(b"7".to_vec()), "the host's is seen again");
    }

    #[test]
    fn what_has_expired_makes_room() {
        let aside = aside();
        for n in 0..KEYS_MAX {
            aside.ask(set("limits", &n.to_string(), b"x", Some(0)), WITHIN).unwrap();
        }
        assert_eq!(aside.ask(set("limits", "one more", b"", None), WITHIN), Ok(Answer::Done));
    }

    #[test]
    fn what_is_not_granted_stays_so_and_what_changes_the_world_is_refused() {
        let aside = aside();
        assert_eq!(aside.ask(set("other", "k", b"v", None), WITHIN), Err(ServiceError::Denied));
        let http = |method: &str| {
            let (url, headers, body) = ("http://h/".to_owned(), Vec::new(), Vec::new());
            aside.ask(Question::Http(HttpRequest { method: method.into(), url, headers, body, timeout_ms: 0 }), WITHIN)
        };
        assert!(http("GET").is_ok() && http("HEAD").is_ok());
        assert_eq!((http("POST"), http("get")), (Err(ServiceError::Denied), Err(ServiceError::Denied)));
        let timer = Question::TimerStart { id: "t".into(), after_ms: 1, every_ms: None };
        assert_eq!((aside.ask(timer, WITHIN), aside.ask(Question::UnixMs, WITHIN)), (Ok(Answer::Done), Ok(Answer::Number(5))));
    }

    #[test]
    fn it_does_not_keep_more_than_its_bound() {
        let aside = aside();
        for n in 0..KEYS_MAX {
            aside.ask(set("limits", &n.to_string(), b"", None), WITHIN).unwrap();
        }
        assert!(matches!(aside.ask(set("limits", "one more", b"", None), WITHIN), Err(ServiceError::Unavailable(_))));
        assert_eq!(aside.ask(set("limits", "0", b"changed", None), WITHIN), Ok(Answer::Done));
        let large = vec![0; OCTETS_MAX];
        assert!(matches!(aside.ask(set("limits", "0", &large, None), WITHIN), Err(ServiceError::Unavailable(_))));
    }
}
