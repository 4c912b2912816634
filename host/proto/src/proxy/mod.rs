//! The proxy of RFC 3261 16.

mod plan;
mod settings;

pub use plan::{Edit, Group, Mode, Plan, RecordRoute, Reply, StatusSet, Target};
pub use settings::{Limits, Settings, Timers};
