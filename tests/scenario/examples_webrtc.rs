//! A telephone in a web page and an old one on plain RTP: the example does what it says, and leaves nothing behind.

use std::fs::File;

use rustix::process::{Pid, Signal, kill_process};

use super::examples_border::{Running, programs_that_name};
use crate::peers::browser::{PATIENCE, jssip};
use crate::support::example::Example;
use crate::support::wait;

// One test, because the example's addresses are always the same.
#[test]
fn a_page_and_an_old_telephone_call_each_other_and_a_signal_in_a_call_leaves_no_program_behind() {
    let example = Example::new("webrtc");
    let command = || {
        let mut command = example.command();
        command.arg("--jssip").arg(jssip()).arg("--exit");
        command
    };
    let output = command().output().expect("cargo build --release has made it");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("All 8 steps went as they should."), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
    assert_eq!(programs_that_name(&example), Vec::<String>::new());

    let shown = example.scratch.join("shown");
    let output = File::create(&shown).expect("a file in it");
    let mut running = Running(command().stdout(output).spawn().expect("cargo build --release has made it"));
    let read = || std::fs::read_to_string(&shown).unwrap_or_default();
    wait::within(PATIENCE, "call", || read().contains("3. The page holds the call").then_some(()));
    assert!(!programs_that_name(&example).is_empty(), "{}", read());
    kill_process(Pid::from_child(&running.0), Signal::TERM).expect("it runs");
    let status = wait::until("end of the example", || running.0.try_wait().expect("the child is ours"));
    assert_eq!(status.code(), Some(130), "{}", read());
    wait::until("end of its programs", || programs_that_name(&example).is_empty().then_some(()));
}
