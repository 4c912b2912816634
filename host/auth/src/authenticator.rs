//! The server's side: challenges, and the judgement of the credentials that come for them (RFC 3261 22.2, 22.3; RFC 7616; RFC 8760).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::{Edit, Reply};
use jackfield_proto::time::Timestamp;
use subtle::ConstantTimeEq;

use crate::algorithm::Algorithm;
use crate::challenge::{self, Stale};
use crate::credentials::Credentials;
use crate::digest_uri::fits;
use crate::fields::{Found, replaced, values, without};
use crate::grammar::items;
use crate::guesses::{Guesses, Guest, whereabouts};
use crate::nonce::{self, Nonce, NonceKey};
use crate::replay::{Replays, Use};
use crate::users::Users;

/// What stands for the secret of a user who is not known.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// As whom we ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A proxy: 407, and Proxy-Authorization.
    Proxy,
    /// The registrar of a domain: 401, and Authorization.
    Registrar,
}

impl Role {
    /// The header field of the credentials.
    fn credentials(self) -> Name<'static> {
        match self {
            Self::Proxy => Name::ProxyAuthorization,
            Self::Registrar => Name::Authorization,
        }
    }

    fn challenge(self) -> Reply {
        match self {
            Self::Proxy => Reply::status(407),
            Self::Registrar => Reply::status(401),
        }
    }

    fn challenge_header(self) -> Bytes {
        let name = match self {
            Self::Proxy => Name::ProxyAuthenticate,
            Self::Registrar => Name::WwwAuthenticate,
        };
        Bytes::from_static(name.as_bytes())
    }

    /// Nonces of one role are no good in the other.
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Proxy => b"proxy",
            Self::Registrar => b"registrar",
        }
    }
}

/// What a configuration says of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose users are asked for.
    pub realm: String,
    /// The algorithms to offer, in any order: a challenge for each, the strongest first (RFC 8760 2.4). None: those of the hash functions
    /// that every user has a hash of.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce may be used.
    pub nonce_life: Duration,
    /// Wrong passwords that a source may send in a minute; 0 for any number.
    pub wrong_per_minute: u32,
}

/// What has to be remembered of one realm while its configuration changes: nonce counts in use, and wrong passwords.
#[derive(Debug)]
pub struct Memory {
    key: NonceKey,
    taken: Taken,
    replays: Replays,
    guesses: Guesses,
}

/// Whose nonces are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// Our own, from whom they were given to, until they expire, and each count of them once.
    #[default]
    Ours,
    /// Any, as often as they come: what another server has challenged can be judged then, though nothing is proved by it but the password.
    /// It is for running again what has been recorded, never for requests of a network.
    Anybodys,
}

impl Memory {
    /// An empty one. Nonces are made with this key.
    pub fn new(key: NonceKey) -> Self {
        Self::taking(Taken::Ours, key)
    }

    /// An empty one that takes these nonces.
    pub fn taking(taken: Taken, key: NonceKey) -> Self {
        Self { key, taken, replays: Replays::new(), guesses: Guesses::new(key) }
    }
}

/// A request to judge.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Message,
    /// Where it has come from.
    pub source: SocketAddr,
    /// As whom we ask.
    pub role: Role,
    /// The time.
    pub now: Timestamp,
    /// Something random, for a nonce.
    pub random: u64,
}

/// What a request is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A user's.
    Genuine {
        /// The name of the user.
        user: String,
        /// They take out the credentials for our realm in either role, and leave others.
        edits: Vec<Edit>,
    },
    /// Not to be taken, or not yet.
    Refused {
        /// Why.
        why: Refusal,
        /// The answer.
        reply: Reply,
    },
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It holds no credentials for our realm that we can judge: a challenge.
    Unasked,
    /// The nonce has expired, is not ours or was given to another source: a challenge that says so. The password was not looked at.
    Stale,
    /// Genuine credentials that have been used before: a challenge as for a nonce that has expired.
    Replayed,
    /// The user is not known or the password is wrong: a challenge.
    Wrong,
    /// Genuine credentials that are for another Request-URI: 400 (RFC 7616 3.4.6).
    OtherUri,
    /// Too many wrong passwords from there; these credentials were not looked at: 503 with Retry-After.
    Slowed,
}

/// Judges requests for one realm.
#[derive(Clone, Debug)]
pub struct Authenticator {
    settings: Settings,
    /// The algorithms to offer, the strongest first.
    offered: Vec<Algorithm>,
    users: Users,
}

impl Authenticator {
    /// One for these users. None if there is no algorithm to offer: `settings` name none and not all users have a hash of any one function.
    pub fn new(settings: Settings, users: Users) -> Option<Self> {
        let mut offered = settings.algorithms.clone();
        if offered.is_empty() {
            let password = |hash| Algorithm { hash, scope: crate::Scope::Password };
            offered = users.common_hashes().into_iter().map(password).collect();
        }
        offered.sort_unstable_by(|a, b| b.cmp(a));
        offered.dedup();
        (!offered.is_empty()).then_some(Self { settings, offered, users })
    }

