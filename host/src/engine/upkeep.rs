//! What has to be looked after once a second, whatever comes: registrations that are due, calls that nobody ends, and what was noted for
//! somebody who does not listen any more.

use std::sync::Arc;
use std::time::Duration;

use jackfield_trunk::admission::Expired;
use tokio::time::{MissedTickBehavior, interval};

use super::decider::Decider;
use super::worker::Worker;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Looks after it, for ever. One worker does it for all.
pub(super) async fn drive<D: Decider>(worker: Arc<Worker<D>>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        look(&worker);
    }
}

/// Looks after it once.
pub(super) fn look<D: Decider>(worker: &Arc<Worker<D>>) {
    let shared = &worker.shared;
    worker.guard("upkeep", |_| {
        if !worker.is_heard() {
            shared.narration.forget();
        }
        worker.tell(&shared.trunks.registrations.due(shared.clock.unix()));
        let expired = shared.trunks.admission.due(shared.clock.now());
        if expired != Expired::default() {
            let Expired { session_timer, longest_call } = expired;
            tracing::info!(session_timer, longest_call, "calls that nobody has ended are counted no longer");
        }
    });
}
