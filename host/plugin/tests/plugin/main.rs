//! The plugin host with real components: the chain, the limits, and the reloading. The components are those of `tests/fixtures/guests`,
//! which do what the header field X-Do of a message asks for.

mod chain;
mod change;
mod guests;
mod limits;
mod logs;
mod outcomes;
mod recording;
mod registrations;
mod reload;
mod rig;
