//! The command line.

mod check;
mod desk;
mod doctor;
mod explain;
mod hash_password;
mod media;
mod plugin_change;
mod providers;
mod record;
mod registrations;
mod replay;
mod simulate;
mod status;
mod table;
mod trunks;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jackfield_auth::Hash;

use crate::admin::PluginChange;
use crate::config::{Config, LoadError, Problem};
use crate::keys::{self, Rotated};
use crate::logging::Logging;

/// What the command line starts but does not know.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Runs the proxy until it is told to end.
    pub run: fn(Config, Logging) -> anyhow::Result<()>,
    /// Checks the plugin files that a configuration names.
    pub check_plugins: fn(&Config) -> Vec<Problem>,
}

/// How a command ended, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Good = 0,
    /// 1: something in the file is wrong.
    Invalid = 1,
    /// 2: the arguments are wrong, or the file cannot be read.
    Usage = 2,
    /// 3: the proxy could not start or broke down, none answers, or a plugin could not be made or built.
    Failed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

const EXAMPLES: &str = "\
Examples:
  jackfield check jackfield.toml             say all that is wrong with a file
  jackfield run jackfield.toml               run the proxy
  jackfield status --config jackfield.toml   see what it is doing
  jackfield trunks --config jackfield.toml   see how its providers are
  jackfield doctor TRUNK                     see what is wrong with a provider
  jackfield plugin status --socket PATH      see its plugins

Exit status:
  0  all is well
  1  something in the configuration is wrong
  2  the arguments are wrong, or the file cannot be read
  3  the proxy could not start, none answers, or a plugin could not be built";

const RUN_HELP: &str = "\
Signals:
  SIGTERM, SIGINT  take no new calls, let running transactions finish, end;
                   a second one: end now
  SIGHUP           read the file again; a file with errors changes nothing

The log goes to standard error. RUST_LOG overrides the level of the file.";

const ROTATE_HELP: &str = "\
The first key signs and all verify, so calls and registrations go on.
Three older keys are kept. A running proxy takes the file up on SIGHUP.
Where several proxies share the file, give it to all of them first.
Keys of token-key-env are replaced where the proxy is started from.";

const HASH_HELP: &str = "\
The first line of standard input is the password; a terminal is asked for it.
The lines go into the file that users-file of [auth.NAME] names:
  jackfield hash-password alice --realm example.com < password >> phones.users
They are good for this realm only, but there as good as the password.
Let nobody else read the file.";

const PROMOTE_HELP: &str = "\
A candidate is a changed file that does not serve yet: with change = \"shadow\"
it decides about copies of calls, with \"canary\" about a share of them.
It is on probation then, as every version that begins to serve.";

const ROLLBACK_HELP: &str = "\
The file is not loaded again until its content changes, or the proxy is started
anew. Calls that are up keep the version that they began with.";

const DOCTOR_HELP: &str = "\
It looks at configuration, names, interfaces, connections and certificates,
OPTIONS, REGISTER, and the time that a running proxy adds to a call's set-up.
Below each line that begins with BAD stands what to do about it.
It sends as the proxy would, and only to where the trunk leads.

With --register it asks what is registered there, which changes nothing.
Only where nobody is, it makes a registration of its own, for a moment.
A running proxy has to know of none, or else --aor has to say whose it is.

Exit status:
  0  nothing is wrong
  1  something is, or the configuration has errors
  2  the arguments are wrong, or the file cannot be read";

const CHECK_HELP: &str = "\
Every fault is one line on standard error, FILE:LINE:COLUMN: KEY: what and why:
  jackfield.toml:2:1: domain: unknown key; did you mean `domains`?
Consul is asked once, where [sipproxy] names it. Each trunk has a row then:
FROM says where it stands, INSTEAD OF says what it overrides.

Exit status:
  0  the proxy would run with this file; there may be warnings
  1  the file, or a plugin or document that it names, has errors
  2  the arguments are wrong, or the file cannot be read";

