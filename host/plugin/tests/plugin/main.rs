//! The plugin host with real components: the chain, the limits, and the reloading. The components are those of `tests/fixtures/guests`,
//! which do what the header field X-Do of a message asks for.

mod asked;
mod bars;
mod chain;
mod change;
mod completion;
mod grants;
mod guests;
mod limits;
mod loading;
mod logs;
mod outcomes;
mod recording;
mod registrations;
mod reload;
mod rig;
mod timers;
mod waiting;
