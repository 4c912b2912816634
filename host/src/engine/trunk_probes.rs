//! Asks the ways to providers whether they are up (RFC 3261 11), as [`Health`] wants it: each way by its own route, listener and transport, at all
//! addresses of its next hop, of which one that answers is enough.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::Message;
use jackfield_proto::net::{Flow, Listener, Over, Path, Transport};
use jackfield_proto::proxy::{Located, NoWay, OwnOptions, Settings, Target, own_token, own_token_quoted};
use jackfield_transport::{Origin, Outgoing};
use jackfield_trunk::health::{DueProbe, Health, Reason, State, Transition, WatchedWay};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::decider::Decider;
use super::worker::Worker;

/// The least distance of two rounds of probes.
const ROUND: Duration = Duration::from_millis(10);

/// Addresses of one way that are asked at the same time.
const ADDRESSES: usize = 4;

/// Answers of one probe that wait to be looked at; one beyond that is dropped.
const ANSWERS: usize = 16;

/// What is heard from one address: a status, or that it cannot be reached.
type Heard = (usize, Result<u16, Reason>);

/// Probes that are out, by the tokens in their branches.
#[derive(Debug, Default)]
pub(super) struct TrunkProbes {
    /// Keyed by chance, so that nobody can answer a probe who has not seen it.
    random: RandomState,
    serial: AtomicU64,
    waiting: Mutex<HashMap<u64, (usize, mpsc::Sender<Heard>)>>,
    changed: Notify,
}

impl TrunkProbes {
    /// There may be something due earlier than before.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// A response has come, or something else that says what became of a request. Whether it was one of these.
    fn heard(&self, token: u64, outcome: Result<u16, Reason>) {
        if let Some((index, answers)) = self.lock().get(&token) {
            // Full is only who is answered again and again.
            let _ = answers.try_send((*index, outcome));
        }
    }

    fn wait(&self, index: usize, answers: mpsc::Sender<Heard>) -> Waiting<'_> {
        let token = self.random();
        self.lock().insert(token, (index, answers));
        Waiting { probes: self, token }
    }

    fn random(&self) -> u64 {
        self.random.hash_one(self.serial.fetch_add(1, Ordering::Relaxed))
    }

    /// A random number for jitter.
    pub(super) fn draw(&self) -> u32 {
        (self.random() >> 32) as u32
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (usize, mpsc::Sender<Heard>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that is waited for until this is dropped.
struct Waiting<'a> {
    probes: &'a TrunkProbes,
    token: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.probes.lock().remove(&self.token);
    }
}

/// One address that is asked.
struct Asked<'a> {
    waiting: Waiting<'a>,
    bytes: Bytes,
    path: Path,
    peer: Option<Arc<str>>,
    /// What it said, if that is no sign of life.
    failed: Option<Reason>,
}

impl<D: Decider> Worker<D> {
    /// Whether a message is the response to a probe. It goes no further then.
    pub(super) fn answers_trunk_probe(&self, message: &Message, flow: &Flow) -> bool {
        if message.is_request() {
            return false;
        }
        let Some(token) = own_token(message) else { return false };
        tracing::trace!(remote = %flow.remote, status = message.status(), "a probe is answered");
        if message.status() >= 200 {
            self.shared.trunk_probes.heard(token, Ok(message.status()));
        }
        true
    }

    /// Something that was sent did not arrive. Whether it was a probe.
    pub(super) fn trunk_probe_undelivered(&self, quoted: &[u8]) -> bool {
        let Some(token) = own_token_quoted(quoted) else { return false };
        self.trunk_probe_failed(token, "nobody listens there");
        true
    }

    /// A probe could not be sent.
    pub(super) fn trunk_probe_failed(&self, token: u64, why: &str) {
        self.shared.trunk_probes.heard(token, Err(Reason::Unreachable(why.into())));
    }

