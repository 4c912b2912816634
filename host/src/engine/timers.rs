//! The timers of a worker's own shard.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::decider::Decider;
use super::worker::Worker;
use crate::plugin::trace::Trigger;

/// How long a worker sleeps that has no deadline: any time would do, since a new deadline nudges it.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// The pause after timers that panicked.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// Handles timers when they are due, for ever.
pub(super) async fn drive<D: Decider>(worker: Arc<Worker<D>>) {
    let shared = worker.shared.clone();
    let Some(shard) = shared.shards.get(worker.index) else { return };
    let alarm = sleep_until(Instant::now());
    tokio::pin!(alarm);
    loop {
        // Holds if the timers panic: the next attempt must not wait for a nudge.
        let mut next = Some(shared.clock.now() + AFTER_PANIC);
        worker.guard("timers", |work| {
            work.trigger = Trigger::Timer;
            next = shard.handle_timeout(shared.clock.now(), &mut work.outputs);
            worker.carry_out(shard, work);
        });
        let until = next.and_then(|next| shared.clock.instant(next)).unwrap_or_else(|| Instant::now() + NO_DEADLINE);
        alarm.as_mut().reset(until);
        tokio::select! {
            () = &mut alarm => {}
            () = shard.nudged() => {}
        }
    }
}
