//! One address of a way: whether it can be reached, who is there, and what he says.

use std::net::SocketAddr;
use std::time::Duration;

use jackfield_proto::net::{Listener, Transport};
use jackfield_proto::proxy::Located;

use crate::departure::{self, Detour, Interfaces};
use crate::finding::{Kind, Report};
use crate::link::{self, Answer, Ends, Link, Outcome};
use crate::options::{self, Service};
use crate::outgoing::{Copy, Errand, Writer};
use crate::subject::{ROUND_TRIPS, Subject};
use crate::tls::{Security, Trust};
use crate::wording;

/// An address, and from where it is looked at.
pub(crate) struct Place<'s> {
    pub(crate) subject: &'s Subject,
    /// The listener that requests leave from.
    pub(crate) listener: &'s Listener,
    /// The end of the link on this side.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) transport: Transport,
}

impl Place<'_> {
    /// From where the provider sees us, as far as we know.
    pub(crate) fn from(&self) -> String {
        format!("{} (listener `{}`)", self.local.ip(), self.listener.name)
    }
}

/// An address that serves, with the link to it.
pub(crate) struct Open<'s> {
    pub(crate) place: Place<'s>,
    pub(crate) writer: Writer<'s>,
    pub(crate) located: Located,
    link: Link,
}

impl Open<'_> {
    /// A request for this address.
    pub(crate) fn write(&self, errand: &Errand<'_>) -> Option<Copy> {
        self.writer.write(errand, &self.located)
    }

    /// Sends it, and waits for the answer.
    pub(crate) async fn ask(&mut self, copy: &Copy) -> Outcome {
        let Subject { times, sending, .. } = self.place.subject;
        self.link.ask(copy, times.answer, sending.timers).await
    }
}

/// What became of a visit.
pub(crate) enum Visited<'s> {
    /// Somebody answers, whom the proxy would talk to.
    Answers(Service, Box<Open<'s>>),
    /// Nobody does, or nobody whom the proxy would talk to.
    Lost,
}

/// Looks at one address.
pub(crate) async fn visit<'s>(subject: &'s Subject, mut writer: Writer<'s>, located: Located, report: &mut Report<'_>) -> Visited<'s> {
    let hop = located.hop;
    let copy = writer.write(&Errand::Options, &located);
    let Some((egress, copy)) = copy.and_then(|copy| Some((writer.egress(copy.listener)?, copy))) else {
        let what = format!("no listener can send to {} over {}", hop.address, hop.transport);
        report.bad(Kind::NoListener, what, "add a listener with that transport and address family, and name it as egress");
        return Visited::Lost;
    };
    let interfaces = Interfaces::now();
    let listener = &egress.listener;
    if !departure::check(listener, copy.remote, &interfaces, report) {
        return Visited::Lost;
    }
    let detour = departure::detour(listener.address.ip(), located.source, &interfaces);
    let mut place = Place { subject, listener, local: listener.address, remote: copy.remote, transport: copy.transport };
    let connected = match copy.transport {
        Transport::Udp => connect_datagrams(&mut place, report).await,
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
            let peer = copy.peer.as_deref().map_or_else(|| copy.remote.ip().to_string(), str::to_owned);
            let security = egress.tls.as_ref().map(|files| Security { listener: &listener.name, files, peer: &peer });
            connect_stream(&mut place, security, report).await
        }
    };
    let Some((mut link, trust)) = connected else {
        blame(detour.as_ref(), &place, report);
        return Visited::Lost;
    };
    if matches!(copy.transport, Transport::Ws | Transport::Wss) {
        report.note(Kind::NotExamined, "SIP over WebSocket is not looked at any further");
        return Visited::Lost;
    }
    writer.send_from(copy.listener, place.local);
    let Some(copy) = writer.write(&Errand::Options, &located) else { return Visited::Lost };
    let service = match link.ask(&copy, subject.times.answer, subject.sending.timers).await {
        Outcome::Answered(answer) => answered(&answer, &place, detour.as_ref(), report),
        Outcome::Silent { provisional } => {
            options::silent(provisional, repetitions(subject), &place, report);
            blame(detour.as_ref(), &place, report);
            hint_at_tcp(&place, report).await;
            return Visited::Lost;
        }
        Outcome::Broken(error) => {
            options::broken(&error, &place, report);
            return Visited::Lost;
        }
    };
    if trust == Trust::Refused {
        return Visited::Lost;
    }
    let mut open = Box::new(Open { place, writer, located, link });
    if service == Service::There {
        round_trips(&mut open, report).await;
    }
    Visited::Answers(service, open)
}

fn answered(answer: &Answer, place: &Place<'_>, detour: Option<&Detour>, report: &mut Report<'_>) -> Service {
    let service = options::judge(answer, place, report);
    if answer.sent > 1 {
        let what = format!(
            "the answer came after OPTIONS had been sent {}: datagrams are lost, or the provider is slow",
            wording::times(answer.sent)
        );
        report.note(Kind::RoundTrip, what);
    }
    options::seen_as(&answer.response, place, report);
    if let Some(Detour { source, interface, configured }) = detour {
        let what = format!(
            "the system by itself would send to {} by {interface} (from {source}), the listener `{}` is at {configured}; it works, so a rule seems to see to that",
            place.remote, place.listener.name
        );
        report.note(Kind::OtherInterface, what);
    }
    service
}