/// Routes SIP calls by WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    #[command(after_help = RUN_HELP)]
    Run {
        /// The configuration, a TOML file
        file: PathBuf,
    },
    /// Say all that is wrong with a configuration file and its plugins
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The configuration, a TOML file
        file: PathBuf,
    },
    /// Show what a running proxy is doing
    Status(Running),
    /// Show what is registered at providers through a running proxy
    Registrations(Running),
    /// Show the trunks of a running proxy, and how they are
    Trunks(Running),
    /// Show the media relays of a running proxy, and how they are
    Media(Running),
    /// Show what happened to a call, event by event
    Explain(explain::Arguments),
    /// Record what plugins are given and decide, for `replay`
    #[command(subcommand, arg_required_else_help = true)]
    Record(record::RecordCommand),
    /// Say which recorded calls a new version of a plugin would decide otherwise
    #[command(after_help = replay::HELP)]
    Replay(replay::Arguments),
    /// Say what is wrong on the way to a provider, and what to do
    #[command(after_help = DOCTOR_HELP)]
    Doctor(doctor::Arguments),
    /// Show what would become of messages and captures, and send nothing
    #[command(after_help = simulate::HELP)]
    Simulate(simulate::Arguments),
    /// Put a new key before those of the tokens in Record-Route, Path and Contact
    #[command(after_help = ROTATE_HELP)]
    RotateKey {
        /// The configuration that the proxy runs with
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print the lines of a user for a users file
    #[command(after_help = HASH_HELP)]
    HashPassword {
        /// The user's name
        name: String,
        /// The realm: that of [auth.NAME]
        #[arg(long)]
        realm: String,
        /// MD5, SHA-256 or SHA-512-256; may be repeated [default: SHA-256 and MD5]
        #[arg(long = "algorithm", value_name = "ALGORITHM", value_parser = hash_function)]
        algorithms: Vec<Hash>,
    },
    /// Make and build plugins, and show those of a running proxy
    #[command(subcommand, arg_required_else_help = true)]
    Plugin(PluginCommand),
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Make a plugin in a new directory
    #[command(after_help = desk::create::HELP)]
    New(desk::create::Arguments),
    /// Build a plugin into its component, NAME.wasm
    Build(desk::build::Arguments),
    /// Test a plugin: the tests of its language, then fixtures through the host
    #[command(after_help = desk::test::HELP)]
    Test(desk::test::Arguments),
    /// Say what a component is, what it needs, and whether it fits this host
    #[command(after_help = desk::inspect::HELP)]
    Inspect(desk::inspect::Arguments),
    /// Measure what a call of a plugin costs
    Bench(desk::bench::Arguments),
    /// Show the plugins of a running proxy, or all there is to know of one
    Status {
        /// The plugin
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Show the calls that its candidate in the shadow would have decided otherwise
        #[arg(long, requires = "name")]
        differences: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Let the candidate of a plugin serve
    #[command(after_help = PROMOTE_HELP)]
    Promote {
        /// The plugin
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Go back to the version of a plugin before the one that serves, or give its candidate up
    #[command(after_help = ROLLBACK_HELP)]
    Rollback {
        /// The plugin
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        running: Running,
    },
}

/// Which running proxy is asked, and how the answer is printed.
#[derive(Debug, Args)]
struct Running {
    /// The configuration that the proxy runs with [default: one that sets neither state-directory nor admin.control]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket itself
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads the arguments of this process and does what they say.
pub fn main(hooks: Hooks) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output with status 0, a fault to standard error with status 2; one that is closed cannot be told.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Good.into() };
        }
    };
    // A reader that has gone, as in `jackfield status | head -1`, is no fault of ours.
    execute(cli, hooks, &mut io::stdout().lock(), &mut io::stderr()).map_or(ExitCode::SUCCESS, ExitCode::from)
}

