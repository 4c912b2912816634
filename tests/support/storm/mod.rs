//! Calls that end at every stage and in every way: a caller and a callee that follow the same script, which is drawn for each call by its
//! number. What one of them does not do, the other does not wait for.

mod callee;
mod caller;
mod clock;

use std::time::Duration;

pub(crate) use callee::Callee;
pub(crate) use caller::{Caller, Destination};

use super::load::Media;

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) callee: Answer,
    pub(crate) caller: Patience,
    pub(crate) end: End,
    /// From INVITE to the final answer.
    pub(crate) ring: Duration,
    /// From ACK to the end; from INVITE to CANCEL where that is sent at some time.
    pub(crate) later: Duration,
}

/// What the callee says to the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 180 and 200.
    Rings,
    /// 200 and nothing before.
    AtOnce,
    /// 200 of two callees, a dialog each (RFC 3261 13.2.2.4).
    Twice,
    /// 180, then 200 even if it was cancelled.
    InSpiteOfCancel,
    /// 180 and no final answer, until it is cancelled.
    NeverUnlessCancelled,
    /// 180 and no final answer, whatever comes.
    Never,
    /// 100 and nothing more.
    Trying,
    /// Nothing at all.
    Silence,
    /// 180 and this.
    Refuses(u16),
}

/// How long the caller stays with its INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// To the end.
    Stays,
    /// It is gone once the INVITE is sent.
    GoneAtOnce,
    /// It is gone when it rings.
    GoneAtRinging,
    /// It is gone when it is answered, and sends no ACK.
    GoneAtAnswer,
    /// It cancels before anything has come.
    CancelsAtOnce,
    /// It cancels at 100.
    CancelsAtTrying,
    /// It cancels at 180.
    CancelsAtRinging,
    /// It cancels at some time, perhaps when it has been answered.
    CancelsLater,
}

/// How an answered call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    CallerSendsBye,
    CalleeSendsBye,
    BothSendBye,
    CallerSendsByeTwice,
    /// The caller sends BYE, and nobody is there.
    CalleeIsGone,
    /// The callee sends BYE, and nobody is there.
    CallerIsGone,
    /// The callee knows nothing of the call when it gets a re-INVITE (481).
    CalleeForgets,
    /// The session timer ends it (RFC 4028).
    BothAreGone,
}

/// Whether there are calls that only their session timer ends, half a minute later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ghosts {
    Some,
    None,
}

/// Draws scripts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scripts {
    pub(crate) seed: u64,
    pub(crate) ghosts: Ghosts,
    pub(crate) media: Media,
}

const REFUSALS: [u16; 8] = [302, 404, 480, 486, 500, 503, 600, 603];

impl Scripts {
    /// Whether the INVITE of the call with this number offers media, where there is any; else the 2xx does (RFC 3261 13.2.1).
    fn offers(self, number: u64) -> bool {
        !number.is_multiple_of(5)
    }

    /// The script of the call with this number.
    pub(crate) fn of(self, number: u64) -> Script {
        let mut draw = Draw(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let callee = match draw.below(100) {
            0..45 => Answer::Rings,
            45..55 => Answer::AtOnce,
            55..59 => Answer::Twice,
            59..63 => Answer::InSpiteOfCancel,
            63..69 => Answer::NeverUnlessCancelled,
            69..71 => Answer::Never,
            71..73 => Answer::Trying,
            73..75 => Answer::Silence,
            _ => Answer::Refuses(REFUSALS[draw.below(8)]),
        };
        let caller = match draw.below(100) {
            0..4 => Patience::GoneAtOnce,
            4..8 => Patience::GoneAtRinging,
            8..12 => Patience::GoneAtAnswer,
            12..17 => Patience::CancelsAtOnce,
            17..22 => Patience::CancelsAtTrying,
            22..27 => Patience::CancelsAtRinging,
            27..37 => Patience::CancelsLater,
            _ => Patience::Stays,
        };
        let end = match (draw.below(100), self.ghosts) {
            (0..30, _) => End::CallerSendsBye,
            (30..60, _) => End::CalleeSendsBye,
            (60..70, _) => End::BothSendBye,
            (70..80, _) => End::CallerSendsByeTwice,
            (80..84, _) => End::CalleeIsGone,
            (84..88, _) => End::CallerIsGone,
            (88..95, _) | (_, Ghosts::None) => End::CalleeForgets,
            (_, Ghosts::Some) => End::BothAreGone,
        };
        Script { callee, caller, end, ring: draw.millis(5, 300), later: draw.millis(1, 350) }
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).expect("a small number")
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least))
    }
}

/// The user part of the URI that a call with a number goes to.
pub(crate) fn user(number: u64) -> String {
    format!("storm-{number}")
}

/// The number in a Request-URI; none for a call that belongs to no storm.
fn number(uri: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(uri).ok()?;
    text.strip_prefix("sip:storm-")?.split('@').next()?.parse().ok()
}
