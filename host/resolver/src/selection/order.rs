//! The order of the addresses of one host.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Rules;
use crate::settings::Family;

/// Addresses by family.
#[derive(Debug, Default)]
pub(super) struct Families {
    v4: SmallVec<[IpAddr; 4]>,
    v6: SmallVec<[IpAddr; 4]>,
}

impl Families {
    /// Those of a list that are wanted.
    pub(super) fn of<'a>(list: impl IntoIterator<Item = &'a IpAddr>, wanted: impl Fn(IpAddr) -> bool) -> Self {
        let (v4, v6) = list.into_iter().copied().filter(|address| wanted(*address)).partition(IpAddr::is_ipv4);
        Self { v4, v6 }
    }

    /// The families in turn (RFC 7984 4: a family that does not work must not hold up the other), each beginning at an address drawn
    /// by lot: what is cached would otherwise put the whole load on the first.
    pub(super) fn in_order(mut self, rules: &Rules<'_>) -> SmallVec<[IpAddr; 4]> {
        for family in [&mut self.v4, &mut self.v6] {
            let last = u32::try_from(family.len().saturating_sub(1)).unwrap_or(u32::MAX);
            if last > 0 {
                let first = usize::try_from((rules.draw)(last)).unwrap_or(0);
                let length = family.len();
                family.rotate_left(first.min(length));
            }
        }
        let v6_first = match rules.family {
            Family::PreferIpv6 | Family::Ipv6 => true,
            Family::PreferIpv4 | Family::Ipv4 => false,
            Family::Any => self.v6.first().is_some_and(|address| (rules.routable)(*address)),
        };
        let (first, second) = if v6_first { (self.v6, self.v4) } else { (self.v4, self.v6) };
        let mut ordered = SmallVec::with_capacity(first.len() + second.len());
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        loop {
            let pair = (first.next(), second.next());
            if pair == (None, None) {
                return ordered;
            }
            ordered.extend(pair.0);
            ordered.extend(pair.1);
        }
    }
}
