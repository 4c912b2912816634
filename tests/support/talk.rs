//! Calls one after the other over one transport, while a test does something else; and a callee that answers whoever comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::link::Link;
use super::peer::Peer;
use super::scene::invite;

/// A peer that answers every INVITE with 180 and 200 and everything else with 200, until it goes.
pub(crate) struct Answering {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; the calls that it lost fail the test.
            let _ = thread.join();
        }
    }
}

impl Answering {
    pub(crate) fn start(peer: Peer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(got) = peer.takes_of_call(b"", Duration::from_millis(50)) else { continue };
                match got.message.method().as_bytes() {
                    b"INVITE" => [180, 200].into_iter().for_each(|status| peer.reply(&got, status)),
                    b"ACK" => {}
                    _ => peer.reply(&got, 200),
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

/// The connections that calls take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// One for all of them.
    Kept,
    /// Each has its own, closed at its end.
    Fresh,
}

/// How the calls went. A call that fails ends the thread with a panic, and so the test that waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// From the INVITE to its 200, sorted.
    setups: Vec<Duration>,
}

impl Figures {
    pub(crate) fn calls(&self) -> usize {
        self.setups.len()
    }

    /// The set-up time that this share of the calls, in percent, did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.setups.len().saturating_sub(1);
        self.setups.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, all] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1000.0);
        write!(f, "{} calls, set-up {half:.1} ms (median), {most:.1} ms (99 %), {all:.1} ms (longest)", self.calls())
    }
}

/// Calls under way on a thread of their own.
pub(crate) struct Talk {
    stop: Arc<AtomicBool>,
    placed: Arc<AtomicU64>,
    thread: JoinHandle<Figures>,
}

/// The pause between two calls: the load is steady, and leaves room for others on a small machine.
const PAUSE: Duration = Duration::from_millis(15);

impl Talk {
    /// Calls `uri` from a peer until it is told to finish; `way` opens a link to the proxy.
    pub(crate) fn start(
        peer: Peer,
        links: Links,
        header: &'static str,
        callee: String,
        way: impl Fn(&Peer) -> Link + Send + 'static,
    ) -> Self {
        let (stop, placed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&placed));
        let thread = std::thread::spawn(move || {
            let mut figures = Figures::default();
            let kept = (links == Links::Kept).then(|| way(&peer));
            while !stopped.load(Ordering::Relaxed) {
                let link = kept.clone().unwrap_or_else(|| way(&peer));
                figures.setups.push(call(&peer, &link, header, &callee));
                if links == Links::Fresh
                    && let Link::Stream(wire) = &link
                {
                    wire.close();
                }
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::park_timeout(PAUSE);
            }
            figures.setups.sort();
            figures
        });
        Self { stop, placed, thread }
    }

    /// Calls completed so far. A lost call is seen here, too.
    pub(crate) fn completed(&self) -> u64 {
        assert!(!self.thread.is_finished() || self.stop.load(Ordering::Relaxed), "a call failed");
        self.placed.load(Ordering::Relaxed)
    }

    /// Places no more and gives the figures.
    pub(crate) fn finish(self) -> Figures {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| panic!("a call failed: see above"))
    }
}

/// A whole call with a callee that answers by itself. Gives its set-up time.
fn call(peer: &Peer, link: &Link, header: &str, callee: &str) -> Duration {
    let placed = Instant::now();
    peer.send(&invite(peer, "sip:bob@example.test", link).header(header, callee), link);
    let answer = peer.expect_final();
    assert_eq!(answer.status(), 200);
    let took = placed.elapsed();
    let mut dialog = Dialog::of_caller(&answer);
    peer.send(&dialog.request(peer, "ACK", link), link);
    peer.send(&dialog.request(peer, "BYE", link), link);
    assert_eq!(peer.expect_final().status(), 200);
    took
}

/// The figures of several talks, by name.
pub(crate) fn finish_all(talks: BTreeMap<String, Talk>) -> BTreeMap<String, Figures> {
    talks.into_iter().map(|(name, talk)| (name, talk.finish())).collect()
}
