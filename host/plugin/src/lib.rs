//! Plugins: WebAssembly components that decide about requests, responses and failures, and are told of registrations.
//!
//! A plugin runs in instances of its own, one for each worker, with a bounded memory, a bounded CPU time for each call and nothing of the
//! outside world but what the plugin interface offers. What it decides is checked before it counts. One that traps, loops, wants too much memory or
//! decides what cannot be done changes nothing; its instance is replaced by a spare.
//!
//! ```text
//! files --(watch)--> keeper --(load, cache)--> Version --(chain)--> Chain --> decisions
//!                    its thread  the loader's  instances + spares   one generation, swapped as a whole
//! ```

mod asking;
mod bindings;
mod cache;
mod call;
mod chain;
mod change;
mod completion;
mod decision;
mod edit;
mod engine;
mod failure;
mod functions;
mod getters;
mod grants;
mod host;
mod instance;
mod keeper;
mod lane;
mod limits;
mod link;
mod load;
mod log;
mod machine;
mod names;
mod nursery;
mod outcome;
mod outcome_suspension;
pub mod plain;
mod pool;
mod provide;
mod random;
pub mod record;
mod redact;
mod registration;
mod said;
mod services;
pub mod settings;
mod state;
mod status;
mod subscription;
mod suspension;
mod ticker;
mod timers;
pub mod trace;
mod trial;
mod version;
mod view;
mod wasi;
mod watched;
mod workshop;

pub use call::{CallState, TransactionId};
pub use chain::{Chain, ChainAnswer, RequestView};
pub use change::report;
pub use completion::Completion;
pub use engine::Metering;
pub use host::{PluginHost, PluginSettings};
pub use machine::Machine;
pub use outcome::{FailureView, ResponseView};
pub use provide::{Front, Router, RouterSlot, Services};
pub use registration::{RegistrationKind, RegistrationView};
pub use said::{Later, Said};
pub use status::{PluginState, PluginStatus};
pub use trial::{Prepared, Ran, Trial, TrialError};
pub use workshop::{Costs, Workpiece, WorkpieceError, local_time};
