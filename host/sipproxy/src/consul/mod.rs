//! The document in a key of Consul's, followed by blocking queries.
//!
//! What Consul does, and what is made of it here:
//!
//! - A query with the index of the last answer is held until the key changes. Consul's index goes back when its store is lost or restored;
//!   a query with the old one would then be held for long, so that after every error, and whenever the index has gone back, the next query
//!   has none and is answered at once.
//! - 404 is the answer for a key that was deleted, for one that a restarted agent with an empty store does not have yet, and (without a
//!   right to read it) for one that is there. Only the first could be meant, and none of them is worth all trunks: a key that is gone leaves
//!   the last document in force. Who wants no trunks writes `{}`.
//! - An agent that is stopped answers the queries that it holds, as if nothing had changed; so an answer is compared with the last one,
//!   octet for octet, and no two queries follow each other faster than [`Timing::pace`](crate::Timing::pace).
//! - Consul stores anything. What is no document is refused, and the last good one stays.

mod client;
mod follow;
mod settings;

pub use client::ConsulError;
pub(crate) use follow::Follower;
pub use settings::{BadUrl, ConsulSettings, host_name};

use std::time::Duration;

use crate::document::{Document, Faults};
use client::Client;

/// What Consul says to a single question.
#[derive(Debug)]
pub enum Found {
    /// The document.
    Document(Document),
    /// What is in the key is none.
    Refused(Faults),
    /// There is no such key, or none that the token may read.
    Nothing,
}

/// Asks Consul once.
///
/// # Errors
///
/// If Consul does not answer in this time, or with something else than the value of the key.
pub async fn ask_once(settings: &ConsulSettings, patience: Duration) -> Result<Found, ConsulError> {
    let client = Client::new(settings)?;
    let answer = client.ask(settings, None, patience).await?;
    Ok(match answer.value.map(|value| Document::parse(&value)) {
        Some(Ok(document)) => Found::Document(document),
        Some(Err(faults)) => Found::Refused(faults),
        None => Found::Nothing,
    })
}
