//! Following a key.
//!
//! ```text
//!            answer                      answer: compare, take or refuse
//!  START ------------> FOLLOWING <----------------------------------+
//!    |                   |    ^  \----------------------------------+
//!    | patience over     |    |
//!    | or an error    error   | answer
//!    v                   v    |
//!  the document on disk  AWAY: asks again after a pause, 100 ms growing to 5 s
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::{Answer, Client, ConsulError, Hold};
use super::settings::ConsulSettings;
use crate::cache::{Cache, Cached};
use crate::document::{Document, Faults};
use crate::documents::{Trouble, Voice};
use crate::source::Timing;

/// Follows a key.
pub(crate) struct Follower {
    settings: ConsulSettings,
    timing: Timing,
    cache: Option<Cache>,
    voice: Voice,
    /// Made anew after an error, so that certificates are read again.
    client: Option<Client>,
    /// None: the next question is answered at once.
    index: Option<u64>,
    /// What the key had in it last, good or bad.
    last: Option<Heard>,
    away: Option<Away>,
}

/// A value, and what came of it: every answer brings the value again, and none needs to be read twice.
struct Heard {
    value: Vec<u8>,
    refused: Option<Arc<Faults>>,
}

struct Away {
    since: Instant,
    pause: Duration,
}

impl Follower {
    pub(crate) fn new(settings: ConsulSettings, timing: Timing, cache: Option<Cache>, voice: Voice) -> Self {
        Self { settings, timing, cache, voice, client: None, index: None, last: None, away: None }
    }

    /// Follows the key, for as long as this is awaited. `begun` is told as soon as there is something to go by, and after the start's
    /// patience in any case.
    pub(crate) async fn follow(mut self, begun: oneshot::Sender<()>) {
        self.start().await;
        // Nobody waits for it any more if the start was given up.
        _ = begun.send(());
        loop {
            let next = Instant::now() + self.timing.pace;
            match self.ask().await {
                Ok(answer) => self.answered(answer).await,
                Err(error) => self.failed(&error).await,
            }
            sleep_until(next).await;
        }
    }

