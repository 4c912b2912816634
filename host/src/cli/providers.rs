//! `jackfield check`: what the documents of `[sipproxy]` say, and where the trunk of each provider stands.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jackfield_sipproxy::{ConsulSettings, Document, Documents, Entry, Faults, Found, Said, ask_once, read_file};
use jackfield_trunk::{Origin, Table, Trunk, Way};

use super::table::{duration, printable, table};
use crate::config::{Config, Problem, Severity, sipproxy_trunks};

/// How long Consul may take. A start waits no longer either.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Default)]
pub(super) struct Survey {
    /// The good documents.
    documents: Documents,
    /// What is wrong with the sources, at the keys of the configuration.
    pub(super) problems: Vec<Problem>,
    /// What is wrong with the documents, by the file or the key that they are in.
    pub(super) findings: Vec<(PathBuf, Vec<Problem>)>,
}

/// Reads the file, and asks Consul once.
pub(super) fn survey(config: &Config) -> Survey {
    let mut survey = Survey::default();
    if let Some(file) = &config.sipproxy.file {
        survey.file(config, file);
    }
    if let Some(consul) = &config.sipproxy.consul {
        survey.consul(config, consul);
    }
    let table = survey.table(config);
    let doubts: Vec<_> = survey.documents.entries().map(|(origin, entry)| (origin, doubts(config, entry, table.names()))).collect();
    for (origin, problems) in doubts.into_iter().filter(|(_, problems)| !problems.is_empty()) {
        let place = place(config, origin);
        match survey.findings.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => known.extend(problems),
            None => survey.findings.push((place, problems)),
        }
    }
    survey
}

impl Survey {
    /// The good documents.
    pub(super) fn documents(&self) -> &Documents {
        &self.documents
    }

    fn file(&mut self, config: &Config, file: &Path) {
        let problem = match read_file(file) {
            Ok(octets) => match Document::parse(&octets) {
                Ok(document) => return self.documents.file = Some(good(document)),
                Err(faults) => return self.findings.push((file.to_owned(), problems(&faults))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (Severity::Warning, format!("there is no file {}; it is taken once it is there", file.display()))
            }
            Err(error) => (Severity::Error, format!("cannot read {}: {error}", file.display())),
        };
        self.problems.push(config.problem(problem.0, "sipproxy.file", problem.1));
    }

    fn consul(&mut self, config: &Config, consul: &ConsulSettings) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = runtime.map(|runtime| runtime.block_on(ask_once(consul, PATIENCE)));
        let why = match asked {
            Ok(Ok(Found::Document(document))) => return self.documents.consul = Some(good(document)),
            Ok(Ok(Found::Refused(faults))) => {
                self.findings.push((place(config, jackfield_sipproxy::Origin::Consul), problems(&faults)));
                self.kept(config);
                return;
            }
            Ok(Ok(Found::Nothing)) => format!("there is no key `{}`, or the token may not read it", consul.key),
            Ok(Err(error)) => format!("Consul at {} could not be asked: {}", consul.url, printable(&error.to_string())),
            Err(error) => format!("Consul could not be asked: {error}"),
        };
        let kept = self.kept(config);
        self.problems.push(config.problem(Severity::Warning, "sipproxy.consul", format!("{why}; {kept}")));
    }

    /// What a start goes by as long as Consul says nothing.
    fn kept(&mut self, config: &Config) -> String {
        match config.sipproxy_settings().kept() {
            Ok(Some(kept)) => {
                let age = kept.written.elapsed().unwrap_or_default().as_secs();
                let providers = kept.document.entries.len();
                self.documents.consul = Some(Said { from_disk: Some(kept.written), ..good(kept.document) });
                format!("what it said {} ago holds (providers: {providers})", duration(age))
            }
            Ok(None) => "nothing was kept of it".to_owned(),
            Err(error) => format!("what was kept of it cannot be read: {}", printable(&error.to_string())),
        }
    }

    fn table(&self, config: &Config) -> Table {
        let own = config.trunks.iter().map(|trunk| (Origin::Configuration, trunk.settings.clone()));
        Table::new(own.chain(sipproxy_trunks(&self.documents)).collect())
    }

