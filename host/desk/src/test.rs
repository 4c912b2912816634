//! `jackfield plugin test`: the tests of the language itself, then the fixtures, through the real host.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use jackfield_plugin_host::{Metering, Workpiece};

use crate::build::{self, javascript, python};
use crate::fixture::{self, Report};
use crate::language::Language;

/// Runs the tests that the plugin's language has a place for.
///
/// # Errors
/// A test fails, or the tests cannot be run.
pub fn native(directory: &Path) -> Result<Native> {
    match Language::of(directory)? {
        Language::Rust => {
            let mut cargo = Command::new("cargo");
            crate::program::run(cargo.args(["test", "--quiet"]).current_dir(directory), "install Rust from https://rustup.rs")?;
        }
        Language::JavaScript => {
            javascript::packages(directory)?;
            crate::program::run(javascript::npm(directory).args(["test", "--silent"]), "install Node.js with npm")?;
        }
        Language::Python => {
            python::bindings(directory)?;
            let mut tests = Command::new(python::environment(directory)?.join("python"));
            tests.current_dir(directory).args(["-m", "unittest", "--quiet"]).env("PYTHONPATH", python::BINDINGS);
            crate::program::run(&mut tests, "install Python 3.10 or later")?;
        }
        Language::C => return Ok(Native::None),
    }
    Ok(Native::Passed)
}

/// What became of the tests of the language itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    /// They passed.
    Passed,
    /// There are none for this language.
    None,
}

/// Builds the plugin and runs its fixtures.
///
/// # Errors
/// It cannot be built or does not run here, or a fixture cannot be read.
pub fn fixtures(directory: &Path, cache: Option<&Path>) -> Result<Report> {
    let built = build::build(directory, None)?;
    let mut all = Report::default();
    for component in built {
        let report = of_component(directory, &component.path, &component.name, cache)?;
        all.passed += report.passed;
        all.failed.extend(report.failed);
    }
    Ok(all)
}

/// Runs the fixtures of a directory with a component that is there already.
///
/// # Errors
/// It does not run here, or a fixture cannot be read.
pub fn of_component(directory: &Path, component: &Path, name: &str, cache: Option<&Path>) -> Result<Report> {
    let octets = std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let workpiece = Workpiece::compile(&octets, cache, Metering::Off).map_err(|error| anyhow!("{} {error}", component.display()))?;
    fixture::run(directory, name, &workpiece)
}
