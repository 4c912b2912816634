//! The name servers, asked by hickory: which of them for which name, CNAMEs, the search list, attempts.
//!
//! hickory repeats datagrams, and turns to TCP for what was truncated. Its resolver above that is not used: it would bring a second cache, and it
//! hides the TTL of what does not exist. Nor is its choice of a server: the first SERVFAIL or REFUSED would count for all of them.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::NAPTR;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::files::{System, Unread};
use crate::name::bare;
use crate::record::{Answer, AnyNaptr, Asked, Failure, Kind, Naptr, Question, Records, Source, Srv};
use crate::settings::{LONGEST, Settings};

/// CNAMEs that are followed for one question, with a question each.
const CNAMES: usize = 8;

/// Records of one set that are kept.
const RECORDS: usize = 128;

/// Questions that one server may be asked at once over one connection.
const ACTIVE_REQUESTS: usize = 512;

/// How long a server is alone with a question before the next one is asked as well; less if many have to get their turn in one timeout.
const HEAD_START: Duration = Duration::from_millis(50);

/// The name servers of the configuration.
pub(crate) struct Upstream(Arc<Servers>);

struct Servers {
    /// The longest domain first.
    domains: Vec<(String, Group)>,
    default: Group,
    search: Vec<String>,
    ndots: usize,
    /// The system's file, if it was needed and could not be read.
    unread: Option<Unread>,
    /// Whether that has been said.
    complained: AtomicBool,
    /// The longest time that one question may take, with its aliases and the search list.
    longest: Duration,
}

/// One server.
type Server = NameServerPool<TokioRuntimeProvider>;

/// Servers that are asked together.
struct Group {
    servers: Vec<Server>,
    /// The one that was of use last: it is asked first.
    first: AtomicUsize,
    asked: Arc<Asked>,
    options: DnsRequestOptions,
    attempts: u32,
    timeout: Duration,
}

impl Upstream {
    /// Those of the settings; where the settings name none, those of the system as its file says now, with the search list. They are asked at
    /// `port`.
    pub(crate) fn of_system(settings: &Settings, port: u16) -> io::Result<Self> {
        let (system, unread) = match settings.servers.is_empty() {
            true => System::read(&settings.system, port),
            false => (System::default(), None),
        };
        Self::new(settings, &system, unread).map_err(io::Error::other)
    }

    fn new(settings: &Settings, system: &System, unread: Option<Unread>) -> Result<Self, NetError> {
        let default = if settings.servers.is_empty() { &system.servers } else { &settings.servers };
        let mut domains = Vec::new();
        for domain in &settings.domains {
            domains.push((domain.domain.clone(), Group::new(&domain.servers, settings)?));
        }
        domains.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.len()));
        let default = Group::new(default, settings)?;
        let longest = LONGEST.max(settings.timeout.saturating_mul(2).saturating_mul(settings.attempts.max(1)));
        let (search, ndots) = (system.search.clone(), system.ndots);
        Ok(Self(Arc::new(Servers { domains, default, search, ndots, unread, complained: AtomicBool::new(false), longest })))
    }
}

impl Source for Upstream {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let servers = Arc::clone(&self.0);
        Box::pin(async move { servers.look_up(&question).await })
    }

    fn asked(&self, name: &str) -> Arc<Asked> {
        Arc::clone(&self.0.group(name).asked)
    }
}

impl Servers {
    fn group(&self, name: &str) -> &Group {
        let name = bare(name);
        let inside = |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.domains.iter().find(|(domain, _)| inside(domain)).map_or(&self.default, |(_, group)| group)
    }

    /// The names that a question may mean (resolv.conf(5)): with few dots, those below the search list first.
    fn spellings(&self, question: &Question) -> Vec<String> {
        let name = bare(&question.name);
        let searched = match question.kind {
            Kind::A | Kind::Aaaa => name.len() == question.name.len() && name.matches('.').count() < self.ndots,
            Kind::Naptr | Kind::Srv | Kind::AnyNaptr | Kind::Txt => false,
        };
        let listed = self.search.iter().filter(|_| searched).map(|domain| format!("{name}.{domain}"));
        listed.chain([name.to_owned()]).collect()
    }

    /// Asks for the spellings of a name in turn. One that nobody can answer about does not hide the others; but if they have nothing, it may
    /// have been the one that exists.
    async fn look_up(&self, question: &Question) -> Result<Answer, Failure> {
        let end = Instant::now() + self.longest;
        let (mut nothing, mut failed) = (None::<Answer>, None);
        for name in self.spellings(question) {
            match timeout_at(end, self.follow(name, question.kind)).await {
                Ok(Ok(answer)) if !answer.records.is_empty() => return Ok(answer),
                Ok(Ok(answer)) => {
                    let ttl = nothing.map_or(answer.ttl, |before| before.ttl.min(answer.ttl));
                    nothing = Some(Answer { ttl, ..answer });
                }
                Ok(Err(failure)) => failed = failed.or(Some(failure)),
                Err(_) => return Err(failed.unwrap_or(Failure::Silent)),
            }
        }
        match (failed, nothing) {
            (None, Some(nothing)) => Ok(nothing),
            (failed, _) => Err(failed.unwrap_or_else(|| Failure::Refused("no name".to_owned()))),
        }
    }

