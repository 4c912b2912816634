//! How the versions of a plugin stand, as the keeper writes it down; figures are read when somebody asks.

use std::sync::Arc;
use std::time::Instant;

use super::events::Events;
use super::probation::Probation;
use super::report::{BarredReport, CandidateReport, ChangeReport, ProbationReport};
use super::shadow::Tally;
use crate::settings::Share;
use crate::state::Identity;

/// How the versions of a plugin stand.
#[derive(Default)]
pub(crate) struct Standing {
    pub(crate) previous: Option<String>,
    pub(crate) probation: Option<Probation>,
    pub(crate) candidate: Option<CandidateStanding>,
    pub(crate) barred: Option<BarredReport>,
    pub(crate) events: Arc<Events>,
    /// Whether there is a breaker at all.
    pub(crate) breaker: Option<crate::settings::Breaker>,
}

/// How a candidate stands.
pub(crate) struct CandidateStanding {
    pub(crate) identity: Arc<Identity>,
    pub(crate) kind: CandidateKind,
    pub(crate) promote_after: Option<u64>,
}

/// What a candidate does.
pub(crate) enum CandidateKind {
    Shadow(Arc<Tally>),
    Canary(Share),
}

impl Standing {
    /// With the figures of now. `identity` is that of the version that serves.
    pub(crate) fn report(&self, identity: &Identity) -> ChangeReport {
        let figures = identity.vitals.figures().total();
        let probation = self.probation.as_ref().map(|probation| ProbationReport {
            seconds_left: probation.left(Instant::now()).as_secs(),
            before: self.previous.clone().unwrap_or_default(),
        });
        ChangeReport {
            calls: figures.calls,
            failures: figures.failures,
            previous: self.previous.clone(),
            probation,
            candidate: self.candidate.as_ref().map(CandidateStanding::report),
            barred: self.barred.clone(),
            breaker: if self.breaker.is_some() { identity.vitals.breaker_word() } else { "off" }.to_owned(),
            events: self.events.all(),
        }
    }
}

impl CandidateStanding {
    fn report(&self) -> CandidateReport {
        let figures = self.identity.vitals.figures().total();
        let report = CandidateReport {
            version: self.identity.version.to_string(),
            calls: figures.calls,
            failures: figures.failures,
            promote_after: self.promote_after,
            ..CandidateReport::default()
        };
        match &self.kind {
            CandidateKind::Shadow(tally) => {
                let counts = tally.counts();
                CandidateReport {
                    mode: "shadow".to_owned(),
                    equal: counts.equal,
                    different: counts.different,
                    failures: counts.failed,
                    not_compared: counts.not_compared,
                    in_a_row: counts.in_a_row,
                    ..report
                }
            }
            CandidateKind::Canary(share) => CandidateReport {
                mode: "canary".to_owned(),
                share: Some(share.to_string()),
                in_a_row: self.identity.vitals.in_a_row(),
                ..report
            },
        }
    }
}
