//! Timers of the plugin: when one runs out, [`Plugin::on_timer`](crate::Plugin::on_timer) is called in one instance.
//!
//! They belong to the plugin and not to an instance, are kept over a reload and end with the process. Where a new version or instance starts
//! one that runs already with the same period, it goes on as it is.
//! A plugin has 1,000 at most, and
//! none is shorter than 10 ms. Granted with `grant = { timers = true }`.
//!
//! ```
//! use jackfield::prelude::*;
//! use jackfield::{testing, timers};
//!
//! #[derive(Deserialize)]
//! struct Report {
//!     seconds: u64,
//! }
//!
//! #[jackfield::plugin]
//! impl Plugin for Report {
//!     // Once for each version; `new` runs for each instance.
//!     fn start(&self) -> Result<()> {
//!         Ok(timers::every("report", Duration::from_secs(self.seconds))?)
//!     }
//!
//!     fn on_timer(&self, id: &str) {
//!         jackfield::info!("{id} at {}", clock::unix_ms());
//!     }
//! }
//!
//! testing::set_unix_ms(0);
//! let plugin = Report::from_toml("seconds = 60").unwrap();
//! plugin.start().unwrap();
//! testing::run_timers(&plugin, Duration::from_secs(150));
//! let lines: Vec<String> = testing::take_log().into_iter().map(|(_, line)| line).collect();
//! assert_eq!(lines, ["report at 60000", "report at 120000"]);
//! ```

use std::time::Duration;

use crate::ServiceError;
use crate::backend::asking as backend;
use crate::kv::milliseconds;

/// Starts a timer that runs out once, or starts it anew.
pub fn after(id: &str, time: Duration) -> Result<(), ServiceError> {
    told(id, backend::start_timer(id, milliseconds(time), None))
}

/// Starts a timer that runs out again and again, or starts it anew.
pub fn every(id: &str, period: Duration) -> Result<(), ServiceError> {
    told(id, backend::start_timer(id, milliseconds(period), Some(milliseconds(period))))
}

/// Starts a timer that first runs out after another time than later, or starts it anew.
pub fn after_then_every(id: &str, first: Duration, period: Duration) -> Result<(), ServiceError> {
    told(id, backend::start_timer(id, milliseconds(first), Some(milliseconds(period))))
}

/// Stops a timer; one that is not there is no error.
pub fn stop(id: &str) -> Result<(), ServiceError> {
    told(id, backend::stop_timer(id))
}

fn told<T>(id: &str, answer: Result<T, ServiceError>) -> Result<T, ServiceError> {
    answer.map_err(|error| error.about(format_args!("timer {id}")))
}
