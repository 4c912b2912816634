//! Who has to say who he is: what `[auth.NAME]` asks of requests that begin something, at the listeners that name it.
//!
//! Configuration and users are replaced as a whole; the key of the nonces, the nonces in use and the wrong passwords of each NAME stay, so
//! that a reload neither challenges everybody again nor forgives anybody.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jackfield_auth::{Asked, Authenticator, Memory, NonceKey, Outcome, Refusal, Role, Taken, Users, cleaning};
use jackfield_proto::message::Message;
use jackfield_proto::proxy::{Edit, Reply};
use jackfield_proto::time::Timestamp;

use super::decider::Decision;
use crate::config::{Auth, Config, UserLists};
use crate::metrics::{Count, Sample};

/// A request that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'a> {
    /// The name of the listener.
    pub(super) listener: &'a str,
    pub(super) source: SocketAddr,
    pub(super) request: &'a Message,
    pub(super) now: Timestamp,
}

/// What a request is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It goes on.
    Passed(Passed),
    /// It goes no further.
    Refused(Reply),
}

/// A request that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// The user who has sent it, where that was asked.
    pub(super) user: Option<String>,
    /// They take credentials for us out, before everything that is decided about the request.
    edits: Vec<Edit>,
}

impl Passed {
    /// The decision with the credentials taken out.
    pub(super) fn cleaned<S>(&self, mut decision: Decision<S>) -> Decision<S> {
        let edits = match &mut decision {
            Decision::Undecided { edits, .. } => edits,
            Decision::Forward { plan, .. } => &mut plan.edits,
            Decision::Reply { .. } | Decision::Drop => return decision,
        };
        edits.splice(..0, self.edits.iter().cloned());
        decision
    }
}

/// What is asked at the listeners of a running proxy.
#[derive(Debug)]
pub struct Authentication {
    key: NonceKey,
    taken: Taken,
    /// Makes every nonce another.
    challenges: AtomicU64,
    setting: Mutex<Setting>,
    guards: ArcSwap<Guards>,
}

/// What is asked, and where.
#[derive(Debug, Default)]
struct Guards {
    /// By the name of the listener; nobody is asked at the others.
    at: HashMap<String, Arc<Guard>>,
    /// The realms of all tables.
    realms: Vec<String>,
}

/// What the guards are made of.
#[derive(Debug, Default)]
struct Setting {
    auth: Vec<Auth>,
    /// Names of listeners, each with the NAME of its table.
    listeners: Vec<(String, String)>,
    lists: UserLists,
    kept: BTreeMap<String, Arc<Kept>>,
}

/// What outlasts a change of the configuration.
#[derive(Debug)]
struct Kept {
    memory: Memory,
    genuine: Count,
    /// By [`REFUSALS`].
    refused: [Count; REFUSALS.len()],
}

/// Why requests are not taken, as the metrics call it.
const REFUSALS: [(Refusal, &str); 6] = [
    (Refusal::Unasked, "challenged"),
    (Refusal::Stale, "stale"),
    (Refusal::Replayed, "replayed"),
    (Refusal::Wrong, "wrong"),
    (Refusal::OtherUri, "other-uri"),
    (Refusal::Slowed, "slowed"),
];

/// One `[auth.NAME]` at work.
#[derive(Debug)]
struct Guard {
    auth: Auth,
    /// None if there is no user, so that nobody is let in.
    authenticator: Option<Authenticator>,
    kept: Arc<Kept>,
}