    /// Prints where the trunk of each provider stands, and what it stands instead of.
    pub(super) fn print(&self, config: &Config, out: &mut dyn Write) -> io::Result<()> {
        let all = self.table(config);
        let row = |trunk: &Arc<Trunk>| {
            let instead: Vec<_> = all
                .overridden()
                .iter()
                .filter(|overridden| overridden.by == trunk.settings.name)
                .map(|overridden| self.stands(config, overridden.origin, &overridden.name))
                .collect();
            let ways: Vec<_> = trunk.settings.ways.iter().map(way).collect();
            let ways = if ways.is_empty() { "directly".to_owned() } else { ways.join(", ") };
            let stands = self.stands(config, trunk.origin, &trunk.settings.name);
            [trunk.settings.name.to_string(), trunk.settings.providers.join(", "), stands, ways, instead.join(", ")].to_vec()
        };
        let rows: Vec<_> = all.trunks().iter().map(row).collect();
        if rows.is_empty() { Ok(()) } else { out.write_all(table(&["TRUNK", "PROVIDER", "FROM", "VIA", "INSTEAD OF"], &rows).as_bytes()) }
    }

    /// Source and line of a trunk.
    fn stands(&self, config: &Config, origin: Origin, name: &str) -> String {
        let line = |said: &Option<Said>| said.as_ref().and_then(|said| Some(said.document.as_ref()?.entry(name)?.line)).unwrap_or(1);
        let short = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match origin {
            Origin::Configuration => {
                let own = config.trunks.iter().find(|trunk| *trunk.settings.name == *name);
                format!("{}:{}", short(&config.path), own.map_or(1, |trunk| config.line(&trunk.key("provider"))))
            }
            Origin::File => {
                let file = config.sipproxy.file.as_deref().map(short).unwrap_or_default();
                format!("{file}:{}", line(&self.documents.file))
            }
            Origin::Consul => {
                let kept = self.documents.consul.as_ref().is_some_and(|said| said.from_disk.is_some());
                format!("Consul{}:{}", if kept { " (kept)" } else { "" }, line(&self.documents.consul))
            }
        }
    }
}

fn good(document: Document) -> Said {
    Said { document: Some(Arc::new(document)), ..Said::default() }
}

/// What a message about a document begins with.
fn place(config: &Config, origin: jackfield_sipproxy::Origin) -> PathBuf {
    match origin {
        jackfield_sipproxy::Origin::File => config.sipproxy.file.clone().unwrap_or_default(),
        jackfield_sipproxy::Origin::Consul => {
            PathBuf::from(format!("Consul {}", config.sipproxy.consul.as_ref().map_or("", |consul| &consul.key)))
        }
    }
}

fn problems(faults: &Faults) -> Vec<Problem> {
    let mut problems: Vec<_> = faults
        .faults
        .iter()
        .map(|fault| Problem {
            severity: Severity::Error,
            line: fault.line,
            column: fault.column,
            key: fault.provider.as_deref().unwrap_or_default().to_owned(),
            message: fault.message.clone(),
        })
        .collect();
    if let Some(last) = problems.last().cloned().filter(|_| faults.more > 0) {
        problems.push(Problem { key: String::new(), message: format!("and {} more", faults.more), ..last });
    }
    problems
}

fn doubts(config: &Config, entry: &Entry, names: &[Arc<str>]) -> Vec<Problem> {
    let problem = |message| Problem { severity: Severity::Warning, line: entry.line, column: 1, key: entry.provider.to_string(), message };
    config.doubts_about(entry, names).into_iter().map(problem).collect()
}

/// A way as a person reads it.
fn way(way: &Way) -> String {
    let text = |uri: &bytes::Bytes| printable(&String::from_utf8_lossy(uri));
    let hops: Vec<_> = way.route.iter().chain(&way.next_hop).map(text).collect();
    let hops = if hops.is_empty() { "directly".to_owned() } else { hops.join(" then ") };
    match &way.egress {
        Some(egress) => format!("{hops} from {egress}"),
        None => hops,
    }
}
