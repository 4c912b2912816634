//! The examples do what they say, each as `run --exit` starts it.

use crate::support::example::Example;
use crate::support::wasm::component;

/// Runs an example to its end, which has to be a good one, after this many steps.
pub(super) fn all_goes_well(name: &'static str, steps: usize) {
    let example = Example::new(name);
    let (output, text) = example.shown_to_its_end();
    assert!(output.status.success() && text.contains(&format!("All {steps} steps went as they should.")), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
    if text.contains("NO REAL INTERFACES") {
        println!("SKIPPED: {name} with real interfaces: it had to run at loopback addresses (network namespaces need root)");
    }
}

#[test]
fn a_pbx_has_two_providers_with_an_interface_for_each() {
    all_goes_well("outbound-proxy", 9);
}

#[test]
fn telephones_reach_two_pbxs_by_password_and_the_one_that_answers() {
    component("failover");
    all_goes_well("inbound-proxy", 9);
}

#[test]
fn asterisk_reaches_its_provider_by_its_outbound_proxy_alone() {
    let installed = std::env::var_os("ASTERISK").is_some() || ["asterisk", "/usr/sbin/asterisk"].into_iter().any(starts);
    if !installed {
        let skipped =
            "SKIPPED: scenario::examples with Asterisk: there is none; set ASTERISK, or install it (examples/asterisk-itsp/README.md)";
        println!("{skipped}");
        eprintln!("{skipped}");
        return;
    }
    all_goes_well("asterisk-itsp", 6);
}

pub(super) fn starts(program: &str) -> bool {
    std::process::Command::new(program).arg("-V").output().is_ok()
}