impl Authentication {
    /// What a configuration asks, of these users.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn start(config: &Config, lists: UserLists) -> io::Result<Self> {
        Ok(Self::with(config, lists, Taken::Ours, super::seed()?, super::seed()? as u64))
    }

    /// The same for a simulation, with a key of the nonces and a number for the first of them, so that it prints the same each time. What is
    /// simulated may hold the answers to challenges of the router that was captured, so any nonce is taken.
    pub fn simulated(config: &Config, lists: UserLists, key: u128, first: u64) -> Self {
        Self::with(config, lists, Taken::Anybodys, key, first)
    }

    fn with(config: &Config, lists: UserLists, taken: Taken, key: u128, first: u64) -> Self {
        let authentication = Self {
            key: NonceKey(key.to_ne_bytes()),
            taken,
            challenges: AtomicU64::new(first),
            setting: Mutex::default(),
            guards: ArcSwap::default(),
        };
        authentication.reconfigure(config, lists);
        authentication
    }

    /// Takes up a changed configuration with its users.
    pub fn reconfigure(&self, config: &Config, lists: UserLists) {
        self.change(|setting| {
            setting.auth = config.auth.clone();
            let named = |listen: &crate::config::Listen| Some((listen.name.clone(), listen.authenticate.clone()?));
            setting.listeners = config.listen.iter().filter_map(named).collect();
            setting.lists = lists;
        });
    }

    /// Takes up the users of one `[auth.NAME]`.
    pub fn replace_users(&self, name: &str, users: Users) {
        self.change(|setting| drop(setting.lists.insert(name.to_owned(), users)));
    }

    fn change(&self, change: impl FnOnce(&mut Setting)) {
        let mut setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut setting);
        let Setting { auth, listeners, lists, kept } = &mut *setting;
        kept.retain(|name, _| auth.iter().any(|auth| auth.name == *name));
        let mut guard = |auth: &Auth| {
            let kept = kept.entry(auth.name.clone()).or_insert_with(|| Arc::new(Kept::new(self.taken, self.key)));
            let users = lists.get(&auth.name).cloned().unwrap_or_default();
            let authenticator = Authenticator::new(auth.settings.clone(), users);
            Arc::new(Guard { auth: auth.clone(), authenticator, kept: Arc::clone(kept) })
        };
        let guards: BTreeMap<&str, Arc<Guard>> = auth.iter().map(|auth| (auth.name.as_str(), guard(auth))).collect();
        let at_listener = |(listener, name): &(String, String)| Some((listener.clone(), Arc::clone(guards.get(name.as_str())?)));
        let at = listeners.iter().filter_map(at_listener).collect();
        let realms = auth.iter().map(|auth| auth.settings.realm.clone()).collect();
        self.guards.store(Arc::new(Guards { at, realms }));
    }

    /// Whose a request is that begins something, where that is asked.
    pub(super) fn judge(&self, visit: Visit<'_>) -> Judged {
        let guards = self.guards.load();
        let Some(guard) = guards.at.get(visit.listener) else { return Judged::Passed(Passed::default()) };
        let is_exempt = guard.auth.exempt.iter().any(|network| network.contains(visit.source.ip()));
        if is_exempt || !guard.auth.asks_for(visit.request) {
            return Judged::Passed(guard.unasked(visit.request));
        }
        let random = self.challenges.fetch_add(1, Ordering::Relaxed);
        guard.judge(visit, random)
    }

    /// A request that nobody is asked for, since its dialog is proved or its sender is known otherwise. It may have come another way than
    /// what its credentials were made for: those for any realm of ours are taken out.
    pub(super) fn pass(&self, request: &Message) -> Passed {
        let guards = self.guards.load();
        let edits = cleaning(request, |realm| guards.realms.iter().any(|ours| ours.as_bytes() == realm));
        Passed { user: None, edits }
    }

    /// What has been counted, for the metrics.
    pub fn samples(&self) -> Vec<Sample> {
        let setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        setting.kept.iter().flat_map(|(name, kept)| kept.samples(name)).collect()
    }
}

impl Guard {
    fn role(&self, request: &Message) -> Role {
        if self.auth.is_to_registrar(request) { Role::Registrar } else { Role::Proxy }
    }

    fn unasked(&self, request: &Message) -> Passed {
        Passed { user: None, edits: cleaning(request, |realm| realm == self.auth.settings.realm.as_bytes()) }
    }

    fn judge(&self, visit: Visit<'_>, random: u64) -> Judged {
        let Visit { source, request, now, .. } = visit;
        let role = self.role(request);
        let Some(authenticator) = &self.authenticator else { return Judged::Refused(Reply::status(503)) };
        match authenticator.judge(&self.kept.memory, Asked { request, source, role, now, random }) {
            Outcome::Genuine { user, edits } => {
                self.kept.genuine.increment();
                Judged::Passed(Passed { user: Some(user), edits })
            }
            Outcome::Refused { why, reply } => {
                self.kept.refused(why);
                if why != Refusal::Unasked {
                    tracing::debug!(auth = self.auth.name, %source, reason = label(why), "a request is not let in");
                }
                Judged::Refused(reply)
            }
        }
    }
}

impl Kept {
    fn new(taken: Taken, key: NonceKey) -> Self {
        Self { memory: Memory::taking(taken, key), genuine: Count::default(), refused: std::array::from_fn(|_| Count::default()) }
    }

    fn refused(&self, why: Refusal) {
        let cells = REFUSALS.iter().zip(&self.refused);
        cells.filter(|((refusal, _), _)| *refusal == why).for_each(|(_, count)| count.increment());
    }

    fn samples(&self, name: &str) -> Vec<Sample> {
        let refused = REFUSALS.iter().zip(&self.refused).map(|((_, label), count)| (*label, count));
        let all = std::iter::once(("genuine", &self.genuine)).chain(refused);
        let help = "Requests that somebody had to answer for, by what became of them";
        let sample =
            |(result, count): (&'static str, &Count)| Sample::counter("authentications", help, count.value()).label("result", result);
        all.map(|counted| sample(counted).label("auth", name.to_owned())).collect()
    }
}

fn label(why: Refusal) -> &'static str {
    REFUSALS.iter().find(|(refusal, _)| *refusal == why).map_or("", |(_, label)| label)
}

#[cfg(test)]
mod tests;
