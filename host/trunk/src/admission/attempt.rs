//! One passage of an INVITE through the proxy, and what becomes of it.
//!
//! ```text
//!   leg:    admitted            target failed          a late 2xx
//!          ---------> trying ------------------> spent -----------+
//!                        |                                        |
//!                        | 2xx          BYE, 481, 408, timer      |
//!                        +------> up ------------------> over     |
//!                                 ^                               |
//!                                 +-------------------------------+
//! ```
//!
//! Trying and up hold their places. An attempt is forgotten when its INVITE has its final response and no leg of it is up.

use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::proxy::TrunkId;
use jackfield_proto::time::Timestamp;
use smallvec::SmallVec;

use super::tally::{Charge, Place};

/// Legs of one attempt; a further one counts as one that the table has no room for.
pub(super) const LEGS: usize = 64;

/// What a session may last beyond its interval: who does not refresh sends its BYE up to 32 s before the end (RFC 4028 10), and that may be
/// retransmitted for timer F.
const GRACE: Duration = Duration::from_secs(32);

/// Both ends of a dialog, as far as a message can name them. Which of them has called shows when it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Of Call-ID and the tag in From.
    pub(super) from: u64,
    /// Of Call-ID and the tag in To.
    pub(super) to: u64,
}

impl Dialog {
    /// The key of the call and the callee's end, if the request comes from the caller; the same, if it comes from the callee.
    pub(super) fn ways(self) -> [(u64, u64); 2] {
        [(self.from, self.to), (self.to, self.from)]
    }
}

/// What has been said of an attempt's INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invite {
    /// It waits for its final response.
    Open,
    /// It has it, or ended without.
    Done,
}

/// One INVITE that has come here.
#[derive(Debug)]
pub(super) struct Attempt<B> {
    /// Tells it from others of the same call: one that was challenged and sent again, or comes by here twice (RFC 3261 16.6: a spiral).
    pub(super) serial: u64,
    began: Timestamp,
    source: Option<Place>,
    invite: Invite,
    legs: SmallVec<[Leg<B>; 1]>,
}

/// What a leg is counted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) trunk: Option<TrunkId>,
    /// Only a tag that has limits.
    pub(super) tag: Option<Arc<str>>,
}

/// The places that a leg holds: its trunk's and its tag's.
pub(super) type Places = SmallVec<[Place; 2]>;

#[derive(Debug)]
struct Leg<B> {
    branch: Option<B>,
    purpose: Purpose,
    places: Places,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Trying,
    Spent,
    Up { callee: u64, since: Timestamp, session: Option<Timestamp> },
    Over { callee: u64 },
}

impl<B: Copy + PartialEq> Attempt<B> {
    pub(super) fn new(serial: u64, began: Timestamp, source: Option<Place>) -> Self {
        Self { serial, began, source, invite: Invite::Open, legs: SmallVec::new() }
    }

    /// What another leg for this purpose costs: a call pays each trunk once, however many ways it tries.
    pub(super) fn charge(&self, purpose: &Purpose) -> Charge {
        let paid = self.legs.iter().any(|leg| leg.phase == Phase::Spent && leg.purpose == *purpose);
        if paid { Charge::Place } else { Charge::Call }
    }

    pub(super) fn has_room(&self) -> bool {
        self.legs.len() < LEGS
    }

    pub(super) fn admitted(&mut self, branch: B, purpose: Purpose, places: Places) {
        self.legs.push(Leg { branch: Some(branch), purpose, places, phase: Phase::Trying });
    }

    pub(super) fn target_failed(&mut self, branch: B, refund: Refund) {
        let trying = self.legs.iter_mut().filter(|leg| leg.branch == Some(branch) && leg.phase == Phase::Trying);
        trying.for_each(|leg| leg.spend(refund));
    }

    /// A 2xx has come. The other targets are out of the race, but one of them may send a 2xx all the same (RFC 3261 16.7 item 5).
    pub(super) fn answered(&mut self, now: Timestamp, branch: B, callee: u64, session: Option<u32>) {
        self.invite = Invite::Done;
        let phase = Phase::Up { callee, since: now, session: session_end(now, session) };
        let is_known = self.legs.iter().any(|leg| leg.phase.is_of(callee));
        let of_branch = |leg: &&mut Leg<B>| leg.branch == Some(branch);
        if !is_known {
            match self.legs.iter_mut().filter(of_branch).find(|leg| leg.phase == Phase::Trying) {
                Some(winner) => winner.phase = phase,
                None => self.answered_beside(branch, phase),
            }
        }
        self.give_up(Refund::None);
    }

