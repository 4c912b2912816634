//! What goes on while a changed file is compiled and its `init` runs.

use jackfield_plugin_host::PluginState;
use jackfield_plugin_host::settings::{Change, Share};

use crate::asked::{Resolver, ask, rig, settled, until};
use crate::guests::{WAITS, behave_two, replaced};
use crate::rig::{Rig, told};

/// What the guest asks for in its `init`.
const ASKING: &str = r#"{"init":"ask"}"#;

/// A version whose `init` waits until the test answers.
fn held_version() -> Vec<u8> {
    replaced(&WAITS, "VERSION-ONE", "held-init-2")
}

/// Lets a version be loaded that waits in the `init` of each of its instances.
fn let_it_load(rig: &Rig, resolver: &Resolver, condition: impl Fn(&Rig) -> bool) {
    until("it is loaded", || {
        if resolver.waiting() > 0 {
            resolver.held("held-init-2").answer("a");
        }
        condition(rig)
    });
}

#[test]
fn a_failing_version_is_rolled_back_while_another_plugin_is_being_loaded() {
    let (rig, resolver) = rig(&[("one", "{}"), ("waits", ASKING)], |_| {});
    let version = |name: &str| rig.status(name).version;
    let (one, before) = (version("one"), version("waits"));
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| status.change.probation.is_some());
    rig.replace("waits", &held_version());
    let held = resolver.held("held-init-2");
    (0..5).for_each(|_| drop(ask(&rig, "X-Do: error\r\n")));
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!((version("one"), version("waits")), (one, before.clone()), "the other one is still being loaded");
    held.answer("a");
    let_it_load(&rig, &resolver, |_| version("waits") != before);
    assert_eq!(told(settled(ask(&rig, "X-Wait: - version\r\n"))), "held-init-2");
    assert_eq!(rig.status("one").state, PluginState::RolledBack);
}

#[test]
fn what_is_loaded_while_its_file_changes_again_never_serves() {
    let (rig, resolver) = rig(&[("waits", ASKING)], |_| {});
    let generation = rig.host.chain().generation();
    rig.replace("waits", &held_version());
    let held = resolver.held("held-init-2");
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-SIX"));
    held.answer("a");
    let_it_load(&rig, &resolver, |rig| rig.host.chain().generation() > generation);
    assert_eq!(told(settled(ask(&rig, "X-Wait: - version\r\n"))), "VERSION-SIX");
    assert_eq!(rig.metric("jackfield_plugin_reloads_total{plugin=\"waits\",result=\"applied\"}"), 1);
}

#[test]
fn what_is_loaded_while_its_table_changes_is_loaded_again_with_the_new_one() {
    let (rig, resolver) = rig(&[("waits", ASKING)], |plugins| {
        let plugin = plugins.table.get_mut("waits").unwrap();
        (plugin.change, plugin.canary) = (Change::Canary, Share::percent(100));
    });
    rig.replace("waits", &held_version());
    let held = resolver.held("held-init-2");
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("waits").unwrap().config = serde_json::json!({"init": "ask", "header": "X-New"});
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!(told(settled(ask(&rig, "X-New: - version\r\n"))), "VERSION-ONE", "the table does not wait for the file");
    held.answer("a");
    let_it_load(&rig, &resolver, |rig| rig.status("waits").change.candidate.is_some());
    assert_eq!(told(settled(ask(&rig, "X-New: - version\r\n"))), "held-init-2");
}

#[test]
fn a_plugin_that_leaves_the_chain_while_it_is_loaded_does_not_come_back() {
    let (rig, resolver) = rig(&[("one", "{}"), ("waits", ASKING)], |_| {});
    rig.replace("waits", &held_version());
    let held = resolver.held("held-init-2");
    let mut plugins = rig.plugins.clone();
    plugins.chain.retain(|name| name == "one");
    rig.host.reconfigure(&plugins).unwrap();
    held.answer("a");
    rig.replace("one", &behave_two());
    // One file after the other: this one is loaded when the other has been.
    let_it_load(&rig, &resolver, |rig| rig.status("one").change.probation.is_some());
    assert_eq!(rig.status("waits").state, PluginState::NotInChain);
}

#[test]
fn a_defect_of_the_host_while_a_file_is_loaded_refuses_that_file_alone() {
    let (rig, _resolver) = rig(&[("waits", ASKING)], |_| {});
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "broken-init"));
    rig.await_status("waits", |status| status.state == PluginState::Refused);
    assert!(rig.status("waits").last_error.unwrap().contains("cannot be loaded: a defect of the host"));
    rig.replace("waits", &replaced(&WAITS, "VERSION-ONE", "VERSION-SIX"));
    rig.await_state("waits", PluginState::Serving);
    assert_eq!(told(settled(ask(&rig, "X-Wait: - version\r\n"))), "VERSION-SIX");
}
