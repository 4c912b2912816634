//! Deleting calls, in the background: an order is repeated until the relay answers or it is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::answer::Said;
use crate::client::{Client, Inner};
use crate::note::Note;
use crate::question::Packet;

/// Seconds that are waited after each time that the relay was silent. Then the call is left to its own timeouts at the relay, or to its restart.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 16];

/// What is known of the beginning of a call that is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// The relay has said that it has it.
    Said,
    /// It was asked and has not answered yet: the order may overtake the question.
    Perhaps,
}

impl Client {
    /// Deletions of one client that are under way at a time, at relays that are there.
    pub const OPEN_DELETIONS: usize = 4_096;
    /// Those at relays that are silent. They have a bound of their own, so that a relay that is gone with all its calls takes no place from
    /// those at the others; and both together leave room for offers and answers ([`Client::OPEN_QUESTIONS`]).
    pub const SILENT_DELETIONS: usize = 2_048;

    /// Deletes a call with all its branches, in the background. It returns at once and wants the runtime of the client's worker. A call that
    /// the relay does not know is deleted already.
    pub fn delete(&self, note: &Note, call_id: &[u8]) {
        self.delete_what_has(Begun::Said, note, call_id);
    }

    fn delete_what_has(&self, begun: Begun, note: &Note, call_id: &[u8]) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let inner = &self.0;
        let is_up = inner.pool.roster().member(note.relay).is_some_and(|member| member.is_up());
        let Some(under_way) = UnderWay::begin(inner, if is_up { At::Answering } else { At::Silent }) else {
            inner.pool.counters.undeleted.count();
            return;
        };
        let (note, packet) = (*note, Packet::delete(note, call_id));
        runtime.spawn(async move { under_way.delete(begun, note, packet).await });
    }
}

/// How many deletions are under way.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    answering: AtomicUsize,
    silent: AtomicUsize,
}

/// What the relay of a deletion is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Answering,
    Silent,
}

impl Deletions {
    fn at(&self, at: At) -> (&AtomicUsize, usize) {
        match at {
            At::Answering => (&self.answering, Client::OPEN_DELETIONS),
            At::Silent => (&self.silent, Client::SILENT_DELETIONS),
        }
    }
}

/// A deletion under way, which has a place.
struct UnderWay {
    inner: Arc<Inner>,
    at: At,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.inner.deletions.at(self.at).0.fetch_sub(1, Relaxed);
    }
}

impl UnderWay {
    /// None if there is no place.
    fn begin(inner: &Arc<Inner>, at: At) -> Option<Self> {
        let (number, most) = inner.deletions.at(at);
        let under_way = (number.fetch_add(1, Relaxed) < most).then(|| Self { inner: inner.clone(), at });
        if under_way.is_none() {
            number.fetch_sub(1, Relaxed);
        }
        under_way
    }

    /// The relay was silent; none if too many wait for silent ones.
    fn after_silence(self) -> Option<Self> {
        match self.at {
            At::Answering => Self::begin(&self.inner, At::Silent),
            At::Silent => Some(self),
        }
    }

    async fn delete(mut self, mut begun: Begun, note: Note, mut packet: Packet) {
        let inner = self.inner.clone();
        for pause in [0].into_iter().chain(PAUSES).map(Duration::from_secs) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let roster = inner.pool.roster();
            // Nobody is left to ask: who takes a relay out of the configuration leaves its calls to their end.
            let Some(member) = roster.member(note.relay) else { break };
            match (inner.put(&mut packet, member, roster.settings.timeout).await, begun) {
                // Asked about again, it is known or never will be.
                (Ok(Said::Unknown), Begun::Perhaps) => {
                    begun = Begun::Said;
                    continue;
                }
                (Ok(Said::Done(_)), _) | (Ok(Said::Unknown), Begun::Said) => {
                    inner.pool.counters.deleted.count();
                    return;
                }
                (Ok(Said::Error(reason)), _) => {
                    // So it says while it ends or lacks memory, too: what it will not now it may later.
                    tracing::debug!(relay = %member.name, reason, "media relay does not delete a call");
                }
                (Ok(Said::Pong | Said::Full(_)) | Err(_), _) => {}
            }
            match self.after_silence() {
                Some(under_way) => self = under_way,
                None => break,
            }
        }
        inner.pool.counters.undeleted.count();
    }
}

/// A call that may have begun at a relay whose answer is not known. Dropped, it is deleted there.
pub(crate) struct Unfinished<'a> {
    client: &'a Client,
    call: Option<(Note, &'a [u8])>,
}

impl<'a> Unfinished<'a> {
    pub(crate) fn new(client: &'a Client, note: Note, call_id: &'a [u8]) -> Self {
        Self { client, call: Some((note, call_id)) }
    }

    /// Lets it be: it is known to go on, or not to have begun.
    pub(crate) fn forget(&mut self) {
        self.call = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some((note, call_id)) = self.call {
            self.client.delete_what_has(Begun::Perhaps, &note, call_id);
        }
    }
}