    /// One more dialog: of a branch that was given up, or was forked again further down, or that nobody had to be asked for.
    fn answered_beside(&mut self, branch: B, phase: Phase) {
        let like = self.legs.iter().find(|leg| leg.branch == Some(branch));
        let purpose = like.map_or(Purpose { trunk: None, tag: None }, |leg| leg.purpose.clone());
        let places = like.map(|leg| leg.places.iter().map(Place::another).collect()).unwrap_or_default();
        if self.has_room() {
            self.legs.push(Leg { branch: Some(branch), purpose, places, phase });
        }
    }

    /// A final response other than 2xx, or the end without one.
    pub(super) fn over(&mut self, refund: Refund) {
        self.invite = Invite::Done;
        self.give_up(refund);
        if let (Refund::Token, Some(source)) = (refund, &mut self.source) {
            source.refund();
        }
    }

    fn give_up(&mut self, refund: Refund) {
        self.legs.iter_mut().filter(|leg| leg.phase == Phase::Trying).for_each(|leg| leg.spend(refund));
    }

    /// A dialog has ended. If it is not up yet, its 2xx is late: BYE is allowed in an early dialog (RFC 3261 15), and may overtake.
    pub(super) fn ended(&mut self, callee: u64) {
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.phase.is_of(callee)) {
            leg.end(callee);
        } else if self.has_room() {
            let purpose = Purpose { trunk: None, tag: None };
            self.legs.push(Leg { branch: None, purpose, places: Places::new(), phase: Phase::Over { callee } });
        }
    }

    /// The session was refreshed: with an interval it ends at its end, without one it has none (RFC 4028 7.2).
    pub(super) fn refreshed(&mut self, now: Timestamp, of: u64, interval: Option<u32>) {
        for leg in &mut self.legs {
            if let Phase::Up { callee, session, .. } = &mut leg.phase
                && *callee == of
            {
                *session = session_end(now, interval);
            }
        }
    }

    /// Ends what has run out. How many dialogs that were.
    pub(super) fn expire(&mut self, now: Timestamp, longest: Duration) -> Expired {
        let mut expired = Expired::default();
        for leg in &mut self.legs {
            if let Phase::Up { callee, since, session } = leg.phase {
                let too_long = now >= since + longest;
                if too_long || session.is_some_and(|end| now >= end) {
                    if too_long {
                        expired.longest_call += 1
                    } else {
                        expired.session_timer += 1
                    }
                    leg.end(callee);
                }
            }
        }
        // Timer C ends every INVITE; this is only in case that nobody has said so.
        if self.invite == Invite::Open && now >= self.began + longest {
            expired.longest_call += 1;
            self.over(Refund::None);
        }
        expired
    }

    /// Whether nothing of it is left to be counted.
    pub(super) fn is_past(&self) -> bool {
        self.invite == Invite::Done && !self.legs.iter().any(|leg| matches!(leg.phase, Phase::Up { .. }))
    }
}

impl<B> Leg<B> {
    fn spend(&mut self, refund: Refund) {
        self.phase = Phase::Spent;
        for place in &mut self.places {
            place.give_back();
            if refund == Refund::Token {
                place.refund();
            }
        }
    }

    fn end(&mut self, callee: u64) {
        self.phase = Phase::Over { callee };
        self.places.iter_mut().for_each(Place::give_back);
    }
}

impl Phase {
    fn is_of(self, of: u64) -> bool {
        match self {
            Self::Trying | Self::Spent => false,
            Self::Up { callee, .. } | Self::Over { callee } => callee == of,
        }
    }
}

fn session_end(now: Timestamp, interval: Option<u32>) -> Option<Timestamp> {
    Some(now + Duration::from_secs(interval?.into()) + GRACE)
}

/// Whether a failure gives back the token too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refund {
    /// It was a call.
    None,
    /// It was challenged: it comes again, and is one call.
    Token,
}

impl Refund {
    pub(super) fn after(status: Option<u16>) -> Self {
        match status {
            Some(401 | 407) => Self::Token,
            Some(_) | None => Self::None,
        }
    }
}

/// Calls that nobody has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Whose session timer has run out (RFC 4028).
    pub session_timer: usize,
    /// That are older than a call may be.
    pub longest_call: usize,
}

impl std::ops::AddAssign for Expired {
    fn add_assign(&mut self, other: Self) {
        self.session_timer += other.session_timer;
        self.longest_call += other.longest_call;
    }
}
