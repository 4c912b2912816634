//! Records as far as SIP needs them, and where they come from.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_proto::net::Transport;
use tokio::time::Instant;

/// Questions of one group of servers that are known to fail alone.
const BROKEN: usize = 64;

/// The types of records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Which transports a domain speaks (RFC 3403).
    Naptr,
    /// The servers of a service (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// NAPTR of any service (RFC 3403), as ENUM has them (RFC 6116). Nothing that a next hop depends on.
    AnyNaptr,
    /// Texts (RFC 1035 3.3.14). Nothing that a next hop depends on.
    Txt,
}

/// A question to the name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name in lower case. Only an A or AAAA question without a dot at the end may be looked for in a search list.
    pub name: Arc<str>,
    /// The type of the records.
    pub kind: Kind,
}

/// A NAPTR record that leads to a transport we know (RFC 3263 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones first.
    pub order: u16,
    /// Lower ones first among those of one order.
    pub preference: u16,
    /// What its service means.
    pub transport: Transport,
    /// The name to ask for SRV records.
    pub replacement: Arc<str>,
}

impl Naptr {
    /// A record by its fields; none if it is not one of RFC 3263 4.1 or RFC 7118 7: terminal for SRV, a SIP service, no rewriting.
    pub fn of_fields(order: u16, preference: u16, flags: &[u8], service: &[u8], regexp: &[u8], replacement: &str) -> Option<Self> {
        let services = [
            ("SIP+D2U", Transport::Udp),
            ("SIP+D2T", Transport::Tcp),
            ("SIPS+D2T", Transport::Tls),
            ("SIP+D2W", Transport::Ws),
            ("SIPS+D2W", Transport::Wss),
        ];
        let transport = services.into_iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(service)).map(|(_, t)| t)?;
        let terminal = flags.eq_ignore_ascii_case(b"s") && regexp.is_empty() && replacement != ".";
        terminal.then(|| Self { order, preference, transport, replacement: replacement.to_ascii_lowercase().into() })
    }
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host in lower case; `.` says that the service is not there (RFC 2782).
    pub target: Arc<str>,
}

/// A NAPTR record of any service, field by field (RFC 3403 4.1). What is no UTF-8 in it has been replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyNaptr {
    /// Lower ones first.
    pub order: u16,
    /// Lower ones first among those of one order.
    pub preference: u16,
    /// What comes next.
    pub flags: Box<str>,
    /// The service.
    pub service: Box<str>,
    /// The rewriting; empty if there is a replacement.
    pub regexp: Box<str>,
    /// The name to go on with, in lower case; `.` if there is none.
    pub replacement: Box<str>,
}

/// The records of one name and type; empty if there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// NAPTR, without those that lead elsewhere.
    Naptr(Vec<Naptr>),
    /// SRV.
    Srv(Vec<Srv>),
    /// A or AAAA.
    Addresses(Vec<IpAddr>),
    /// NAPTR of all services.
    AnyNaptr(Vec<AnyNaptr>),
    /// TXT: for each record its strings, one behind the other.
    Txt(Vec<Box<str>>),
}

impl Records {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Naptr(records) => records.is_empty(),
            Self::Srv(records) => records.is_empty(),
            Self::Addresses(records) => records.is_empty(),
            Self::AnyNaptr(records) => records.is_empty(),
            Self::Txt(records) => records.is_empty(),
        }
    }

    /// The NAPTR records.
    pub(crate) fn naptr(&self) -> &[Naptr] {
        if let Self::Naptr(records) = self { records } else { &[] }
    }

    /// The SRV records.
    pub(crate) fn srv(&self) -> &[Srv] {
        if let Self::Srv(records) = self { records } else { &[] }
    }

    /// The addresses.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        if let Self::Addresses(records) = self { records } else { &[] }
    }
}

/// What the name servers said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records; empty for NXDOMAIN and NODATA.
    pub records: Records,
    /// For how long they count: the least TTL on the way to them; the SOA's minimum where there are none (RFC 2308 5). Not bounded yet.
    pub ttl: Duration,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing came in time, or no server could be reached.
    #[error("the name servers are silent")]
    Silent,
    /// A server said that it cannot or will not answer: SERVFAIL, REFUSED.
    #[error("the name servers refuse to answer: {0}")]
    Refused(String),
    /// Too many questions are under way.
    #[error("too many questions are under way")]
    Busy,
}

/// Servers that are asked together: whether they answer.
///
/// They are silent once a question has been given up, and nothing at all has come from them since it was asked. If they turn out to answer
/// others, that question is broken, and proves nothing about them until it has been answered itself.
#[derive(Debug, Default)]
pub struct Asked {
    servers: String,
    silent: AtomicBool,
    signs: Mutex<Signs>,
}

