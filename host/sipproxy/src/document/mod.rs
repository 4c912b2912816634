//! The document: for each provider the proxy that leads there, and options.
//!
//! ```json
//! { "tel.t-online.de": { "proxy": "csphost01-ifens5.cs-proxy.service.pascom", "options": "\ntransport=tcp\n" } }
//! ```
//!
//! A document is taken as a whole or not at all: half of one would send calls where nobody meant them to go.

mod fault;
mod host;
mod json;
mod options;

use std::collections::HashMap;
use std::sync::Arc;

pub use fault::{Fault, Faults, MAX_FAULTS};
use fault::{Report, nearest};
pub use host::Proxy;
use host::Said;
use json::{Json, Kind};
pub use options::{MAX_FALLBACKS, OPTIONS, Options};

/// So many octets may a document have: as many as a value of Consul's (its `kv_max_value_size`).
pub const MAX_OCTETS: usize = 512 * 1024;

/// So many providers may a document have.
pub const MAX_PROVIDERS: usize = 10_000;

const KEYS: [&str; 2] = ["proxy", "options"];

/// What a PBX has written down about its providers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// In the order of the document; each provider once.
    pub entries: Vec<Entry>,
}

/// What it says about one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The provider's host in lower case, an IPv6 address in brackets.
    pub provider: Arc<str>,
    /// The line of the document where it begins, counted from 1.
    pub line: usize,
    /// The proxy to go through; none if the options are all that is said.
    pub proxy: Option<Proxy>,
    /// The options.
    pub options: Options,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// All that is wrong with it. Of a text that is no JSON, the first place where it ceases to be.
    pub fn parse(octets: &[u8]) -> Result<Self, Faults> {
        let text = text(octets)?;
        let mut report = Report::new(text);
        let root = match json::parse(text) {
            Ok(root) => root,
            Err((offset, message)) => {
                let provider = json::outermost_key(text, offset).map(Arc::from);
                let empty = if text.trim().is_empty() {
                    "is empty; write {} for no providers".to_owned()
                } else {
                    format!("not valid JSON: {message}")
                };
                report.add(offset, provider.as_ref(), empty);
                return report.finish().map(|()| Self::default());
            }
        };
        let mut document = Self::default();
        if root.kind() != Kind::Object {
            report.add(root.offset, None, format!("is {}; write an object with a member for each provider", root.kind().described()));
        }
        let members = root.members();
        if members.len() > MAX_PROVIDERS {
            report.add(root.offset, None, format!("names {} providers; {MAX_PROVIDERS} may be in a document", members.len()));
            return report.finish().map(|()| document);
        }
        let mut seen = HashMap::new();
        for (key, value) in members {
            let Some(entry) = entry(&mut report, key, value) else { continue };
            match seen.get(&entry.provider) {
                Some(first) => report.add(key.offset, Some(&entry.provider), format!("is already in line {first}; remove one")),
                None => {
                    seen.insert(Arc::clone(&entry.provider), entry.line);
                    document.entries.push(entry);
                }
            }
        }
        report.finish().map(|()| document)
    }

    /// What it says about a provider, whose host is given in lower case.
    pub fn entry(&self, provider: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.provider == provider)
    }
}

fn text(octets: &[u8]) -> Result<&str, Faults> {
    let whole = |line, column, message: String| Faults { faults: vec![Fault { line, column, provider: None, message }], more: 0 };
    if octets.len() > MAX_OCTETS {
        return Err(whole(1, 1, format!("has more than {} KiB; it is not read", MAX_OCTETS / 1024)));
    }
    std::str::from_utf8(octets).map_err(|error| {
        let valid = octets.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default();
        let (line, column) = fault::position(valid, valid.len());
        whole(line, column, "not valid UTF-8".to_owned())
    })
}

/// One member of the document. None if nothing can be made of it, which is reported; what else is wrong is reported too.
fn entry(report: &mut Report<'_>, key: Json<'_>, value: Json<'_>) -> Option<Entry> {
    let Some(written) = key.string() else {
        report.add(key.offset, None, "the name has half of a surrogate pair in it; write \\u escapes in pairs");
        return None;
    };
    let written: Arc<str> = written.into();
    let line = report.line(key.offset);
    let provider = host::host(&written);
    if provider.is_none() {
        report.add(key.offset, Some(&written), "is no host; write a name or an address alone, like \"tel.example.com\"");
    }
    if value.kind() != Kind::Object {
        report.add(value.offset, Some(&written), format!("is {}; write an object with `proxy` and `options`", value.kind().described()));
        return None;
    }
    let before = report.count();
    let [proxy, options] = fields(report, &written, value);
    let (options, port) = options.map(|(place, text)| read_options(report, &written, place, &text)).unwrap_or_default();
    let said = Said { port, transport: options.transport };
    let proxy = match proxy.filter(|(_, text)| !text.trim().is_empty()) {
        Some((place, text)) => {
            host::proxy(text.trim(), said).map_err(|fault| report.add(place.offset, Some(&written), format!("proxy: {fault}"))).ok()
        }
        None => {
            if port.is_some() {
                report.add(value.offset, Some(&written), "options: port belongs to a proxy, and there is none");
            } else if report.count() == before && options == Options::default() {
                report.add(value.offset, Some(&written), "has no proxy and no options; write \"proxy\": \"HOST\", or remove it");
            }
            None
        }
    };
    let provider: Arc<str> = provider?.into();
    if options.fallback.iter().any(|fallback| fallback.eq_ignore_ascii_case(&provider)) {
        report.add(value.offset, Some(&written), "options: falls back to itself; name another provider or trunk");
    }
    Some(Entry { provider, line, proxy, options })
}

/// The two members that an entry can have, where they are strings.
fn fields<'t>(report: &mut Report<'_>, provider: &Arc<str>, entry: Json<'t>) -> [Option<(Json<'t>, String)>; 2] {
    let mut found = [None, None];
    for (key, value) in entry.members() {
        let name = key.string().unwrap_or_default();
        let Some(index) = KEYS.iter().position(|known| *known == name) else {
            if report.room() == 0 {
                report.add_untold(1);
                continue;
            }
            let hint = match nearest(&name, &KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", KEYS.join(", ")),
            };
            report.add(key.offset, Some(provider), format!("unknown key `{name}`; {hint}"));
            continue;
        };
        let Some(slot) = found.get_mut(index) else { continue };
        match value.string() {
            _ if slot.is_some() => report.add(key.offset, Some(provider), format!("`{name}` is here twice; remove one")),
            Some(text) => *slot = Some((value, text)),
            None if value.kind() == Kind::Text => {
                report.add(value.offset, Some(provider), format!("{name}: has half of a surrogate pair in it; write \\u escapes in pairs"));
            }
            None => report.add(value.offset, Some(provider), format!("{name}: is {}; write a string", value.kind().described())),
        }
    }
    found
}

fn read_options(report: &mut Report<'_>, provider: &Arc<str>, place: Json<'_>, text: &str) -> (Options, Option<u16>) {
    let (options, port, wrong) = options::read(text, report.room());
    let mut offsets = place.line_offsets().enumerate();
    for (index, message) in wrong.told {
        let offset = offsets.find(|(line, _)| *line == index).map_or(place.offset, |(_, offset)| offset);
        report.add(offset, Some(provider), format!("options, line {}: {message}", index + 1));
    }
    report.add_untold(wrong.more);
    (options, port)
}

#[cfg(test)]
mod tests;
