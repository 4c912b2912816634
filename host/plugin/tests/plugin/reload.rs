//! Plugins that are replaced while they serve.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jackfield_metrics::Metrics;
use jackfield_plugin_host::settings::Plugin;
use jackfield_plugin_host::{ChainAnswer, PluginState};

use crate::guests::{BEHAVE, MISTYPED, behave_two, replaced};
use crate::rig::{Rig, ask, directory, forwarded, request, start, told};

fn one() -> Rig {
    let rig = Rig::new(&[("one", "{}")]);
    assert_eq!(rig.told("version"), "VERSION-ONE");
    rig
}

/// Waits for a version that came with this generation.
fn await_generation(rig: &Rig, generation: u64) {
    rig.await_status("one", |status| status.generation == generation && status.state == PluginState::Serving);
}

#[test]
fn a_renamed_file_is_taken_up() {
    let rig = one();
    rig.replace("one", &behave_two());
    await_generation(&rig, 2);
    assert_eq!(rig.told("version"), "VERSION-TWO");
    assert_eq!(rig.metric("jackfield_plugin_reloads_total{plugin=\"one\",result=\"applied\"}"), 1);
}

#[test]
fn a_file_that_is_written_in_place_is_taken_up_when_it_is_whole() {
    let rig = one();
    let octets = behave_two();
    let (head, tail) = octets.split_at(octets.len() / 2);
    fs::write(rig.file("one"), head).unwrap();
    // The half is refused if the writer is slow enough, or never seen; in the end the whole serves.
    let mut file = fs::OpenOptions::new().append(true).open(rig.file("one")).unwrap();
    std::io::Write::write_all(&mut file, tail).unwrap();
    drop(file);
    await_generation(&rig, 2);
    assert_eq!(rig.told("version"), "VERSION-TWO");
}

#[test]
fn a_symlink_that_points_elsewhere_is_followed() {
    let rig = one();
    let elsewhere = |name: &str| rig.directory.path().join(name);
    fs::write(elsewhere("v2"), behave_two()).unwrap();
    symlink(elsewhere("v2"), elsewhere("link")).unwrap();
    fs::rename(elsewhere("link"), rig.file("one")).unwrap();
    await_generation(&rig, 2);
    assert_eq!(rig.told("version"), "VERSION-TWO");
    fs::write(elsewhere("v3"), &*BEHAVE).unwrap();
    symlink(elsewhere("v3"), elsewhere("link")).unwrap();
    fs::rename(elsewhere("link"), rig.file("one")).unwrap();
    await_generation(&rig, 3);
    assert_eq!(rig.told("version"), "VERSION-ONE");
    // What the link points to changes where no notice comes from.
    fs::write(elsewhere("v3"), behave_two()).unwrap();
    await_generation(&rig, 4);
    assert_eq!(rig.told("version"), "VERSION-TWO");
}

#[test]
fn a_deleted_file_goes_on_serving_and_may_come_back() {
    let rig = one();
    fs::remove_file(rig.file("one")).unwrap();
    rig.await_state("one", PluginState::FileGone);
    assert_eq!(rig.told("version"), "VERSION-ONE");
    rig.replace("one", &behave_two());
    await_generation(&rig, 2);
    assert_eq!(rig.told("version"), "VERSION-TWO");
}

#[test]
fn the_same_content_again_is_no_new_version() {
    let rig = one();
    rig.replace("one", b"broken");
    rig.await_state("one", PluginState::Refused);
    rig.replace("one", &BEHAVE);
    rig.await_state("one", PluginState::Serving);
    assert_eq!((rig.host.chain().generation(), rig.status("one").last_error), (1, None));
}

#[test]
fn a_directory_that_is_replaced_is_followed() {
    let rig = one();
    let next = rig.directory.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("one.wasm"), behave_two()).unwrap();
    fs::rename(rig.directory.path().join("plugins"), rig.directory.path().join("old")).unwrap();
    fs::rename(&next, rig.directory.path().join("plugins")).unwrap();
    await_generation(&rig, 2);
    rig.replace("one", &BEHAVE);
    await_generation(&rig, 3);
}

#[test]
fn files_that_the_chain_does_not_name_are_only_mentioned() {
    let rig = one();
    rig.replace("other", &BEHAVE);
    rig.await_state("other", PluginState::NotInChain);
    assert_eq!(rig.host.chain().generation(), 1);
}