    /// Says once that the system's file is missing, and not before a question depends on it.
    fn complain(&self, group: &Group) {
        let Some(Unread { path, error }) = self.unread.as_ref().filter(|_| std::ptr::eq(group, &raw const self.default)) else { return };
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(path = %path.display(), %error, "the system names no name servers; asking 127.0.0.1");
        }
    }

    /// Asks for a name, and for what it is an alias of.
    async fn follow(&self, mut name: String, kind: Kind) -> Result<Answer, Failure> {
        let mut ttl = u32::MAX;
        for _ in 0..CNAMES {
            let absolute = Name::from_ascii(format!("{name}.")).map_err(|error| Failure::Refused(error.to_string()))?;
            let group = self.group(&name);
            self.complain(group);
            let response = match group.ask(absolute.clone(), record_type(kind)).await? {
                Reply::Response(response) => response,
                Reply::Nothing(negative_ttl) => return Ok(none(kind, ttl.min(negative_ttl))),
            };
            let at = aliases(&response, absolute.clone(), &mut ttl);
            if let Some(answer) = records(&response, &at, kind, ttl) {
                return Ok(answer);
            }
            // A server that knows the end of the chain says that there is nothing; one that does not leaves the rest to us.
            let ended = response.negative_ttl().is_some() || response.response_code == ResponseCode::NXDomain || at == absolute;
            if ended {
                return Ok(none(kind, ttl.min(response.negative_ttl().unwrap_or(0))));
            }
            name = text(&at);
            name.truncate(bare(&name).len());
        }
        Err(Failure::Refused("too many CNAMEs".to_owned()))
    }
}

/// What a group of servers said.
enum Reply {
    Response(Box<DnsResponse>),
    /// NXDOMAIN or NODATA, with the TTL of that (RFC 2308 5) in seconds.
    Nothing(u32),
}

impl Group {
    fn new(servers: &[SocketAddr], settings: &Settings) -> Result<Self, NetError> {
        let mut options = ResolverOpts::default();
        options.timeout = settings.timeout;
        options.cache_size = 0;
        options.max_active_requests = ACTIVE_REQUESTS;
        let server = |address: &SocketAddr| {
            let port = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            NameServerConfig::new(address.ip(), true, vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())])
        };
        let mut request = DnsRequestOptions::default();
        request.recursion_desired = true;
        request.use_edns = options.edns0;
        request.edns_payload_len = options.edns_payload_len;
        let names: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        let alone = |address| Server::from_config([server(address)], Arc::clone(&context), TokioRuntimeProvider::default());
        Ok(Self {
            servers: servers.iter().map(alone).collect(),
            first: AtomicUsize::new(0),
            asked: Arc::new(Asked::new(names.join(", "))),
            options: request,
            attempts: settings.attempts.max(1),
            timeout: settings.timeout,
        })
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Reply, Failure> {
        let query = Query::query(name, kind);
        let mut refused = None;
        for _ in 0..self.attempts {
            // hickory bounds each server; this bounds them together, with what it takes to turn to TCP.
            match timeout(self.timeout.saturating_mul(2), self.race(&query, &mut refused)).await {
                Ok(Some(reply)) => return Ok(reply),
                // Who refuses does so again. Who was silent may have lost the question.
                Ok(None) if refused.as_ref().is_some_and(|(by, _)| *by == self.servers.len()) => break,
                Ok(None) | Err(_) => {}
            }
        }
        Err(refused.map_or(Failure::Silent, |(_, code)| Failure::Refused(code)))
    }

    /// Asks all servers, each with a head start over the next, until one knows. How many have refused in this attempt, and with what, is taken
    /// down.
    async fn race(&self, query: &Query, refused: &mut Option<(usize, String)>) -> Option<Reply> {
        let count = self.servers.len();
        let first = self.first.load(Ordering::Relaxed);
        let head_start = HEAD_START.min(self.timeout / u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        if let Some((by, _)) = refused {
            *by = 0;
        }
        let mut waiting = (0..count).map(|place| (first + place) % count.max(1));
        let mut running = JoinSet::new();
        loop {
            if let Some(index) = waiting.next()
                && let Some(server) = self.servers.get(index)
            {
                running.spawn(one(server.clone(), index, query.clone(), self.options));
            }
            // All have been asked, so there is nothing left but to wait; else the next one begins with the end of the head start, or of this one.
            let pause = if waiting.len() == 0 { self.timeout.saturating_mul(2) } else { head_start };
            let (index, said) = match timeout(pause, running.join_next()).await {
                Ok(Some(Ok(ended))) => ended,
                Ok(Some(Err(error))) => {
                    tracing::error!(%error, "a question has broken off");
                    continue;
                }
                Ok(None) => return None,
                Err(_) => continue,
            };
            match said {
                Said::Reply(reply) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Some(reply);
                }
                Said::Refused(code) => refused.get_or_insert((0, code)).0 += 1,
                Said::Nothing(error) => tracing::debug!(%query, %error, servers = ?self.asked, "no answer"),
            }
        }
    }
}

