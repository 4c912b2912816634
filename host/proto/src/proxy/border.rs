//! Sides, and what happens between them. A side is a trunk or, where there is none, a listener; a request that comes from one and goes to
//! another crosses the border between them.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher24;

use super::identity::Identity;

/// Stands for a side: it is made of its name, so that it is the same after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SideId(pub u32);

impl SideId {
    /// That of the listener of this name, by whatever transport.
    pub fn of_listener(name: &str) -> Self {
        Self::of(b'l', name)
    }

    /// That of the trunk of this name.
    pub fn of_trunk(name: &str) -> Self {
        Self::of(b't', name)
    }

    fn of(kind: u8, name: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write_u8(kind);
        hasher.write(name.as_bytes());
        Self((hasher.finish() & 0xffff_ffff) as u32)
    }
}

/// What one side says about what crosses its border.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Border {
    /// The side itself.
    pub side: SideId,
    /// Whether what is behind it is hidden; none: as it is.
    pub hiding: Option<Hiding>,
    /// What of identities passes.
    pub identity: Option<Arc<Identity>>,
}

/// What others do not get to see of a side, nor that side of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hiding {
    /// From whom.
    pub towards: Towards,
    /// What else is hidden or cleaned, beside Via, Record-Route, Route and Contact.
    pub extent: Extent,
    /// The host that stands in the place of cleaned ones; none: the address of the listener that the message leaves from.
    pub host: Option<Arc<str>>,
}

/// What is hidden between two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden<'a> {
    /// Beside what always is.
    pub extent: Extent,
    /// The host that stands in the place of cleaned ones.
    pub host: Option<&'a Arc<str>>,
}

/// Towards which other sides something holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Towards {
    /// All others.
    #[default]
    Others,
    /// These.
    Sides(Vec<SideId>),
}

/// What is hidden or cleaned beside what always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Call-ID becomes a token.
    pub call_id: bool,
    /// The host in the URI of From.
    pub from: bool,
    /// The host in the URI of To.
    pub to: bool,
    /// The address in the `o=` line of SDP (RFC 8866 5.2).
    pub origin: bool,
    /// Hosts in the URIs of header fields that say who somebody is (P-Asserted-Identity and the like).
    pub identity: bool,
}

impl Towards {
    /// Whether it holds towards a side.
    pub fn covers(&self, side: SideId) -> bool {
        match self {
            Self::Others => true,
            Self::Sides(sides) => sides.contains(&side),
        }
    }
}

impl Border {
    /// What is hidden between this side and another, whichever of them a call comes from: what the one asks for, and what the other does.
    /// None: nothing is. What stays on one side crosses no border.
    pub fn hiding_between<'a>(&'a self, other: &'a Self) -> Option<Hidden<'a>> {
        if self.side == other.side {
            return None;
        }
        let asks = |border: &'a Self, towards: &Self| border.hiding.as_ref().filter(|hiding| hiding.towards.covers(towards.side));
        let of = |hiding: &'a Hiding| Hidden { extent: hiding.extent, host: hiding.host.as_ref() };
        match (asks(self, other).map(of), asks(other, self).map(of)) {
            (Some(ours), Some(theirs)) => Some(Hidden { extent: ours.extent.with(theirs.extent), host: ours.host.or(theirs.host) }),
            (ours, theirs) => ours.or(theirs),
        }
    }
}

impl Extent {
    /// What the one or the other names.
    pub fn with(self, other: Self) -> Self {
        Self {
            call_id: self.call_id || other.call_id,
            from: self.from || other.from,
            to: self.to || other.to,
            origin: self.origin || other.origin,
            identity: self.identity || other.identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn border(name: &str, towards: Option<Towards>) -> Border {
        let hiding = towards.map(|towards| Hiding { towards, ..Hiding::default() });
        Border { side: SideId::of_listener(name), hiding, identity: None }
    }

    #[test]
    fn what_crosses_is_hidden_if_either_side_asks() {
        let (lan, wan, web) = (border("lan", Some(Towards::Others)), border("wan", None), border("web", None));
        assert!(lan.hiding_between(&wan).is_some() && wan.hiding_between(&lan).is_some());
        assert!(wan.hiding_between(&web).is_none() && lan.hiding_between(&lan).is_none());
        let towards_web = border("lan", Some(Towards::Sides(vec![web.side])));
        assert!(towards_web.hiding_between(&web).is_some() && web.hiding_between(&towards_web).is_some());
        assert!(towards_web.hiding_between(&wan).is_none());
    }

    /// A side that asks for little takes nothing away from what the other asks for.
    #[test]
    fn what_both_sides_ask_for_is_hidden_in_either_direction() {
        let full =
            Hiding { extent: Extent { call_id: true, from: true, ..Extent::default() }, host: Some("b.test".into()), ..Hiding::default() };
        let lan = Border { hiding: Some(full), ..border("lan", None) };
        let origin = Hiding { extent: Extent { origin: true, ..Extent::default() }, ..Hiding::default() };
        let wan = Border { hiding: Some(origin), ..border("wan", None) };
        let extent = Extent { call_id: true, from: true, origin: true, ..Extent::default() };
        for hidden in [lan.hiding_between(&wan), wan.hiding_between(&lan)] {
            assert_eq!(hidden, Some(Hidden { extent, host: Some(&"b.test".into()) }));
        }
    }

    #[test]
    fn a_trunk_is_another_side_than_a_listener_of_its_name() {
        assert_ne!(SideId::of_trunk("a"), SideId::of_listener("a"));
        assert_ne!(SideId::of_listener("a"), SideId::of_listener("b"));
    }
}
