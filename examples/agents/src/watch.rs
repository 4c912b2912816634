//! Ctrl-C and SIGTERM while an example is being shown: nothing of it is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::network::{Gate, Network, ip};

/// How long programs have to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// While it lives, a signal ends the programs in a network's namespaces, removes these, and ends this process.
#[derive(Debug)]
pub struct Watch {
    on_duty: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn over(network: &Network) -> Result<Self> {
        let (gate, names, on_duty) = (network.gate(), network.names(), Arc::new(AtomicBool::new(true)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            // Registered here and not in the thread, so that no signal is missed from now on.
            let _entered = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]
        };
        let asked = Arc::clone(&on_duty);
        std::thread::spawn(move || {
            let [interrupt, terminate, hangup] = &mut signals;
            let is_hangup = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => false,
                    _ = terminate.recv() => false,
                    _ = hangup.recv() => true,
                }
            });
            if asked.swap(false, Ordering::SeqCst) {
                clear(&gate, &names);
                std::process::exit(INTERRUPTED);
            } else if is_hangup {
                // Whoever has taken over from here listens to the other two.
                let _ = kill_process(getpid(), Signal::TERM);
            }
        });
        Ok(Self { on_duty })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.on_duty.store(false, Ordering::SeqCst);
    }
}

/// Ends whatever runs in namespaces, and removes them. Only this process has put anything there.
fn clear(gate: &Gate, names: &[String]) {
    gate.close();
    let tell = |signal| {
        let everybody: Vec<Pid> = names.iter().flat_map(|name| inhabitants(name)).collect();
        for pid in &everybody {
            // It may have ended meanwhile.
            let _ = kill_process(*pid, signal);
        }
        everybody.is_empty()
    };
    let deadline = Instant::now() + GRACE;
    // Somebody inside may be about to start a program.
    while Instant::now() < deadline && !(gate.all_out() && tell(Signal::TERM)) {
        tell(Signal::TERM);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    tell(Signal::KILL);
    for name in names {
        let _ = ip(&format!("netns del {name}"));
    }
}

/// The processes in a namespace but this one.
fn inhabitants(name: &str) -> Vec<Pid> {
    let listed = ip(&format!("netns pids {name}")).unwrap_or_default();
    let numbers = listed.lines().filter_map(|line| line.trim().parse().ok().and_then(Pid::from_raw));
    numbers.filter(|pid| *pid != getpid()).collect()
}
