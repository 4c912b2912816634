//! The `jackfield` command.

use std::process::ExitCode;

use jackfield_host::cli::{self, Hooks};
use jackfield_host::run;

fn main() -> ExitCode {
    cli::main(Hooks { run: run::run, check_plugins: run::check_plugins })
}
