//! Safety of change: what a new version has to prove, and what becomes of one that fails.
//!
//! ```text
//! changed file --at-once--> serves on probation --passed--> serves, watched by the breaker
//!      |                          | failed: the version before serves again, the file is barred
//!      +--shadow, canary--> candidate --promoted--> serves on probation
//!                               | a failing canary, or the operator's word: discarded, the file is barred
//! ```

pub(super) mod aside;
pub(super) mod breaker;
pub(super) mod canary;
pub(super) mod events;
pub(super) mod probation;
pub mod report;
pub(super) mod shadow;
pub(super) mod shown;
pub(super) mod standing;
pub(super) mod vitals;
