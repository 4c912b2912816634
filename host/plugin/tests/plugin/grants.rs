//! What a plugin may use beyond the message.

use std::sync::Arc;

use jackfield_metrics::Metrics;
use jackfield_plugin_host::PluginState;
use jackfield_plugin_host::settings::Grants;

use crate::asked::{ask, one, settled};
use crate::guests::WAITS;
use crate::rig::{Rig, directory, start, told};

fn refused(grants: Grants) -> String {
    let (directory, mut plugins) = directory(&[("waits", "{}")]);
    std::fs::write(directory.path().join("plugins/waits.wasm"), &*WAITS).unwrap();
    plugins.table.get_mut("waits").unwrap().grants = grants;
    start(directory.path(), &plugins, &Arc::new(Metrics::new(1))).unwrap_err().to_string()
}

#[test]
fn what_is_imported_and_not_granted_is_refused_with_the_line_to_write() {
    let error = refused(Grants::default());
    let wants = "wants `jackfield:plugin/dns`, `jackfield:plugin/timers`, which [plugins.waits] does not grant it; write there: ";
    assert!(error.ends_with(&format!("waits.wasm {wants}grant = {{ dns = true, timers = true }}")), "{error}");
    let error = refused(Grants { dns: true, kv: vec!["limits".into()], ..Grants::default() });
    assert!(error.contains("wants `jackfield:plugin/timers`, which"), "{error}");
    assert!(error.ends_with("grant = { kv = [\"limits\"], dns = true, timers = true }"), "with what it has already: {error}");
}

#[test]
fn a_new_version_that_wants_more_is_refused_and_the_one_before_serves_on() {
    let rig = Rig::new(&[("one", "{}")]);
    rig.replace("one", &WAITS);
    rig.await_state("one", PluginState::Refused);
    assert!(rig.status("one").last_error.unwrap().ends_with("grant = { dns = true, timers = true }"));
    assert_eq!(rig.told("reply"), "As told");
}

#[test]
fn a_grant_that_is_taken_away_is_refused_as_a_whole() {
    let (rig, _resolver) = one();
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("waits").unwrap().grants.dns = false;
    let error = rig.host.reconfigure(&plugins).unwrap_err().to_string();
    assert!(error.contains("grant = { dns = true, timers = true }"), "{error}");
    assert_eq!(told(settled(ask(&rig, "X-Wait: a reply\r\n"))), "a");
}
