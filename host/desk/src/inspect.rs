//! `jackfield plugin inspect`: what a component is, without a configuration for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use jackfield_plugin_host::settings::Plugin;
use jackfield_plugin_host::{Metering, Workpiece, WorkpieceError};
use serde::Serialize;
use sha2::Digest as _;
use wasmparser::{KnownCustom, Parser, Payload};

use crate::interface;

/// Octets of a file that are read: what the host takes as a plugin.
const FILE_MAX: u64 = 64 << 20;

const PACKAGE: &str = "jackfield:plugin/";

/// The services that need a grant, and how the line of the configuration gives it.
const GRANTS: [(&str, &str); 6] = [
    ("kv", "kv = [\"BUCKET\"]"),
    ("tables", "tables = [\"TABLE\"]"),
    ("http", "http = [\"https://HOST/PATH/\"]"),
    ("dns", "dns = true"),
    ("timers", "timers = true"),
    ("state", "state = true"),
];

/// What there is to say about a component.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Its octets.
    pub size: u64,
    /// SHA-256 of them, in hexadecimal.
    pub sha256: String,
    /// The version of the plugin interface that it is built for; none if it uses none of it.
    pub interface: Option<String>,
    /// The hooks that it exports.
    pub hooks: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The lines that the configuration needs for it.
    pub grants: Vec<String>,
    /// Languages and tools, as it says itself.
    pub producers: BTreeMap<String, BTreeSet<String>>,
    /// Whether this host can run it.
    pub fit: Fit,
}

/// Whether this host can run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// It can, and the plugin has subscribed to these hooks with the configuration given.
    Fits(Vec<String>),
    /// It can, but the plugin refuses to start with the configuration given.
    Refuses(String),
    /// It cannot.
    No(String),
}

/// Looks into a file, and tries whether the host can run it with these settings.
///
/// # Errors
/// The file cannot be read.
pub fn inspect(file: &Path, settings: &Plugin) -> Result<Inspection> {
    let name = crate::settings::name(file);
    inspect_with(file, |octets| fit(octets, &name, settings).unwrap_or_else(Fit::from))
}

fn fit(octets: &[u8], name: &str, settings: &Plugin) -> Result<Fit, WorkpieceError> {
    let services = crate::fixture::nothing_given().map_err(|error| WorkpieceError::Unfit(error.to_string()))?;
    let trial = Workpiece::compile(octets, None, Metering::Off)?.trial(name, settings, services)?;
    Ok(Fit::Fits(trial.hooks().into_iter().map(str::to_owned).collect()))
}

impl From<WorkpieceError> for Fit {
    fn from(error: WorkpieceError) -> Self {
        match error {
            WorkpieceError::Unfit(why) => Self::No(why),
            WorkpieceError::Refused(why) => Self::Refuses(why),
        }
    }
}

/// Looks into a file, and then asks `load` whether the host can run it.
fn inspect_with(file: &Path, load: impl FnOnce(&[u8]) -> Fit) -> Result<Inspection> {
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    ensure!(size <= FILE_MAX, "{} has {size} octets, more than the {FILE_MAX} that a plugin may have", file.display());
    let octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let seen = look(&octets);
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let services: BTreeSet<&str> = seen.imports.iter().filter_map(|import| ours(import)).map(|(interface, _)| interface).collect();
    let grants = GRANTS.iter().filter(|(service, _)| services.contains(service)).map(|(_, line)| *line);
    let grants: Vec<&str> = grants.collect();
    Ok(Inspection {
        file: file.to_owned(),
        size,
        sha256: sha2::Sha256::digest(&octets).iter().map(|octet| format!("{octet:02x}")).collect(),
        interface: seen.imports.iter().chain(&seen.exports).filter_map(|name| ours(name)).map(|(_, version)| version.to_owned()).max(),
        hooks: seen
            .exports
            .iter()
            .filter_map(|name| ours(name))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.starts_with("on-"))
            .collect(),
        grants: if grants.is_empty() {
            Vec::new()
        } else {
            vec![format!("[plugins.{name}]"), format!("grant = {{ {} }}", grants.join(", "))]
        },
        imports: seen.imports,
        producers: seen.producers,
        fit: load(&octets),
    })
}

/// Name and version of an interface of ours.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

#[derive(Default)]
struct Seen {
    imports: Vec<String>,
    exports: Vec<String>,
    producers: BTreeMap<String, BTreeSet<String>>,
}

/// What a file says of itself, as far as it can be read: one that is damaged is refused when it is loaded, which says so.
fn look(octets: &[u8]) -> Seen {
    let (mut seen, mut depth) = (Seen::default(), 0usize);
    for payload in Parser::new(0).parse_all(octets) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                seen.imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
            }
            Ok(Payload::ComponentExportSection(section)) if depth == 0 => {
                seen.exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
            }
            Ok(Payload::CustomSection(section)) => {
                if let KnownCustom::Producers(fields) = section.as_known() {
                    produced(&mut seen.producers, fields);
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    seen
}

/// Names in custom sections are anybody's words: short ones are kept, and few.
fn produced(producers: &mut BTreeMap<String, BTreeSet<String>>, fields: wasmparser::ProducersSectionReader<'_>) {
    const NAMES: usize = 32;
    const LENGTH: usize = 100;
    for field in fields.into_iter().flatten() {
        let of = producers.entry(field.name.to_owned()).or_default();
        for value in field.values.into_iter().flatten() {
            let text = format!("{} {}", value.name, value.version);
            if of.len() < NAMES && text.len() <= LENGTH {
                of.insert(text.trim_end().to_owned());
            }
        }
    }
}

impl Inspection {
    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("file       {} ({} octets)", self.file.display(), self.size),
            format!("sha256     {}", self.sha256),
            format!("interface  {} (this host has {})", self.interface.as_deref().unwrap_or("none"), interface::version()),
            format!("hooks      {}", listed(&self.hooks)),
        ];
        let (own, others): (Vec<_>, Vec<_>) = self.imports.iter().cloned().partition(|import| ours(import).is_some());
        let own: Vec<String> = own.iter().filter_map(|import| ours(import)).map(|(name, _)| name.to_owned()).collect();
        lines.push(format!("imports    {}", listed(&own)));
        if !others.is_empty() {
            lines.push(format!("and        {}", listed(&others)));
        }
        lines.push(match self.grants.as_slice() {
            [] => "grants     none needed".to_owned(),
            [head, rest @ ..] => format!("grants     {head}\n           {}", rest.join("\n           ")),
        });
        lines
            .extend(self.producers.iter().map(|(kind, names)| format!("{kind:9}  {}", listed(&names.iter().cloned().collect::<Vec<_>>()))));
        lines.push(match &self.fit {
            Fit::Fits(hooks) => format!("fits       yes; it has subscribed to {}", listed(hooks)),
            Fit::Refuses(why) => format!("fits       yes, but it {why}\n           (--config FILE gives it a configuration)"),
            Fit::No(why) => format!("fits       no: it {why}"),
        });
        lines.join("\n") + "\n"
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
