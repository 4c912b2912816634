//! What a plugin may use of the machine: CPU time and memory.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::engine::TABLE_ELEMENTS;
use super::ticker::Pace;

/// Octets that a plugin may hand to the host in one call, decisions included. Without this bound a list of a million references to one
/// string would be a million copies of it.
pub(super) const HOSTCALL_OCTETS: usize = 1 << 20;

/// Handles of host resources that an instance may hold.
pub(super) const HANDLES: usize = 2048;

/// Core instances, tables and memories of one component instance. Python is made of more than forty: the interpreter, its extension
/// modules, and what stands in for WASI. Memory is bounded for all of them together.
const PARTS: usize = 64;

/// The CPU time of one call of a plugin.
///
/// The thread's CPU clock is first read when the call meets its first tick, up to a slow tick after it began: a call shorter than that,
/// which is nearly every one, pays nothing for being watched, and none is stopped before it has used its budget. Wall-clock time would be
/// wrong, for a busy machine may keep the thread waiting for longer than the budget.
#[derive(Debug)]
pub(super) struct Budget {
    pace: Arc<Pace>,
    allowed: Duration,
    first_seen: Option<Duration>,
}

impl Budget {
    pub(super) fn new(pace: Arc<Pace>) -> Self {
        Self { pace, allowed: Duration::ZERO, first_seen: None }
    }

    /// Begins a call that may use `allowed`.
    pub(super) fn begin(&mut self, allowed: Duration) {
        (self.allowed, self.first_seen) = (allowed, None);
    }

    /// What to do at a tick.
    pub(super) fn tick(&mut self) -> UpdateDeadline {
        self.pace.hurry();
        let now = thread_cpu_time();
        let first = *self.first_seen.get_or_insert(now);
        if now.saturating_sub(first) >= self.allowed { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }
}

/// CPU time that this thread has used.
pub(super) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A plugin wanted more than it may have. Growth is not answered with -1, as WebAssembly has it, but ends the call: no allocator's
/// answer to that would be better than the policy of the operator.
#[derive(Debug, thiserror::Error)]
#[error("the plugin wanted {wanted} octets of memory, its limit is {limit}")]
pub(super) struct MemoryRefused {
    wanted: usize,
    limit: usize,
}

/// The memory bound of one instance.
#[derive(Debug)]
pub(super) struct MemoryBound {
    limit: usize,
    used: usize,
    /// What the instance had when it was ready.
    at_start: usize,
}

impl MemoryBound {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, at_start: 0 }
    }

    /// Octets that it has.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The instance is ready: what it has now, any instance of its kind has.
    pub(super) fn mark_start(&mut self) {
        self.at_start = self.used;
    }

    /// Whether calls have taken more than half of what was left to them. Linear memory never shrinks, so that such an instance is better
    /// replaced between two calls.
    pub(super) fn is_half_used(&self) -> bool {
        self.used - self.at_start.min(self.used) > self.limit.saturating_sub(self.at_start) / 2
    }
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_sub(current).saturating_add(desired);
        if used > self.limit {
            return Err(MemoryRefused { wanted: used, limit: self.limit }.into());
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_instance_share_its_bound() {
        let mut bound = MemoryBound::new(1000);
        assert!(bound.memory_growing(0, 400, None).unwrap());
        assert!(bound.memory_growing(0, 100, None).unwrap());
        assert!(!bound.is_half_used());
        assert!(bound.memory_growing(400, 900, None).unwrap());
        assert!(bound.is_half_used());
        let refused = bound.memory_growing(100, 101, None).unwrap_err();
        assert_eq!(
            refused.downcast_ref::<MemoryRefused>().unwrap().to_string(),
            "the plugin wanted 1001 octets of memory, its limit is 1000"
        );
    }

    #[test]
    fn a_budget_counts_cpu_time_and_not_time() {
        let mut budget = Budget::new(Arc::default());
        budget.begin(Duration::from_millis(2));
        assert!(matches!(budget.tick(), UpdateDeadline::Continue(1)));
        let begun = thread_cpu_time();
        while thread_cpu_time() - begun < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        assert!(matches!(budget.tick(), UpdateDeadline::Interrupt));
        budget.begin(Duration::from_secs(3600));
        assert!(matches!(budget.tick(), UpdateDeadline::Continue(1)));
    }
}
