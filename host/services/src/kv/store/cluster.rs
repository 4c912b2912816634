//! A cluster: each key belongs to a slot, each slot to a master. Every master has a link of its own, so one that is away or silent costs
//! nothing to those who ask for the keys of others. Who has which slot is asked at the start, after each redirection, and again and again
//! while some part cannot be reached, for then a replica may be taking over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::super::Operation;
use super::command::Refusal;
use super::dial::{Dialer, Target};
use super::link::{Failure, Link};
use super::slots::{Range, SLOTS, ranges, redirected, slot};
use crate::ask::Answer;
use crate::settings::Server;

/// Nodes that one operation may be sent on to.
const REDIRECTIONS: usize = 4;
/// Masters of a cluster that are talked to.
const NODES: usize = 256;
/// The shortest time between two questions for the slots.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the slots are asked for while some part is away.
const PROBE: Duration = Duration::from_millis(500);
/// How often they are asked for otherwise.
const CALM: Duration = Duration::from_secs(30);

/// A cluster. What it asks in the background ends with it.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    name: String,
    seeds: Vec<Server>,
    dialer: Arc<Dialer>,
    timeout: Duration,
    runtime: Handle,
    map: Mutex<Map>,
    /// Whether anybody has told the slots, or why not.
    known: watch::Sender<Known>,
    wanted: Notify,
}

#[derive(Clone, PartialEq)]
enum Known {
    NotYet,
    No(Arc<str>),
    Yes,
}

#[derive(Default)]
struct Map {
    links: HashMap<Server, Arc<Link>>,
    /// For each slot its master.
    masters: Vec<Option<Server>>,
}

