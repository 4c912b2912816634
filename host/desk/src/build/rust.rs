//! Plugins in Rust: cargo makes a component without further tools.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The target that makes a component.
const TARGET: &str = "wasm32-wasip2";

/// The components of the crate (or the workspace) in `directory`.
pub(super) fn build(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    add_target(directory)?;
    let made = compile(directory)?;
    ensure!(!made.is_empty(), "the crate makes no component: its Cargo.toml needs crate-type = [\"cdylib\", \"rlib\"] under [lib]");
    Ok(made)
}

/// Sees to it that the compiler of that directory (rust-toolchain.toml may choose another one there) has the target.
fn add_target(directory: &Path) -> Result<()> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(directory).output();
    let libraries = libraries.context("cannot run rustc: install Rust from https://rustup.rs")?;
    let path = String::from_utf8_lossy(&libraries.stdout);
    if libraries.status.success() && Path::new(path.trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(directory).status();
    let added = added.with_context(|| format!("the compiler lacks the target {TARGET}, and rustup cannot be run to add it"))?;
    ensure!(added.success(), "`rustup target add {TARGET}` failed");
    Ok(())
}

/// Runs cargo and reads from its messages which components it made: name of the package, path.
fn compile(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = Command::new("cargo")
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo: install Rust from https://rustup.rs")?;
    let mut made = Vec::new();
    if let Some(messages) = cargo.stdout.take() {
        for line in BufReader::new(messages).lines() {
            made.extend(component(&line.context("cannot read what cargo says")?));
        }
    }
    ensure!(cargo.wait()?.success(), "cargo could not build the plugin: its messages are above");
    Ok(made)
}

/// What a line of cargo's messages says of a component.
fn component(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_component =
        message["reason"] == "compiler-artifact" && message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    let path = message["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
    is_component.then(|| (package(&message).unwrap_or_else(|| stem(path)), PathBuf::from(path)))
}

/// The name of the package, which keeps the hyphens that the name of the file has lost: the last folder of its manifest's path need not
/// be it, so it is read from the package id, `path+file:///dir/NAME#0.1.0` or `path+file:///dir#NAME@0.1.0`.
fn package(message: &Value) -> Option<String> {
    let (place, fragment) = message["package_id"].as_str()?.rsplit_once('#')?;
    let name = match fragment.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next()?,
    };
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

fn stem(path: &str) -> String {
    Path::new(path).file_stem().unwrap_or_default().to_string_lossy().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_is_found_among_cargo_s_messages_with_the_hyphens_of_its_package() {
        let line = |id: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","target":{{"kind":["{kind}","rlib"]}},"filenames":["/t/liba_b.rlib","/t/a_b.wasm"]}}"#
            )
        };
        let found = |id| component(&line(id, "cdylib")).unwrap();
        assert_eq!(found("path+file:///home/x/a-b#0.1.0"), ("a-b".to_owned(), PathBuf::from("/t/a_b.wasm")));
        assert_eq!(found("path+file:///home/x/elsewhere#a-b@0.1.0").0, "a-b");
        assert_eq!(found("odd").0, "a-b");
        assert_eq!(component(&line("path+file:///x#0.1.0", "lib")), None);
        assert_eq!(component("warning: something else"), None);
        assert_eq!(component(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