/// Broken files, and what is said of them.
fn broken() -> Vec<(Vec<u8>, &'static str)> {
    let newer = replaced(&BEHAVE, "jackfield:plugin/", "jackfield:plugin/");
    let newer = [
        "types",
        "message",
        "log",
        "clock",
        "random",
        "metrics",
        "events",
        "lifecycle",
        "on-request",
        "on-response",
        "on-failure",
        "on-registration",
    ]
    .iter()
    .filter(|name| newer.windows(name.len() + 6).any(|w| w == format!("{name}@0.1.2").as_bytes()))
    .fold(newer.clone(), |octets, name| replaced(&octets, &format!("{name}@0.1.2"), &format!("{name}@0.2.0")));
    vec![
        (Vec::new(), "is empty"),
        (b"MZ garbage".to_vec(), "is no WebAssembly file"),
        (b"\0asm\x01\0\0\0".to_vec(), "is a core WebAssembly module"),
        (BEHAVE[..BEHAVE.len() / 2].to_vec(), "is damaged or cut short"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "not a plugin"),
        (newer, "is built for plugin interface 0.2.0, this host has 0.1.2"),
        (MISTYPED.clone(), "does not fit this host's plugin interface"),
    ]
}

#[test]
fn a_broken_file_leaves_the_old_version_serving_and_says_why() {
    let rig = one();
    for (octets, said) in broken() {
        rig.replace("one", &octets);
        rig.await_status("one", |status| status.last_error.as_ref().is_some_and(|error| error.contains(said)));
        let status = rig.status("one");
        let error = status.last_error.unwrap();
        assert_eq!(status.state, PluginState::Refused);
        assert!(error.starts_with(&rig.file("one").display().to_string()) && !error.contains('\n'), "{error}");
        assert_eq!(rig.told("version"), "VERSION-ONE");
    }
    assert_eq!(rig.host.chain().generation(), 1);
    rig.replace("one", &behave_two());
    await_generation(&rig, 2);
}

#[test]
fn at_the_start_every_broken_plugin_is_an_error_that_names_its_file() {
    for (octets, said) in broken() {
        let (directory, plugins) = directory(&[("good", "{}"), ("bad", "{}"), ("gone", "{}")]);
        fs::write(directory.path().join("plugins/bad.wasm"), octets).unwrap();
        fs::remove_file(directory.path().join("plugins/gone.wasm")).unwrap();
        let error = start(directory.path(), &plugins, &Arc::new(Metrics::new(1))).unwrap_err().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].contains("bad.wasm") && lines[0].contains(said), "{error}");
        assert!(lines[1].contains("gone.wasm does not exist, but the chain names the plugin `gone`"), "{error}");
    }
}

