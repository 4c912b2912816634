//! What plugins and resolvers of the simulated world say, and how long they think about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{
    Admission, Admitted, Border, Edit, Extent, FailureOutcome, Group, Hiding, Hop, MediaAnswer, MediaNote, Mode, Plan, Query, Reply,
    SideId, StatusSet, Target, Verdict, Watch,
};

use crate::support::Random;
use crate::support::{address, kept, spaced, target};

/// What a refusal says, so that it is known upstream.
pub(super) const FULL: &str = "Full";

/// Callees that can be reached, and from `x` on such as cannot.
const PEERS: [char; 12] = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'x', 'y'];

pub(super) fn delay(random: &mut Random) -> Duration {
    match random.below(10) {
        0 => random.millis(1, 3000),
        1 | 2 => random.millis(1, 100),
        _ => Duration::ZERO,
    }
}

pub(super) fn verdict(random: &mut Random, request: &Message) -> Verdict<u32> {
    let method = request.method();
    if method == Method::CANCEL {
        return Verdict::Reply(Reply::status(481));
    }
    if method == Method::ACK {
        return Verdict::Drop;
    }
    if random.percent(3) {
        return Verdict::Reply(Reply::status(random.pick(&[403, 404, 302, 600])));
    }
    let watch = Watch { responses: random.percent(20), failures: random.percent(20), ..Watch::default() };
    Verdict::Forward { plan: plan(random), state: 1, watch }
}

fn plan(random: &mut Random) -> Plan {
    let groups = (0..random.below(4)).map(|_| group(random)).collect();
    let next_on = if random.percent(30) { StatusSet::parse("404 408 5xx").unwrap() } else { StatusSet::failures() };
    Plan { groups, next_on, ..Plan::default() }
}

fn group(random: &mut Random) -> Group {
    let mode = random.pick(&[Mode::Serial, Mode::Parallel]);
    let targets = (0..1 + random.below(3)).map(|_| one_target(random)).collect();
    Group { mode, targets }
}

fn one_target(random: &mut Random) -> Target {
    let peer = random.pick(&PEERS);
    let mut target = target(peer);
    match random.below(10) {
        0..=2 => target.uri = Some(format!("sip:{peer}@{peer}.test").into()),
        3 => target.transport = Some(Transport::Tcp),
        4 => target.uri = Some("tel:+4930".into()),
        _ => {}
    }
    match random.below(5) {
        0 => target.trunk = kept("kept"),
        1 | 2 => target.trunk = spaced("spaced"),
        _ => {}
    }
    if random.percent(25) {
        target.admission = Admission::Asked;
    }
    if random.percent(10) {
        target.from = spaced("from");
    }
    if random.percent(25) {
        target.border = Some(hiding());
    }
    if random.percent(25) {
        target.response_timeout = Some(random.millis(100, 5000));
    }
    if random.percent(25) {
        target.answer_timeout = Some(random.millis(1000, 40_000));
    }
    target
}

/// The caller is hidden from these callees; not in Call-ID, by which the simulation knows its calls.
fn hiding() -> Arc<Border> {
    let extent = Extent { call_id: false, from: true, to: true, origin: true, identity: true };
    let hiding = Some(Hiding { extent, ..Hiding::default() });
    Arc::new(Border { side: SideId::of_trunk("hidden"), hiding, identity: None })
}

/// A name has from none to three addresses; the first letter of it is the peer.
pub(super) fn addresses(random: &mut Random, query: &Query) -> Vec<Hop> {
    if let (Ok(ip), Some(port)) = (query.host.parse(), query.port) {
        return vec![Hop { transport: query.transport.unwrap_or(Transport::Udp), address: SocketAddr::new(ip, port) }];
    }
    let peer = query.host.chars().next().unwrap_or('b');
    let all = [random.pick(&PEERS), random.pick(&PEERS), peer].map(|peer| Hop { transport: Transport::Udp, address: address(peer) });
    all[random.below(4) as usize..].to_vec()
}

pub(super) fn admitted(random: &mut Random) -> Admitted {
    if random.percent(80) { Admitted::Yes } else { Admitted::No(Reply::with_reason(random.pick(&[403, 486, 503]), FULL)) }
}

/// What a relay says: most media is relayed. Whatever leaves by this answer names its note in the body.
pub(super) fn media(random: &mut Random, number: u32) -> MediaAnswer {
    match random.below(10) {
        0 => MediaAnswer::Direct,
        1 => MediaAnswer::Refused(Reply::with_reason(random.pick(&[403, 486, 503]), FULL)),
        _ => MediaAnswer::Relayed { note: note(number), body: Some(format!("{RELAYED}{number}").into()) },
    }
}

fn note(number: u32) -> MediaNote {
    MediaNote::new(&number.to_be_bytes()).unwrap()
}

/// The number of a note.
pub(super) fn number_of(note: MediaNote) -> u32 {
    u32::from_be_bytes(note.as_bytes().try_into().unwrap())
}

/// What a body begins with that a relay has changed; the number of the note is behind it.
pub(super) const RELAYED: &str = "relayed ";

pub(super) fn credentials(random: &mut Random) -> Option<Vec<Edit>> {
    random.percent(70).then(|| vec![Edit::Set("Authorization".into(), "Digest x".into())])
}

pub(super) fn outcome(random: &mut Random) -> FailureOutcome {
    match random.below(6) {
        0 => FailureOutcome::Instead(vec![group(random)]),
        1 => FailureOutcome::Stop,
        2 => FailureOutcome::Reply(Reply::status(488)),
        _ => FailureOutcome::Next,
    }
}
