//! A binding (RFC 3261 10): a contact that a provider has been given for an address-of-record, and how it goes with its refreshes.
//!
//! ```text
//!              2xx                    usual interval + grace            granted time
//!   (none) ----------> Registered ---------------------------> Overdue ----------------> Expired
//!     |                 |      ^                                 |                        |
//!     | refused         |      +---------------- 2xx ------------+------------------------+
//!     v                 | refused                                                         |
//!   Failed <------------+-----------------------------------------------------------------+
//! ```
//!
//! A binding is live until what was granted has passed: calls find it, even after its refresh has failed. One that is not live is kept for
//! a while to be shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::{ConnectionId, Transport};
use jackfield_proto::proxy::TrunkId;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, Outcome};
use super::unix_time::UnixTime;
use super::uri::{line, sip_uri, user};

/// Refreshes after which their usual interval is trusted: the first few come as the user agent starts, and tell little.
const REFRESHES_TRUSTED: u32 = 3;
/// The usual interval follows longer ones at once and shorter ones by this part of the difference, so that a few REGISTERs out of turn
/// do not make the next one look late.
const USUAL_FOLLOWS: u32 = 8;

/// How a registration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindingState {
    /// The last REGISTER has succeeded.
    #[default]
    Registered,
    /// The last REGISTER has failed.
    Failed,
    /// It should have been refreshed by now.
    Overdue,
    /// It has not been refreshed in time.
    Expired,
}

/// A flow as it is remembered: by the listener's name, which means the same after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFlow {
    /// The transport it came over.
    pub transport: Transport,
    /// The NAME of `[listen.NAME]`.
    pub listener: Arc<str>,
    /// The user agent's address and port.
    pub remote: SocketAddr,
    /// The connection, for streams; none after a restart.
    pub connection: Option<ConnectionId>,
}

/// The words of a binding in one allocation: address-of-record, contact, Call-ID.
#[derive(Clone)]
pub(super) struct Words {
    all: Box<str>,
    aor: u16,
    contact: u16,
    line: Part,
    contact_user: Part,
    aor_user: Part,
}

/// Where a part stands among the words; as long as nothing if there is none.
#[derive(Clone, Copy, Default)]
struct Part {
    start: u16,
    end: u16,
}

impl Words {
    /// None if the contact or the address-of-record is no SIP URI, or all together are too long.
    pub(super) fn new(aor: &str, contact: &str, call_id: &str) -> Option<Self> {
        let all: Box<str> = [aor, contact, call_id].concat().into_boxed_str();
        u16::try_from(all.len()).ok()?;
        let mut words = Self {
            aor: aor.len() as u16,
            contact: (aor.len() + contact.len()) as u16,
            line: Part::default(),
            contact_user: Part::default(),
            aor_user: Part::default(),
            all,
        };
        let (aor, contact) = (sip_uri(words.aor().as_bytes())?, sip_uri(words.contact().as_bytes())?);
        let part = |part: Option<&[u8]>| words.part_of(part.unwrap_or_default());
        (words.line, words.contact_user, words.aor_user) = (part(line(&contact)), part(user(&contact)), part(user(&aor)));
        Some(words)
    }

    fn part_of(&self, part: &[u8]) -> Part {
        let start = (part.as_ptr() as usize).wrapping_sub(self.all.as_ptr() as usize);
        match u16::try_from(start) {
            Ok(start) if !part.is_empty() => Part { start, end: start.saturating_add(part.len() as u16) },
            _ => Part::default(),
        }
    }

    fn text(&self, part: Part) -> Option<&str> {
        self.all.get(usize::from(part.start)..usize::from(part.end)).filter(|text| !text.is_empty())
    }

    pub(super) fn aor(&self) -> &str {
        self.text(Part { start: 0, end: self.aor }).unwrap_or_default()
    }

    pub(super) fn contact(&self) -> &str {
        self.text(Part { start: self.aor, end: self.contact }).unwrap_or_default()
    }

    pub(super) fn call_id(&self) -> &str {
        self.all.get(usize::from(self.contact)..).unwrap_or_default()
    }

    pub(super) fn line(&self) -> Option<&str> {
        self.text(self.line)
    }

