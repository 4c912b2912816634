//! The hook outside of a request, and plugins that were built before there was one.

use std::sync::Arc;
use std::time::Duration;

use jackfield_metrics::{Hook, Metrics};
use jackfield_plugin_host::{FailureView, RegistrationKind, RegistrationView, ResponseView};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Cause, Edit, FailureOutcome, Reviewed};

use crate::guests::EARLIEST;
use crate::logs::logged;
use crate::rig::{Rig, directory, forwarded, now, request, response, start};

/// An event whose `line` says what the plugins that count it do then.
fn event(line: &str) -> RegistrationView<'_> {
    RegistrationView {
        kind: RegistrationKind::Overdue,
        aor: b"sip:1@tel.t-online.de",
        contact: b"sip:1@10.0.0.5;line=abc",
        line: Some(line.as_bytes()),
        trunk: Some("telekom"),
        status: Some(200),
        expires_in: Some(Duration::from_millis(89_900)),
        source: ([10, 0, 0, 5], 5070).into(),
        transport: Transport::Tcp,
        listener: "lan",
    }
}

fn tell(rig: &Rig, line: &str) {
    rig.host.chain().on_registration(0, event(line));
}

/// Registrations that a plugin has counted, whatever it has seen in them.
fn counted(rig: &Rig, plugin: &str) -> u64 {
    let series = format!("jackfield_custom_registrations_total{{plugin=\"{plugin}\",");
    let text = rig.metrics.exposition();
    let values = text.lines().filter(|line| line.starts_with(&series)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_registration_is_told_with_all_that_is_known_of_it() {
    let rig = Rig::new(&[("one", "{}")]);
    tell(&rig, "nothing");
    let labels = "plugin=\"one\",aor=\"sip:1@tel.t-online.de\",contact=\"sip:1@10.0.0.5;line=abc\",expires=\"89\",kind=\"overdue\",\
                  listener=\"lan\",source=\"10.0.0.5:5070 Transport::Tcp\",status=\"200\",trunk=\"telekom\"";
    assert_eq!(rig.metric(&format!("jackfield_custom_registrations_total{{{labels}}}")), 1, "{}", rig.metrics.exposition());
    let unknown = RegistrationView { trunk: None, status: None, expires_in: None, ..event("") };
    rig.host.chain().on_registration(1, unknown);
    let text = rig.metrics.exposition();
    assert!(text.contains("expires=\"\",") && text.contains("status=\"\",trunk=\"\""), "{text}");
    assert_eq!(rig.metric("jackfield_plugin_calls_total{plugin=\"one\",hook=\"on-registration\"}"), 2);
}

#[test]
fn only_plugins_that_subscribed_are_told() {
    let rig = Rig::new(&[("one", "{}"), ("two", r#"{"hooks":"request"}"#), ("three", r#"{"methods":"BYE","if-header":"X-None"}"#)]);
    assert!(rig.host.chain().wants_registrations());
    tell(&rig, "nothing");
    assert_eq!(["one", "two", "three"].map(|name| rig.status(name).calls), [1, 0, 1], "filters of messages say nothing of registrations");
    assert!(rig.status("one").hooks.contains(&Hook::Registration) && !rig.status("two").hooks.contains(&Hook::Registration));
    let rig = Rig::new(&[("two", r#"{"hooks":"request"}"#)]);
    assert!(!rig.host.chain().wants_registrations());
}

#[test]
fn a_plugin_that_fails_keeps_nothing_from_the_next() {
    let rig = Rig::new(&[("one", "{}"), ("two", "{}")]);
    for (line, reason) in [("loop", "cpu"), ("panic", "trap"), ("recursion", "trap"), ("memory", "memory"), ("exit", "trap")] {
        for name in ["one", "two"] {
            let (before, told) = (rig.failures(name, "on-registration", reason), counted(&rig, name));
            tell(&rig, line);
            assert_eq!(rig.failures(name, "on-registration", reason), before + 1, "{line}: {:?}", rig.status(name).last_error);
            assert_eq!(counted(&rig, name), told + 1, "{line}");
        }
        assert_eq!(rig.told("calls"), "1", "{line}: a spare has taken its place");
    }
    tell(&rig, "nothing");
    assert_eq!((counted(&rig, "one"), counted(&rig, "two")), (11, 11));
}

#[test]
fn a_failure_is_told_without_a_transaction() {
    let rig = Rig::new(&[("one", "{}")]);
    let lines = logged(|| tell(&rig, "panic"));
    let line = lines.iter().find(|line| line.contains("a plugin failed")).unwrap();
    for part in ["ERROR", "plugin=one", "hook=\"on-registration\"", "behaves badly"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("transaction="), "{line}");
    assert!(rig.status("one").last_error.unwrap().starts_with("on-registration: "));
}

#[test]
fn one_looping_hook_disturbs_no_other_worker() {
    let rig = Rig::new(&[("one", "{}")]);
    let chain = rig.host.chain();
    std::thread::scope(|scope| {
        let loops = scope.spawn(|| (0..10).for_each(|_| chain.on_registration(1, event("loop"))));
        while !loops.is_finished() {
            assert_eq!(rig.told("reply"), "As told");
        }
    });
    assert_eq!(rig.failures("one", "on-registration", "cpu"), 10);
}

/// A rig whose plugin was built for interface 0.1.0.
fn earliest() -> Rig {
    let (directory, plugins) = directory(&[("one", "{}")]);
    std::fs::write(directory.path().join("plugins/one.wasm"), &*EARLIEST).unwrap();
    let metrics = Arc::new(Metrics::new(2));
    let host = start(directory.path(), &plugins, &metrics).unwrap();
    Rig { directory, plugins, metrics, host }
}

#[test]
fn a_plugin_of_the_first_interface_serves_in_all_its_hooks() {
    let rig = earliest();
    let (plan, state, watch) = forwarded(rig.ask("anything"));
    let target = &plan.groups[0].targets[0];
    assert_eq!((target.uri.as_deref(), target.transport), (Some(&b"sip:one@127.0.0.1"[..]), Some(Transport::Tcp)));
    assert!(watch.responses && watch.failures && !rig.host.chain().wants_registrations());
    let (tag, request, response) = ("earliest".into(), request(""), response(180, ""));
    let source = ([192, 0, 2, 9], 5060).into();
    let seen = ResponseView { tag: &tag, attempt: 1, elapsed: Duration::ZERO, request: &request, response: &response, source };
    let Reviewed::Pass(edits) = now(state.on_response(0, seen)) else { panic!("replaced") };
    assert_eq!(edits, [Edit::Set("X-Seen".into(), "100 180 earliest".into())]);
    let failed = FailureView { tag: &tag, cause: Cause::Timeout, attempt: 1, remaining: 7, request: &request, response: None };
    let FailureOutcome::Instead(groups) = now(state.on_failure(0, failed)) else { panic!("not instead") };
    assert_eq!(groups[0].targets[0].uri.as_deref(), Some(&b"sip:7@127.0.0.1"[..]));
    tell(&rig, "nothing");
    assert_eq!((rig.status("one").failures, rig.status("one").calls), (0, 3), "{:?}", rig.status("one").last_error);
    assert_eq!(rig.metric("jackfield_custom_asked_total{plugin=\"one\",method=\"INVITE\"}"), 1);
}

#[test]
fn a_subscription_to_registrations_without_the_hook_is_refused() {
    let (directory, plugins) = directory(&[("one", r#"{"hooks":"registration"}"#)]);
    std::fs::write(directory.path().join("plugins/one.wasm"), &*EARLIEST).unwrap();
    let error = start(directory.path(), &plugins, &Arc::new(Metrics::new(1))).unwrap_err().to_string();
    assert!(error.ends_with("refuses to start: it subscribes to on-registration, which it does not export"), "{error}");
}
