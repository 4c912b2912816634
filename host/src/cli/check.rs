//! `jackfield check`: everything that is wrong with a file.

use std::io::{self, Write};
use std::path::Path;

use jackfield_transport::ServerVerification::Full;
use jackfield_transport::{About, TlsMaterial, TlsWarning};

use super::{Exit, Hooks, load, providers};
use crate::config::{Config, Listen, Problem, Severity};
use crate::keys;

pub(super) fn check(file: &Path, hooks: Hooks, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match load(file, err)? {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let mut problems = config.warnings.clone();
    problems.extend(files(&config));
    problems.extend(config.trunks_with_accounts().err().into_iter().flatten());
    problems.extend(config.check_users());
    problems.extend((hooks.check_plugins)(&config));
    let survey = providers::survey(&config);
    problems.extend(survey.problems.iter().cloned());
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if !problems.is_empty() {
        report(file, &problems, err)?;
    }
    for (place, problems) in &survey.findings {
        report(place, problems, err)?;
    }
    let of_documents = survey.findings.iter().flat_map(|(_, problems)| problems);
    if problems.iter().chain(of_documents).any(|problem| problem.severity == Severity::Error) {
        survey.print(&config, out)?;
        return Ok(Exit::Invalid);
    }
    let plugins = match config.plugins.chain.as_slice() {
        [] => "no plugins".to_owned(),
        chain => format!("plugins {}", chain.join(", ")),
    };
    let listeners: Vec<_> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    writeln!(out, "{}: good; listeners {}; {plugins}", file.display(), listeners.join(", "))?;
    survey.print(&config, out)?;
    Ok(Exit::Good)
}

/// Prints problems, one in a line, and their number.
pub(super) fn report(file: &Path, problems: &[Problem], err: &mut dyn Write) -> io::Result<()> {
    for problem in problems {
        writeln!(err, "{}", problem.display(file))?;
    }
    let warnings = problems.iter().filter(|problem| problem.severity == Severity::Warning).count();
    writeln!(err, "{}: {}, {}", file.display(), counted(problems.len() - warnings, "error"), counted(warnings, "warning"))
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What is wrong with certificates and keys.
fn certificates(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for listen in &config.listen {
        let Some(files) = &listen.tls else { continue };
        match TlsMaterial::load(files) {
            Ok(material) => {
                // That servers are not verified is what the file says, and has been warned about.
                let warnings = material.warnings().iter().filter(|warning| warning.about != About::Whole || files.verify_server == Full);
                let warning = |warning: &TlsWarning| config.problem(Severity::Warning, &key(listen, warning.about), warning.to_string());
                problems.extend(warnings.map(warning));
            }
            Err(error) => problems.push(config.problem(Severity::Error, &key(listen, error.about), error.to_string())),
        }
    }
    problems
}

fn key(listen: &Listen, about: About) -> String {
    let key = match about {
        About::Certificate(0) => "tls.certificate".to_owned(),
        About::Certificate(index) => format!("tls.also[{}].certificate", index - 1),
        About::Key(0) => "tls.key".to_owned(),
        About::Key(index) => format!("tls.also[{}].key", index - 1),
        About::ClientCa => "tls.client-ca".to_owned(),
        About::ServerCa => "tls.server-ca".to_owned(),
        About::Whole => "tls".to_owned(),
    };
    listen.key(&key)
}

/// What the files say that the configuration names.
fn files(config: &Config) -> Vec<Problem> {
    let mut problems = certificates(config);
    if let Some(secret) = &config.token_keys {
        let fault = keys::key_ring(config).err();
        problems.extend(fault.map(|fault| config.problem(Severity::Error, secret.token_key(), fault.to_string())));
    }
    let Some(directory) = &config.plugins.directory else { return problems };
    if !directory.is_dir() {
        let message = format!("there is no directory {}; plugins are loaded once it is there", directory.display());
        problems.push(config.problem(Severity::Warning, "plugins.directory", message));
        return problems;
    }
    for (index, name) in config.plugins.chain.iter().enumerate() {
        let file = directory.join(name).with_extension("wasm");
        if !file.exists() {
            let message = format!("there is no file {}; until it is there, on-error answers for this plugin", file.display());
            problems.push(config.problem(Severity::Warning, &format!("plugins.chain[{index}]"), message));
        }
    }
    problems
}
