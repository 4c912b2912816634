//! The Rust side of `plugin.wit`, as wasmtime's macro makes it. Every function that a plugin can call may trap it.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit",
    world: "jackfield:plugin/full",
    with: {
        "jackfield:plugin/message.request": super::state::Request,
        "jackfield:plugin/message.response": super::state::Response,
        "jackfield:plugin/events.registration": super::state::Registration,
        "jackfield:plugin/metrics.counter": crate::metrics::Counter,
        "jackfield:plugin/metrics.gauge": crate::metrics::Gauge,
        "jackfield:plugin/metrics.histogram": crate::metrics::Histogram,
    },
    imports: { default: trappable },
});

pub use exports::jackfield::plugin::{lifecycle, on_failure, on_registration, on_request, on_response};
pub use jackfield::plugin::{clock, events, log, message, metrics, random, types};
