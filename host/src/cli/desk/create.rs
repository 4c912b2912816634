//! `jackfield plugin new`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jackfield_desk::language::Language;

use super::super::{Exit, failed};

pub(in super::super) const HELP: &str = "\
No clone of Jackfield is needed: a plugin in Rust gets the sources of the SDK,
  the others get the interface. Then, in the new directory:
  jackfield plugin test                test it
  jackfield plugin build --to PLUGINS  build it, and hand it to a running proxy
JavaScript needs Node.js with npm, Python its module venv, C clang with lld,
  wasi-libc and compiler-rt for wasm32. The build says what is missing.";

/// The arguments.
#[derive(Debug, Args)]
pub(in super::super) struct Arguments {
    /// The plugin's name: small letters, digits and hyphens
    name: String,
    /// rust, javascript, python or c
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    language: Language,
    /// Where the new directory goes
    #[arg(long = "to", alias = "in", value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

pub(in super::super) fn run(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Arguments { name, language, parent } = arguments;
    match jackfield_desk::create::create(parent, name, *language) {
        Ok(directory) => {
            let file = match language {
                Language::Rust => "src/lib.rs",
                Language::JavaScript => "plugin.js",
                Language::Python => "plugin.py",
                Language::C => "plugin.c",
            };
            writeln!(out, "made {}: {file} is the plugin, `jackfield plugin build` in there builds it", directory.display())?;
            Ok(Exit::Good)
        }
        Err(error) => failed(&error, err),
    }
}
