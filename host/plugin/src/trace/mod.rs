//! What happens to calls, told to whoever listens: the timelines of `jackfield explain`, a simulation, a test. Nobody listens as a rule;
//! then an event costs one relaxed load, and is not made.

mod timelines;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::plain;
use crate::record::Recorder;

pub use timelines::{CALL_ID_MAX, CALLS_MAX, Happened, Sought, Timeline, Timelines, TimelinesStatus};

/// Octets of a text in an event; the rest is left out.
pub const TEXT_MAX: usize = 512;

/// Something that has happened to a call. Plain data: addresses and names are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// A message has come.
    Received {
        /// Its start line.
        start: String,
        /// Its CSeq, which says what a response is to.
        cseq: String,
        /// Who sent it.
        from: String,
        /// By which transport.
        transport: String,
        /// The name of the listener.
        listener: String,
    },
    /// A hook has decided.
    Decided {
        /// The plugin.
        plugin: String,
        /// The first digits of its file's SHA-256.
        version: String,
        /// The hook: `on-request`, `on-response`, `on-failure`.
        hook: String,
        /// What.
        outcome: plain::Outcome,
    },
    /// A hook has failed.
    HookFailed {
        /// The plugin.
        plugin: String,
        /// The first digits of its file's SHA-256.
        version: String,
        /// The hook.
        hook: String,
        /// Why.
        why: plain::Failed,
        /// What becomes of the message: `reply 503`, `next`, and the like.
        then: String,
    },
    /// A plugin of the chain was not called.
    Skipped {
        /// The plugin.
        plugin: String,
        /// The hook.
        hook: String,
        /// Why.
        why: Skip,
        /// What becomes of the message where the plugin should have been asked; none: the next plugin is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<String>,
    },
    /// The plugins, and what holds without them, have said what becomes of a request.
    Verdict {
        /// In words: `forward`, `reply 403`, `drop`.
        what: String,
        /// Where to, in the order in which it will be tried.
        targets: Vec<String>,
    },
    /// A trunk has become its ways.
    Ways {
        /// The trunk.
        trunk: String,
        /// Its ways and those of its fallbacks, in the order in which they will be tried.
        ways: Vec<String>,
        /// Those that will not, and why.
        left_out: Vec<String>,
    },
    /// Whether there was room for the call at a target.
    Admission {
        /// The trunk, or the tag of the target.
        target: String,
        /// Why there was not; none: there was.
        refused: Option<String>,
    },
    /// A name is to be found (RFC 3263).
    Seeking {
        /// The name, with port and transport where they are given.
        name: String,
    },
    /// It has been found, or not.
    Found {
        /// The name.
        name: String,
        /// The addresses in the order in which they will be tried, with what is known against them; none: there is no such name.
        candidates: Vec<String>,
    },
    /// A message has been sent.
    Sent {
        /// Its start line.
        start: String,
        /// Its CSeq.
        cseq: String,
        /// Where to.
        to: String,
        /// By which transport.
        transport: String,
        /// The name of the listener that it left from.
        egress: String,
        /// What made it leave.
        trigger: Trigger,
    },
    /// It could not be sent.
    NotSent {
        /// Its start line.
        start: String,
        /// Where to.
        to: String,
        /// Why.
        why: String,
    },
    /// An address has failed.
    AddressFailed {
        /// Which.
        address: String,
        /// How: `no answer before timer B or F ran out`, and the like.
        why: String,
    },
    /// A target has failed, and what comes next has been chosen.
    TargetFailed {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The tag of the target.
        tag: String,
        /// Why: a status, or what ran out.
        why: String,
        /// Targets not tried yet.
        remaining: u32,
        /// What comes next.
        then: String,
    },
    /// A trunk has asked for credentials.
    Challenged {
        /// How that ended.
        then: String,
    },
    /// A relay has been asked about media.
    Media {
        /// What it came to.
        what: String,
    },
    /// A request has its final response.
    Completed {
        /// The status that went upstream; none if nothing did.
        status: Option<u16>,
        /// Targets that were tried.
        attempts: u32,
        /// From the request to that.
        #[serde(rename = "elapsed-us", with = "microseconds")]
        elapsed: Duration,
    },
    /// Anything else, in words.
    Note {
        /// What.
        text: String,
    },
}

impl Event {
    /// About the octets that it takes in memory.
    fn octets(&self) -> usize {
        let octets = match self {
            // The others are made of texts that are cut.
            Self::Decided { outcome, .. } => serde_json::to_string(outcome).map_or(TEXT_MAX, |text| text.len()),
            Self::Verdict { targets, .. } => targets.iter().map(String::len).sum(),
            Self::Ways { ways, left_out, .. } => ways.iter().chain(left_out).map(String::len).sum(),
            Self::Found { candidates, .. } => candidates.iter().map(String::len).sum(),
            _ => TEXT_MAX,
        };
        octets + size_of::<Self>()
    }
}

