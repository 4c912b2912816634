//! Names into addresses, by the proxy's own resolver, with an ear at its name servers.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_proto::message::host_address;
use jackfield_proto::net::Reach;
use jackfield_proto::proxy::{Located, Query};
use jackfield_resolver::{Answer, Asked, Failure, Kind as Type, Question, Records, Resolver, Source, name_servers};
use tokio::runtime::Handle;

use crate::finding::{Kind, Report};
use crate::subject::{ADDRESSES, Subject};
use crate::wording;

/// Questions that are told about.
const QUESTIONS: usize = 64;

/// Records of one answer that are shown.
const RECORDS: usize = 8;

/// The proxy's resolver, and what was asked on its behalf.
pub(crate) struct Lookups {
    resolver: Resolver,
    heard: Heard,
}

type Heard = Arc<Mutex<Vec<Exchange>>>;

/// A question, what was said to it, and by whom.
struct Exchange {
    question: Question,
    answer: Result<Answer, Failure>,
    servers: String,
}

impl Lookups {
    /// With the name servers of the configuration.
    pub(crate) fn new(settings: &jackfield_resolver::Settings) -> io::Result<Self> {
        Ok(Self::with(settings, name_servers(settings)?))
    }

    /// With another source of records.
    pub(crate) fn with(settings: &jackfield_resolver::Settings, source: Box<dyn Source>) -> Self {
        let heard = Heard::default();
        let source = Box::new(Listening { source: Arc::new(source), heard: Arc::clone(&heard) });
        let draw = Arc::new(|most| fastrand::u32(0..=most));
        Self { resolver: Resolver::with_source(settings.clone(), source, draw, Handle::current()), heard }
    }

    /// Where the system would send from.
    pub(crate) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The addresses to try, in order; what the name servers said, and what it comes to, is told.
    pub(crate) async fn look_up(&self, subject: &Subject, query: &Query, report: &mut Report<'_>) -> Vec<Located> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let found = self.resolver.resolve(query).await;
        if host_address(query.host.as_bytes()).is_some() {
            return found;
        }
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.iter().for_each(|exchange| report.note(Kind::Record, exchange.to_string()));
        if !found.is_empty() {
            let hops = found.iter().map(|located| format!("{} {}", located.hop.transport, located.hop.address));
            let source =
                if heard.is_empty() { format!(" (from {} or from before)", subject.resolver.hosts.display()) } else { String::new() };
            report.good(Kind::Resolved, format!("{} is at {}, in this order{source}", query.host, wording::list(hops, ADDRESSES)));
            return found;
        }
        let anyhow = self.resolver.resolve(&Query { reach: Reach::ALL, ..query.clone() }).await;
        match anyhow.first() {
            Some(_) => out_of_reach(query, &anyhow, report),
            None => not_resolved(query, &heard, report),
        }
        found
    }
}

/// There are addresses, but nothing to reach them from.
fn out_of_reach(query: &Query, found: &[Located], report: &mut Report<'_>) {
    let hops = wording::list(found.iter().map(|located| format!("{} {}", located.hop.transport, located.hop.address)), ADDRESSES);
    let family = found.iter().any(|located| query.reach.speaks(located.hop.transport));
    if family {
        let what = format!("{} is at {hops}, and no listener that may be used has an address of that family", query.host);
        report.bad(Kind::WrongFamily, what, "add a listener with such an address and name it as egress; see dns.family as well");
    } else {
        let what = format!("{} is at {hops}, and no listener that may be used speaks that", query.host);
        report.bad(
            Kind::WrongTransport,
            what,
            "add the transport to the listener's transports, or force another one: options = { transport = \"udp\" }",
        );
    }
}