    pub(super) fn contact_user(&self) -> Option<&str> {
        self.text(self.contact_user)
    }

    pub(super) fn aor_user(&self) -> Option<&str> {
        self.text(self.aor_user)
    }
}

/// One binding, or what is to be shown of one that failed or has ended.
#[derive(Clone)]
pub(super) struct Binding {
    pub(super) words: Words,
    pub(super) trunk: Arc<str>,
    pub(super) trunk_id: TrunkId,
    pub(super) flow: NamedFlow,
    /// Who answered; none where nobody did yet.
    pub(super) registrar: Option<SocketAddr>,
    pub(super) claims_path: bool,
    pub(super) state: BindingState,
    /// When the granted time ends; zero if nothing was granted yet.
    pub(super) expires: UnixTime,
    /// When it was last granted.
    pub(super) refreshed: UnixTime,
    /// When it was granted first.
    pub(super) since: UnixTime,
    /// How often it has been refreshed since.
    pub(super) refreshes: u32,
    /// Usually from one refresh to the next, in milliseconds; 0 if not known.
    pub(super) usual: u64,
    pub(super) outcome: Outcome,
    pub(super) outcome_at: UnixTime,
    /// How many REGISTERs have failed in a row.
    pub(super) failures: u32,
}

impl Binding {
    /// Whether calls find it.
    pub(super) fn is_live(&self, now: UnixTime) -> bool {
        now < self.expires
    }

    /// A 2xx has granted it for so many seconds.
    pub(super) fn granted(&mut self, now: UnixTime, seconds: u32, status: u16) {
        if self.is_live(now) {
            let interval = u64::try_from(now.since(self.refreshed).as_millis()).unwrap_or(u64::MAX);
            self.usual = match self.usual.checked_sub(interval) {
                Some(less) => self.usual - less / u64::from(USUAL_FOLLOWS),
                None => interval,
            };
            self.refreshes = self.refreshes.saturating_add(1);
        } else {
            (self.since, self.refreshes, self.usual) = (now, 0, 0);
        }
        self.state = BindingState::Registered;
        self.refreshed = now;
        self.expires = now + Duration::from_secs(seconds.max(1).into());
        self.failures = 0;
        self.note(now, Outcome::Status(status));
    }

    /// A REGISTER has failed for good.
    pub(super) fn failed(&mut self, now: UnixTime, outcome: Outcome) {
        self.state = BindingState::Failed;
        self.failures = self.failures.saturating_add(1);
        self.note(now, outcome);
    }

    fn note(&mut self, now: UnixTime, outcome: Outcome) {
        (self.outcome, self.outcome_at) = (outcome, now);
    }

    /// When something is to be said of a live one if nothing comes. A refresh that fails is no refresh that is missing.
    pub(super) fn deadline(&self, grace: Duration) -> UnixTime {
        match self.state {
            BindingState::Registered if self.refreshes >= REFRESHES_TRUSTED => {
                (self.refreshed + Duration::from_millis(self.usual) + grace).min(self.expires)
            }
            BindingState::Registered | BindingState::Failed | BindingState::Overdue | BindingState::Expired => self.expires,
        }
    }

    /// Its deadline has come.
    pub(super) fn late(&mut self, now: UnixTime) -> EventKind {
        if self.is_live(now) {
            self.state = BindingState::Overdue;
            EventKind::Overdue
        } else {
            self.state = BindingState::Expired;
            EventKind::Expired
        }
    }

    pub(super) fn event(&self, now: UnixTime, kind: EventKind) -> Event {
        Event {
            kind,
            trunk: Arc::clone(&self.trunk),
            aor: self.words.aor().into(),
            contact: self.words.contact().into(),
            line: self.words.line().map(Box::from),
            expires_in: match kind {
                EventKind::Expired | EventKind::Removed => 0,
                EventKind::Registered | EventKind::Refreshed | EventKind::Changed | EventKind::Failed | EventKind::Overdue => {
                    self.expires.seconds_since(now)
                }
            },
            outcome: self.outcome,
            failures: self.failures,
            flow: self.flow.clone(),
        }
    }
}
