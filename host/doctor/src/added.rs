//! The time that the running proxy adds to the set-up of a call.
//!
//! OPTIONS goes to the provider in turn: directly, and through the proxy. Both take the same way from there on, so that the difference is what
//! the proxy takes for a request and its response, with its plugins, its policy and its transactions: as the INVITE of a call does, which
//! passes the same code. It touches nobody's calls. It does not hold what only some calls need: names that have to be looked up first,
//! connections that have to be opened, credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jackfield_proto::net::{ListenerId, Transport};

use crate::finding::{Kind, Report};
use crate::link::{self, Answer, Ends, Link, Outcome};
use crate::outgoing::{Copy, Errand, address_of_record, token};
use crate::subject::{ROUND_TRIPS, Running};
use crate::visit::{Open, Spread};
use crate::wording;

/// Measures, and tells.
pub(crate) async fn measure(open: &mut Open<'_>, running: &Running, report: &mut Report<'_>) {
    let mut through = match Through::open(open, running).await {
        Ok(through) => through,
        Err(error) => {
            let what = format!(
                "what the proxy adds is not measured: its listener `{}` at {} cannot be reached: {error}",
                running.listener, running.address
            );
            report.note(Kind::NotMeasured, what);
            return;
        }
    };
    // Once without counting: what is looked up and opened for the first time is another matter.
    let status = match (direct(open).await, through.ask(open).await) {
        (Some(direct), Ok(through)) if direct.response.status() == through.response.status() => direct.response.status(),
        (Some(direct), Ok(through)) => return not_comparable(&direct, &through, open, running, report),
        (None, _) => return report.note(Kind::NotMeasured, "what the proxy adds is not measured: the provider does not answer any more"),
        (_, Err(why)) => return report.note(Kind::NotMeasured, format!("what the proxy adds is not measured: through it, {why}")),
    };
    let (mut directly, mut by_proxy) = (Vec::new(), Vec::new());
    for _ in 0..open.place.subject.count.clamp(1, ROUND_TRIPS) {
        // What had to be repeated measures the loss.
        let counts = |answer: &Answer| answer.sent == 1 && answer.response.status() == status;
        directly.extend(direct(open).await.filter(counts).map(|answer| answer.elapsed));
        by_proxy.extend(through.ask(open).await.ok().filter(counts).map(|answer| answer.elapsed));
    }
    let count = directly.len().min(by_proxy.len());
    match (Spread::of(&mut directly), Spread::of(&mut by_proxy)) {
        (Some(directly), Some(by_proxy)) => report.good(Kind::AddedTime, describe(directly, by_proxy, count)),
        _ => report.note(Kind::NotMeasured, "what the proxy adds is not measured: too many answers were late or missing"),
    }
}

/// What two series of times say about the proxy. The fastest of each are the least disturbed.
fn describe(direct: Spread, by_proxy: Spread, count: usize) -> String {
    let series = format!(
        "OPTIONS through it took {} at best and {} in the middle, directly {} and {}, of {count} each",
        wording::time(by_proxy.fastest),
        wording::time(by_proxy.median),
        wording::time(direct.fastest),
        wording::time(direct.median),
    );
    let unsteady = direct.median.saturating_sub(direct.fastest);
    match by_proxy.median.checked_sub(direct.median) {
        Some(added) if added > unsteady => format!("the proxy adds about {} to the set-up of a call: {series}", wording::time(added)),
        _ => {
            let least = by_proxy.fastest.saturating_sub(direct.fastest).max(Duration::ZERO);
            format!(
                "the proxy adds less to the set-up of a call than the provider's own times vary (about {}, {unsteady}): {series}",
                wording::time(least),
                unsteady = wording::time(unsteady),
            )
        }
    }
}

