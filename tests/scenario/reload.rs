//! New versions of a plugin, in all the ways that files change; and files that are no plugins.

use crate::support::config::Config;
use crate::support::link::Link;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wait;
use crate::support::wasm::{install, octets, with_note, with_text};

const FIRST: &str = "fixture-version-0000";
const SECOND: &str = "fixture-version-0001";

fn second_version() -> Vec<u8> {
    with_text(octets("mark"), FIRST, SECOND)
}

fn to_callee(bob: &Peer) -> Config {
    Config::new().plugin("mark", format!("next_hop = {:?}", bob.uri("bob")))
}

fn version_of_a_call(alice: &Peer, bob: &Peer, link: &Link) -> String {
    whole_call(alice, bob, &invite(alice, "sip:bob@example.test", link), link).value("X-Version")
}

fn wait_for_version(alice: &Peer, bob: &Peer, link: &Link, version: &str) {
    wait::until(&format!("call by {version}"), || (version_of_a_call(alice, bob, link) == version).then_some(()));
}

/// Runs a scenario with the first version serving.
fn with_first_version(change: impl FnOnce(&Proxy, &dyn Fn(&str), &dyn Fn() -> String)) {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    assert_eq!(version_of_a_call(&alice, &bob, &link), FIRST);
    change(&proxy, &|version| wait_for_version(&alice, &bob, &link, version), &|| version_of_a_call(&alice, &bob, &link));
}

#[test]
fn a_file_renamed_into_place_is_taken_up() {
    with_first_version(|proxy, wait_for, _| {
        install(&proxy.plugin_file("mark"), &second_version());
        wait_for(SECOND);
    });
}

#[test]
fn a_file_written_in_place_is_taken_up() {
    with_first_version(|proxy, wait_for, _| {
        std::fs::write(proxy.plugin_file("mark"), second_version()).expect("the plugin directory is writable");
        wait_for(SECOND);
    });
}

#[test]
fn a_symlink_that_points_elsewhere_is_taken_up() {
    with_first_version(|proxy, wait_for, _| {
        let (target, beside) = (proxy.file("second.wasm"), proxy.file("plugins/link.new"));
        std::fs::write(&target, second_version()).expect("the directory is writable");
        std::os::unix::fs::symlink(&target, &beside).expect("a symlink");
        std::fs::rename(&beside, proxy.plugin_file("mark")).expect("a rename within the directory");
        wait_for(SECOND);
    });
}

#[test]
fn a_deleted_file_leaves_its_version_serving_until_a_new_one_comes() {
    with_first_version(|proxy, wait_for, version_now| {
        std::fs::remove_file(proxy.plugin_file("mark")).expect("the file is there");
        proxy.logged(&["mark.wasm", "is gone"]);
        assert_eq!(version_now(), FIRST);
        install(&proxy.plugin_file("mark"), &second_version());
        wait_for(SECOND);
    });
}

#[test]
fn going_back_to_an_earlier_version_works() {
    with_first_version(|proxy, wait_for, _| {
        install(&proxy.plugin_file("mark"), &second_version());
        wait_for(SECOND);
        install(&proxy.plugin_file("mark"), &octets("mark"));
        wait_for(FIRST);
    });
}

/// Files that are no plugins, and what the log says about each.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let sound = octets("mark");
    let half = sound.get(..sound.len() / 2).expect("half of it").to_vec();
    let newer = with_text(sound, "jackfield:plugin/types@0.1.2", "jackfield:plugin/types@0.9.0");
    vec![
        ("damaged or cut short", half),
        ("no WebAssembly file", b"this is not wasm, it is a text".repeat(20)),
        ("is empty", Vec::new()),
        ("core WebAssembly module", b"\0asm\x01\0\0\0".to_vec()),
        ("not a plugin", b"\0asm\x0d\0\x01\0".to_vec()),
        ("interface", newer),
    ]
}

#[test]
fn a_broken_file_leaves_the_old_version_serving_and_says_why() {
    with_first_version(|proxy, wait_for, version_now| {
        for (why, octets) in broken() {
            install(&proxy.plugin_file("mark"), &octets);
            let line = proxy.logged(&["mark.wasm", "goes on serving", why]);
            assert_eq!(version_now(), FIRST, "{line}");
        }
        install(&proxy.plugin_file("mark"), &second_version());
        wait_for(SECOND);
    });
}

#[test]
fn a_version_whose_init_fails_is_refused() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    // The fixture `hostile` does not know the keys of `mark`, so its init fails with the table of `mark`.
    let (proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    install(&proxy.plugin_file("mark"), &octets("hostile"));
    proxy.logged(&["mark.wasm", "goes on serving", "next_hop"]);
    assert_eq!(version_of_a_call(&alice, &bob, &link), FIRST);
}

#[test]
fn a_call_keeps_the_version_that_it_began_with() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let (carol, link_of) = (scene.peer("carol"), |peer: &Peer, proxy: &Proxy| peer.to(proxy.address()));
    let (proxy, link) = start(&to_callee(&bob), &["mark"], &alice);
    alice.send(&invite(&alice, "sip:bob@example.test", &link), &link);
    let at_bob = bob.expect("INVITE");
    bob.reply(&at_bob, 180);
    assert_eq!(alice.expect_status(180).value("X-Version"), FIRST);
    install(&proxy.plugin_file("mark"), &second_version());
    wait_for_version(&carol, &bob, &link_of(&carol, &proxy), SECOND);
    bob.reply(&at_bob, 200);
    assert_eq!(alice.expect_status(200).value("X-Version"), FIRST, "on-response of the generation that routed the call");
}

#[test]
fn a_new_file_of_the_same_program_changes_nothing_for_calls() {
    with_first_version(|proxy, _, version_now| {
        let serves = || proxy.log().lines().filter(|line| line.contains("a plugin serves")).count();
        let before = serves();
        install(&proxy.plugin_file("mark"), &with_note(octets("mark"), "another hash"));
        wait::until("second announcement", || (serves() > before).then_some(()));
        assert_eq!(version_now(), FIRST);
    });
}
