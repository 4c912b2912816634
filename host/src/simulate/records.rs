//! Fixed answers of name servers, from a file like a zone:
//!
//! ```text
//! pbx.example.com.            A      192.0.2.10
//! _sip._udp.example.com.  SRV    10 60 5060 pbx.example.com.
//! example.com.                NAPTR  10 50 "s" "SIP+D2U" "" _sip._udp.example.com.
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_resolver::{Answer, Asked, Failure, Kind, Naptr, Question, Source, Srv};

/// Lines of such a file.
const LINES: usize = 100_000;

/// Names that are noted as unknown.
const UNKNOWN: usize = 100;

/// How long an answer counts: longer than a simulation runs.
const TTL: Duration = Duration::from_secs(86_400);

/// Why a file of answers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// A line of it is no record.
    #[error("{file}:{line}: {why}; write it like `pbx.example.com. A 192.0.2.10`")]
    Line {
        /// The file.
        file: String,
        /// The number of the line.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// What name servers say.
#[derive(Clone, Debug, Default)]
pub struct Records(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    naptr: BTreeMap<String, Vec<Naptr>>,
    srv: BTreeMap<String, Vec<Srv>>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    asked_in_vain: Mutex<BTreeSet<String>>,
}

impl Records {
    /// Those of a file.
    ///
    /// # Errors
    /// It cannot be read, or a line is no record.
    pub fn read(path: &Path) -> Result<Self, RecordsError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| RecordsError::Io(file.clone(), error))?;
        Self::parse(&file, &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, RecordsError> {
        let mut known = Known::default();
        for (index, line) in text.lines().enumerate().take(LINES) {
            let line_of = |why: String| RecordsError::Line { file: file.to_owned(), line: index + 1, why };
            let line = line.split(';').next().unwrap_or_default().split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let words: Vec<&str> = words.filter(|word| !word.eq_ignore_ascii_case("IN")).collect();
            let words = match words.split_first() {
                Some((first, rest)) if first.bytes().all(|octet| octet.is_ascii_digit()) => rest.to_vec(),
                _ => words,
            };
            known.add(&key(name), &words).map_err(line_of)?;
        }
        Ok(Self(Arc::new(known)))
    }

    /// The answers for a resolver.
    pub fn source(&self) -> Box<dyn Source> {
        Box::new(self.clone())
    }

    /// Names that were asked for and that nothing is said of.
    pub fn unknown(&self) -> Vec<String> {
        self.0.asked_in_vain.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Known {
    fn add(&mut self, name: &str, words: &[&str]) -> Result<(), String> {
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no number up to 65535"));
        let text = |text: &str| text.trim_matches('"').to_owned();
        match *words {
            [kind, address] if kind.eq_ignore_ascii_case("A") || kind.eq_ignore_ascii_case("AAAA") => {
                let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is no address"))?;
                self.addresses.entry(name.to_owned()).or_default().push(address);
                Ok(())
            }
            [kind, priority, weight, port, target] if kind.eq_ignore_ascii_case("SRV") => {
                let target = if target == "." { target.to_owned() } else { key(target) };
                let srv = Srv { priority: number(priority)?, weight: number(weight)?, port: number(port)?, target: target.into() };
                self.srv.entry(name.to_owned()).or_default().push(srv);
                Ok(())
            }
            [kind, order, preference, flags, service, regexp, replacement] if kind.eq_ignore_ascii_case("NAPTR") => {
                let (order, preference, flags, service, regexp) =
                    (number(order)?, number(preference)?, text(flags), text(service), text(regexp));
                let replacement = if replacement == "." { replacement.to_owned() } else { key(replacement) };
                let of_fields = Naptr::of_fields(order, preference, flags.as_bytes(), service.as_bytes(), regexp.as_bytes(), &replacement);
                self.naptr.entry(name.to_owned()).or_default().extend(of_fields);
                Ok(())
            }
            [kind, ..] => Err(format!("`{kind}` with these fields is no record of A, AAAA, SRV or NAPTR")),
            [] => Err(format!("nothing is said of `{name}`")),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.naptr.contains_key(name) || self.srv.contains_key(name) || self.addresses.contains_key(name)
    }

    fn answer(&self, question: &Question) -> jackfield_resolver::Records {
        let name = key(&question.name);
        if matches!(question.kind, Kind::A | Kind::Aaaa) && !self.knows(&name) {
            let mut unknown = self.asked_in_vain.lock().unwrap_or_else(PoisonError::into_inner);
            if unknown.len() < UNKNOWN {
                unknown.insert(name.clone());
            }
        }
        let addresses = |fits: fn(&IpAddr) -> bool| {
            let all = self.addresses.get(&name).into_iter().flatten();
            jackfield_resolver::Records::Addresses(all.copied().filter(fits).collect())
        };
        match question.kind {
            Kind::AnyNaptr => jackfield_resolver::Records::AnyNaptr(Vec::new()),
            Kind::Txt => jackfield_resolver::Records::Txt(Vec::new()),
            Kind::Naptr => jackfield_resolver::Records::Naptr(self.naptr.get(&name).cloned().unwrap_or_default()),
            Kind::Srv => jackfield_resolver::Records::Srv(self.srv.get(&name).cloned().unwrap_or_default()),
            Kind::A => addresses(IpAddr::is_ipv4),
            Kind::Aaaa => addresses(IpAddr::is_ipv6),
        }
    }
}

impl Source for Records {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let records = self.0.answer(&question);
        Box::pin(std::future::ready(Ok(Answer { records, ttl: TTL })))
    }

    fn asked(&self, _: &str) -> Arc<Asked> {
        Arc::new(Asked::new("the fixed answers".to_owned()))
    }
}

/// A name as it is looked for: in lower case, without the dot of the root.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_answers_what_it_names_and_notes_what_it_does_not() {
        let text = "; comment\nPBX.test. 60 IN A 192.0.2.10\npbx.test AAAA 2001:db8::1\n_sip._udp.test. SRV 1 2 5070 pbx.test.\n\
                    test. NAPTR 1 2 \"s\" \"SIP+D2U\" \"\" _sip._udp.test.\n";
        let records = Records::parse("z", text).unwrap();
        let ask = |name: &str, kind| records.0.answer(&Question { name: name.into(), kind });
        assert_eq!(ask("pbx.test.", Kind::A), jackfield_resolver::Records::Addresses(vec!["192.0.2.10".parse().unwrap()]));
        assert_eq!(ask("pbx.TEST", Kind::Aaaa), jackfield_resolver::Records::Addresses(vec!["2001:db8::1".parse().unwrap()]));
        assert!(matches!(ask("_sip._udp.test", Kind::Srv), jackfield_resolver::Records::Srv(found) if found[0].port == 5070));
        assert!(matches!(ask("test", Kind::Naptr), jackfield_resolver::Records::Naptr(found) if found.len() == 1));
        assert!(ask("other.test", Kind::A).is_empty());
        assert_eq!(records.unknown(), ["other.test"]);
    }

    #[test]
    fn a_line_that_is_no_record_is_named_with_its_number() {
        for (text, why) in [
            ("a.test A 1.2.3", "`1.2.3` is no address"),
            ("\nb.test MX 1 mail.test", "`MX`"),
            ("c.test", "nothing is said of `c.test`"),
            ("d SRV 1 2 99999 x", "`99999`"),
        ] {
            let error = Records::parse("zone", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("zone:{}: ", text.lines().count())) && error.contains(why), "{error}");
        }
    }
}
