//! Two networks with a media relay between them: the example does what it says, and leaves nothing behind.

use std::fs::File;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::examples::{all_goes_well, starts};
use crate::support::example::Example;
use crate::support::{netns, wait};

/// Whether the example can run here; says loudly why not.
fn can_run() -> bool {
    const WHAT: &str = "scenario::examples_border (two networks and a media relay)";
    let installed = std::env::var_os("RTPENGINE").is_some() || ["rtpengine", "/usr/sbin/rtpengine"].into_iter().any(starts);
    if !installed {
        println!("SKIPPED: {WHAT}: there is no rtpengine (Debian: rtpengine-daemon)");
        eprintln!("SKIPPED: {WHAT}: there is no rtpengine (Debian: rtpengine-daemon)");
    }
    installed && netns::can_be_made(WHAT)
}

/// The example, killed where a test fails before it has ended.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn a_pbx_and_its_provider_see_only_the_border_between_them() {
    if can_run() {
        all_goes_well("border", 10);
    }
}

#[test]
fn a_signal_in_a_call_leaves_no_namespace_and_no_program_behind() {
    if !can_run() {
        return;
    }
    let example = Example::new("border");
    let shown = example.scratch.join("shown");
    let output = File::create(&shown).expect("a file in it");
    let mut running = Running(example.command().stdout(output).spawn().expect("cargo build --release has made it"));
    let read = || std::fs::read_to_string(&shown).unwrap_or_default();
    wait::until("call", || read().contains("3. A call out, with voice").then_some(()));
    assert!(!programs_that_name(&example).is_empty() && !namespaces_of(&running.0).is_empty(), "{}", read());

    kill_process(Pid::from_child(&running.0), Signal::TERM).expect("it runs");
    let status = wait::until("end of the example", || running.0.try_wait().expect("the child is ours"));
    assert_eq!(status.code(), Some(130), "{}", read());
    assert_eq!(programs_that_name(&example), Vec::<String>::new());
    assert_eq!(namespaces_of(&running.0), Vec::<String>::new());
}

/// The command lines in which the example's folder occurs: those of the proxy and of the relay, and while it runs, its own.
pub(super) fn programs_that_name(example: &Example) -> Vec<String> {
    let scratch = example.scratch.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("proc is mounted").flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(&scratch)).collect()
}

fn namespaces_of(process: &Child) -> Vec<String> {
    let prefix = format!("jf{:x}-", process.id());
    let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    names.map(|name| name.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with(&prefix)).collect()
}