#[test]
fn a_plugin_that_refuses_its_configuration_changes_nothing() {
    let rig = one();
    for (config, said) in [
        (r#"{"init":"refuse"}"#, "refuses to start: init: config.init: one cannot do that"),
        (r#"{"init":"panic"}"#, "init panics"),
        (r#"{"init":"loop"}"#, "CPU budget"),
        (r#"{"check":"fail"}"#, "self-check: the self-check does not like it"),
        (r#"{"statuses":"9xx"}"#, "`9xx`"),
    ] {
        let mut plugins = rig.plugins.clone();
        plugins.table.insert("one".into(), Plugin { config: serde_json::from_str(config).unwrap(), ..Plugin::default() });
        let error = rig.host.reconfigure(&plugins).unwrap_err().to_string();
        assert!(error.contains("one.wasm") && error.contains(said) && error.lines().count() == 1, "{error}");
    }
    assert_eq!((rig.host.chain().generation(), rig.told("version").as_str()), (1, "VERSION-ONE"));
}

#[test]
fn a_changed_table_initialises_that_plugin_only() {
    let rig = Rig::new(&[("one", r#"{"header":"X-One"}"#), ("two", r#"{"header":"X-Two"}"#)]);
    let calls = |name: &str| told(ask(&rig.host.chain(), &request(&format!("X-{name}: calls\r\n"))));
    assert_eq!((calls("One"), calls("Two"), calls("Two")), ("1".into(), "1".into(), "2".into()));
    let mut plugins = rig.plugins.clone();
    plugins.table.get_mut("two").unwrap().config = serde_json::json!({"header": "X-Two", "more": "1"});
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!((calls("One"), calls("Two")), ("4".into(), "1".into()), "the first one has seen every call");
    plugins.chain.reverse();
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!(rig.host.status().iter().map(|status| status.name.as_str()).collect::<Vec<_>>(), ["two", "one"]);
    plugins.chain = vec!["two".into()];
    rig.host.reconfigure(&plugins).unwrap();
    assert_eq!(rig.host.status()[1].state, PluginState::NotInChain);
    plugins.chain.push("missing".into());
    assert!(rig.host.reconfigure(&plugins).unwrap_err().to_string().contains("missing.wasm does not exist"));
    assert_eq!(rig.host.chain().generation(), 4);
}

/// A new version often comes with a new table, which the old one would refuse; and a broken file must not keep a new table out.
#[test]
fn a_changed_table_takes_the_file_with_it_and_else_the_version_that_serves() {
    let rig = one();
    let with = |config: &str| {
        let mut plugins = rig.plugins.clone();
        plugins.table.insert("one".into(), Plugin { config: serde_json::from_str(config).unwrap(), ..Plugin::default() });
        plugins
    };
    rig.replace("one", &behave_two());
    rig.host.reconfigure(&with(r#"{"more":"1"}"#)).unwrap();
    assert_eq!(rig.told("version"), "VERSION-TWO");
    rig.replace("one", b"no component");
    rig.await_state("one", PluginState::Refused);
    rig.host.reconfigure(&with(r#"{"more":"2"}"#)).unwrap();
    assert_eq!((rig.told("version").as_str(), rig.status("one").state), ("VERSION-TWO", PluginState::Refused));
}

#[test]
fn a_transaction_keeps_its_generation_and_the_last_one_frees_it() {
    let rig = one();
    let (_, state, _) = forwarded(rig.ask("forward"));
    let old = Arc::downgrade(state.chain());
    rig.replace("one", &behave_two());
    await_generation(&rig, 2);
    assert_eq!(told(ask(state.chain(), &request("X-Do: version\r\n"))), "VERSION-ONE");
    assert_eq!(rig.told("version"), "VERSION-TWO");
    drop(state);
    assert!(old.upgrade().is_none());
}

#[test]
fn compiled_code_is_kept_and_taken_only_whole() {
    let (directory, plugins) = directory(&[("one", "{}")]);
    let compiled = || {
        let files = fs::read_dir(directory.path().join("state/compiled-plugins")).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let version = || {
        let host = start(directory.path(), &plugins, &Arc::new(Metrics::new(1))).unwrap();
        told(ask(&host.chain(), &request("X-Do: version\r\n")))
    };
    assert_eq!(version(), "VERSION-ONE");
    let files = compiled();
    assert_eq!(files.len(), 1);
    let kept = fs::read(&files[0]).unwrap();
    assert_eq!(version(), "VERSION-ONE");
    assert_eq!(fs::read(&files[0]).unwrap(), kept);
    fs::write(&files[0], &kept[..kept.len() / 2]).unwrap();
    assert_eq!(version(), "VERSION-ONE");
    assert_eq!(fs::read(&files[0]).unwrap().len(), kept.len(), "it was compiled again");
}

#[test]
fn no_call_fails_while_versions_change() {
    let rig = one();
    let (stop, asked) = (AtomicBool::new(false), request("X-Do: version\r\n"));
    let versions = [BEHAVE.clone(), b"broken".to_vec(), behave_two(), BEHAVE[..1000].to_vec()];
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut seen = [0u64; 2];
            while !stop.load(Ordering::Relaxed) {
                match told(ask(&rig.host.chain(), &asked)).as_str() {
                    "VERSION-ONE" => seen[0] += 1,
                    "VERSION-TWO" => seen[1] += 1,
                    other => panic!("{other}"),
                }
            }
            seen
        });
        for round in 1..=40 {
            rig.replace("one", &versions[round % 4]);
            let state = if round % 2 == 1 { PluginState::Refused } else { PluginState::Serving };
            rig.await_state("one", state);
        }
        stop.store(true, Ordering::Relaxed);
        let seen = calls.join().unwrap();
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    });
    assert_eq!(rig.status("one").failures, 0);
    assert_eq!(rig.metric("jackfield_plugin_reloads_total{plugin=\"one\",result=\"applied\"}"), 20);
    assert!(matches!(rig.ask("nothing"), ChainAnswer::Undecided { .. }));
}
