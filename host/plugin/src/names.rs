//! Plugins as they lie in their directory.

use std::fs;
use std::io;
use std::path::Path;

/// The names of the plugins in a directory: its `*.wasm` files.
pub(super) fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".wasm")?.to_owned()))
        .filter(|name| !name.is_empty() && !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_by_its_file() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", ".wasm", ".hidden.wasm", "notes.txt", "a.wasm.new"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(names_in(directory.path()).unwrap(), ["a", "b"]);
    }
}