#[derive(Debug, Default)]
struct Signs {
    last: Option<Instant>,
    /// What has made them count as silent.
    unanswered: Option<Question>,
    broken: Vec<Question>,
}

impl Asked {
    /// Servers with what they are called in the log.
    pub fn new(servers: String) -> Self {
        Self { servers, ..Self::default() }
    }

    /// What they are called.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Whether they owe an answer: what is expired is then given out at once.
    pub fn are_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// A question that was asked at that time has been given up.
    pub fn kept_silent(&self, question: &Question, asked: Instant) {
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        if self.are_silent() || signs.last.is_some_and(|last| last >= asked) || signs.broken.contains(question) {
            return;
        }
        signs.unanswered = Some(question.clone());
        self.silent.store(true, Ordering::Relaxed);
        tracing::warn!(servers = self.servers, "the name servers do not answer; names that are known are used beyond their time");
    }

    /// They have answered a question.
    pub fn answered(&self, question: &Question, now: Instant) {
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        signs.last = Some(now);
        signs.broken.retain(|broken| broken != question);
        if self.silent.swap(false, Ordering::Relaxed) {
            if let Some(broken) = signs.unanswered.take().filter(|unanswered| unanswered != question) {
                if signs.broken.len() >= BROKEN {
                    signs.broken.remove(0);
                }
                signs.broken.push(broken);
            }
            tracing::info!(servers = self.servers, "the name servers answer again");
        }
    }

    /// They have said that they cannot answer: a sign of life, and nothing to wait for.
    pub fn refused(&self, now: Instant) {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner).last = Some(now);
    }
}

/// Where records come from.
pub trait Source: Send + Sync + 'static {
    /// Asks a question. The future runs on the resolver's own runtime and ends in bounded time.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    /// The servers that would be asked about a name.
    fn asked(&self, name: &str) -> Arc<Asked>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_silent_only_if_nothing_has_come_from_them_since_a_question_was_asked() {
        let (asked, start) = (Asked::new("192.0.2.53".to_owned()), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let [bad, worse, good] = ["bad.test", "worse.test", "good.test"].map(|name| Question { name: name.into(), kind: Kind::A });
        asked.answered(&good, at(11));
        asked.kept_silent(&bad, at(10));
        assert!(!asked.are_silent(), "they have answered another question meanwhile");
        asked.refused(at(13));
        asked.kept_silent(&bad, at(12));
        assert!(!asked.are_silent(), "SERVFAIL is no silence");
        asked.kept_silent(&bad, at(14));
        assert!(asked.are_silent());
        // It was that question alone: it does not make them silent again and again.
        asked.answered(&good, at(20));
        asked.kept_silent(&bad, at(30));
        assert!(!asked.are_silent());
        asked.kept_silent(&worse, at(30));
        assert!(asked.are_silent());
        asked.answered(&bad, at(40));
        asked.kept_silent(&bad, at(50));
        assert!(asked.are_silent(), "it has been answered since");
    }

    #[test]
    fn rfc3263_4_1_only_terminal_sip_services_without_rewriting_count() {
        for (flags, service, regexp, replacement, transport) in [
            ("s", "SIP+D2U", "", "_sip._udp.a.", Some(Transport::Udp)),
            ("S", "sip+d2t", "", "_sip._tcp.a.", Some(Transport::Tcp)),
            ("s", "SIPS+D2T", "", "_sips._tcp.a.", Some(Transport::Tls)),
            ("s", "SIP+D2W", "", "_sip._ws.a.", Some(Transport::Ws)),
            ("s", "SIPS+D2W", "", "_sips._ws.a.", Some(Transport::Wss)),
            ("s", "SIPS+D2U", "", "_sips._udp.a.", None),
            ("s", "SIP+D2S", "", "_sip._sctp.a.", None),
            ("u", "E2U+sip", "!^.*$!sip:a@b!", ".", None),
            ("s", "SIP+D2U", "!a!b!", "_sip._udp.a.", None),
            ("s", "SIP+D2U", "", ".", None),
            ("a", "SIP+D2U", "", "a.", None),
            ("", "SIP+D2U", "", "a.", None),
        ] {
            let record = Naptr::of_fields(1, 2, flags.as_bytes(), service.as_bytes(), regexp.as_bytes(), replacement);
            assert_eq!(record.map(|record| record.transport), transport, "{flags} {service} {regexp} {replacement}");
        }
    }
}
