//! What every example does around its demonstration: arguments, verdicts, and serving until Ctrl-C.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::ladder::{self, Paint, Record};
use crate::proxy::Proxy;

/// What every example can be told. Its `run` script fills in the paths.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// End after the demonstration, with status 1 if something failed
    #[arg(long)]
    pub exit: bool,
    /// The proxy's program
    #[arg(long, hide = true)]
    pub program: PathBuf,
    /// The example's folder
    #[arg(long, hide = true)]
    pub folder: PathBuf,
    /// Where files of the running example go
    #[arg(long, hide = true)]
    pub scratch: PathBuf,
}

impl Arguments {
    /// Makes the folder for files of the running example.
    pub fn make_scratch(&self) -> Result<()> {
        std::fs::create_dir_all(&self.scratch).with_context(|| format!("cannot make {}", self.scratch.display()))
    }

    /// The same without the proxy's state of a former run, which would tell of registrations that nobody remembers.
    pub fn make_empty_scratch(&self) -> Result<()> {
        let state = self.scratch.join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state).with_context(|| format!("cannot remove {}", state.display()))?;
        }
        self.make_scratch()
    }
}

/// Colours where somebody looks.
pub fn paint() -> Paint {
    Paint(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
}

/// The status to end with: success if everything was good.
pub fn exit_code(name: &str, done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{} {error:#}", paint().bad(&format!("{name}:")));
            ExitCode::FAILURE
        }
    }
}

/// The steps of a demonstration: numbered, and counted where they fail.
#[derive(Debug)]
pub struct Steps {
    paint: Paint,
    number: usize,
    failed: usize,
}

impl Steps {
    /// Before the first step.
    pub fn new(paint: Paint) -> Self {
        Self { paint, number: 0, failed: 0 }
    }

    /// Does a step under its title.
    pub fn step(&mut self, title: &str, work: impl FnOnce() -> Result<()>) {
        self.number += 1;
        println!("\n{}", self.paint.strong(&format!("{}. {title}", self.number)));
        if let Err(error) = work() {
            self.failed += 1;
            println!("{} {error:#}", self.paint.bad("This failed:"));
        }
    }

    /// Says how it went, with the end of the proxy's log if something failed. Whether everything was good.
    pub fn verdict(&self, proxy: &Proxy) -> bool {
        let (number, failed) = (self.number, self.failed);
        let verdict = match failed {
            0 => self.paint.good(&format!("All {number} steps went as they should.")),
            _ => self.paint.bad(&format!("{failed} of {number} steps failed.")),
        };
        println!("\n{verdict}");
        if failed > 0 {
            println!("The end of the proxy's log:\n{}", proxy.log_tail());
        }
        failed == 0
    }
}

/// Draws what passed under a Call-ID.
pub fn show(record: &Record, call_id: &str, paint: Paint) {
    print!("{}", ladder::draw(&record.take(call_id.as_bytes()), paint));
}

/// Tries until something is so.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    anyhow::bail!("{what} did not come in 20 s")
}

/// Serves until Ctrl-C, SIGTERM or the proxy's own end, and calls `look` every half second.
pub fn serve(proxy: &mut Proxy, mut look: impl FnMut()) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interval = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = interval.tick() => {}
            }
            if let Some(status) = proxy.ended()? {
                anyhow::bail!("the proxy ended ({status}); its log:\n{}", proxy.log_tail());
            }
            look();
        }
        println!("\nending");
        Ok(())
    })
}
