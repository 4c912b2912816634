//! A candidate that serves a share of the calls.
//!
//! ```text
//! begun --promote-after calls in a row without a failure, or the operator's word--> promoted
//!   | failures as on probation, or the operator's word
//!   v
//! discarded, the file is barred
//! ```

use std::hash::Hasher;
use std::time::Instant;

use siphasher::sip::SipHasher13;

use super::probation::too_much;
use super::vitals::{ByHook, Figures};
use crate::settings::{self, Share};
use jackfield_metrics::Hook;

/// Whether a call belongs to the share: by SipHash-1-3 of its Call-ID with the key 0, so that all requests of a call, in all routers and
/// after every restart, and of all plugins, go the same way.
pub(crate) fn takes(share: Share, call_id: &[u8]) -> bool {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(call_id);
    share.has(hasher.finish())
}

/// What is to become of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Open,
    /// It has done well for long enough.
    Promoted,
    /// It has failed too often, at this hook.
    Failed(Hook, Figures),
}

/// What a canary has done lately: between one and two times the time of a probation. Over its whole life a fault that comes late would
/// hide behind all the calls that went well before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// The figures when the window before began, and when this one did.
    former: ByHook,
    present: ByHook,
    begun: Option<Instant>,
}

impl Window {
    /// The figures of the window, by those of the whole life. To be called more often than once in the time.
    pub(crate) fn lately(&mut self, now: Instant, probation: Option<settings::Probation>, figures: ByHook) -> ByHook {
        let time = probation.unwrap_or_default().time;
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= time) {
            (self.former, self.present, self.begun) = (self.present, figures, Some(now));
        }
        figures.since(self.former)
    }
}

/// Judges by the figures of its whole life, where it may have few calls, and by those of lately, where it has many; `in_a_row` calls are since its last
/// failure. Where there is no probation, the
/// defaults of one are the measure: a canary is there to be judged.
pub(crate) fn judge(probation: Option<settings::Probation>, promote_after: Option<u64>, figures: [ByHook; 2], in_a_row: u64) -> Verdict {
    let measure = probation.unwrap_or_default();
    if let Some((hook, figures)) = figures.into_iter().find_map(|figures| too_much(&measure, figures)) {
        return Verdict::Failed(hook, figures);
    }
    if promote_after.is_some_and(|after| in_a_row >= after) { Verdict::Promoted } else { Verdict::Open }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_calls_is_that_of_the_configuration_and_stays_the_same() {
        for (percent, expected) in [(0, 0..=0), (5, 400..=600), (50, 4_800..=5_200), (100, 10_000..=10_000)] {
            let taken = |share| (0..10_000).filter(move |n| takes(share, format!("{n}@example.test").as_bytes()));
            let share = Share::percent(percent);
            assert!(expected.contains(&taken(share).count()), "{percent}: {}", taken(share).count());
        }
        // Another release has to choose the same calls.
        let few: Vec<_> = (0..100).filter(|n| takes(Share::percent(5), format!("call-{n}").as_bytes())).collect();
        assert_eq!(few, STABLE);
    }

    const STABLE: [i32; 3] = [24, 54, 95];

    #[test]
    fn a_greater_share_has_the_calls_of_a_smaller_one() {
        for n in 0..1_000 {
            let id = format!("{n}");
            assert!(!takes(Share::percent(5), id.as_bytes()) || takes(Share::percent(20), id.as_bytes()));
        }
    }

    #[test]
    fn it_is_judged_as_on_probation_and_promoted_after_calls_without_a_failure() {
        let figures = |calls, failures| [ByHook::of(Hook::Response, calls, failures); 2];
        let failed = |calls, failures| Verdict::Failed(Hook::Response, Figures { calls, failures });
        assert_eq!(judge(None, Some(100), figures(99, 0), 99), Verdict::Open);
        assert_eq!(judge(None, Some(100), figures(100, 0), 100), Verdict::Promoted);
        assert_eq!(judge(None, Some(100), figures(150, 1), 50), Verdict::Open);
        assert_eq!(judge(None, None, figures(1_000_000, 0), 1_000_000), Verdict::Open);
        assert_eq!(judge(None, Some(100), figures(500, 5), 400), failed(500, 5));
        let strict = settings::Probation { failures: 1, share: Share::percent(0), ..settings::Probation::default() };
        assert_eq!(judge(Some(strict), Some(1), figures(100_000, 1), 9), failed(100_000, 1));
    }

    #[test]
    fn a_fault_that_comes_late_does_not_hide_behind_what_went_well() {
        let time = settings::Probation::default().time;
        let figures = |calls, failures| ByHook::of(Hook::Request, calls, failures);
        let (mut window, start) = (Window::default(), Instant::now());
        let mut judged = |after, life| {
            let lately = window.lately(start + after, None, life);
            judge(None, None, [life, lately], 0)
        };
        assert_eq!(judged(std::time::Duration::ZERO, figures(0, 0)), Verdict::Open);
        assert_eq!(judged(time, figures(500_000, 0)), Verdict::Open);
        assert_eq!(judged(time * 2, figures(1_000_000, 0)), Verdict::Open);
        assert_eq!(judged(time * 3, figures(1_000_100, 4)), Verdict::Open);
        let failed = Verdict::Failed(Hook::Request, Figures { calls: 200, failures: 10 });
        assert_eq!(judged(time * 3 + time / 2, figures(1_000_200, 10)), failed);
    }
}
