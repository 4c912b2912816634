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
//! A target that is refused is a leg too, which holds nothing, so that it is not taken for another one. Trying and up hold their places. An
//! attempt is forgotten when its INVITE has its final response and no leg of it is up.

use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::proxy::{BranchId, TrunkId};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) trunk: Option<TrunkId>,
    /// Only a tag that has limits.
    pub(super) tag: Option<Arc<str>>,
}

impl Purpose {
    fn fits<B>(&self, target: &TargetKey<'_, B>) -> bool {
        self.trunk == target.trunk && self.tag.as_deref().is_none_or(|tag| tag == target.tag)
    }
}

/// A target of an attempt, as the core names it. Where a name has several addresses, the branch that is heard of later is another one than
/// was asked for (RFC 3261 16.6 item 8), so that trunk and tag have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetKey<'a, B = BranchId> {
    /// Its branch.
    pub branch: B,
    /// The trunk that it belongs to.
    pub trunk: Option<TrunkId>,
    /// Its tag.
    pub tag: &'a str,
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
    Refused,
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

    pub(super) fn refused(&mut self, branch: B) {
        if self.has_room() {
            let refused = Leg { branch: Some(branch), purpose: Purpose::default(), places: Places::new(), phase: Phase::Refused };
            self.legs.push(refused);
        }
    }

    pub(super) fn target_failed(&mut self, target: &TargetKey<'_, B>, refund: Refund) {
        if let Some(leg) = self.leg(target).filter(|leg| leg.phase == Phase::Trying) {
            leg.spend(refund);
        }
    }

    /// The leg of a target: that of its branch; or, if none was asked for by that name, one for its purpose, which still holds its places
    /// rather than one that does not.
    fn leg(&mut self, target: &TargetKey<'_, B>) -> Option<&mut Leg<B>> {
        let by_branch = self.legs.iter().position(|leg| leg.branch == Some(target.branch));
        let fits = |leg: &Leg<B>| leg.phase != Phase::Refused && leg.purpose.fits(target) && leg.branch.is_some();
        let trying = || self.legs.iter().position(|leg| fits(leg) && leg.phase == Phase::Trying);
        let found = by_branch.or_else(trying).or_else(|| self.legs.iter().position(fits))?;
        self.legs.get_mut(found)
    }

    /// A 2xx has come. The other targets are out of the race, but one of them may send a 2xx all the same (RFC 3261 16.7 item 5).
    pub(super) fn answered(&mut self, now: Timestamp, target: &TargetKey<'_, B>, callee: u64, session: Option<u32>) {
        self.invite = Invite::Done;
        let phase = Phase::Up { callee, since: now, session: session_end(now, session) };
        let is_known = self.legs.iter().any(|leg| leg.phase.is_of(callee));
        if !is_known {
            match self.leg(target) {
                Some(winner) if winner.phase == Phase::Trying => winner.phase = phase,
                _ => self.answered_beside(target, phase),
            }
        }
        self.give_up(Refund::None);
    }

    /// One more dialog: of a target that was given up, or was forked again further down, or that nobody had to be asked for.
    fn answered_beside(&mut self, target: &TargetKey<'_, B>, phase: Phase) {
        let like = self.leg(target);
        let (purpose, places) = match like {
            Some(leg) => (leg.purpose.clone(), leg.places.iter().map(Place::another).collect()),
            None => (Purpose::default(), Places::new()),
        };
        if self.has_room() {
            self.legs.push(Leg { branch: Some(target.branch), purpose, places, phase });
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
            self.legs.push(Leg { branch: None, purpose: Purpose::default(), places: Places::new(), phase: Phase::Over { callee } });
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
            Self::Refused | Self::Trying | Self::Spent => false,
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
