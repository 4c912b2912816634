//! Servers that are no Redis, or are it only now and then. None of these needs redis-server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackfield_services::ask::ServiceError;
use jackfield_services::settings::{Password, Servers, StoreSettings};

use super::{TIMEOUT, ask_a_store_that_went, hurried, is_told_at_once};
use crate::support::scripted::Scripted;
use crate::support::{Plugin, until, value};

fn octets(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

/// What Redis would say.
fn sane(question: &str) -> Option<Vec<u8>> {
    match question {
        question if question.contains("PING") => octets("+PONG\r\n"),
        question if question.contains("SET") => octets("+OK\r\n"),
        _ => octets("$1\r\nx\r\n"),
    }
}

#[test]
fn nonsense_is_told_at_once_and_a_server_that_makes_sense_again_is_used() {
    for nonsense in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\r\n", ":12\r\n", "*1\r\n$1\r\nx\r\n", "$x\r\n", "+OK\r\n+OK\r\n"] {
        let strange = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&strange);
        let server = Scripted::start(move |_, question| match now.load(Ordering::SeqCst) {
            true => octets(nonsense),
            false => sane(question),
        });
        let plugin = Plugin::at(hurried(Servers::Single(server.server.clone())));
        until("answer", || (plugin.get("k") == value("x")).then_some(()));
        strange.store(true, Ordering::SeqCst);
        until("refusal", || match plugin.get("k") {
            Err(ServiceError::Unavailable(_)) => Some(()),
            Err(ServiceError::Timeout) => None,
            other => panic!("{nonsense:?}: {other:?}"),
        });
        is_told_at_once(&plugin);
        strange.store(false, Ordering::SeqCst);
        until("answer", || (plugin.get("k") == value("x")).then_some(()));
    }
}

#[test]
fn a_server_that_loads_its_data_is_away_until_it_has() {
    let loading = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&loading);
    let server = Scripted::start(move |_, question| match now.load(Ordering::SeqCst) {
        true => octets("-LOADING Redis is loading the dataset in memory\r\n"),
        false => sane(question),
    });
    let plugin = Plugin::at(hurried(Servers::Single(server.server.clone())));
    let why = plugin.until_it_is_away();
    assert!(why.ends_with("it is loading its data (LOADING)"), "{why}");
    loading.store(false, Ordering::SeqCst);
    until("answer", || (plugin.get("k") == value("x")).then_some(()));
    loading.store(true, Ordering::SeqCst);
    plugin.until_it_is_away();
    is_told_at_once(&plugin);
}

#[test]
fn a_server_that_closes_every_connection_is_not_stormed() {
    let server = Scripted::start(|_, question| if question.contains("PING") { octets("+PONG\r\n") } else { None });
    let plugin = Plugin::at(hurried(Servers::Single(server.server.clone())));
    plugin.until_it_is_away();
    let (before, begun) = (server.connections(), std::time::Instant::now());
    until("two seconds of asking", || {
        assert!(plugin.get("k").is_err());
        (begun.elapsed() > Duration::from_secs(2)).then_some(())
    });
    let made = server.connections() - before;
    assert!(made < 30, "{made} connections in 2 s");
}

#[test]
fn a_silent_server_is_away_after_the_time_of_one_operation() {
    let server = Scripted::start(|_, _| Some(Vec::new()));
    let plugin = Plugin::at(hurried(Servers::Single(server.server.clone())));
    ask_a_store_that_went(&plugin);
    is_told_at_once(&plugin);
}

#[test]
fn an_endless_answer_ends_with_the_time() {
    let server = Scripted::start(|_, question| match question.contains("PING") {
        true => octets("+PONG\r\n"),
        false => octets("$100000000\r\nxxxx"),
    });
    let plugin = Plugin::at(StoreSettings { timeout: TIMEOUT, ..StoreSettings::at(Servers::Single(server.server.clone())) });
    ask_a_store_that_went(&plugin);
}

#[test]
fn a_password_that_a_server_repeats_is_not_passed_on() {
    let server = Scripted::start(|_, question| {
        let said: String = question.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        octets(&format!("-ERR unknown command {said}\r\n"))
    });
    let password = Some(Password::new("correct-horse".into()));
    let plugin = Plugin::at(StoreSettings { password, ..hurried(Servers::Single(server.server.clone())) });
    let why = plugin.until_it_is_away();
    assert!(!why.contains("horse"), "{why}");
}