/// What became of a question to one server.
enum Said {
    Reply(Reply),
    /// SERVFAIL, REFUSED and the like: another server may know more.
    Refused(String),
    Nothing(NetError),
}

async fn one(server: Server, index: usize, query: Query, options: DnsRequestOptions) -> (usize, Said) {
    let said = match server.lookup(query, options).first_answer().await {
        Ok(response) => match DnsError::from_response(response) {
            Ok(response) => known(response.response_code, || Reply::Response(Box::new(response))),
            Err(error) => said(error),
        },
        Err(NetError::Dns(error)) => said(error),
        Err(error) => Said::Nothing(error),
    };
    (index, said)
}

/// What it means that a server answered without records.
fn said(error: DnsError) -> Said {
    match error {
        DnsError::NoRecordsFound(nothing) => known(nothing.response_code, || Reply::Nothing(nothing.negative_ttl.unwrap_or(0))),
        other => Said::Refused(other.to_string()),
    }
}

fn known(code: ResponseCode, reply: impl FnOnce() -> Reply) -> Said {
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => Said::Reply(reply()),
        code => Said::Refused(code.to_string()),
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr | Kind::AnyNaptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Txt => RecordType::TXT,
    }
}

/// The end of the chain of aliases in a response, each of which bounds the TTL.
fn aliases(response: &DnsResponse, mut name: Name, ttl: &mut u32) -> Name {
    for _ in 0..CNAMES {
        let alias = response.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        let Some((target, seconds)) = alias else { break };
        *ttl = seconds.min(*ttl);
        name = target;
    }
    name
}

/// The records of a name in a response; none if it has no records of that type. NAPTR may all be about other things than SIP.
fn records(response: &DnsResponse, name: &Name, kind: Kind, mut ttl: u32) -> Option<Answer> {
    let mut records = none(kind, 0).records;
    let mut found = false;
    for record in response.answers.iter().filter(|record| record.name == *name).take(RECORDS) {
        match (&mut records, &record.data) {
            (Records::Addresses(list), RData::A(address)) if kind == Kind::A => list.push(address.0.into()),
            (Records::Addresses(list), RData::AAAA(address)) if kind == Kind::Aaaa => list.push(address.0.into()),
            (Records::Srv(list), RData::SRV(srv)) => {
                list.push(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: text(&srv.target).into() });
            }
            (Records::Naptr(list), RData::NAPTR(naptr)) => {
                let replacement = text(&naptr.replacement);
                list.extend(Naptr::of_fields(naptr.order, naptr.preference, &naptr.flags, &naptr.services, &naptr.regexp, &replacement));
            }
            (Records::AnyNaptr(list), RData::NAPTR(naptr)) => list.push(any_naptr(naptr)),
            (Records::Txt(list), RData::TXT(txt)) => list.push(lossy(&txt.txt_data.concat())),
            _ => continue,
        }
        found = true;
        ttl = ttl.min(record.ttl);
    }
    found.then(|| Answer { records, ttl: Duration::from_secs(ttl.into()) })
}

fn none(kind: Kind, ttl: u32) -> Answer {
    let records = match kind {
        Kind::Naptr => Records::Naptr(Vec::new()),
        Kind::Srv => Records::Srv(Vec::new()),
        Kind::A | Kind::Aaaa => Records::Addresses(Vec::new()),
        Kind::AnyNaptr => Records::AnyNaptr(Vec::new()),
        Kind::Txt => Records::Txt(Vec::new()),
    };
    Answer { records, ttl: Duration::from_secs(ttl.into()) }
}

fn any_naptr(naptr: &NAPTR) -> AnyNaptr {
    AnyNaptr {
        order: naptr.order,
        preference: naptr.preference,
        flags: lossy(&naptr.flags),
        service: lossy(&naptr.services),
        regexp: lossy(&naptr.regexp),
        replacement: text(&naptr.replacement).into(),
    }
}

fn lossy(octets: &[u8]) -> Box<str> {
    String::from_utf8_lossy(octets).into()
}

/// A name in lower case with a dot at its end.
fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
