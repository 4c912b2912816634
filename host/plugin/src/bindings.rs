//! The Rust side of `plugin.wit`, as wasmtime's macro makes it. Every function that a plugin can call may trap it.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit",
    world: "jackfield:plugin/full",
    with: {
        "jackfield:plugin/message.request": super::state::Request,
        "jackfield:plugin/message.response": super::state::Response,
        "jackfield:plugin/events.completed": super::state::Completed,
        "jackfield:plugin/events.registration": super::state::Registration,
        "jackfield:plugin/kv.bucket": super::state::Bucket,
        "jackfield:plugin/metrics.counter": jackfield_metrics::Counter,
        "jackfield:plugin/metrics.gauge": jackfield_metrics::Gauge,
        "jackfield:plugin/metrics.histogram": jackfield_metrics::Histogram,
    },
    imports: { default: trappable },
    additional_derives: [PartialEq],
});

pub use exports::jackfield::plugin::{lifecycle, on_complete, on_failure, on_registration, on_request, on_response, on_timer};
pub use jackfield::plugin::{clock, dns, events, http, kv, log, message, metrics, random, state, tables, timers, types};