    /// The algorithms that it offers, the strongest first.
    pub fn offered(&self) -> &[Algorithm] {
        &self.offered
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Judges a request.
    ///
    /// Wrong passwords are looked up before the work and counted after it, without a lock between: so many more may pass the limit as
    /// threads judge requests of one source at the same time. The limit is on guesses in a minute, to which a handful adds nothing.
    pub fn judge(&self, memory: &Memory, asked: Asked<'_>) -> Outcome {
        let values = values(asked.request, asked.role.credentials());
        let items: Vec<_> = values.iter().flat_map(|value| items(value)).collect();
        let mut read = items.iter().filter_map(|item| Credentials::read(item, &self.settings.realm));
        // RFC 8760 2.4 wants one answer; of several the first counts whose algorithm we have offered, so that each request is one guess.
        match read.find(|credentials| self.offered.contains(&credentials.algorithm)) {
            None => self.refuse(memory, asked, Refusal::Unasked),
            Some(credentials) => match self.weigh(memory, asked, &credentials) {
                Ok(user) => Outcome::Genuine { user: user.to_owned(), edits: self.cleaning(asked.request) },
                Err(Unfit::Because(why)) => self.refuse(memory, asked, why),
                Err(Unfit::UntilLater(wait)) => slowed(wait),
            },
        }
    }

    fn weigh<'c>(&self, memory: &Memory, asked: Asked<'_>, credentials: &'c Credentials<'_>) -> Result<&'c str, Unfit> {
        let Settings { wrong_per_minute, nonce_life, .. } = self.settings;
        let limited = wrong_per_minute > 0;
        let guest = Guest { source: asked.source, user: &credentials.username };
        if let Some(wait) = limited.then(|| memory.guesses.wait(guest, asked.now, wrong_per_minute)).flatten() {
            return Err(Unfit::UntilLater(wait));
        }
        let nonce = match memory.taken {
            Taken::Ours => Some(self.fresh(memory, asked, credentials.nonce).ok_or(Unfit::Because(Refusal::Stale))?),
            Taken::Anybodys => None,
        };
        let Some(user) = self.proved(asked.request, credentials) else {
            if limited {
                memory.guesses.wrong(guest, asked.now, wrong_per_minute);
            }
            return Err(Unfit::Because(Refusal::Wrong));
        };
        if !fits(credentials.uri, asked.request.request_uri()) {
            return Err(Unfit::Because(Refusal::OtherUri));
        }
        match nonce.map_or(Use::First, |nonce| memory.replays.note(nonce, credentials.count, asked.now, nonce_life)) {
            Use::First => {
                memory.guesses.genuine(guest, asked.now);
                Ok(user)
            }
            Use::Again => Err(Unfit::Because(Refusal::Replayed)),
            Use::Forgotten => Err(Unfit::Because(Refusal::Stale)),
        }
    }

    fn fresh(&self, memory: &Memory, asked: Asked<'_>, nonce: &[u8]) -> Option<Nonce> {
        let source = whereabouts(asked.source.ip()).to_be_bytes();
        let nonce = nonce::read(&memory.key, &self.domain(asked.role, &source), nonce)?;
        nonce.is_fresh(asked.now, self.settings.nonce_life).then_some(nonce)
    }

    /// The user whose password the credentials prove. For a user who is not known the same is computed, so that the time tells nothing.
    fn proved<'c>(&self, request: &Message, credentials: &'c Credentials<'_>) -> Option<&'c str> {
        let found = self.users.find(&credentials.username, credentials.algorithm.hash);
        let secret = found.as_deref().unwrap_or(NOBODY.get(..2 * credentials.algorithm.hash.octets()).unwrap_or(NOBODY));
        let expected = credentials.signed(request.method().as_bytes(), request.body()).response(secret);
        let is_right: bool = credentials.response.to_ascii_lowercase().ct_eq(expected.as_bytes()).into();
        str::from_utf8(&credentials.username).ok().filter(|_| found.is_some() && is_right)
    }

    /// The edits that take out credentials for us, of a request that is not judged as well (an ACK repeats those of its INVITE, RFC 3261
    /// 22.1): with them somebody further on could try passwords at leisure. In both header fields: phones repeat to the proxy what they
    /// have told the registrar of the same realm, and the other way round.
    pub fn cleaning(&self, request: &Message) -> Vec<Edit> {
        cleaning(request, |realm| realm == self.settings.realm.as_bytes())
    }

    fn refuse(&self, memory: &Memory, asked: Asked<'_>, why: Refusal) -> Outcome {
        let stale = match why {
            Refusal::Stale | Refusal::Replayed => Stale::Yes,
            Refusal::Unasked | Refusal::Wrong | Refusal::Slowed => Stale::No,
            Refusal::OtherUri => return Outcome::Refused { why, reply: Reply::with_reason(400, "Credentials For Another Request-URI") },
        };
        let source = whereabouts(asked.source.ip()).to_be_bytes();
        let nonce = nonce::make(&memory.key, &self.domain(asked.role, &source), asked.now, asked.random);
        let write = |algorithm: &Algorithm| challenge::write(&self.settings.realm, &nonce, *algorithm, stale);
        let header = asked.role.challenge_header();
        let reply = self.offered.iter().fold(asked.role.challenge(), |reply, algorithm| reply.header(header.clone(), write(algorithm)));
        Outcome::Refused { why, reply }
    }

    /// What a nonce is good for.
    fn domain<'d>(&'d self, role: Role, source: &'d [u8]) -> [&'d [u8]; 3] {
        [role.domain(), self.settings.realm.as_bytes(), source]
    }
}

/// The edits that take credentials for these realms out of a request, and leave others.
pub fn cleaning(request: &Message, is_ours: impl Fn(&[u8]) -> bool) -> Vec<Edit> {
    let mut edits = Vec::new();
    for header in [Name::Authorization, Name::ProxyAuthorization] {
        if request.has(&header) {
            let credited = without(values(request, header), &is_ours);
            if credited.found == Found::Yes {
                edits.extend(replaced(header, credited.others));
            }
        }
    }
    edits
}

/// Why credentials do not count.
enum Unfit {
    Because(Refusal),
    /// There have been too many wrong ones.
    UntilLater(Duration),
}

fn slowed(wait: Duration) -> Outcome {
    let seconds = wait.as_millis().div_ceil(1000);
    Outcome::Refused { why: Refusal::Slowed, reply: Reply::status(503).header("Retry-After", seconds.to_string()) }
}
