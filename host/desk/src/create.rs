//! `jackfield plugin new`: a plugin that builds anywhere. One in Rust gets the sources of the SDK with it, the others the interface.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::interface;
use crate::language::Language;

/// Sources of the SDK and of what it depends on, by their place in the repository.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk_sources.rs"));

/// The author's files: where they go, and what is in them. The plugins of `plugins/languages` are the templates; each is called
/// [`EXAMPLE`] there, and as it is asked for here.
type Template = &'static [(&'static str, &'static str)];

/// The name of the plugin that the templates are.
const EXAMPLE: &str = "by-account";

const RUST: Template = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("README.md", include_str!("template/README.md.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    (".gitignore", "/target/\n"),
];

const JAVASCRIPT: Template = &[
    ("package.json", include_str!("../../../plugins/languages/javascript/package.json")),
    ("package-lock.json", include_str!("../../../plugins/languages/javascript/package-lock.json")),
    ("README.md", include_str!("../../../plugins/languages/javascript/README.md")),
    ("plugin.js", include_str!("../../../plugins/languages/javascript/plugin.js")),
    ("plugin.test.js", include_str!("../../../plugins/languages/javascript/plugin.test.js")),
    ("wit/world.wit", include_str!("../../../plugins/languages/javascript/wit/world.wit")),
    (".gitignore", "/build/\n/node_modules/\n"),
];

const PYTHON: Template = &[
    ("pyproject.toml", include_str!("../../../plugins/languages/python/pyproject.toml")),
    ("requirements.txt", include_str!("../../../plugins/languages/python/requirements.txt")),
    ("README.md", include_str!("../../../plugins/languages/python/README.md")),
    ("plugin.py", include_str!("../../../plugins/languages/python/plugin.py")),
    ("test_plugin.py", include_str!("../../../plugins/languages/python/test_plugin.py")),
    ("wit/world.wit", include_str!("../../../plugins/languages/python/wit/world.wit")),
    (".gitignore", "/build/\n/.venv/\n__pycache__/\n"),
];

const C: Template = &[
    ("README.md", include_str!("../../../plugins/languages/c/README.md")),
    ("plugin.c", include_str!("../../../plugins/languages/c/plugin.c")),
    ("settings.h", include_str!("../../../plugins/languages/c/settings.h")),
    ("settings.c", include_str!("../../../plugins/languages/c/settings.c")),
    ("wit/world.wit", include_str!("../../../plugins/languages/c/wit/world.wit")),
    (".gitignore", "/build/\n"),
];

/// What the plugin is asked, and what it has to decide: the same in every language.
const FIXTURES: Template = &[("fixtures/routing.toml", include_str!("../../../plugins/languages/fixtures/routing.toml"))];

/// Where the sources go in a crate.
const VENDOR: &str = "vendor/jackfield-sdk";

/// The crates among the sources.
const MEMBERS: [&str; 3] = ["host/proto", "plugin-sdk", "plugin-sdk/macros"];

/// Makes the plugin `name` as a new directory of that name in `parent`, and says where.
///
/// # Errors
/// `name` cannot be that of a plugin, the directory exists, or something cannot be written.
pub fn create(parent: &Path, name: &str, language: Language) -> Result<PathBuf> {
    check_name(name)?;
    let directory = parent.join(name);
    fs::create_dir(&directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let template = match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
        Language::C => C,
    };
    for (file, text) in template.iter().chain(FIXTURES) {
        write(&directory.join(file), &text.replace(EXAMPLE, name))?;
    }
    match language {
        Language::Rust => vendor(&directory)?,
        Language::JavaScript | Language::Python | Language::C => write(&directory.join(interface::PLACE), interface::WIT)?,
    }
    Ok(directory)
}

/// Puts the sources of the SDK beside a crate.
fn vendor(directory: &Path) -> Result<()> {
    for (file, text) in SOURCES {
        match *file {
            // The plugin is built with the compiler and with the versions of crates that the proxy was built with.
            "Cargo.lock" | "rust-toolchain.toml" => write(&directory.join(file), text)?,
            "Cargo.toml" => write(&directory.join(VENDOR).join(file), &workspace(text)?)?,
            _ => write(&directory.join(VENDOR).join(file), text)?,
        }
    }
    Ok(())
}

/// A plugin's name is that of its file, of its table in the configuration, and of its crate.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let first = name.bytes().next().unwrap_or_default();
    let good = first.is_ascii_lowercase() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(
        good && !name.ends_with('-'),
        "a plugin's name begins with a small letter and has only small letters, digits and -, not \"{name}\""
    );
    // Names that Rust or the SDK has taken.
    let taken = ["jackfield", "test", "core", "std", "alloc", "self", "super", "crate", "proc-macro"];
    if taken.contains(&name) || KEYWORDS.contains(&name) {
        bail!("\"{name}\" means something in Rust: choose another name");
    }
    Ok(())
}

