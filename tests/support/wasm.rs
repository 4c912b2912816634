//! Plugins as files: the shipped ones and the fixtures, built once, and broken or changed copies of them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

/// Where built plugins lie; they are built first if they are not there.
pub(crate) fn component(name: &str) -> PathBuf {
    let folders = ["plugins", "lab-plugins", "fixture-plugins"].map(|folder| workspace().join("target").join(folder));
    let find = || folders.iter().map(|folder| folder.join(format!("{name}.wasm"))).find(|file| file.is_file());
    if let Some(file) = find() {
        return file;
    }
    let lock = std::fs::File::create(std::env::temp_dir().join("jackfield-plugins-build.lock")).expect("a lock file");
    lock.lock().expect("a lock of it");
    if find().is_none() {
        let built = Command::new(workspace().join("plugins/build")).status().expect("plugins/build starts");
        assert!(built.success(), "plugins/build failed");
    }
    find().unwrap_or_else(|| panic!("plugins/build made no {name}.wasm"))
}

/// The octets of a built plugin.
pub(crate) fn octets(name: &str) -> Vec<u8> {
    std::fs::read(component(name)).expect("a built plugin is readable")
}

/// The same program in a file of another hash: a custom section at the end, which means nothing to anyone.
pub(crate) fn with_note(mut wasm: Vec<u8>, note: &str) -> Vec<u8> {
    let name = b"note";
    let payload = [&[u8::try_from(name.len()).expect("a short name")], name.as_slice(), note.as_bytes()].concat();
    wasm.push(0);
    let mut length = payload.len();
    while length >= 0x80 {
        wasm.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    wasm.push(u8::try_from(length).expect("seven bits"));
    wasm.extend(payload);
    wasm
}

/// Another program: a text in its data replaced by one of the same length.
pub(crate) fn with_text(mut wasm: Vec<u8>, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "a component's data cannot grow");
    let places: Vec<usize> = wasm.windows(old.len()).enumerate().filter(|(_, w)| *w == old.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the component has no text {old:?}");
    for at in places {
        wasm.splice(at..at + old.len(), new.bytes());
    }
    wasm
}

/// Puts a file in place in one step, as an operator should: written beside it, then renamed.
pub(crate) fn install(file: &Path, octets: &[u8]) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, octets).expect("the plugin directory is writable");
    std::fs::rename(&beside, file).expect("a rename within the directory");
}
