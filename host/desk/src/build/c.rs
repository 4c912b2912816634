//! Plugins in C: this program makes the bindings and wraps what clang makes of them into a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::{Resolve, WorldId};

use crate::interface::WORLD;

const NO_CLANG: &str = "install clang with lld, wasi-libc and compiler-rt for wasm32 (Debian: clang lld wasi-libc libclang-rt-dev-wasm32)";

/// Flags that leave out what a plugin does not get: it is a library, its stack lies where an overflow traps, and a check of a bound that
/// the compiler can prove costs nothing.
const FLAGS: [&str; 9] = [
    "--target=wasm32-wasi",
    "-mexec-model=reactor",
    "-Oz",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wl,--strip-all",
    "-fno-exceptions",
];

/// Compiles every `.c` file of the directory with the bindings of its world.
pub(super) fn build(directory: &Path) -> Result<(String, PathBuf)> {
    let (mut resolve, world, name) = world(directory)?;
    let made = super::made(directory)?;
    bindings(&mut resolve, world, &made)?;
    let sources = sources(directory)?;
    let module = made.join(format!("{name}.module.wasm"));
    let mut clang = Command::new(std::env::var_os("JACKFIELD_CLANG").unwrap_or_else(|| "clang".into()));
    clang.args(FLAGS).arg("-I").arg(&made).args(&sources);
    clang.arg(made.join(format!("{WORLD}.c"))).arg(made.join(format!("{WORLD}_component_type.o"))).arg("-o").arg(&module);
    crate::program::run(&mut clang, NO_CLANG)?;
    let component = componentize(&fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?)?;
    let path = made.join(format!("{name}.wasm"));
    fs::write(&path, component).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((name, path))
}

/// The world in `wit/`, and the plugin's name, which is that of the WIT package.
fn world(directory: &Path) -> Result<(Resolve, WorldId, String)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory.join("wit")).context("the interface in wit/ cannot be read")?;
    let world = resolve.select_world(&[package], Some(WORLD)).with_context(|| format!("wit/ has no world `{WORLD}`"))?;
    let name = resolve.packages.get(package).map(|package| package.name.name.clone());
    Ok((resolve, world, super::plugin_name(name.as_deref(), "wit/world.wit", "package")?))
}

/// Writes `plugin.h`, `plugin.c` and the object file that carries the types of the world.
fn bindings(resolve: &mut Resolve, world: WorldId, made: &Path) -> Result<()> {
    // Handles that the host lends end with the call: a plugin that forgets to give one back would trap.
    let options = wit_bindgen_c::Opts { autodrop_borrows: wit_bindgen_c::Enabled::Yes, ..Default::default() };
    let mut files = Files::default();
    options.build().generate(resolve, world, &mut files).map_err(|error| anyhow!("no bindings for the world in wit/: {error:#}"))?;
    for (name, octets) in files.iter() {
        let path = made.join(name);
        fs::write(&path, octets).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut sources: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    sources.sort();
    ensure!(!sources.is_empty(), "there is no C file in {}", directory.display());
    Ok(sources)
}

fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        let text = format!("{error:#}");
        let hint = if text.contains("wasi_snapshot_preview1") {
            "; a plugin has no files, no standard output and no clock of the C library: leave out printf, fopen, time, exit and the like, \
             and write to the log with jackfield_plugin_log_write"
        } else {
            ""
        };
        anyhow!("what clang made cannot become a component: {text}{hint}")
    })
}
