//! What the examples share: SIP agents that call, answer, register and keep registrations, the networks they stand in, the proxy as a
//! child process, and ladders of what passed between them.

pub mod agent;
mod answers;
mod dialing;
mod digest;
pub mod ladder;
pub mod network;
pub mod proxy;
pub mod stage;
pub mod watch;
mod wire;

pub use agent::{Agent, Binding, Bindings, Profile, Taken};
pub use dialing::{Ended, HangUp, Invitation};
pub use digest::{Account, Guard};
pub use wire::text;
