//! The examples as programs, each with a folder of its own for what it writes.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::draft::unique;
use super::proxy::program;
use super::wasm::workspace;

/// An example. Its folder goes when this is dropped.
pub(crate) struct Example {
    name: &'static str,
    /// As deep in the tree as the example's own folder, so that the paths in its configuration hold.
    pub(crate) scratch: PathBuf,
}

impl Drop for Example {
    fn drop(&mut self) {
        // What a failed test leaves is looked at.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.scratch);
        }
    }
}

impl Example {
    pub(crate) fn new(name: &'static str) -> Self {
        let scratch = workspace().join("target").join(format!("{name}-{}", unique()));
        std::fs::create_dir_all(&scratch).expect("a folder in target");
        Self { name, scratch }
    }

    /// The program that its `run` starts, as `run` starts it.
    pub(crate) fn command(&self) -> Command {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
        let mut command = Command::new(target.join("release").join(self.name));
        command.arg("--program").arg(program()).arg("--folder").arg(workspace().join("examples").join(self.name));
        command.arg("--scratch").arg(&self.scratch).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn shown_to_its_end(&self) -> (Output, String) {
        let output = self.command().arg("--exit").output().expect("cargo build --release has made it");
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        (output, String::from_utf8_lossy(&text).into_owned())
    }
}
