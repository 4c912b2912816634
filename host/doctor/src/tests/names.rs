//! Names: found, and not found for all reasons that there are.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use jackfield_resolver::{Answer, Asked, Failure, Kind as Type, Question, Records, Source, Srv};

use super::provider::{Provider, status};
use super::*;
use crate::examination::Examination;
use crate::finding::Report;
use crate::resolution::Lookups;

/// Name servers with these records; of other names they say what `otherwise` is.
#[derive(Clone)]
pub(super) struct Servers {
    records: HashMap<(Type, String), Records>,
    otherwise: Option<Failure>,
    group: Arc<Asked>,
}

impl Servers {
    pub(super) fn new(otherwise: Option<Failure>) -> Self {
        Self { records: HashMap::new(), otherwise, group: Arc::new(Asked::new("192.0.2.53:53".to_owned())) }
    }

    pub(super) fn address(mut self, name: &str, address: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let kind = if address.is_ipv4() { Type::A } else { Type::Aaaa };
        self.records.insert((kind, name.to_owned()), Records::Addresses(vec![address]));
        self
    }

    fn srv(mut self, name: &str, target: &str, port: u16) -> Self {
        let record = Srv { priority: 10, weight: 5, port, target: target.into() };
        self.records.insert((Type::Srv, name.to_owned()), Records::Srv(vec![record]));
        self
    }
}

impl Source for Servers {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let ttl = Duration::from_secs(60);
        let known = self.records.get(&(question.kind, question.name.to_string())).cloned();
        let answer = match (known, &self.otherwise) {
            (Some(records), _) => Ok(Answer { records, ttl }),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Ok(Answer { records: Records::Addresses(Vec::new()), ttl }),
        };
        Box::pin(async move { answer })
    }

    fn asked(&self, _: &str) -> Arc<Asked> {
        Arc::clone(&self.group)
    }
}

/// An examination with these name servers.
pub(super) async fn findings_with(servers: Servers, subject: &Subject) -> Vec<Finding> {
    let lookups = Lookups::with(&subject.resolver, Box::new(servers));
    let mut findings = Vec::new();
    let mut report = Report::new(&mut findings);
    Examination { subject, lookups: &lookups }.run(&mut report).await;
    let bad = report.bad;
    check(&findings, bad);
    findings
}

#[tokio::test]
async fn what_the_name_servers_said_is_shown_and_followed() {
    let provider = Provider::udp(|_| status(200)).await;
    let servers =
        Servers::new(None).srv("_sip._udp.proxy.test", "a.proxy.test", provider.address.port()).address("a.proxy.test", "127.0.0.1");
    let found = findings_with(servers, &subject("sip:proxy.test;lr")).await;
    assert_eq!(bad(&found), []);
    let records: Vec<_> = found.iter().filter(|finding| finding.kind == Kind::Record).map(|finding| finding.what.clone()).collect();
    assert!(records.contains(&"NAPTR proxy.test: none".to_owned()), "{records:?}");
    assert!(records.contains(&format!("SRV _sip._udp.proxy.test: 10 5 a.proxy.test:{}", provider.address.port())), "{records:?}");
    assert!(records.contains(&"A a.proxy.test: 127.0.0.1".to_owned()), "{records:?}");
    says(the(&found, Kind::Resolved), &[&format!("proxy.test is at udp {}", provider.address)]);
    assert_eq!(the(&found, Kind::Answers).grade, Grade::Good);
}

#[tokio::test]
async fn a_name_without_an_address_says_why_and_who_was_asked() {
    let refused = Failure::Refused("SERVFAIL".to_owned());
    for (otherwise, words) in [
        (None, ["no such name", "dns.domains, for \"test\""]),
        (Some(Failure::Silent), ["the name servers are silent", "dns.servers"]),
        (Some(refused), ["the name servers refuse to answer", "dns.servers"]),
    ] {
        let found = findings_with(Servers::new(otherwise), &subject("sip:proxy.test;lr")).await;
        assert_eq!(bad(&found), [Kind::NotResolved], "{found:#?}");
        says(the(&found, Kind::NotResolved), &words);
        says(the(&found, Kind::NotResolved), &["proxy.test has no address", "192.0.2.53:53"]);
    }
}

#[tokio::test]
async fn a_name_that_nobody_may_be_asked_about_is_not() {
    let found = findings_with(Servers::new(Some(Failure::Silent)), &subject("sip:proxy.invalid;lr")).await;
    assert_eq!(bad(&found), [Kind::NotResolved]);
    says(the(&found, Kind::NotResolved), &["asked: nobody"]);
}

#[tokio::test]
async fn srv_without_addresses_is_the_providers_fault() {
    let servers = Servers::new(None).srv("_sip._udp.proxy.test", "gone.proxy.test", 5060);
    let found = findings_with(servers, &subject("sip:proxy.test;lr")).await;
    assert_eq!(bad(&found), [Kind::NotResolved]);
    says(the(&found, Kind::NotResolved), &["SRV records"]);
}

#[tokio::test]
async fn addresses_of_the_other_family_only_are_named() {
    let servers = Servers::new(None).address("proxy.test", "2001:db8::7");
    let found = findings_with(servers, &subject("sip:proxy.test;lr")).await;
    assert_eq!(bad(&found), [Kind::WrongFamily]);
    says(the(&found, Kind::WrongFamily), &["[2001:db8::7]:5060"]);
}

#[tokio::test]
async fn services_of_another_transport_only_are_named() {
    let servers = Servers::new(None).srv("_sips._tcp.proxy.test", "a.proxy.test", 5061).address("a.proxy.test", "127.0.0.1");
    let found = findings_with(servers, &subject("sip:proxy.test;lr")).await;
    assert_eq!(bad(&found), [Kind::WrongTransport]);
    says(the(&found, Kind::WrongTransport), &["tls 127.0.0.1:5061"]);
}