const KEYWORDS: [&str; 38] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum", "extern", "false",
    "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "static", "struct", "trait", "type",
];

/// The manifest of the repository, cut down to a workspace of the SDK's crates: they take versions and lints from it.
fn workspace(manifest: &str) -> Result<String> {
    let mut manifest: toml::Table = manifest.parse().context("the embedded manifest cannot be read")?;
    // Profiles are the plugin crate's matter.
    manifest.retain(|key, _| key == "workspace");
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut).context("the embedded manifest is no workspace")?;
    workspace.remove("default-members");
    workspace.insert("members".to_owned(), toml::Value::from(MEMBERS.to_vec()));
    Ok(toml::to_string(&manifest)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().context("a file has a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make the directory {}", parent.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_crate_has_all_that_its_manifests_name() {
        let parent = tempfile::tempdir().unwrap();
        let directory = create(parent.path(), "my-router", Language::Rust).unwrap();
        let manifest: toml::Table = fs::read_to_string(directory.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("my-router"));
        let sdk = directory.join(manifest["dependencies"]["jackfield-plugin-sdk"]["path"].as_str().unwrap());
        assert!(sdk.join("src/lib.rs").is_file() && sdk.join("wit/plugin.wit").is_file());

        let vendor = directory.join(VENDOR);
        let workspace: toml::Table = fs::read_to_string(vendor.join("Cargo.toml")).unwrap().parse().unwrap();
        assert!(workspace.get("profile").is_none());
        for member in workspace["workspace"]["members"].as_array().unwrap() {
            let member = vendor.join(member.as_str().unwrap());
            assert!(member.join("Cargo.toml").is_file() && member.join("src/lib.rs").is_file(), "{}", member.display());
        }
        for dependency in ["jackfield-proto", "jackfield-plugin-macros"] {
            let path = workspace["workspace"]["dependencies"][dependency]["path"].as_str().unwrap();
            assert!(MEMBERS.contains(&path), "{dependency}");
        }
        let plugin = fs::read_to_string(directory.join("src/lib.rs")).unwrap();
        assert!(plugin.contains("[plugins.my-router.config]") && !plugin.contains(EXAMPLE));
    }

    #[test]
    fn a_new_plugin_of_every_language_bears_its_name_and_has_the_interface() {
        for language in [Language::JavaScript, Language::Python, Language::C] {
            let parent = tempfile::tempdir().unwrap();
            let directory = create(parent.path(), "my-router", language).unwrap();
            assert_eq!(Language::of(&directory).unwrap(), language);
            assert_eq!(fs::read_to_string(directory.join(interface::PLACE)).unwrap(), interface::WIT);
            let world = fs::read_to_string(directory.join("wit/world.wit")).unwrap();
            assert!(world.contains("package local:my-router;") && world.contains(&format!("router@{}", interface::version())), "{world}");
            assert!(fs::read_to_string(directory.join("fixtures/routing.toml")).unwrap().contains("[[case]]"));
        }
    }

    #[test]
    fn existing_directory_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("mine")).unwrap();
        let error = create(parent.path(), "mine", Language::Rust).unwrap_err();
        assert!(error.to_string().starts_with("cannot make the directory"));
        assert_eq!(fs::read_dir(parent.path().join("mine")).unwrap().count(), 0);
    }

    #[test]
    fn names_that_cargo_would_refuse_are_refused() {
        for name in ["", "My", "1st", "a_b", "../x", "a/b", "-a", "a-", "match", "test", "jackfield"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["router", "line-match", "t2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
