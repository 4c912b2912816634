//! The one wasmtime engine of the process.

use std::sync::Arc;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::functions::Functions;

/// Instances of all plugins, generations and workers together. Each memory reserves 4 GiB of addresses (and no memory).
const INSTANCES: u32 = 4096;

/// A component is made of several core modules: the plugin itself and the adapters that its tool chain adds.
const CORE_INSTANCES: u32 = 4 * INSTANCES;

/// Elements of one table. A table holds the functions that a plugin calls by pointer.
pub(super) const TABLE_ELEMENTS: usize = 65_536;

/// The largest memory limit that the configuration can set.
const MEMORY_MAX: usize = 1 << 30;

/// Stack of a plugin; deeper recursion traps.
const STACK: usize = 512 << 10;

/// Whether instructions are counted. It makes every one of them dearer, so that no router counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// They are not.
    Off,
    /// Each costs one unit of fuel, of which there is more than anything uses.
    Fuel,
}

/// Makes the engine.
pub(super) fn start(metering: Metering) -> anyhow::Result<Engine> {
    let engine = config(Allocation::Pooled, metering).and_then(|config| Engine::new(&config)).or_else(|error| {
        tracing::warn!(%error, "plugins run without pre-reserved memory, a little slower: the limit on this process's addresses is low");
        Engine::new(&config(Allocation::OnDemand, metering)?)
    });
    engine.map_err(|error| anyhow::anyhow!("cannot start the WebAssembly engine: {error:#}"))
}

enum Allocation {
    Pooled,
    OnDemand,
}

fn config(allocation: Allocation, metering: Metering) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Hooks are called synchronously and never wait: without the machinery for waiting a call costs a third.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.consume_fuel(metering == Metering::Fuel);
    config.max_wasm_stack(STACK);
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Enable);
    // One thread compiles, at low priority: calls that are up do not notice a reload.
    config.parallel_compilation(false);
    config.enable_incremental_compilation(Arc::new(Functions::default()))?;
    config.memory_init_cow(true);
    if let Allocation::Pooled = allocation {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES)
            .total_memories(INSTANCES)
            .total_core_instances(CORE_INSTANCES)
            .total_tables(CORE_INSTANCES)
            .total_stacks(0)
            .table_elements(TABLE_ELEMENTS)
            .max_memory_size(MEMORY_MAX)
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(config)
}
