//! `jackfield doctor TRUNK`: what is wrong between this machine and a provider.

mod subject;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jackfield_doctor::{Finding, Findings, Grade, Registered, Registration, examine};
use jackfield_trunk::{Origin, Table, Trunk, TrunkSettings};
use tokio::runtime::Builder;

use self::subject::{Proxy, registered, subject};
use super::table::printable;
use super::{Exit, check, load, providers};
use crate::admin::Status;
use crate::admin::client::ask;
use crate::admin::control::Request;
use crate::config::{Config, Environment, Problem, sipproxy_trunks};

/// What the command is told.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// NAME of [trunk.NAME], or the provider's host
    trunk: String,
    /// The configuration that the proxy runs with [default: that of the running proxy]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Try to register as well, with the credentials of the trunk
    #[arg(long)]
    register: bool,
    /// The address of record to register [default: the user name at the provider]
    #[arg(long, value_name = "URI", requires = "register")]
    aor: Option<String>,
    /// Round trips of each measurement
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
}

pub(super) fn doctor(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Some(file) = arguments.config.clone().or_else(of_running_proxy) else {
        writeln!(err, "jackfield: no proxy is running whose configuration could be asked for; name it with --config FILE")?;
        return Ok(Exit::Usage);
    };
    let config = match load(&file, err)? {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let registration = if arguments.register { Registration::Try } else { Registration::Leave };
    let Trunks { table, unread } = match trunks(config.clone(), &arguments.trunk, registration) {
        Ok(trunks) => trunks,
        Err(problems) => {
            check::report(&file, &problems, err)?;
            return Ok(Exit::Invalid);
        }
    };
    let Some(trunk) = find(&table, &arguments.trunk) else {
        let names: Vec<String> = table.names().iter().map(|name| printable(name)).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        writeln!(err, "jackfield: there is no trunk `{}`; there are: {there}", printable(&arguments.trunk))?;
        return Ok(Exit::Usage);
    };
    if trunk.origin != Origin::Configuration {
        let (name, origin) = (printable(&trunk.settings.name), trunk.origin);
        writeln!(out, "note  this trunk is of [sipproxy] ({origin}); a table [trunk.NAME] with provider = \"{name}\" would go before it")?;
    }
    for Problem { key, message, .. } in &unread {
        writeln!(out, "note  {}: {}; it is needed with --register only", printable(key), printable(message))?;
    }
    let running = ask::<Status>(&config.admin.control, Request::Status).ok();
    let mut subject = subject(&config, &trunk.settings, &running.as_ref().map_or(Proxy::Stopped, Proxy::Running));
    subject.count = arguments.count;
    subject.aor = arguments.aor.clone().map(Into::into);
    subject.registration = registration;
    if arguments.register && running.is_some() {
        let overview = ask(&config.admin.control, Request::Registrations);
        subject.registered = overview.map_or(Registered::Unknown, |overview| registered(&overview, &trunk.settings.name));
    }
    if subject.running.is_none() {
        writeln!(out, "note  no running proxy takes requests at UDP or TCP: what it adds to the set-up of a call is not measured")?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut printer = Printer { out, failed: None };
    let bad = runtime.block_on(examine(&subject, &mut printer));
    let Printer { out, failed } = printer;
    failed.map_or(Ok(()), Err)?;
    match bad {
        0 => {
            writeln!(out, "nothing is wrong")?;
            Ok(Exit::Good)
        }
        1 => writeln!(out, "1 thing is wrong").map(|()| Exit::Invalid),
        many => writeln!(out, "{many} things are wrong").map(|()| Exit::Invalid),
    }
}

/// The file of the proxy that runs with the default control socket.
fn of_running_proxy() -> Option<PathBuf> {
    let socket = Environment::of_process().default_control()?;
    ask::<Status>(&socket, Request::Status).ok().map(|status| status.config)
}

/// The trunks, and why a password cannot be read that is not needed.
struct Trunks {
    table: Table,
    unread: Vec<Problem>,
}

/// The trunks, with the secret of the one that is meant: those of others need not be readable, and its own only to register: it may be where
/// the service has it and a shell has not. The documents of `[sipproxy]` are asked for only where the configuration does not have the trunk.
fn trunks(mut config: Config, name: &str, registration: Registration) -> Result<Trunks, Vec<Problem>> {
    let is_meant =
        |settings: &TrunkSettings| *settings.name == *name || settings.providers.iter().any(|provider| provider.eq_ignore_ascii_case(name));
    for trunk in config.trunks.iter_mut().filter(|trunk| !is_meant(&trunk.settings)) {
        trunk.credentials = None;
    }
    let mut unread = Vec::new();
    if registration == Registration::Leave
        && let Err(problems) = config.trunks_with_accounts()
    {
        unread = problems;
        config.trunks.iter_mut().for_each(|trunk| trunk.credentials = None);
    }
    let mut trunks: Vec<_> = config.trunks_with_accounts()?.into_iter().map(|settings| (Origin::Configuration, settings)).collect();
    if !trunks.iter().any(|(_, settings)| is_meant(settings)) {
        trunks.extend(sipproxy_trunks(providers::survey(&config).documents()));
    }
    Ok(Trunks { table: Table::new(trunks), unread })
}

/// The trunk of that name, or else of that provider.
fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Arc<Trunk>> {
    table.by_name(name).or_else(|| table.by_host(name.as_bytes()))
}

/// Prints each finding as soon as it is known: some take seconds.
struct Printer<'o> {
    out: &'o mut dyn Write,
    failed: Option<io::Error>,
}

impl Findings for Printer<'_> {
    fn found(&mut self, finding: Finding) {
        if self.failed.is_none() {
            self.failed = self.print(&finding).err();
        }
    }
}

impl Printer<'_> {
    fn print(&mut self, finding: &Finding) -> io::Result<()> {
        let grade = match finding.grade {
            Grade::Good => "good",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        writeln!(self.out, "{grade}  {}", printable(&finding.what))?;
        finding.remedy.iter().try_for_each(|remedy| writeln!(self.out, "      -> {}", printable(remedy)))?;
        self.out.flush()
    }
}
