//! The quickstart goes on serving, carries calls of other terminals, and ends at Ctrl-C.

use std::fs::File;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::example::Example;
use crate::support::wait;
use crate::support::wasm::component;

struct Quickstart(Child);

impl Drop for Quickstart {
    fn drop(&mut self) {
        // It has ended by itself where the test has passed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_quickstart_serves_further_calls_until_ctrl_c() {
    component("header-match");
    let example = Example::new("quickstart");
    let shown = example.scratch.join("shown");
    let output = File::create(&shown).expect("a file in it");
    let mut running = Quickstart(example.command().stdout(output).spawn().expect("cargo build --release has made it"));
    let read = || std::fs::read_to_string(&shown).unwrap_or_default();
    wait::until("invitation to place calls", || read().contains("until Ctrl-C").then_some(()));
    assert!(read().contains("All three calls went their way."), "{}", read());
    assert!(!read().contains('\u{1b}'), "no colours where nobody looks");
    let again = example.command().args(["call", "line"]).output().expect("the program starts");
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && text.contains("200 OK"), "{text}");
    wait::until("ladder of that call", || read().contains("office took sip:reception@example.test").then_some(()));
    let pid = Pid::from_raw(i32::try_from(running.0.id()).expect("a process id")).expect("a process id is not 0");
    kill_process(pid, Signal::INT).expect("it runs");
    let status = wait::until("end of the quickstart", || running.0.try_wait().expect("the child is ours"));
    assert!(status.success(), "{status}\n{}", read());
}
