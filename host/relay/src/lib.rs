//! Media relays: rtpengine over its ng protocol, in pools with weights, health and failover.
//!
//! [`exchange`](exchange()) says of a message whether it carries an offer or an answer (RFC 3264), [`Found`] where in its body, and a [`Client`]
//! asks a relay of the [`Pool`] what to send in its place. What has to be known later in the dialog is a [`Note`] of 15 octets that the
//! caller keeps: there is no table of calls here.
//!
//! Nothing here reads configuration, and a question is answered or given up within the bounds of [`RelaySettings`].

mod answer;
mod bencode;
mod body;
mod client;
mod codecs;
mod counters;
mod deletion;
mod exchange;
mod health;
mod multipart;
mod note;
mod pool;
mod probing;
mod profile;
mod question;
mod settings;
mod treatment;
mod waiting;
mod withheld;

pub use body::Found;
pub use client::{Answered, AskError, Client};
pub use counters::Counts;
pub use exchange::{Exchange, Role, exchange};
pub use health::{Health, Probe};
pub use note::{InviteOffer, Note, ProfileId, RelayId};
pub use pool::{Pool, Status};
pub use profile::{Codecs, Family, Ice, Profile, Replace, RtcpMux, Symmetry, Transport};
pub use question::{Ask, Call};
pub use settings::{RelaySettings, Server, SettingsError, Unavailable};
pub use treatment::Treatment;
pub use withheld::withheld;
