//! `jackfield plugin build`: from a plugin's directory to its component.

mod c;
pub(crate) mod javascript;
pub(crate) mod python;
mod rust;
mod watch;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::language::Language;

pub use watch::{Go, watch};

/// How a component begins: the magic number, version 13, layer 1. (A core module has version 1, layer 0.)
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Where what was made goes in a directory of another language than Rust, whose cargo has its own place.
const MADE: &str = "build";

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The name of the plugin.
    pub name: String,
    /// Where the component lies now.
    pub path: PathBuf,
    /// Its size in octets.
    pub size: u64,
}

/// Builds the plugin in `directory`; with `to`, puts the component there as `NAME.wasm`, in one step, so that a running proxy never reads
/// half of it. The messages of compilers go to standard error.
///
/// # Errors
/// There is no plugin, a tool is missing or fails, or the component cannot be written.
pub fn build(directory: &Path, to: Option<&Path>) -> Result<Vec<Built>> {
    let made = match Language::of(directory)? {
        Language::Rust => rust::build(directory)?,
        Language::JavaScript => vec![javascript::build(directory)?],
        Language::Python => vec![python::build(directory)?],
        Language::C => vec![c::build(directory)?],
    };
    made.into_iter().map(|(name, path)| finish(name, path, to)).collect()
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

/// The directory for what is made, which is made here.
fn made(directory: &Path) -> Result<PathBuf> {
    let made = directory.join(MADE);
    fs::create_dir_all(&made).with_context(|| format!("cannot make the directory {}", made.display()))?;
    Ok(made)
}

/// A name out of a project's file becomes that of a file, and so must be no path.
fn plugin_name(name: Option<&str>, file: &str, key: &str) -> Result<String> {
    let name = name.with_context(|| format!("{file} has no {key}, which is the plugin's name"))?;
    crate::create::check_name(name).with_context(|| format!("{file}: {key}"))?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_name_that_would_be_a_path_is_refused_with_its_file_and_key() {
        let error = format!("{:#}", plugin_name(Some("../x"), "package.json", "name").unwrap_err());
        assert!(error.starts_with("package.json: name: "), "{error}");
    }

    #[test]
    fn directory_without_a_plugin_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(build(directory.path(), None).unwrap_err().to_string().starts_with("there is no plugin in"));
    }
}
