//! `jackfield plugin bench`: what a hook costs, beside one that does nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use jackfield_plugin_host::settings::Plugin;
use jackfield_plugin_host::{Metering, Prepared, Trial, Workpiece};
use serde::Serialize;

use crate::fixture;

/// A plugin that passes every request on.
const NO_OP: &[u8] = include_bytes!("../no-op/no-op.wasm");

/// The request that is asked about when no other is given.
const REQUEST: &str = "INVITE sip:100@example.test SIP/2.0\nContact: <sip:caller@198.51.100.7:5060>\nContent-Type: application/sdp\n\n\
v=0\no=caller 2890844526 2890844526 IN IP4 198.51.100.7\ns=-\nc=IN IP4 198.51.100.7\nt=0 0\nm=audio 49172 RTP/AVP 0\n";

const BATCHES: usize = 101;

/// How long one batch takes, about.
const BATCH: Duration = Duration::from_millis(10);

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bench {
    /// What the hook decided.
    pub decision: String,
    /// The plugin.
    pub plugin: Cost,
    /// The plugin that does nothing, in the same run.
    pub no_op: Cost,
}

/// What one plugin costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// Nanoseconds of an on-request call, copying and checks included: the median of the batches.
    pub median_ns: f64,
    /// 95 of 100 batches take no longer for a call.
    pub p95_ns: f64,
    /// Calls in each batch.
    pub calls: u32,
    /// Instructions of WebAssembly of one call.
    pub fuel: Option<u64>,
    /// Octets of memory of an instance.
    pub memory: usize,
    /// CPU time of `init` in nanoseconds.
    pub init_ns: u128,
    /// How long compiling took, in nanoseconds; none if the code had been kept.
    pub compile_ns: Option<u128>,
}

/// Measures on-request for a message, which may lack what every message has.
///
/// # Errors
/// The plugin does not run here, refuses its configuration, has not subscribed to such a request, or fails at it.
pub fn bench(octets: &[u8], name: &str, settings: &Plugin, message: Option<&str>, cache: Option<&Path>) -> Result<Bench> {
    let prepared = fixture::request(message.unwrap_or(REQUEST))?;
    let (plugin, decision) = cost(octets, name, settings, &prepared, cache)?;
    let (no_op, _) = cost(NO_OP, "no-op", &Plugin::default(), &prepared, cache)?;
    Ok(Bench { decision, plugin, no_op })
}

fn cost(octets: &[u8], name: &str, settings: &Plugin, prepared: &Prepared, cache: Option<&Path>) -> Result<(Cost, String)> {
    let (workpiece, trial) = trial(octets, name, settings, cache, Metering::Off)?;
    if !trial.wants(prepared) {
        bail!("{name} has not subscribed to such a request: --message FILE gives it another");
    }
    let ran = trial.run(prepared);
    if ran.outcome.is_failed() {
        bail!("{name}: {}", ran.outcome);
    }
    let (calls, mut batches) = measure(&trial, prepared);
    batches.sort_by(f64::total_cmp);
    let at = |share: usize| batches.get(batches.len() * share / 100).copied().context("nothing was measured");
    let costs = trial.costs();
    // In an engine of its own: counting makes every instruction dearer. What runs for the first time may do more, so the second counts.
    let (_, metered) = self::trial(octets, name, settings, cache, Metering::Fuel)?;
    let fuel = metered.fuel(prepared).and_then(|_| metered.fuel(prepared));
    let cost = Cost {
        median_ns: at(50)?,
        p95_ns: at(95)?,
        calls,
        fuel,
        memory: costs.memory,
        init_ns: costs.init.as_nanos(),
        compile_ns: workpiece.compiled_in().map(|time| time.as_nanos()),
    };
    Ok((cost, ran.outcome.to_string()))
}

fn trial(octets: &[u8], name: &str, settings: &Plugin, cache: Option<&Path>, metering: Metering) -> Result<(Workpiece, Trial)> {
    let workpiece = Workpiece::compile(octets, cache, metering).map_err(|error| anyhow!("{name} {error}"))?;
    let services = fixture::nothing_given()?;
    let trial = workpiece.trial(name, settings, services).map_err(|error| anyhow!("{name} {error}"))?;
    Ok((workpiece, trial))
}

/// Nanoseconds of a call in each batch. How many calls make a batch is found out first.
fn measure(trial: &Trial, prepared: &Prepared) -> (u32, Vec<f64>) {
    let mut calls = 1u32;
    while batch(trial, prepared, calls) < BATCH && calls < 1 << 20 {
        calls *= 2;
    }
    let per_call = |_| batch(trial, prepared, calls).as_nanos() as f64 / f64::from(calls);
    (calls, (0..BATCHES).map(per_call).collect())
}

/// The time within the hook alone: the message is put together anew for each call, which a router has done anyway.
fn batch(trial: &Trial, prepared: &Prepared, calls: u32) -> Duration {
    (0..calls).map(|_| std::hint::black_box(trial.run_bare(prepared)).took).sum()
}

impl Bench {
    /// For people.
    pub fn text(&self) -> String {
        let line = |what: &str, cost: &Cost| {
            format!(
                "{what:8} {:>9.0} ns a call (p95 of batches {:.0}), {} units of fuel, {:.1} MiB an instance, init {:.2} ms{}\n",
                cost.median_ns,
                cost.p95_ns,
                cost.fuel.map_or_else(|| "?".to_owned(), |fuel| fuel.to_string()),
                cost.memory as f64 / f64::from(1 << 20),
                cost.init_ns as f64 / 1e6,
                cost.compile_ns.map_or_else(String::new, |ns| format!(", compiled in {:.0} ms", ns as f64 / 1e6)),
            )
        };
        let times = self.plugin.median_ns / self.no_op.median_ns.max(1.0);
        let head = format!("decision {}\n", self.decision);
        let foot = format!("{times:.1} times the no-op; a unit of fuel is an instruction of WebAssembly, counted in a second engine\n");
        head + &line("plugin", &self.plugin) + &line("no-op", &self.no_op) + &foot
    }
}
