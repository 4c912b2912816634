//! Plugins in JavaScript: componentize-js, from npm, puts them into a component with the engine that runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What makes the component.
const COMPONENTIZE: &str = "node_modules/@bytecodealliance/componentize-js";

const NO_NODE: &str = "install Node.js 20.19 or 22.12 or later with npm, from your distribution or https://nodejs.org";

/// Installs the packages where they are missing, and runs the build script of the package.
pub(super) fn build(directory: &Path) -> Result<(String, PathBuf)> {
    let text = std::fs::read_to_string(directory.join("package.json")).context("package.json cannot be read")?;
    let package: Value = serde_json::from_str(&text).context("package.json is no JSON")?;
    let name = super::plugin_name(package["name"].as_str(), "package.json", "name")?;
    packages(directory)?;
    let made = super::made(directory)?.join(format!("{name}.wasm"));
    crate::program::run(npm(directory).args(["run", "--silent", "build"]), NO_NODE)?;
    ensure!(made.is_file(), "the script `build` of package.json made no {}", made.display());
    Ok((name, made))
}

/// Sees to it that the packages are there: in the directory, or in one above it, where Node looks as well.
pub(crate) fn packages(directory: &Path) -> Result<()> {
    let directory = directory.canonicalize().with_context(|| format!("{} cannot be found", directory.display()))?;
    if directory.ancestors().any(|above| above.join(COMPONENTIZE).is_dir()) {
        return Ok(());
    }
    // Not `npm ci`: it refuses a lock file without the parts for other systems than this one, which not every registry has. With a lock file
    // `npm install` takes the same versions and checks the same hashes.
    crate::program::run(npm(&directory).args(["install", "--no-save", "--no-audit", "--no-fund"]), NO_NODE)
}

/// npm in that directory. Programs of packages above it are found too: npm itself only adds those of the package.
pub(crate) fn npm(directory: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(directory);
    npm
}
