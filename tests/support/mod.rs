//! What the suites stand on: the proxy as a child process, scripted peers, plugins as files, and load.

pub(crate) mod capture;
pub(crate) mod certificate;
pub(crate) mod config;
pub(crate) mod consul;
pub(crate) mod dialog;
pub(crate) mod digest;
pub(crate) mod dns;
pub(crate) mod draft;
pub(crate) mod example;
pub(crate) mod gauges;
pub(crate) mod home;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod media_relay;
pub(crate) mod netns;
pub(crate) mod peer;
mod pipe;
pub(crate) mod port;
pub(crate) mod prometheus;
pub(crate) mod proxy;
mod reader;
mod received;
pub(crate) mod redis;
pub(crate) mod registrar;
pub(crate) mod rtp;
pub(crate) mod rtpengine;
pub(crate) mod scene;
pub(crate) mod secrets;
pub(crate) mod site;
pub(crate) mod stage;
pub(crate) mod storm;
pub(crate) mod talk;
pub(crate) mod trace;
pub(crate) mod wait;
pub(crate) mod wasm;
pub(crate) mod wire;

use std::time::Duration;

/// How long a test waits for something that must happen. Long enough for a busy machine; it is only ever spent by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the long forms were asked for (`tests/run --full`).
pub(crate) fn full() -> bool {
    std::env::var_os("JACKFIELD_FULL").is_some()
}
