//! Programs that others wrote, as children of this one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell expects of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// The children that run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running program with its output in a file. It ends with this value.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // In the same breath, so that no signal comes in between.
        let mut children = running();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        children.push(child.id());
        Ok(Self { name, child, log })
    }

    /// An error if it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = std::fs::read(&self.log).unwrap_or_default();
        let lines: Vec<String> = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
        let end = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        bail!("{} ended ({status}):\n{end}", self.name)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let id = self.child.id();
        running().retain(|other| *other != id);
        // It may have ended by itself, at the same Ctrl-C for one.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program: what a variable of the environment names, or one of these names in PATH or where system administrators' programs are.
pub(crate) fn find(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

/// While it lives, Ctrl-C and SIGTERM end the children and this process.
#[derive(Debug)]
pub(crate) struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Begins to watch.
    pub(crate) fn begin() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let [mut interrupt, mut terminate] = {
            // Registered here and not in the thread, so that no signal is missed from now on.
            let _entered = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        let on_duty = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&on_duty);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            });
            if asked.load(Ordering::SeqCst) {
                // Held until the end: no child is started any more.
                let children = running();
                for pid in children.iter().filter_map(|id| i32::try_from(*id).ok().and_then(Pid::from_raw)) {
                    // It may have ended by itself.
                    let _ = kill_process(pid, Signal::KILL);
                }
                std::process::exit(INTERRUPTED);
            }
        });
        Ok(Self(on_duty))
    }

    /// A child that somebody else has started.
    pub(crate) fn also(&self, id: u32) {
        running().push(id);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
