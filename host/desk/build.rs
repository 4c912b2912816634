//! Embeds the sources of the plugin SDK, so that `jackfield plugin new` works where there is no clone of this repository.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What travels, by its place in the repository. The SDK reads messages in native tests with the proxy's own parser.
const SOURCES: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/src",
    "plugin-sdk/wit",
    "plugin-sdk/macros/Cargo.toml",
    "plugin-sdk/macros/src",
    "host/proto/Cargo.toml",
    "host/proto/src",
];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let repository = variable("CARGO_MANIFEST_DIR")?.join("../..").canonicalize()?;
    let mut files = Vec::new();
    for source in SOURCES {
        let path = repository.join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&repository).map_err(io::Error::other)?;
        let _ = writeln!(list, "    ({:?}, include_str!({:?})),", name.display().to_string(), file.display().to_string());
    }
    list.push_str("]\n");
    fs::write(variable("OUT_DIR")?.join("sdk_sources.rs"), list)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.extension().is_some_and(|extension| ["rs", "wit", "toml", "lock", "md"].iter().any(|known| extension == *known)) {
        files.push(path.to_owned());
    }
    Ok(())
}
