//! `jackfield plugin build`: from a plugin crate to its component.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The target that makes a component without further tools.
const TARGET: &str = "wasm32-wasip2";

/// How a component begins: the magic number, version 13, layer 1. (A core module has version 1, layer 0.)
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// The name of the plugin: that of its crate.
    pub(super) name: String,
    /// Where the component lies now.
    pub(super) path: PathBuf,
    /// Its size in octets.
    pub(super) size: u64,
}

/// Builds the plugin crate in `directory`; with `to`, puts the component there as `NAME.wasm`, in one step, so that a running proxy never
/// reads half of it. The compiler's messages go to standard error.
///
/// # Errors
/// There is no plugin crate, cargo is missing or fails, or the component cannot be written.
pub(super) fn build(directory: &Path, to: Option<&Path>) -> Result<Vec<Built>> {
    ensure!(
        directory.join("Cargo.toml").is_file(),
        "there is no Cargo.toml in {}: `jackfield plugin new NAME` makes a plugin crate",
        directory.display()
    );
    add_target(directory)?;
    let made = compile(directory)?;
    ensure!(!made.is_empty(), "the crate makes no component: its Cargo.toml needs crate-type = [\"cdylib\", \"rlib\"] under [lib]");
    made.into_iter().map(|(name, path)| finish(name, path, to)).collect()
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

/// Checks that it is a component, and puts it where it was asked for.
fn finish(name: String, made: PathBuf, to: Option<&Path>) -> Result<Built> {
    let mut start = [0; 8];
    let opened = fs::File::open(&made).and_then(|mut file| file.read_exact(&mut start));
    opened.with_context(|| format!("cannot read {}", made.display()))?;
    if start != COMPONENT {
        bail!("{} is not a component", made.display());
    }
    let path = match to {
        Some(to) => install(&name, &made, to)?,
        None => made,
    };
    let size = fs::metadata(&path)?.len();
    Ok(Built { name, path, size })
}

/// Copies under a name that the proxy does not look at, then renames.
fn install(name: &str, made: &Path, to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to).with_context(|| format!("cannot make the directory {}", to.display()))?;
    let (unfinished, path) = (to.join(format!(".{name}.wasm.new")), to.join(format!("{name}.wasm")));
    let copied = fs::copy(made, &unfinished).and_then(|_| fs::rename(&unfinished, &path));
    if copied.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    copied.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
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

    #[test]
    fn component_arrives_whole_under_its_own_name_and_a_core_module_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let (made, to) = (directory.path().join("a_b.wasm"), directory.path().join("plugins"));
        fs::write(&made, [COMPONENT.as_slice(), b"rest"].concat()).unwrap();
        let built = finish("a-b".to_owned(), made.clone(), Some(&to)).unwrap();
        assert_eq!(built, Built { name: "a-b".to_owned(), path: to.join("a-b.wasm"), size: 12 });
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a-b.wasm"]);

        fs::write(&made, b"\0asm\x01\0\0\0rest").unwrap();
        assert!(finish("a-b".to_owned(), made, None).unwrap_err().to_string().ends_with("is not a component"));
    }

    #[test]
    fn directory_without_a_crate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(build(directory.path(), None).unwrap_err().to_string().starts_with("there is no Cargo.toml in"));
    }
}