fn not_comparable(direct: &Answer, through: &Answer, open: &Open<'_>, running: &Running, report: &mut Report<'_>) {
    let (said, expected) = (wording::status(&through.response), wording::status(&direct.response));
    let what = format!(
        "what the proxy adds is not measured: through its listener `{}` OPTIONS is answered {said}, directly {expected}",
        running.listener
    );
    let (trunk, listener) = (&open.place.subject.trunk, &running.listener);
    let remedy = match through.response.status() {
        401 | 403 | 407 => {
            format!("to have it measured, let this machine use the trunk: trunk.{trunk}.allow, listen.{listener}.allow, auth exempt")
        }
        _ => format!(
            "see that the proxy runs with this configuration (`jackfield status`), and whether its chain of plugins sends sip:{} elsewhere",
            open.place.subject.provider
        ),
    };
    report.advise(Kind::NotMeasured, what, remedy);
}

async fn direct(open: &mut Open<'_>) -> Option<Answer> {
    let copy = open.write(&Errand::Options)?;
    match open.ask(&copy).await {
        Outcome::Answered(answer) => Some(*answer),
        Outcome::Silent { .. } | Outcome::Broken(_) => None,
    }
}

/// The way through the proxy.
struct Through {
    link: Link,
    local: SocketAddr,
    remote: SocketAddr,
    transport: Transport,
}

impl Through {
    async fn open(open: &Open<'_>, running: &Running) -> std::io::Result<Self> {
        let (any, loopback): (IpAddr, IpAddr) = match running.address.ip() {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
        };
        let ip = if running.address.ip().is_unspecified() { loopback } else { running.address.ip() };
        let ends = Ends { local: SocketAddr::new(any, 0), remote: SocketAddr::new(ip, running.address.port()) };
        let (link, local) = match running.transport {
            Transport::Udp => link::datagrams(ends).await?,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                let stream = link::connection(ends, open.place.subject.times.connect).await?;
                let local = stream.local_addr()?;
                (Link::stream(stream), local)
            }
        };
        let transport = if running.transport == Transport::Udp { Transport::Udp } else { Transport::Tcp };
        Ok(Self { link, local, remote: ends.remote, transport })
    }

    /// Sends OPTIONS as a client of the proxy would.
    async fn ask(&mut self, open: &Open<'_>) -> Result<Answer, String> {
        let subject = open.place.subject;
        let (branch, local, provider) = (format!("z9hG4bK{}", token()), self.local, &subject.provider);
        let request = format!(
            "OPTIONS sip:{provider} SIP/2.0\r\nVia: SIP/2.0/{} {local};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: <{}>;tag={}\r\nTo: <sip:{provider}>\r\nCall-ID: {}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:jackfield-doctor@{local}>\r\n\
             Accept: application/sdp\r\nUser-Agent: Jackfield doctor\r\nContent-Length: 0\r\n\r\n",
            self.transport.via_name(),
            address_of_record(subject),
            token(),
            token(),
        );
        let copy = Copy {
            bytes: request.into(),
            branch: branch.into(),
            peer: None,
            listener: ListenerId(0),
            remote: self.remote,
            transport: self.transport,
        };
        match self.link.ask(&copy, subject.times.answer, subject.sending.timers).await {
            Outcome::Answered(answer) => Ok(*answer),
            Outcome::Silent { .. } => Err("OPTIONS is not answered".to_owned()),
            Outcome::Broken(error) => Err(format!("OPTIONS fails: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_provider_varies_by_is_not_claimed_to_be_known() {
        let spread = |fastest, median| Spread { fastest: Duration::from_micros(fastest), median: Duration::from_micros(median) };
        assert!(describe(spread(1000, 1100), spread(1400, 1500), 5).starts_with("the proxy adds about 0.400 ms to the set-up of a call"));
        let vague = describe(spread(10_000, 15_000), spread(10_300, 14_000), 5);
        assert!(
            vague.starts_with("the proxy adds less to the set-up of a call than the provider's own times vary (about 0.300 ms, 5.00 ms)"),
            "{vague}"
        );
    }
}