/// Why a plugin was not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// It has subscribed to no such message.
    NotSubscribed,
    /// Its breaker is open: it has failed too often lately.
    BreakerOpen,
}

/// What made a message leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Something that came in, or an answer that was awaited.
    #[default]
    Message,
    /// A timer that ran out.
    Timer,
}

/// Somebody who wants to hear.
pub trait Listen: std::fmt::Debug + Send + Sync {
    /// Hears what has happened to the call with this Call-ID. Called on the workers' threads: it must not wait.
    fn hear(&self, call_id: &[u8], event: Event);
}

/// Where events go, and the recording. One for the process, or for each simulation.
#[derive(Debug, Default)]
pub struct Tracer {
    /// Whether there is a listener or a recording.
    is_awake: AtomicBool,
    listener: ArcSwapOption<Listener>,
    recorder: ArcSwapOption<Recorder>,
}

#[derive(Debug)]
struct Listener(Arc<dyn Listen>);

impl Tracer {
    /// One that tells all to this listener.
    pub fn to(listener: Arc<dyn Listen>) -> Arc<Self> {
        let tracer = Self::default();
        tracer.listen(Some(listener));
        Arc::new(tracer)
    }

    /// From now on this one hears; none: nobody.
    pub fn listen(&self, listener: Option<Arc<dyn Listen>>) {
        self.listener.store(listener.map(|listener| Arc::new(Listener(listener))));
        self.settle();
    }

    /// From now on hook calls are recorded by this one; none: they are not.
    pub(crate) fn record(&self, recorder: Option<Arc<Recorder>>) {
        self.recorder.store(recorder);
        self.settle();
    }

    /// This recording has ended; a later one goes on.
    pub(crate) fn end_recording(&self, ended: &Arc<Recorder>) {
        let current = self.recorder.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, ended)) {
            self.recorder.compare_and_swap(&current, None);
            self.settle();
        }
    }

    fn settle(&self) {
        self.is_awake.store(self.listener.load().is_some() || self.recorder.load().is_some(), Relaxed);
    }

    /// Whether somebody listens, or records.
    pub fn is_awake(&self) -> bool {
        self.is_awake.load(Relaxed)
    }

    /// Whether somebody listens: who has to do some work before there is an event asks first.
    pub fn is_heard(&self) -> bool {
        self.is_awake() && self.listener.load().is_some()
    }

    /// Tells what has happened, if anybody listens.
    pub fn tell(&self, call_id: &[u8], event: impl FnOnce() -> Event) {
        if self.is_awake()
            && let Some(listener) = &*self.listener.load()
        {
            listener.0.hear(call_id, event());
        }
    }

    /// The recording that is running.
    pub(crate) fn recorder(&self) -> Option<Arc<Recorder>> {
        if self.is_awake() { self.recorder.load_full() } else { None }
    }
}

/// Text of others for an event: not longer than it may be, and without passwords.
pub fn text(octets: &[u8]) -> String {
    let Some(kept) = octets.get(..TEXT_MAX).filter(|_| octets.len() > TEXT_MAX) else {
        return crate::redact::without_password(&String::from_utf8_lossy(octets)).into_owned();
    };
    // A password is known by the `@` behind it: without one the beginning of what has been cut would be shown.
    let mut text = crate::redact::without_password(&format!("{}@", String::from_utf8_lossy(kept))).into_owned();
    text.pop();
    text
}

mod microseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Ears(Mutex<Vec<(Vec<u8>, Event)>>);

    impl Listen for Ears {
        fn hear(&self, call_id: &[u8], event: Event) {
            self.0.lock().unwrap().push((call_id.to_vec(), event));
        }
    }

    fn note(text: &str) -> Event {
        Event::Note { text: text.into() }
    }

    #[test]
    fn events_are_made_only_while_somebody_listens() {
        let tracer = Tracer::default();
        tracer.tell(b"c", || unreachable!("nobody listens"));
        let ears = Arc::new(Ears::default());
        tracer.listen(Some(Arc::clone(&ears) as Arc<dyn Listen>));
        assert!(tracer.is_heard());
        tracer.tell(b"c", || note("one"));
        tracer.listen(None);
        tracer.tell(b"c", || unreachable!("nobody listens any more"));
        assert!(!tracer.is_heard());
        assert_eq!(*ears.0.lock().unwrap(), [(b"c".to_vec(), note("one"))]);
    }

    #[test]
    fn text_of_others_is_bounded_and_shows_no_password() {
        assert_eq!(text(b"INVITE sip:a:b@h SIP/2.0"), "INVITE sip:a:x@h SIP/2.0");
        assert_eq!(text(&[b'a'; TEXT_MAX + 1]).len(), TEXT_MAX);
        let cut = text(format!("INVITE sip:a:{}@h SIP/2.0", "secret".repeat(TEXT_MAX)).as_bytes());
        assert!(cut.len() == TEXT_MAX && !cut.contains("secret"), "{cut}");
    }
}
