//! Plugins in Python: componentize-py, from PyPI, puts them into a component with the interpreter that runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::interface::WORLD;

const NO_PYTHON: &str = "install Python 3.10 or later, with its module venv";

/// Where the modules are that `plugin.py` imports, in the plugin's directory.
pub(crate) const BINDINGS: &str = "build/bindings";

/// The module that the component is made of.
const MODULE: &str = "plugin";

/// Makes the virtual environment where it is missing, and the component.
pub(super) fn build(directory: &Path) -> Result<(String, PathBuf)> {
    let text = std::fs::read_to_string(directory.join("pyproject.toml")).context("pyproject.toml cannot be read")?;
    let project: toml::Table = text.parse().context("pyproject.toml is no TOML")?;
    let name = project.get("project").and_then(|project| project.get("name")).and_then(toml::Value::as_str);
    let name = super::plugin_name(name, "pyproject.toml", "project.name")?;
    let made = super::made(directory)?.join(format!("{name}.wasm"));
    let mut componentize = Command::new(environment(directory)?.join("componentize-py"));
    componentize.current_dir(directory).args(["-q", "-d", "wit", "-w", WORLD, "componentize", MODULE]);
    // The interpreter imports files and sockets otherwise, which no plugin gets. The path: nothing of the machine's own Python.
    componentize.args(["--stub-wasi", "-p", ".", "-o"]).arg(format!("{}/{name}.wasm", super::MADE));
    crate::program::run(componentize.env_remove("VIRTUAL_ENV"), NO_PYTHON)?;
    Ok((name, made))
}

/// Where the programs of the environment are that has what requirements.txt names: the one that is active, if it has them, else `.venv`.
pub(crate) fn environment(directory: &Path) -> Result<PathBuf> {
    let active = std::env::var_os("VIRTUAL_ENV").map(|environment| PathBuf::from(environment).join("bin"));
    if let Some(active) = active.filter(|programs| programs.join("componentize-py").is_file()) {
        return Ok(active);
    }
    let directory = directory.canonicalize().with_context(|| format!("{} cannot be found", directory.display()))?;
    let programs = directory.join(".venv/bin");
    if !programs.join("componentize-py").is_file() {
        crate::program::run(Command::new("python3").args(["-m", "venv", ".venv"]).current_dir(&directory), NO_PYTHON)?;
        let mut pip = Command::new(programs.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]).current_dir(&directory);
        crate::program::run(&mut pip, NO_PYTHON)?;
    }
    Ok(programs)
}

/// Writes the modules that `plugin.py` imports, for tests outside of a component and for editors.
pub(crate) fn bindings(directory: &Path) -> Result<()> {
    super::made(directory)?;
    let place = directory.join(BINDINGS);
    if place.exists() {
        std::fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
    }
    let mut componentize = Command::new(environment(directory)?.join("componentize-py"));
    componentize.current_dir(directory).args(["-q", "-d", "wit", "-w", WORLD, "bindings", BINDINGS]);
    crate::program::run(&mut componentize, NO_PYTHON)
}