    async fn start(&mut self) {
        let cached = self.cached();
        let patience = self.timing.start;
        let first = async {
            loop {
                match self.ask().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if cached.is_some() => return Err(error),
                    Err(error) => self.failed(&error).await,
                }
            }
        };
        let first = timeout(patience, first).await;
        let index = cached.as_ref().map(|cached| cached.index);
        if let Some(cached) = cached {
            self.voice.say(cached.document, Some(cached.written));
            self.last = Some(Heard { value: cached.octets, refused: None });
        }
        match first {
            Ok(Ok(answer)) => self.answered(answer).await,
            Ok(Err(error)) => self.away(&error),
            // What failed before says more.
            Err(_) if self.away.is_some() => {}
            Err(_) => self.away(&ConsulError::Slow(patience)),
        }
        if self.voice.said().from_disk.is_some() {
            let providers = self.voice.providers();
            tracing::info!(key = self.settings.key, index, providers, "the outbound proxies that were kept of Consul on disk are in force");
        }
    }

    fn cached(&self) -> Option<Cached> {
        let cache = self.cache.as_ref()?;
        let read = cache.read().inspect_err(|error| {
            tracing::warn!(file = %cache.path(), %error, "the outbound proxies that were kept of Consul cannot be read; the start is without them");
        });
        read.ok().flatten()
    }

    async fn ask(&mut self) -> Result<Answer, ConsulError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(&self.settings)?,
        };
        // Up to a fifth less, by chance.
        let wait = self.timing.wait.mul_f64(1.0 - 0.2 * fastrand::f64());
        let hold = self.index.map(|index| Hold { index, wait });
        let answer = client.ask(&self.settings, hold, self.timing.answer).await?;
        self.client = Some(client);
        Ok(answer)
    }

    async fn answered(&mut self, answer: Answer) {
        if let Some(away) = self.away.take() {
            let seconds = away.since.elapsed().as_secs();
            tracing::info!(url = self.settings.url, seconds, "Consul is back");
        }
        self.index = next_index(self.index, answer.index);
        match answer.value {
            None => self.gone(),
            Some(value) if self.last.as_ref().is_some_and(|last| last.value == value) => self.same(),
            Some(value) => self.take(value, answer.index).await,
        }
    }

    /// What was said last is said again. If that was refused, it is so still.
    fn same(&self) {
        if self.voice.said().trouble == Some(Trouble::Missing) {
            tracing::info!(key = self.settings.key, "Consul has the key again, as it was");
        }
        match self.last.as_ref().and_then(|last| last.refused.clone()) {
            Some(faults) => self.voice.complain(Trouble::Refused(faults)),
            None => self.voice.confirm(),
        }
    }

    fn gone(&mut self) {
        if self.voice.said().trouble == Some(Trouble::Missing) {
            return;
        }
        let key = &self.settings.key;
        match self.voice.providers() {
            Some(providers) => tracing::warn!(
                key,
                providers,
                "Consul has no such key any more, or the token may not read it; what it said last stays in force until it is written again ({{}} for no proxies)"
            ),
            None => tracing::info!(key, "Consul has no such key yet, or the token may not read it; it is taken once it is written"),
        }
        self.voice.complain(Trouble::Missing);
    }

    async fn take(&mut self, value: Vec<u8>, index: u64) {
        let key = &self.settings.key;
        let refused = match Document::parse(&value) {
            Ok(document) => {
                tracing::info!(key, index, providers = document.entries.len(), "the outbound proxies of Consul are in force");
                self.voice.say(document, None);
                self.keep(&value, index).await;
                None
            }
            Err(faults) => {
                faults.lines().iter().for_each(|line| tracing::error!("Consul {key}:{line}"));
                tracing::error!(key, index, "what is in Consul's key cannot be used; what it said last stays in force");
                let faults = Arc::new(faults);
                self.voice.complain(Trouble::Refused(Arc::clone(&faults)));
                Some(faults)
            }
        };
        self.last = Some(Heard { value, refused });
    }

    /// On disk, by a thread that may wait for it.
    async fn keep(&self, value: &[u8], index: u64) {
        let (Some(cache), Ok(text)) = (self.cache.clone(), std::str::from_utf8(value)) else { return };
        let text = text.to_owned();
        let write = tokio::task::spawn_blocking(move || {
            if let Err(error) = cache.write(&text, index, SystemTime::now()) {
                tracing::warn!(file = %cache.path(), %error, "the outbound proxies of Consul cannot be kept; a start without Consul will not have them");
            }
        });
        // An error would be a panic in it, which has been told.
        _ = write.await;
    }

    async fn failed(&mut self, error: &ConsulError) {
        self.away(error);
        let pause = self.away.as_ref().map_or(self.timing.first_pause, |away| away.pause);
        // Three quarters of it at least, so that proxies do not come back together.
        sleep(pause.mul_f64(1.0 - 0.25 * fastrand::f64())).await;
    }

    fn away(&mut self, error: &ConsulError) {
        (self.client, self.index) = (None, None);
        let why: Arc<str> = error.to_string().into();
        let timing = self.timing;
        let since = match &mut self.away {
            Some(away) => {
                away.pause = timing.longer(away.pause);
                tracing::debug!(url = self.settings.url, %error, "Consul is still away");
                match self.voice.said().trouble {
                    Some(Trouble::Away { since, .. }) => since,
                    _ => SystemTime::now(),
                }
            }
            None => {
                self.away = Some(Away { since: Instant::now(), pause: timing.first_pause });
                let stays = match self.voice.providers() {
                    Some(_) => "what it said last stays in force",
                    None => "there is nothing that it said before",
                };
                tracing::warn!(url = self.settings.url, key = self.settings.key, %error, "Consul does not tell its outbound proxies; {stays}");
                SystemTime::now()
            }
        };
        self.voice.complain(Trouble::Away { why, since });
    }
}

/// The index of the next question. One that goes back is of a new store, and what it counts is not known: ask at once. Never 0, which
/// would be a question that is not held, over and over.
fn next_index(last: Option<u64>, answered: u64) -> Option<u64> {
    match last {
        Some(last) if answered < last => None,
        _ => Some(answered.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_goes_back_is_forgotten() {
        for (last, answered, next) in [
            (None, 7, Some(7)),
            (Some(7), 7, Some(7)),
            (Some(7), 9, Some(9)),
            (Some(7), 6, None),
            (Some(7), 0, None),
            (None, 0, Some(1)),
            (Some(1), 0, None),
        ] {
            assert_eq!(next_index(last, answered), next, "{last:?} {answered}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let timing = Timing::default();
        let pauses = std::iter::successors(Some(timing.first_pause), |pause| Some(timing.longer(*pause)));
        let millis: Vec<_> = pauses.take(8).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