/// Says which name has no address, who was asked, and why that may be.
fn not_resolved(query: &Query, heard: &[Exchange], report: &mut Report<'_>) {
    let mut servers: Vec<String> = heard.iter().map(|exchange| exchange.servers.clone()).collect();
    servers.sort();
    servers.dedup();
    let servers = if servers.is_empty() { "nobody".to_owned() } else { wording::list(servers, RECORDS) };
    let what = |why: &str| format!("{} has no address: {why}; asked: {servers}", query.host);
    let all = |is: fn(&Failure) -> bool| !heard.is_empty() && heard.iter().all(|exchange| exchange.answer.as_ref().is_err_and(is));
    let parent = query.host.split_once('.').map_or(query.host.as_str(), |(_, parent)| parent);
    let inside = format!("if only name servers of your own know it, name them: dns.domains, for \"{parent}\"");
    let servers_of = |exchange: &Exchange| {
        exchange.question.kind == Type::Srv && exchange.answer.as_ref().is_ok_and(|answer| !answer.records.is_empty())
    };
    if heard.is_empty() {
        report.bad(Kind::NotResolved, what("it is no name that may be asked about"), "correct the host in the trunk's proxy or provider");
    } else if all(|failure| *failure == Failure::Silent) {
        let remedy = format!("see that they can be reached (`dig {}`), or name others: dns.servers", query.host);
        report.bad(Kind::NotResolved, what("the name servers are silent"), remedy);
    } else if all(|failure| matches!(failure, Failure::Refused(_))) {
        report.bad(Kind::NotResolved, what("the name servers refuse to answer"), format!("name others: dns.servers; {inside}"));
    } else if heard.iter().any(servers_of) {
        let why = "its SRV records name hosts without addresses, or say that there is no such service";
        report.bad(Kind::NotResolved, what(why), "that is the provider's to correct; until then name a host: proxy = \"sip:HOST:PORT;lr\"");
    } else {
        let why = "no such name, or nothing about SIP and no address there";
        report.bad(Kind::NotResolved, what(why), format!("correct the spelling; {inside}"));
    }
}

/// Hands questions on, and takes the answers down.
struct Listening {
    source: Arc<Box<dyn Source>>,
    heard: Heard,
}

impl Source for Listening {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let (source, heard) = (Arc::clone(&self.source), Arc::clone(&self.heard));
        Box::pin(async move {
            let servers = source.asked(&question.name).servers().to_owned();
            let answer = source.ask(question.clone()).await;
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < QUESTIONS {
                heard.push(Exchange { question, answer: answer.clone(), servers });
            }
            answer
        })
    }

    fn asked(&self, name: &str) -> Arc<Asked> {
        self.source.asked(name)
    }
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.question.kind {
            Type::Naptr => "NAPTR",
            Type::Srv => "SRV",
            Type::A => "A",
            Type::Aaaa => "AAAA",
            Type::AnyNaptr => "NAPTR",
            Type::Txt => "TXT",
        };
        write!(f, "{kind} {}: ", self.question.name)?;
        match &self.answer {
            Ok(answer) if answer.records.is_empty() => f.write_str("none"),
            Ok(answer) => f.write_str(&records(&answer.records)),
            Err(failure) => write!(f, "{failure} ({})", self.servers),
        }
    }
}

fn records(records: &Records) -> String {
    match records {
        Records::Naptr(all) => {
            let one = |record: &jackfield_resolver::Naptr| {
                format!("{} {} {} {}", record.order, record.preference, record.transport, wording::printable(record.replacement.as_bytes()))
            };
            wording::list(all.iter().map(one), RECORDS)
        }
        Records::Srv(all) => {
            let one = |record: &jackfield_resolver::Srv| {
                let mut text = format!("{} {} ", record.priority, record.weight);
                // Writing into a string cannot fail.
                let _ = write!(text, "{}:{}", wording::printable(record.target.as_bytes()), record.port);
                text
            };
            wording::list(all.iter().map(one), RECORDS)
        }
        Records::Addresses(all) => wording::list(all.iter().map(ToString::to_string), RECORDS),
        // A way to a provider depends on neither; whoever asks is told in full.
        Records::AnyNaptr(all) => wording::list(all.iter().map(|record| wording::printable(record.service.as_bytes())), RECORDS),
        Records::Txt(all) => wording::list(all.iter().map(|text| wording::printable(text.as_bytes())), RECORDS),
    }
}