/// Does what the arguments say, printing to `out` and `err`.
///
/// # Errors
/// `out` or `err` cannot be written.
pub fn execute(cli: Cli, hooks: Hooks, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    match cli.command {
        Command::Run { file } => run(&file, hooks, err),
        Command::Check { file } => check::check(&file, hooks, out, err),
        Command::Status(running) => status::status(&running, out, err),
        Command::Registrations(running) => registrations::registrations(&running, out, err),
        Command::Trunks(running) => trunks::trunks(&running, out, err),
        Command::Media(running) => media::media(&running, out, err),
        Command::Explain(arguments) => explain::explain(&arguments, out, err),
        Command::Record(command) => record::record(&command, out, err),
        Command::Replay(arguments) => replay::run(&arguments, out, err),
        Command::Doctor(arguments) => doctor::doctor(&arguments, out, err),
        Command::Simulate(arguments) => simulate::run(arguments, out, err),
        Command::RotateKey { config } => rotate_key(&config, out, err),
        Command::HashPassword { name, realm, algorithms } => {
            let hashes = if algorithms.is_empty() { vec![Hash::Sha256, Hash::Md5] } else { algorithms };
            let _hidden = hash_password::prompt(&name, err)?;
            hash_password::hash_password(&name, &realm, &hashes, io::stdin().lock(), out, err)
        }
        Command::Plugin(PluginCommand::New(arguments)) => desk::create::run(&arguments, out, err),
        Command::Plugin(PluginCommand::Build(arguments)) => desk::build::run(&arguments, out, err),
        Command::Plugin(PluginCommand::Test(arguments)) => desk::test::run(&arguments, out, err),
        Command::Plugin(PluginCommand::Inspect(arguments)) => desk::inspect::run(&arguments, out, err),
        Command::Plugin(PluginCommand::Bench(arguments)) => desk::bench::run(&arguments, out, err),
        Command::Plugin(PluginCommand::Status { name: None, running, .. }) => status::plugin_status(&running, out, err),
        Command::Plugin(PluginCommand::Status { name: Some(name), differences: true, running }) => {
            plugin_change::differences(&running, name, out, err)
        }
        Command::Plugin(PluginCommand::Status { name: Some(name), differences: false, running }) => {
            plugin_change::one(&running, &name, out, err)
        }
        Command::Plugin(PluginCommand::Promote { name, running }) => plugin_change::change(&running, name, PluginChange::Promote, out, err),
        Command::Plugin(PluginCommand::Rollback { name, running }) => {
            plugin_change::change(&running, name, PluginChange::RollBack, out, err)
        }
    }
}

fn hash_function(name: &str) -> Result<Hash, String> {
    let names = Hash::ALL.map(Hash::name).join(", ");
    Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name)).ok_or_else(|| format!("it is one of {names}"))
}

fn run(file: &Path, hooks: Hooks, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match load(file, err)? {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let logging = match Logging::start(&config.log) {
        Ok(logging) => logging,
        Err(error) => {
            writeln!(err, "jackfield: {error}")?;
            return Ok(Exit::Usage);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{}", warning.display(file));
    }
    match (hooks.run)(config, logging) {
        Ok(()) => Ok(Exit::Good),
        // The log has ended with the run, and has been written out.
        Err(error) => failed(&error, err),
    }
}

fn rotate_key(file: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match load(file, err)? {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    match keys::rotate(&config) {
        Ok(Rotated { path, older }) => {
            let kept = if older == 1 { "the key before it is".to_owned() } else { format!("the {older} keys before it are") };
            writeln!(out, "{}: a new key is first, {kept} kept; a running proxy takes it up on SIGHUP", path.display())?;
            Ok(Exit::Good)
        }
        Err(error) => failed(&error.into(), err),
    }
}

fn failed(error: &anyhow::Error, err: &mut dyn Write) -> io::Result<Exit> {
    writeln!(err, "jackfield: {error:#}")?;
    Ok(Exit::Failed)
}

/// The configuration, or the exit status after all that is wrong with it has been printed.
fn load(file: &Path, err: &mut dyn Write) -> io::Result<Result<Config, Exit>> {
    match Config::load(file) {
        Ok(config) => Ok(Ok(config)),
        Err(error @ LoadError::Unreadable { .. }) => {
            writeln!(err, "jackfield: {error}")?;
            Ok(Err(Exit::Usage))
        }
        Err(LoadError::Invalid { file, problems }) => {
            check::report(&file, &problems, err)?;
            Ok(Err(Exit::Invalid))
        }
    }
}

#[cfg(test)]
mod tests;
