//! What the router knows: registrations, trunks, calls. Granted with `grant = { state = true }`; nothing here waits.
//!
//! ```
//! use jackfield::prelude::*;
//! use jackfield::{state, testing};
//!
//! /// The first trunk that is up and has room.
//! fn choose<'a>(trunks: &[&'a str], room: u32) -> Result<Option<&'a str>> {
//!     for trunk in trunks {
//!         if state::trunk_up(trunk)? == Some(true) && state::trunk_calls(trunk)?.unwrap_or_default() < room {
//!             return Ok(Some(*trunk));
//!         }
//!     }
//!     Ok(None)
//! }
//!
//! testing::set_trunk_down("berlin");
//! testing::set_trunk_up("munich", 29);
//! assert_eq!(choose(&["berlin", "munich"], 30).unwrap(), Some("munich"));
//! ```

use std::time::Duration;

use crate::ServiceError;
use crate::backend::asking as backend;

/// What is registered for an address of record through the router.
pub fn contacts(aor: &str) -> Result<Vec<Contact>, ServiceError> {
    backend::contacts(aor).map_err(|error| error.about(format_args!("contacts of {aor}")))
}

/// Whether some way of the trunk is up; `None` if the configuration has no such trunk.
pub fn trunk_up(trunk: &str) -> Result<Option<bool>, ServiceError> {
    backend::trunk_up(trunk).map_err(|error| error.about(format_args!("trunk {trunk}")))
}

/// Calls that are up, or being set up, at this trunk; `None` if there is no such trunk.
pub fn trunk_calls(trunk: &str) -> Result<Option<u32>, ServiceError> {
    backend::trunk_calls(trunk).map_err(|error| error.about(format_args!("trunk {trunk}")))
}

/// Calls that are up, or being set up, at targets with this tag.
pub fn active_calls(tag: &str) -> Result<u32, ServiceError> {
    backend::active_calls(tag).map_err(|error| error.about(format_args!("calls of {tag}")))
}

/// What a user agent has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The Contact URI as the user agent wrote it.
    pub uri: String,
    /// Its `line` parameter.
    pub line: Option<String>,
    /// The trunk that it is registered through.
    pub trunk: Option<String>,
    /// How long until it expires, in whole seconds.
    pub expires_in: Duration,
}
