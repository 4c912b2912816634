//! The whole examination: every way, from its configuration to an answer, and then what needs an address that answers.

use bytes::Bytes;
use jackfield_proto::message::uri_with_param;
use jackfield_proto::proxy::{Hop, Located};

use crate::added;
use crate::configuration::{self, Soundness, is_strict};
use crate::finding::{Findings, Kind, Report};
use crate::link::Outcome;
use crate::options::Service;
use crate::outgoing::{Errand, Leads, Writer};
use crate::registration;
use crate::resolution::Lookups;
use crate::subject::{ADDRESSES, Registration, Subject, WAYS, Way};
use crate::visit::{Open, Visited, visit};
use crate::wording;

/// Looks at a trunk, and tells what it finds as soon as it is known. Takes time: every answer is waited for as long as
/// [`crate::Times`] says, for each address of each way. Returns how many findings are bad.
///
/// Sends only to where the ways of the trunk lead, and to the running proxy where one is named. Needs a runtime with I/O and time.
pub async fn examine(subject: &Subject, findings: &mut dyn Findings) -> usize {
    let mut report = Report::new(findings);
    match Lookups::new(&subject.resolver) {
        Ok(lookups) => Examination { subject, lookups: &lookups }.run(&mut report).await,
        Err(error) => report.bad(Kind::NotResolved, format!("the resolver cannot be set up: {error}"), "look at [dns]"),
    }
    report.bad
}

pub(crate) struct Examination<'s> {
    pub(crate) subject: &'s Subject,
    pub(crate) lookups: &'s Lookups,
}

impl<'s> Examination<'s> {
    pub(crate) async fn run(&self, report: &mut Report<'_>) {
        let subject = self.subject;
        let by_itself = [Way::default()];
        let ways = if subject.ways.is_empty() { &by_itself[..] } else { &subject.ways[..] };
        let mut first = None;
        for (index, way) in ways.iter().take(WAYS).enumerate() {
            report.note(Kind::Way, format!("way {} of {}: {}", index + 1, ways.len(), describe(subject, way)));
            if configuration::check(subject, way, report) == Soundness::Usable {
                let open = self.way(way, report).await;
                first = first.or(open);
            }
        }
        if ways.len() > WAYS {
            report.note(Kind::NotExamined, format!("{} more ways are not looked at", ways.len() - WAYS));
        }
        let Some(mut open) = first else {
            if subject.registration == Registration::Try {
                report.note(Kind::NotTried, "no REGISTER is sent: no way leads to somebody who answers");
            }
            return;
        };
        if subject.registration == Registration::Try {
            registration::attempt(&mut open, report).await;
        }
        if let Some(running) = &subject.running {
            added::measure(&mut open, running, report).await;
        }
    }

    /// Looks at every address of a way; the first that serves requests, or at least answers.
    async fn way(&self, way: &Way, report: &mut Report<'_>) -> Option<Box<Open<'s>>> {
        let subject = self.subject;
        let located = self.locate(way, report).await;
        self.check_sources(&located, report);
        if located.len() > ADDRESSES {
            report.note(Kind::NotExamined, format!("{} more addresses are not looked at", located.len() - ADDRESSES));
        }
        let (mut serving, mut refusing) = (None, None);
        for located in located.into_iter().take(ADDRESSES) {
            match visit(subject, Writer::new(subject, way), located.clone(), report).await {
                Visited::Answers(Service::There, open) => serving = serving.or(Some(open)),
                Visited::Answers(Service::Refused, open) => refusing = refusing.or(Some(open)),
                Visited::Lost => {}
            }
        }
        let open = serving.or(refusing)?;
        self.try_loose(way, &open.located, report).await;
        Some(open)
    }

    /// The addresses that a way leads to.
    async fn locate(&self, way: &Way, report: &mut Report<'_>) -> Vec<Located> {
        match Writer::new(self.subject, way).leads() {
            Leads::Look(query) => self.lookups.look_up(self.subject, &query, report).await,
            Leads::Directly(transmit) => {
                let hop = Hop { transport: transmit.path.transport, address: transmit.path.remote };
                self.lookups.resolver().locate(vec![hop])
            }
            Leads::Nowhere => {
                let what = "nothing can leave by this way: no listener that may be used speaks its transport and address family";
                report.bad(
                    Kind::NoListener,
                    what,
                    format!("correct trunk.{0}.egress or trunk.{0}.options, or add a listener", self.subject.trunk),
                );
                Vec::new()
            }
        }
    }

    /// Calls from an address of the provider that the configuration does not name are not known for its.
    fn check_sources(&self, located: &[Located], report: &mut Report<'_>) {
        let from = &self.subject.from;
        let strange = |located: &&Located| !from.iter().any(|network| network.contains(located.hop.address.ip()));
        let mut strangers: Vec<String> = located.iter().filter(strange).map(|located| located.hop.address.ip().to_string()).collect();
        strangers.dedup();
        if !from.is_empty() && !strangers.is_empty() {
            let list = wording::list(strangers, ADDRESSES);
            let what = format!("calls from {list} would not count as the provider's: that is not in trunk.{}.from", self.subject.trunk);
            report.advise(
                Kind::NotFromProvider,
                what,
                format!("add it to trunk.{}.from, if the provider calls from there", self.subject.trunk),
            );
        }
    }

    /// Where a route is strict by configuration, `;lr` is tried as well.
    async fn try_loose(&self, way: &Way, located: &Located, report: &mut Report<'_>) {
        if !way.route.iter().any(|route| is_strict(route)) {
            return;
        }
        let route: Vec<Bytes> = way.route.iter().map(|route| uri_with_param(route, b"lr", None)).collect();
        let way = Way { route, ..way.clone() };
        let mut silent: Vec<crate::Finding> = Vec::new();
        let found = visit(self.subject, Writer::new(self.subject, &way), located.clone(), &mut Report::new(&mut silent)).await;
        let Visited::Answers(_, mut open) = found else { return };
        let Some(copy) = open.write(&Errand::Options) else { return };
        if let Outcome::Answered(answer) = open.ask(&copy).await {
            let what = format!("with `;lr` in the route, OPTIONS is answered {}", wording::status(&answer.response));
            report.note(Kind::StrictRouter, what);
        }
    }
}

fn describe(subject: &Subject, way: &Way) -> String {
    let mut text = match (way.route.is_empty(), &way.next_hop) {
        (false, _) => format!("route {}", wording::list(way.route.iter().map(wording::uri), 4)),
        (true, Some(next_hop)) => format!("next hop {}", wording::uri(next_hop)),
        (true, None) => format!("to sip:{}", subject.provider),
    };
    if let Some(transport) = way.transport {
        text.push_str(&format!(", over {transport}"));
    }
    if let Some(egress) = &way.egress {
        text.push_str(&format!(", from the listener `{egress}`"));
    }
    text
}
