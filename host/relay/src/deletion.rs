//! Deleting calls, in the background: an order is repeated until the relay answers or it is given up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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
    /// Deletions of one client that are under way at a time.
    pub const OPEN_DELETIONS: usize = 4_096;

    /// Deletes a call with all its branches, in the background. It returns at once and wants the runtime of the client's worker. A call that
    /// the relay does not know is deleted already.
    pub fn delete(&self, note: &Note, call_id: &[u8]) {
        self.delete_what_has(Begun::Said, note, call_id);
    }

    fn delete_what_has(&self, begun: Begun, note: &Note, call_id: &[u8]) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let inner = &self.0;
        if inner.deletions.fetch_add(1, Relaxed) >= Self::OPEN_DELETIONS {
            inner.deletions.fetch_sub(1, Relaxed);
            inner.pool.counters.undeleted.count();
            return;
        }
        let under_way = UnderWay(inner.clone());
        let (note, packet) = (*note, Packet::delete(note, call_id));
        runtime.spawn(async move { under_way.0.delete(begun, note, packet).await });
    }
}

/// A deletion under way.
struct UnderWay(Arc<Inner>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.deletions.fetch_sub(1, Relaxed);
    }
}

impl Inner {
    async fn delete(&self, mut begun: Begun, note: Note, mut packet: Packet) {
        for pause in [0].into_iter().chain(PAUSES).map(Duration::from_secs) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let roster = self.pool.roster();
            // Nobody is left to ask: who takes a relay out of the configuration leaves its calls to their end.
            let Some(member) = roster.member(note.relay) else { break };
            match (self.put(&mut packet, member, roster.settings.timeout).await, begun) {
                // Asked about again, it is known or never will be.
                (Ok(Said::Unknown), Begun::Perhaps) => begun = Begun::Said,
                (Ok(Said::Done(_)), _) | (Ok(Said::Unknown), Begun::Said) => {
                    self.pool.counters.deleted.count();
                    return;
                }
                (Ok(Said::Error(reason)), _) => {
                    tracing::debug!(relay = %member.name, reason, "media relay will not delete a call");
                    break;
                }
                (Ok(Said::Pong | Said::Full(_)) | Err(_), _) => {}
            }
        }
        self.pool.counters.undeleted.count();
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
