//! The name servers, asked by hickory: which of them for which name, CNAMEs, the search list, attempts.
//!
//! hickory's pool picks the server, repeats datagrams, and turns to TCP for what was truncated. Its resolver above that is not used: it would
//! bring a second cache, and it hides the TTL of what does not exist.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::timeout;

use crate::files::System;
use crate::name::bare;
use crate::record::{Answer, Asked, Failure, Kind, Naptr, Question, Records, Source, Srv};
use crate::settings::Settings;

/// CNAMEs that are followed for one question, with a question each.
const CNAMES: usize = 8;

/// Records of one set that are kept.
const RECORDS: usize = 128;

/// Questions that one server may be asked at once over one connection.
const ACTIVE_REQUESTS: usize = 512;

/// The name servers of the configuration.
pub(crate) struct Upstream(Arc<Servers>);

struct Servers {
    /// The longest domain first.
    domains: Vec<(String, Group)>,
    default: Group,
    search: Vec<String>,
    ndots: usize,
}

/// Servers that are asked together.
struct Group {
    pool: NameServerPool<TokioRuntimeProvider>,
    asked: Arc<Asked>,
    options: DnsRequestOptions,
    attempts: u32,
    timeout: Duration,
}

impl Upstream {
    /// Those of the settings, and of the system as its file says now where the settings name none.
    pub(crate) fn of_system(settings: &Settings) -> io::Result<Self> {
        Self::new(settings, &System::read(&settings.system)).map_err(io::Error::other)
    }

    fn new(settings: &Settings, system: &System) -> Result<Self, NetError> {
        let default = if settings.servers.is_empty() { &system.servers } else { &settings.servers };
        let mut domains = Vec::new();
        for domain in &settings.domains {
            domains.push((domain.domain.clone(), Group::new(&domain.servers, settings)?));
        }
        domains.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.len()));
        let default = Group::new(default, settings)?;
        Ok(Self(Arc::new(Servers { domains, default, search: system.search.clone(), ndots: system.ndots })))
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
            Kind::Naptr | Kind::Srv => false,
        };
        let listed = self.search.iter().filter(|_| searched).map(|domain| format!("{name}.{domain}"));
        listed.chain([name.to_owned()]).collect()
    }

    async fn look_up(&self, question: &Question) -> Result<Answer, Failure> {
        let mut nothing: Option<Answer> = None;
        for name in self.spellings(question) {
            let answer = self.follow(name, question.kind).await?;
            if !answer.records.is_empty() {
                return Ok(answer);
            }
            let ttl = nothing.map_or(answer.ttl, |before| before.ttl.min(answer.ttl));
            nothing = Some(Answer { ttl, ..answer });
        }
        nothing.ok_or_else(|| Failure::Refused("no name".to_owned()))
    }

    /// Asks for a name, and for what it is an alias of.
    async fn follow(&self, mut name: String, kind: Kind) -> Result<Answer, Failure> {
        let mut ttl = u32::MAX;
        for _ in 0..CNAMES {
            let absolute = Name::from_ascii(format!("{name}.")).map_err(|error| Failure::Refused(error.to_string()))?;
            let response = match self.group(&name).ask(absolute.clone(), record_type(kind)).await? {
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
        let pool = NameServerPool::from_config(servers.iter().map(server), context, TokioRuntimeProvider::default());
        let asked = Arc::new(Asked::new(names.join(", ")));
        Ok(Self { pool, asked, options: request, attempts: settings.attempts.max(1), timeout: settings.timeout })
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Reply, Failure> {
        let query = Query::query(name, kind);
        for _ in 0..self.attempts {
            let sent = self.pool.lookup(query.clone(), self.options);
            // hickory bounds each server; this bounds them together, with what it takes to turn to TCP.
            match timeout(self.timeout * 2, sent.first_answer()).await {
                Ok(Ok(response)) => match DnsError::from_response(response) {
                    Ok(response) => return Ok(Reply::Response(Box::new(response))),
                    Err(error) => return said(error),
                },
                Ok(Err(NetError::Dns(error))) => return said(error),
                Ok(Err(error)) => tracing::debug!(%query, %error, servers = ?self.asked, "no answer"),
                Err(_) => {}
            }
        }
        Err(Failure::Silent)
    }
}

/// What it means that a server answered without records.
fn said(error: DnsError) -> Result<Reply, Failure> {
    match error {
        DnsError::NoRecordsFound(nothing) => match nothing.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(Reply::Nothing(nothing.negative_ttl.unwrap_or(0))),
            code => Err(Failure::Refused(code.to_string())),
        },
        other => Err(Failure::Refused(other.to_string())),
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
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
    };
    Answer { records, ttl: Duration::from_secs(ttl.into()) }
}

/// A name in lower case with a dot at its end.
fn text(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
