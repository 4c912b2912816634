//! What the control socket shows of media relays.

use jackfield_relay::{Health, Pool, Status};

use crate::admin::{MediaStatus, RelayState, RelayStatus};

/// How the relays are.
pub(super) fn status(pool: &Pool) -> MediaStatus {
    let counts = pool.counts();
    MediaStatus {
        relays: pool.snapshot().iter().map(relay).collect(),
        deleted: counts.deleted,
        undeleted: counts.undeleted,
        busy: counts.busy,
        late: counts.late,
        malformed: counts.malformed,
        foreign: counts.foreign,
    }
}

fn relay(status: &Status) -> RelayStatus {
    RelayStatus {
        name: status.name.to_string(),
        address: status.address.to_string(),
        weight: status.weight,
        state: match status.health {
            Health::Up => RelayState::Up,
            Health::Down => RelayState::Down,
        },
        since_seconds: status.since.elapsed().as_secs(),
        asked: status.asked,
        failed: status.failed,
        timed_out: status.timed_out,
    }
}
