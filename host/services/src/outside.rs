//! What answers the questions of plugins that lead outside the router: key-value buckets and HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::ask::{Answer, Ask, Question, ServiceError};
use crate::http::{BadPrefix, Client, Prefix};
use crate::kv::{self, Buckets, Request};
use crate::runtime::Runtime;
use crate::samples::{Counted, Samples};
use crate::settings::Settings;

/// What one plugin may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    kv: Vec<String>,
    http: Vec<Prefix>,
}

impl Granted {
    /// Buckets and URL prefixes as the configuration has them.
    ///
    /// # Errors
    /// The first prefix that is none, with what is wrong with it.
    pub fn new(kv: &[String], http: &[String]) -> Result<Self, (String, BadPrefix)> {
        let prefix = |text: &String| Prefix::parse(text).map_err(|error| (text.clone(), error));
        Ok(Self { kv: kv.to_vec(), http: http.iter().map(prefix).collect::<Result<_, _>>()? })
    }

    /// Whether this bucket is granted.
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.kv.iter().any(|granted| granted == bucket)
    }
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// Other settings, as far as they can be made without changing anything.
#[derive(Debug)]
pub struct Prepared {
    buckets: kv::Prepared,
    client: Option<Client>,
}

impl Prepared {
    /// Whether a bucket will be in a store.
    pub fn is_remote(&self, bucket: &str) -> bool {
        self.buckets.is_remote(bucket)
    }
}

/// The buckets and the HTTP client of the process. It outlives plugins and changes of the configuration.
///
/// Answers may take their time; whoever asks is a thread that may wait. Nothing takes longer than it was told it may.
pub struct Outside {
    buckets: Buckets,
    http: ArcSwap<Client>,
    http_counted: Counted,
    runtime: Runtime,
    clock: Clock,
}

/// What says how late it is.
type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

impl Outside {
    /// With these settings.
    ///
    /// # Errors
    /// A file with certificates cannot be used, or a bucket is to be in a store that is not there. A store that cannot be reached is no error.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Self::with_clock(settings, Instant::now)
    }

    /// The same with another clock for what expires in memory: a test's, or that of a simulation.
    ///
    /// # Errors
    /// See [`Outside::new`].
    pub fn with_clock(settings: &Settings, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Result<Self, SetupError> {
        let runtime = Runtime::default();
        let client = Client::new(settings.http.clone(), runtime.clone()).map_err(|why| SetupError(format!("[http]: {why}")))?;
        let buckets = Buckets::new(settings, runtime.clone()).map_err(SetupError)?;
        Ok(Self { buckets, http: ArcSwap::from_pointee(client), http_counted: Counted::default(), runtime, clock: Box::new(clock) })
    }

    /// Takes up other settings. Buckets in memory keep what they hold as long as their names stay; stores and the HTTP client keep their
    /// connections where their settings stay.
    ///
    /// # Errors
    /// See [`Outside::new`]; what was there goes on then.
    pub fn reconfigure(&self, settings: &Settings) -> Result<(), SetupError> {
        self.prepare(settings).map(|prepared| self.adopt(prepared))
    }

    /// Makes what other settings need. Buckets that there were not before answer from now on; all else is as it was until [`Outside::adopt`],
    /// or [`Outside::withdraw`], which one of both has to follow before the next change.
    ///
    /// # Errors
    /// See [`Outside::new`].
    pub fn prepare(&self, settings: &Settings) -> Result<Prepared, SetupError> {
        let client = match *self.http.load().settings() == settings.http {
            true => None,
            false => {
                let client = Client::new(settings.http.clone(), self.runtime.clone());
                Some(client.map_err(|why| SetupError(format!("[http]: {why}")))?)
            }
        };
        let buckets = self.buckets.prepare(settings).map_err(SetupError)?;
        self.buckets.offer(&buckets);
        Ok(Prepared { buckets, client })
    }

    /// What was prepared counts.
    pub fn adopt(&self, prepared: Prepared) {
        self.buckets.adopt(prepared.buckets);
        prepared.client.into_iter().for_each(|client| self.http.store(Arc::new(client)));
    }

    /// What was prepared is given up.
    pub fn withdraw(&self, prepared: Prepared) {
        self.buckets.withdraw(prepared.buckets);
    }

    /// Answers a question about a bucket or an HTTP request; `within` is the longest it may take.
    ///
    /// # Errors
    /// See [`ServiceError`]. Any other question is `Unavailable`.
    pub fn answer(&self, granted: &Granted, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        match question {
            Question::KvOpen { bucket } => match granted.has_bucket(&bucket) {
                true => Ok(Answer::Done),
                false => Err(ServiceError::Denied),
            },
            Question::Http(request) => {
                let begun = Instant::now();
                let client = self.http.load_full();
                let response = client.fetch(&granted.http, request, within);
                self.http_counted.note(begun.elapsed(), &response);
                response.map(Answer::Http)
            }
            question => match Request::of(question) {
                Some(request) => {
                    let request = request?;
                    if !granted.has_bucket(&request.bucket) {
                        return Err(ServiceError::Denied);
                    }
                    self.buckets.run(request, (self.clock)(), within)
                }
                None => Err(ServiceError::Unavailable("this is no question about a bucket or to an HTTP server".to_owned())),
            },
        }
    }

    /// Whether the answer to a question may have to come from elsewhere: a request, or a bucket that is in a store. Any other bucket answers
    /// at once.
    pub fn waits(&self, question: &Question) -> bool {
        match question {
            Question::Http(_) => true,
            Question::KvGet { bucket, .. }
            | Question::KvSet { bucket, .. }
            | Question::KvDelete { bucket, .. }
            | Question::KvIncrement { bucket, .. }
            | Question::KvCompareSet { bucket, .. } => self.is_remote(bucket),
            _ => false,
        }
    }

    /// Whether a bucket is in a store.
    pub fn is_remote(&self, bucket: &str) -> bool {
        self.buckets.is_remote(bucket)
    }

    /// What has been counted.
    pub fn samples(&self) -> Samples {
        let (buckets, stores) = self.buckets.samples();
        Samples { buckets, stores, http: self.http_counted.counts() }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}

/// Asks with the grants of one plugin.
#[derive(Clone, Debug)]
pub struct ForPlugin {
    outside: Arc<Outside>,
    granted: Granted,
}

impl ForPlugin {
    /// For a plugin with these grants.
    pub fn new(outside: Arc<Outside>, granted: Granted) -> Self {
        Self { outside, granted }
    }
}

impl Ask for ForPlugin {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        self.outside.answer(&self.granted, question, within)
    }
}