/// Names the wrong interface as what may be to blame.
fn blame(detour: Option<&Detour>, place: &Place<'_>, report: &mut Report<'_>) {
    let Some(Detour { source, interface, configured }) = detour else { return };
    let (name, own, remote) = (&place.listener.name, place.listener.address.ip(), place.remote.ip());
    let what = format!(
        "wrong interface: the system's route to {remote} leads out by {interface} (from {source}), the listener `{name}` is at {configured} ({own})"
    );
    let remedy = format!(
        "route it by {configured} (`ip rule add from {own} table N`, `ip route add {remote} dev {configured}`), or name the listener at {source} as \
         trunk.{}.egress",
        place.subject.trunk
    );
    report.bad(Kind::OtherInterface, what, remedy);
}

async fn connect_datagrams(place: &mut Place<'_>, report: &mut Report<'_>) -> Option<(Link, Trust)> {
    let ends = Ends { local: place.listener.address, remote: place.remote };
    match link::datagrams(ends).await {
        Ok((link, local)) => {
            place.local = local;
            tell_port(place, report);
            Some((link, Trust::Proved))
        }
        Err(error) => {
            options::unreachable(&error, place, report);
            None
        }
    }
}

/// From which port datagrams leave: what provider and firewall see of it may be another way than that of the proxy.
fn tell_port(place: &Place<'_>, report: &mut Report<'_>) {
    let (local, name, own) = (place.local, &place.listener.name, place.listener.address.port());
    if own == 0 || own == local.port() {
        report.good(Kind::LocalPort, format!("datagrams leave from {local}, as the listener `{name}` sends"));
        return;
    }
    let what = format!(
        "datagrams leave from {local} and not from port {own} of the listener `{name}`, which somebody has, as the running proxy would: a firewall \
         or provider that goes by the port may treat them otherwise than calls"
    );
    report.note(Kind::LocalPort, what);
}

async fn connect_stream(place: &mut Place<'_>, security: Option<Security<'_>>, report: &mut Report<'_>) -> Option<(Link, Trust)> {
    let ends = Ends { local: place.listener.address, remote: place.remote };
    let begun = tokio::time::Instant::now();
    let stream = match link::connection(ends, place.subject.times.connect).await {
        Ok(stream) => stream,
        Err(error) => {
            options::not_connected(&error, place, report);
            return None;
        }
    };
    place.local = stream.local_addr().ok()?;
    let what = format!("{} takes a TCP connection from {} in {}", place.remote, place.from(), wording::time(begun.elapsed()));
    report.good(Kind::Connected, what);
    if !place.transport.is_secure() {
        return Some((Link::stream(stream), Trust::Proved));
    }
    let Some(security) = security else {
        let name = &place.listener.name;
        let remedy = format!("add [listen.{name}.tls]");
        report.bad(Kind::TlsFiles, format!("the listener `{name}` has no certificate for {}", place.transport), remedy);
        return None;
    };
    let (stream, trust) = security.establish(stream, place.subject.times.handshake, report).await?;
    Some((Link::stream(stream), trust))
}

/// How often a datagram is sent in the time that an answer may take.
fn repetitions(subject: &Subject) -> u32 {
    let timers = subject.sending.timers;
    let (mut sent, mut at, mut interval) = (1, Duration::ZERO, timers.t1.max(Duration::from_millis(1)));
    while at + interval < subject.times.answer {
        at += interval;
        interval = (interval * 2).min(timers.t2).max(Duration::from_millis(1));
        sent += 1;
    }
    sent
}

/// Where datagrams are not answered, a connection to the same port may tell more.
async fn hint_at_tcp(place: &Place<'_>, report: &mut Report<'_>) {
    if place.transport != Transport::Udp {
        return;
    }
    let ends = Ends { local: place.listener.address, remote: place.remote };
    if link::connection(ends, place.subject.times.connect.min(Duration::from_secs(2))).await.is_ok() {
        let remedy = format!("try options = {{ transport = \"tcp\" }} in [trunk.{}]", place.subject.trunk);
        report.advise(Kind::Connected, format!("{} takes TCP connections at the same port", place.remote), remedy);
    }
}

/// OPTIONS again and again, for the time that it takes.
async fn round_trips(open: &mut Open<'_>, report: &mut Report<'_>) {
    let count = open.place.subject.count.clamp(1, ROUND_TRIPS);
    let mut times = Vec::new();
    let mut lost = 0;
    for _ in 0..count {
        let Some(copy) = open.write(&Errand::Options) else { return };
        match open.ask(&copy).await {
            Outcome::Answered(answer) if answer.sent == 1 => times.push(answer.elapsed),
            Outcome::Answered(_) | Outcome::Silent { .. } => lost += 1,
            Outcome::Broken(_) => break,
        }
    }
    let Some(Spread { fastest, median }) = Spread::of(&mut times) else {
        let what = "it answers once, and no second time: it may limit how often one asks".to_owned();
        report.note(Kind::RoundTrip, what);
        return;
    };
    let lost = if lost == 0 { String::new() } else { format!(", {lost} of {count} had to be repeated or got no answer") };
    let what = format!("round trip: {} at best, {} in the middle, of {}{lost}", wording::time(fastest), wording::time(median), times.len());
    report.good(Kind::RoundTrip, what);
}

/// What is told of several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) fastest: Duration,
    pub(crate) median: Duration,
}

impl Spread {
    /// None if there are none.
    pub(crate) fn of(times: &mut [Duration]) -> Option<Self> {
        times.sort_unstable();
        Some(Self { fastest: *times.first()?, median: *times.get(times.len() / 2)? })
    }
}