impl Cluster {
    pub(super) fn new(name: &str, seeds: Vec<Server>, dialer: Arc<Dialer>, timeout: Duration, runtime: &Handle) -> Arc<Self> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            seeds,
            dialer,
            timeout,
            runtime: runtime.clone(),
            map: Mutex::default(),
            known: watch::Sender::new(Known::NotYet),
            wanted: Notify::new(),
        });
        let task = runtime.spawn(follow(Arc::clone(&shared))).abort_handle();
        Arc::new(Self { shared, task })
    }

    /// Whether all slots have a master that can be reached.
    pub(super) fn is_up(&self) -> bool {
        self.shared.is_whole()
    }

    /// Why the master of a key is known to be away.
    pub(super) fn away(&self, key: &str) -> Option<String> {
        let why = match &*self.shared.known.borrow() {
            Known::NotYet => return None,
            Known::No(why) => Some(why.to_string()),
            Known::Yes => None,
        };
        why.or_else(|| match self.shared.master(slot(key)) {
            Some((_, link)) => link.away(),
            None => Some("no node serves the slot of the key".to_owned()),
        })
    }

    pub(super) async fn run(&self, key: &str, operation: &Operation, until: Instant) -> Result<Answer, Failure> {
        self.shared.told(until).await?;
        let slot = slot(key);
        let nowhere = || Failure::Away("no node serves the slot of the key".to_owned());
        let (mut server, mut link) = self.shared.master(slot).ok_or_else(nowhere)?;
        for _ in 0..REDIRECTIONS {
            let answer = link.run(key, operation, until).await;
            match answer {
                Err(Failure::Refused(Refusal::Moved(to))) => {
                    server = redirected(&to, &server).ok_or_else(nowhere)?;
                    link = self.shared.moved(slot, &server).ok_or_else(nowhere)?;
                    self.shared.wanted.notify_one();
                }
                Err(Failure::Refused(Refusal::Ask(to))) => {
                    let server = redirected(&to, &server).ok_or_else(nowhere)?;
                    let link = self.shared.link(&server).ok_or_else(nowhere)?;
                    return link.run_asking(key, operation, until).await;
                }
                Err(failure) => {
                    if matches!(failure, Failure::Away(_) | Failure::Silent | Failure::Refused(Refusal::Down(_) | Refusal::Away(_))) {
                        self.shared.wanted.notify_one();
                    }
                    return Err(failure);
                }
                Ok(answer) => return Ok(answer),
            }
        }
        Err(Failure::Away("the nodes of the cluster send the key around in a circle".to_owned()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the slots are known.
    async fn told(&self, until: Instant) -> Result<(), Failure> {
        let mut known = self.known.subscribe();
        let settled = timeout_at(until, known.wait_for(|known| *known != Known::NotYet)).await;
        match settled {
            Ok(Ok(known)) => match &*known {
                Known::No(why) => Err(Failure::Away(why.to_string())),
                Known::Yes | Known::NotYet => Ok(()),
            },
            Ok(Err(_)) | Err(_) => Err(Failure::Silent),
        }
    }

    fn master(&self, slot: u16) -> Option<(Server, Arc<Link>)> {
        let map = self.map();
        let server = map.masters.get(usize::from(slot))?.clone()?;
        let link = map.links.get(&server).cloned()?;
        Some((server, link))
    }

    fn moved(&self, slot: u16, server: &Server) -> Option<Arc<Link>> {
        let link = self.link(server)?;
        if let Some(master) = self.map().masters.get_mut(usize::from(slot)) {
            *master = Some(server.clone());
        }
        Some(link)
    }

    /// The link to a node; made if there is none. None if there are too many.
    fn link(&self, server: &Server) -> Option<Arc<Link>> {
        let mut map = self.map();
        if let Some(link) = map.links.get(server) {
            return Some(Arc::clone(link));
        }
        if map.links.len() >= NODES {
            return None;
        }
        let link = Arc::new(self.new_link(server));
        map.links.insert(server.clone(), Arc::clone(&link));
        Some(link)
    }

    fn new_link(&self, server: &Server) -> Link {
        let label = format!("[store.{}], node {server},", self.name);
        Link::new(label, Target::Server(server.clone()), Arc::clone(&self.dialer), self.timeout, &self.runtime)
    }

    fn is_whole(&self) -> bool {
        let map = self.map();
        let up = |server: &Server| map.links.get(server).is_some_and(|link| link.is_up());
        map.masters.len() == usize::from(SLOTS) && map.links.values().any(|link| link.is_up()) && {
            let mut last: Option<&Server> = None;
            map.masters.iter().all(|master| {
                // Neighbouring slots mostly have the same master.
                let fine = master.as_ref().is_some_and(|server| last == Some(server) || up(server));
                last = master.as_ref();
                fine
            })
        }
    }

    /// Takes over what a node says. Links to nodes that are no masters any more end.
    fn take(&self, ranges: Vec<Range>) {
        let mut masters = vec![None; usize::from(SLOTS)];
        for (first, last, server) in &ranges {
            masters.iter_mut().take(usize::from(*last) + 1).skip(usize::from(*first)).for_each(|master| *master = Some(server.clone()));
        }
        let mut map = self.map();
        let mut links = HashMap::new();
        for (_, _, server) in ranges {
            if links.len() < NODES && !links.contains_key(&server) {
                let link = map.links.get(&server).cloned().unwrap_or_else(|| Arc::new(self.new_link(&server)));
                links.insert(server, link);
            }
        }
        *map = Map { links, masters };
        drop(map);
        if let Known::No(_) = self.known.send_replace(Known::Yes) {
            tracing::info!("[store.{}] is back: its slots are known", self.name);
        }
    }

    /// What some node says of the slots: one that is connected, or else one that the configuration names.
    async fn ask(&self, turn: usize) -> Result<Vec<Range>, String> {
        let question = redis::cmd("CLUSTER").arg("SLOTS").take();
        let mut connected: Vec<_> =
            self.map().links.iter().filter(|(_, link)| link.is_up()).map(|(server, link)| (server.clone(), Arc::clone(link))).collect();
        connected.sort_by(|(one, _), (other, _)| one.cmp(other));
        // A node that was cut off from the others may know less than they: next time another one is asked.
        let start = turn.checked_rem(connected.len()).unwrap_or_default();
        connected.rotate_left(start);
        for (server, link) in connected {
            let reply = link.query(&question, Instant::now() + self.timeout).await;
            if let Some(ranges) = reply.ok().and_then(|reply| ranges(&reply, &server)).filter(|ranges| !ranges.is_empty()) {
                return Ok(ranges);
            }
        }
        let mut why = "the configuration names no node".to_owned();
        for seed in &self.seeds {
            let asked = async {
                let mut dialed = self.dialer.dial(&Target::Server(seed.clone())).await?;
                timeout(self.timeout, self.dialer.ask(&mut dialed, question.clone())).await.map_err(|_| "no answer in time".to_owned())?
            };
            match asked.await {
                Ok(reply) => match ranges(&reply, seed) {
                    Some(ranges) if !ranges.is_empty() => return Ok(ranges),
                    Some(_) => why = format!("{seed}: it serves no slots yet"),
                    None => why = format!("{seed}: its answer makes no sense: is it a node of a cluster?"),
                },
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

/// Keeps the slots up to date, for ever.
async fn follow(shared: Arc<Shared>) {
    for turn in 0.. {
        match shared.ask(turn).await {
            Ok(ranges) => shared.take(ranges),
            Err(why) => {
                // What was known stays in use: the links say themselves whether their nodes are there.
                let unknown = shared.known.send_if_modified(|known| match known {
                    Known::NotYet => {
                        *known = Known::No(why.as_str().into());
                        true
                    }
                    Known::No(_) | Known::Yes => false,
                });
                if unknown {
                    tracing::warn!("[store.{}] is away: {why}; trying again each {PROBE:?}", shared.name);
                }
            }
        }
        sleep(PAUSE).await;
        let calm = async {
            // New links need a moment until they are up, so the first look comes soon.
            sleep(PROBE).await;
            if shared.is_whole() {
                sleep(CALM).await;
            }
        };
        tokio::select! {
            () = calm => {}
            () = shared.wanted.notified() => {}
        }
    }
}
