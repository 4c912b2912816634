//! Files that were taken back, after a restart of the process.

use std::fs;
use std::path::PathBuf;

use jackfield_plugin_host::PluginState;
use jackfield_plugin_host::settings::Change;

use crate::asked::until;
use crate::guests::{BEHAVE, behave_two, replaced};
use crate::rig::Rig;

/// A version that failed on its probation; the one before it serves.
fn rolled_back() -> Rig {
    let rig = Rig::new(&[("one", "{}")]);
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| status.change.probation.is_some());
    (0..5).for_each(|_| drop(rig.ask("error")));
    rig.await_state("one", PluginState::RolledBack);
    until("the bar is on disk", || file_of_bars(&rig).exists());
    rig
}

fn file_of_bars(rig: &Rig) -> PathBuf {
    rig.directory.path().join("state/barred-plugins.json")
}

fn forget_compiled_code(rig: &Rig) {
    fs::remove_dir_all(rig.directory.path().join("state/compiled-plugins")).unwrap();
}

#[test]
fn a_bar_outlives_restarts_until_the_file_changes() {
    let mut rig = rolled_back();
    let before = rig.status("one");
    for _ in 0..2 {
        rig = rig.restarted();
        let status = rig.status("one");
        assert_eq!((rig.told("version").as_str(), status.state), ("VERSION-ONE", PluginState::RolledBack));
        assert_eq!((&status.version, &status.change.barred), (&before.version, &before.change.barred));
        assert!(status.last_error.unwrap().contains("was taken back (5 of its 5 calls of on-request"));
        assert!(status.change.events.iter().any(|event| event.what.contains("was taken back before the restart: 5 of its 5 calls")));
        // The same content again, and a changed table.
        rig.replace("one", &behave_two());
        let mut plugins = rig.plugins.clone();
        plugins.table.get_mut("one").unwrap().config = serde_json::json!({"more": "1"});
        rig.host.reconfigure(&plugins).unwrap();
        assert_eq!(rig.told("version"), "VERSION-ONE");
    }
    rig.replace("one", &replaced(&BEHAVE, "VERSION-ONE", "VERSION-SIX"));
    rig.await_state("one", PluginState::Serving);
    assert_eq!((rig.told("version").as_str(), rig.status("one").change.barred), ("VERSION-SIX", None));
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-SIX", PluginState::Serving));
}

#[test]
fn a_candidate_that_was_given_up_does_not_serve_after_a_restart() {
    let rig = Rig::with(&[("one", "{}")], |plugins| plugins.table.get_mut("one").unwrap().change = Change::Shadow);
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| status.change.candidate.is_some());
    rig.host.roll_back("one").unwrap();
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-ONE", PluginState::RolledBack));
    assert_eq!(rig.status("one").change.candidate, None);
}

#[test]
fn where_the_version_before_is_gone_the_barred_file_serves_as_there_is_nothing_else() {
    let rig = rolled_back();
    forget_compiled_code(&rig);
    let rig = rig.restarted();
    let status = rig.status("one");
    assert_eq!((rig.told("version").as_str(), status.state, status.change.barred), ("VERSION-TWO", PluginState::Serving, None));
    forget_compiled_code(&rig);
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-TWO", PluginState::Serving), "it is not barred any more");
}

#[test]
fn a_file_that_changed_while_the_process_was_away_is_loaded() {
    let rig = rolled_back();
    rig.replace("one", &replaced(&BEHAVE, "VERSION-ONE", "VERSION-SIX"));
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").change.barred), ("VERSION-SIX", None));
    rig.replace("one", &behave_two());
    rig.await_status("one", |status| status.change.probation.is_some());
    assert_eq!(rig.told("version"), "VERSION-TWO");
}

#[test]
fn the_bar_holds_on_where_the_file_holds_the_version_before_again() {
    let rig = rolled_back();
    rig.replace("one", &BEHAVE);
    rig.await_state("one", PluginState::Serving);
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-ONE", PluginState::Serving));
    rig.replace("one", &behave_two());
    rig.await_state("one", PluginState::RolledBack);
    assert_eq!(rig.told("version"), "VERSION-ONE");
}

#[test]
fn a_damaged_file_of_bars_is_as_good_as_none() {
    let rig = rolled_back();
    let file = file_of_bars(&rig);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let rig = rig.restarted();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-TWO", PluginState::Serving));
}

#[test]
fn a_plugin_that_leaves_the_chain_and_comes_back_is_still_barred() {
    let rig = rolled_back();
    let mut plugins = rig.plugins.clone();
    plugins.chain.clear();
    rig.host.reconfigure(&plugins).unwrap();
    rig.host.reconfigure(&rig.plugins).unwrap();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-ONE", PluginState::RolledBack));
}
