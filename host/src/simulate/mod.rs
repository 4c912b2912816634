//! `jackfield simulate`: messages through the configuration, the core and the plugins that would route them, with a fixed clock and fixed
//! answers of name servers. Nothing is sent, and no socket is opened.
//!
//! ```text
//! message files --(letters)---+                               +--> report: blocks of text, or JSON lines
//!                             +--> player --> engine::Simulation --> what would leave
//! capture --(traffic)---------+      ^                        +--> comparison with what the capture has
//!                                    +--(mapping: our branches, tags and tokens for those of the router that was captured)
//! ```

mod alignment;
mod comparison;
mod description;
mod letters;
mod mapping;
mod outgoing;
mod own;
mod player;
mod records;
mod replayed;
mod report;
mod script;
mod told;
mod traffic;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use jackfield_trunk::registrations::UnixTime;

use crate::config::Config;
use crate::run::stage::{self, Stage, StageOptions};

pub use outgoing::Sent;
pub use records::{Records, RecordsError};
pub use script::{Failure, Failures, failure, status};

use player::Player;
use report::Report;

/// The moment at which a simulation of message files happens if nobody says another: noon of a day long ago.
pub const NOON: UnixTime = UnixTime(1_735_732_800_000);

/// What is simulated, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files of messages, directories of them, and captures.
    pub inputs: Vec<PathBuf>,
    /// What attempts get.
    pub failures: Failures,
    /// What name servers say.
    pub records: Records,
    /// When it begins.
    pub time: Option<UnixTime>,
    /// Whose messages are taken; all if there is none.
    pub only: Option<String>,
    /// Who sends what is in message files.
    pub from: Option<SocketAddr>,
    /// The name of the listener that this comes to.
    pub to: Option<String>,
    /// Where listeners are, by their names.
    pub addresses: Vec<(String, IpAddr, Option<u16>)>,
    /// How it is printed.
    pub format: Format,
    /// Whether what would leave is compared with what has left in the capture.
    pub comparison: Comparison,
    /// The output that is expected.
    pub expected: Option<PathBuf>,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object in each line.
    Json,
}

/// Whether what would leave is compared with a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// It is.
    Wanted,
    /// It is not.
    #[default]
    None,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All was decided, and is as expected.
    Good,
    /// A plugin has failed, a decision was refused, or something is not as expected.
    Bad,
}

/// Why nothing can be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Nothing can be printed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The arguments fit neither each other nor the configuration.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be set up.
    #[error("{0:#}")]
    Stage(anyhow::Error),
    /// Something that is to be simulated cannot be read.
    #[error("{}: {why}", path.display())]
    Input {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Simulates, printing to `out` what would happen and to `err` what is to be known of that.
///
/// # Errors
/// Nothing can be simulated.
pub fn simulate(config: Config, options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> Result<Outcome, SimulateError> {
    let inputs = letters::inputs(&options.inputs)?;
    let begin = match (options.time, &inputs) {
        (Some(time), _) => time,
        (None, letters::Inputs::Capture(capture)) => capture.captured.first().map_or(NOON, |first| UnixTime(first.at / 1000)),
        (None, letters::Inputs::Letters(_)) => NOON,
    };
    let staged = StageOptions { addresses: options.addresses.clone(), records: options.records.source(), begin };
    let stage: Stage = stage::set(config, staged).map_err(SimulateError::Stage)?;
    for note in &stage.notes {
        writeln!(err, "jackfield: {note}")?;
    }
    let is_cut = match &inputs {
        letters::Inputs::Capture(capture) => notes_of(capture, err)? > 0 && options.comparison == Comparison::Wanted,
        letters::Inputs::Letters(_) => false,
    };
    let mut printed = comparison::Printed::new(out, options.expected.as_deref());
    let outcome = {
        let report = Report::new(&mut printed, options.format, stage.simulation.listeners(), begin);
        match inputs {
            letters::Inputs::Letters(letters) => Player::new(&stage, options, report).play(letters)?,
            letters::Inputs::Capture(capture) => replayed::replay(&stage, options, report, &capture, begin)?,
        }
    };
    let printed = printed.finish()?;
    options
        .records
        .unknown()
        .iter()
        .try_for_each(|name| writeln!(err, "jackfield: {name} is not among the fixed answers (--dns), so it has no address"))?;
    stage.world.refused().iter().try_for_each(|line| writeln!(err, "jackfield: {line}"))?;
    let lost = stage.world.lost() + stage.simulation.lost();
    if lost > 0 {
        writeln!(err, "jackfield: {lost} things that happened at once were too many to be printed")?;
    }
    let is_whole = !is_cut && lost == 0;
    match &options.expected {
        Some(path) if !comparison::is_expected(path, &printed, err)? => Ok(Outcome::Bad),
        _ => Ok(if !is_whole || stage.simulation.panics() > 0 || stage.hook_failures() > 0 { Outcome::Bad } else { outcome }),
    }
}

/// Says what of a capture is not simulated; gives the number of packets of which it has only the beginning.
fn notes_of(capture: &jackfield_desk::capture::Capture, err: &mut dyn Write) -> io::Result<usize> {
    let jackfield_desk::capture::Capture { packets, passed_over, cut, given_up, .. } = *capture;
    if cut > 0 {
        writeln!(
            err,
            "jackfield: the capture is not whole: of {cut} packets it has only the beginning, or it ends within one; compared with \
             --compare, that is a failure. Capture with `tcpdump -U -s 0`"
        )?;
    }
    if passed_over > 0 {
        writeln!(err, "jackfield: {passed_over} of {packets} packets hold no SIP message by themselves, and were passed over")?;
    }
    if given_up > 0 {
        writeln!(
            err,
            "jackfield: {given_up} connections were given up before their end, as there were too many at the same time; what came in them \
             later is taken from its next message on. Cut the capture with `editcap -A -B`"
        )?;
    }
    Ok(cut)
}
