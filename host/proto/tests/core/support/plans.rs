//! Decisions in short form: a target is the letter of its peer.

use jackfield_proto::proxy::{Group, Mode, Numbering, Plan, Target, TrunkId, TrunkSide};

use super::wire::address;

/// The target of a peer; its tag is the letter.
pub(crate) fn target(peer: char) -> Target {
    Target { uri: Some(format!("sip:{peer}@{}", address(peer)).into()), tag: peer.to_string().into(), ..Target::default() }
}

pub(crate) fn group(mode: Mode, peers: &str) -> Group {
    Group { mode, targets: peers.chars().map(target).collect() }
}

pub(crate) fn plan(groups: Vec<Group>) -> Plan {
    Plan { groups, ..Plan::default() }
}

/// One after the other.
pub(crate) fn serial(peers: &str) -> Plan {
    plan(vec![group(Mode::Serial, peers)])
}

/// All at once.
pub(crate) fn parallel(peers: &str) -> Plan {
    plan(vec![group(Mode::Parallel, peers)])
}

/// A side whose challenges are answered here.
pub(crate) fn spaced(trunk: &str) -> Option<TrunkSide> {
    Some(TrunkSide { id: TrunkId::of(trunk), numbering: Numbering::Spaced })
}

/// A side that answers for itself.
pub(crate) fn kept(trunk: &str) -> Option<TrunkSide> {
    Some(TrunkSide { id: TrunkId::of(trunk), numbering: Numbering::Kept })
}
