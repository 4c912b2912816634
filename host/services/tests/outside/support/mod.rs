//! Servers, and waiting for what they do.

pub(crate) mod address;
pub(crate) mod cut;
pub(crate) mod redis;
pub(crate) mod scripted;

use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, Question, ServiceError};
use jackfield_services::settings::{BucketSettings, Servers, Settings, StoreSettings};
use jackfield_services::{Granted, Outside};

/// How long something may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer. The pause between two questions is not what is waited for: it only spares the processor.
pub(crate) fn until<T>(what: &str, mut observe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = observe() {
            return seen;
        }
        assert!(Instant::now() < deadline, "after {PATIENCE:?}: still no {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A plugin with one bucket `b`.
pub(crate) struct Plugin {
    pub(crate) outside: Outside,
    granted: Granted,
}

impl Plugin {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            outside: Outside::new(settings).expect("usable settings"),
            granted: Granted::new(&["b".to_owned()], &[]).expect("no prefixes"),
        }
    }

    /// Its bucket is in this store.
    pub(crate) fn at(store: StoreSettings) -> Self {
        let bucket = BucketSettings { store: Some("s".to_owned()), ..BucketSettings::default() };
        let settings =
            Settings { buckets: [("b".to_owned(), bucket)].into(), stores: [("s".to_owned(), store)].into(), ..Settings::default() };
        Self::new(&settings)
    }

    /// The same with so much time for an operation that a busy machine answers within it.
    pub(crate) fn with_servers(servers: Servers) -> Self {
        Self::at(StoreSettings { timeout: Duration::from_secs(4), ..StoreSettings::at(servers) })
    }

    pub(crate) fn ask(&self, question: Question) -> Result<Answer, ServiceError> {
        self.ask_within(question, Duration::from_secs(5))
    }

    pub(crate) fn ask_within(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        self.outside.answer(&self.granted, question, within)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Answer, ServiceError> {
        self.ask(get(key))
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<Answer, ServiceError> {
        self.ask(set(key, value, None))
    }

    /// Until a value can be written and read.
    pub(crate) fn until_it_works(&self) {
        until("answer of the store", || self.set("probe", "1").ok());
    }

    /// Until the store is known to be away: an answer comes at once then.
    pub(crate) fn until_it_is_away(&self) -> String {
        until("news that the store is away", || match self.get("probe") {
            Err(ServiceError::Unavailable(why)) => Some(why),
            _ => None,
        })
    }
}

pub(crate) fn get(key: &str) -> Question {
    Question::KvGet { bucket: "b".into(), key: key.into() }
}

pub(crate) fn set(key: &str, value: &str, ttl_ms: Option<u64>) -> Question {
    Question::KvSet { bucket: "b".into(), key: key.into(), value: value.into(), ttl_ms }
}

pub(crate) fn delete(key: &str) -> Question {
    Question::KvDelete { bucket: "b".into(), key: key.into() }
}

pub(crate) fn increment(key: &str, by: i64, ttl_ms: Option<u64>) -> Question {
    Question::KvIncrement { bucket: "b".into(), key: key.into(), by, ttl_ms }
}

pub(crate) fn compare_set(key: &str, expect: Option<&str>, value: &str, ttl_ms: Option<u64>) -> Question {
    Question::KvCompareSet { bucket: "b".into(), key: key.into(), expect: expect.map(Into::into), value: value.into(), ttl_ms }
}

pub(crate) fn value(text: &str) -> Result<Answer, ServiceError> {
    Ok(Answer::Value(Some(text.into())))
}

pub(crate) const ABSENT: Result<Answer, ServiceError> = Ok(Answer::Value(None));
