//! The `jackfield` command.

use std::process::ExitCode;

use jackfield_host::cli::{self, Hooks};
use jackfield_host::run;
use mimalloc::MiMalloc;

/// A call costs some dozen small allocations that are freed by whichever worker ends it; the system's allocator spends a tenth of the
/// whole call on them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main(Hooks { run: run::run, check_plugins: run::check_plugins })
}
