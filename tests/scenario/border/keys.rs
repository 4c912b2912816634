//! Hidden calls stay up whatever becomes of the process: all that is needed to carry them on is in their messages, and in the keys.

use jackfield_proto::net::Transport;
use rustix::process::Signal;

use super::{ALL, Border, Layout};
use crate::scenario::registrations::key_file;
use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::full;
use crate::support::gauges::Gauges;
use crate::support::proxy::{Proxy, run_once};
use crate::support::wait;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A call, as its two ends know it.
pub(super) type Call = (Dialog, Dialog);

impl Border {
    /// Calls that are up, begun by either side in turn. The caller's view comes first.
    pub(super) fn calls(&self, count: usize) -> Vec<Call> {
        let begin = |number: usize| {
            let (caller, callee) = if number % 4 < 2 { (&self.lan, &self.wan) } else { (&self.wan, &self.lan) };
            caller.establishes(&caller.invite(&caller.calls(&format!("49{number}"))), callee)
        };
        (0..count).map(begin).collect()
    }

    /// Each call is ended by its caller or its callee in turn; every BYE arrives and is answered.
    pub(super) fn all_hang_up(&self, calls: Vec<Call>) {
        for (number, (mut of_caller, mut of_callee)) in calls.into_iter().enumerate() {
            let (caller, callee) = if number % 4 < 2 { (&self.lan, &self.wan) } else { (&self.wan, &self.lan) };
            match number % 2 {
                0 => caller.asks(&mut of_caller, "BYE", callee),
                _ => callee.asks(&mut of_callee, "BYE", caller),
            };
        }
        self.nothing_shows();
    }
}

fn many() -> usize {
    if full() { 500 } else { 100 }
}

#[test]
fn every_bye_of_a_hidden_call_arrives_after_a_restart() {
    let mut border = Layout::udp(ALL).start();
    let calls = border.calls(many());
    border.proxy.restart_after_kill();
    border.all_hang_up(calls);
}

/// Connections that were open are gone; new ones lead to the same dialogs.
#[test]
fn hidden_calls_over_connections_outlive_a_restart() {
    for (lan, wan) in [(Transport::Tcp, Transport::Tls), (Transport::Tls, Transport::Udp)] {
        let mut border = Layout::of(lan, wan, ALL).start();
        let calls = border.calls(12);
        border.proxy.restart_after_kill();
        border.connect_again();
        border.all_hang_up(calls);
    }
}

/// Nothing but the key file is common to the two processes.
#[test]
fn every_bye_of_a_hidden_call_arrives_at_another_process_with_the_same_key_file() {
    let (_kept, key) = key_file();
    let mut border = Layout::udp(ALL).start_with(&[], |config, _, _| config.key(&key));
    let calls = border.calls(many());
    border.proxy.signal(Signal::KILL);
    border.proxy.ended();
    border.proxy = Proxy::start(&border.config, &[]);
    border.all_hang_up(calls);
}

#[test]
fn every_bye_of_a_hidden_call_arrives_at_another_process_with_the_same_key_in_its_environment() {
    let with_key = |config: Config| config.key("token-key-env = \"TOKEN_KEYS\"").variable("TOKEN_KEYS", KEY);
    let mut border = Layout::udp(ALL).start_with(&[], |config, _, _| with_key(config));
    let calls = border.calls(many());
    border.proxy.restart_after_kill_without(&["state"]);
    border.all_hang_up(calls);
}

/// The same with another key: so it is the key that carries the calls, and nothing else.
#[test]
fn a_process_with_another_key_refuses_hidden_calls() {
    let gauges = Gauges::new();
    let with_key = |config: Config| config.key("token-key-env = \"TOKEN_KEYS\"").variable("TOKEN_KEYS", KEY);
    let mut border = Layout::udp(ALL).start_with(&[], |config, _, _| gauges.of(with_key(config)));
    let calls = border.calls(4);
    border.proxy.restart_after_kill_with(&[("TOKEN_KEYS", "fedcba9876543210fedcba9876543210")]);
    border.all_are_refused(calls, &gauges);
}

pub(super) fn refused(gauges: &Gauges) -> u64 {
    gauges.samples("jackfield_tokens_refused").values().sum()
}

impl Border {
    fn all_are_refused(&self, calls: Vec<Call>, gauges: &Gauges) {
        for (number, (mut of_caller, mut of_callee)) in calls.into_iter().enumerate() {
            let (caller, callee) = if number % 4 < 2 { (&self.lan, &self.wan) } else { (&self.wan, &self.lan) };
            for (end, dialog) in [(caller, &mut of_caller), (callee, &mut of_callee)] {
                let before = refused(gauges);
                end.send(&end.next(dialog, "BYE"));
                end.expect_status(403);
                assert_eq!(refused(gauges), before + 1);
            }
        }
        [&self.lan, &self.wan].into_iter().for_each(|end| end.peer.has_taken_nothing_more());
        self.nothing_shows();
    }
}

/// What a key has sealed can be opened as long as it is in the ring, and no longer.
#[test]
fn hidden_calls_outlive_their_key_until_it_has_left_the_ring() {
    let gauges = Gauges::new();
    let border = Layout::udp(ALL).start_with(&[], |config, _, _| gauges.of(config));
    let mut calls = border.calls(16);
    let read_again = || border.proxy.log().matches("the configuration has been read again").count();
    for rotation in 1..=4 {
        let (status, said) = run_once(&["rotate-key", "--config"], &border.proxy.file("proxy.toml"));
        assert!(status.success(), "{said}");
        let before = read_again();
        border.proxy.signal(Signal::HUP);
        wait::until("the new keys", || (read_again() > before).then_some(()));
        let rest = calls.split_off(4);
        match rotation {
            1..4 => border.all_hang_up(calls),
            _ => border.all_are_refused(calls, &gauges),
        }
        calls = rest;
        // And new calls are sealed with the new key.
        border.all_hang_up(border.calls(4));
    }
}
