//! Plugins that were compiled against earlier versions of the interface go on working: their hooks are called through the real host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jackfield_desk::{interface, test};

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/interface")
}

/// The compiled fixtures: version of the interface, and file.
fn fixtures() -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(place()).unwrap().map(|entry| entry.unwrap().path());
    let version = |file: PathBuf| {
        let name = file.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned();
        Some((name.split('-').next()?.to_owned(), file))
    };
    files.filter_map(version).collect()
}

#[test]
fn a_plugin_of_every_released_version_is_loaded_and_its_hooks_are_called() {
    for (version, file) in fixtures() {
        let report = test::of_component(&file.with_extension(""), &file, "plugin", None).unwrap();
        assert!(report.failed.is_empty(), "{version}:\n{}", report.text());
        assert!(report.passed >= 2, "{} has hardly any fixtures", file.display());
    }
}

#[test]
fn every_version_that_the_interface_names_has_a_compiled_fixture() {
    let mut named = BTreeSet::from(["0.1.0".to_owned(), interface::version().to_owned()]);
    for (at, _) in interface::WIT.match_indices("ince 0.1.") {
        let text = interface::WIT[at + "ince ".len()..].split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap();
        named.insert(text.trim_end_matches('.').to_owned());
    }
    let have: BTreeSet<String> = fixtures().into_iter().map(|(version, _)| version).collect();
    assert!(named.len() >= 3, "{named:?}");
    assert_eq!(have, named, "tests/fixtures/interface/README.md says how to make the one that is missing");
}