    /// Sends a probe and waits for what becomes of it.
    async fn probe_way(self: Arc<Self>, probe: DueProbe) {
        let patience = probe.way.probe.timeout;
        let outcome = match timeout(patience, self.ask_way(&probe.way)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Reason::Timeout(patience)),
        };
        let shared = &self.shared;
        let transition = shared.trunks.health.probe_ended(shared.clock.now(), &probe, outcome, &mut || shared.trunk_probes.draw());
        transition.iter().for_each(tell);
        shared.trunk_probes.changed();
    }

    async fn ask_way(self: &Arc<Self>, way: &WatchedWay) -> Result<u16, Reason> {
        let settings = Arc::clone(&self.shared.rules.load().settings);
        let no_listener = || Reason::NoListener { egress: way.way.egress.clone(), transport: way.way.transport };
        let (target, uri) = target(way);
        let options = OwnOptions::new(&uri, &target, &settings).map_err(|no_way| match no_way {
            NoWay::NextHop => Reason::Unreachable(no_way.to_string().into()),
            NoWay::Listener => no_listener(),
        })?;
        let resolver = &self.shared.resolver;
        let found = match resolver.cached(options.query()) {
            Some(found) => found,
            None => resolver.resolve(options.query()).await,
        };
        if found.is_empty() {
            return Err(Reason::NotResolved(options.query().host.as_str().into()));
        }
        let (answers, heard) = mpsc::channel(ANSWERS);
        let asked = self.asked(&options, found, &settings.listeners, &answers);
        if asked.is_empty() {
            return Err(no_listener());
        }
        self.converse(asked, heard, &settings).await
    }

    /// The addresses to ask: those that have failed lately come last, but they do come.
    fn asked<'w>(
        &'w self,
        options: &OwnOptions<'_>,
        found: Vec<Located>,
        listeners: &[Listener],
        answers: &mpsc::Sender<Heard>,
    ) -> Vec<Asked<'w>> {
        let with_egress = found.into_iter().filter_map(|located| {
            let egress = options.egress(&located)?;
            Some((located.failing_from.contains(&egress), located.hop, egress))
        });
        let mut candidates: Vec<_> = with_egress.collect();
        candidates.sort_by_key(|(failing, ..)| *failing);
        let asked = candidates.into_iter().take(ADDRESSES).enumerate().filter_map(|(index, (_, hop, egress))| {
            let listener = listeners.get(usize::from(egress.0))?;
            let waiting = self.shared.trunk_probes.wait(index, answers.clone());
            let bytes = options.write(listener, waiting.token);
            let path = Path { transport: hop.transport, listener: egress, remote: hop.address, over: Over::Any };
            Some(Asked { waiting, bytes, path, peer: options.peer(hop.transport), failed: None })
        });
        asked.collect()
    }

    /// Until one of them gives a sign of life, or all of them have failed; never, if one stays silent. What was sent as a datagram is sent
    /// again (RFC 3261 17.1.2.2: timer E).
    async fn converse(
        self: &Arc<Self>,
        mut asked: Vec<Asked<'_>>,
        mut heard: mpsc::Receiver<Heard>,
        settings: &Settings,
    ) -> Result<u16, Reason> {
        asked.iter_mut().for_each(|asked| self.send_probe(asked));
        let mut interval = settings.timers.t1;
        let mut again = Instant::now() + interval;
        loop {
            if asked.iter().all(|asked| asked.failed.is_some()) {
                // The best address is asked first, and so is its reason.
                let reason = asked.into_iter().find_map(|asked| asked.failed);
                return Err(reason.unwrap_or(Reason::Silence));
            }
            tokio::select! {
                Some((index, outcome)) = heard.recv() => match outcome {
                    Ok(status) if !matches!(status, 408 | 503) => return Ok(status),
                    Ok(status) => fail(&mut asked, index, Reason::Status(status)),
                    Err(reason) => fail(&mut asked, index, reason),
                },
                () = sleep_until(again) => {
                    interval = (interval * 2).min(settings.timers.t2);
                    again += interval;
                    let silent = asked.iter_mut().filter(|asked| asked.failed.is_none() && asked.path.transport == Transport::Udp);
                    silent.for_each(|asked| self.send_probe(asked));
                }
            }
        }
    }

    fn send_probe(self: &Arc<Self>, asked: &mut Asked<'_>) {
        let Asked { waiting, bytes, path, peer, .. } = asked;
        let origin = Some(Origin::Own(waiting.token));
        if let Err(error) = self.transport.send(Outgoing { bytes: bytes.clone(), path: *path, origin, peer: peer.clone() }, self) {
            tracing::debug!(remote = %path.remote, %error, "a probe of a trunk cannot be sent");
            asked.failed = Some(Reason::Unreachable(error.to_string().into()));
        }
    }
}

fn fail(asked: &mut [Asked<'_>], index: usize, reason: Reason) {
    if let Some(asked) = asked.get_mut(index) {
        asked.failed.get_or_insert(reason);
    }
}

/// What a probe goes to, and whom it asks for.
fn target(way: &WatchedWay) -> (Target, String) {
    let host = match way.host.parse() {
        Ok(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
        Ok(std::net::IpAddr::V4(_)) | Err(_) => way.host.to_string(),
    };
    let jackfield_trunk::Way { route, next_hop, transport, egress } = way.way.clone();
    (Target { route, next_hop, transport, egress, ..Target::default() }, format!("sip:{host}"))
}

/// One line for a change, however many calls and probes fail.
pub(super) fn tell(transition: &Transition) {
    match transition.to {
        State::Down => tracing::warn!("{transition}"),
        State::Up | State::Suspect => tracing::info!("{transition}"),
    }
}

/// Probes the ways to providers, for ever. One worker does it for all.
pub(super) async fn drive<D: Decider>(worker: Arc<Worker<D>>) {
    let shared = worker.shared.clone();
    let mut round = Instant::now();
    loop {
        match next_due(&shared.trunks.health, &worker) {
            None => shared.trunk_probes.changed.notified().await,
            Some(at) => tokio::select! {
                () = sleep_until(at.max(round + ROUND)) => {}
                // What is due may be so earlier now.
                () = shared.trunk_probes.changed.notified() => continue,
            },
        }
        round = Instant::now();
        worker.guard("probes of trunks", |_| {
            let due = shared.trunks.health.due(shared.clock.now(), &mut || shared.trunk_probes.draw());
            due.transitions.iter().for_each(tell);
            for probe in due.probes {
                tokio::spawn(Arc::clone(&worker).probe_way(probe));
            }
        });
    }
}

fn next_due<D: Decider>(health: &Health, worker: &Worker<D>) -> Option<Instant> {
    health.next_due().and_then(|at| worker.shared.clock.instant(at))
}
