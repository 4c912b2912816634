//! What an operator sees of a running proxy: status over a control socket, metrics over HTTP. This knows neither the engine nor the
//! plugins: `main` hands in a [`Snapshot`] that asks them.

pub mod client;
pub mod control;
mod media;
pub mod prometheus;
mod snapshot;
mod trunks;

pub use media::{MediaStatus, RelayState, RelayStatus};
pub use snapshot::{
    ListenerStatus, PluginChange, PluginState, PluginStatus, REGISTRATIONS_MAX, Snapshot, State, Status, StoreStatus, TableStatus,
};
pub use trunks::{TrunkStatus, WayState, WayStatus};
