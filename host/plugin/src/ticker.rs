//! The clock tick that makes a running plugin stop for a look at the time it has used.
//!
//! A tick wakes a thread, and a thousand a second would be a few per cent of what a busy proxy spends on everything else. So the ticks
//! come slowly, which is enough to notice that a hook runs for long, and come quickly from then on until it has ended.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Between two ticks while no hook runs for long: what a hook may use beyond its budget, before it is watched closely.
const SLOW: Duration = Duration::from_millis(4);
/// Between two ticks while one does.
const QUICK: Duration = Duration::from_millis(1);
/// Quick ticks after the last time that a hook was met by one.
const QUICK_TICKS: u32 = 8;

/// The pace of the ticks.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Quick ticks still to come.
    quick: AtomicU32,
    thread: OnceLock<Thread>,
}

impl Pace {
    /// Starts the ticks of an engine, which end with it.
    pub(super) fn start(engine: &Engine) -> io::Result<Arc<Self>> {
        let (pace, weak) = (Arc::<Self>::default(), engine.weak());
        let ticking = Arc::clone(&pace);
        let tick = move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                ticking.wait();
            }
        };
        let ticker = thread::Builder::new().name("plugin-tick".into()).spawn(tick)?;
        // It is set once, here.
        let _ = pace.thread.set(ticker.thread().clone());
        Ok(pace)
    }

    /// A hook has been met by a tick: the next ones are wanted soon.
    pub(super) fn hurry(&self) {
        if self.quick.swap(QUICK_TICKS, Relaxed) == 0 {
            self.thread.get().into_iter().for_each(Thread::unpark);
        }
    }

    fn wait(&self) {
        match self.quick.load(Relaxed) {
            0 => thread::park_timeout(SLOW),
            _ => {
                thread::sleep(QUICK);
                self.quick.fetch_sub(1, Relaxed);
            }
        }
    }
}
