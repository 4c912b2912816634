//! Addresses that have no limits.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Ranges that are sorted and do not overlap.
#[derive(Debug, Default)]
pub(super) struct Exempt(Vec<(IpAddr, IpAddr)>);

impl Exempt {
    pub(super) fn new(ranges: &[RangeInclusive<IpAddr>]) -> Self {
        let mut sorted: Vec<_> = ranges.iter().map(|range| (*range.start(), *range.end())).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(IpAddr, IpAddr)> = Vec::new();
        for (start, end) in sorted {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Self(merged)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        // Addresses of IPv4 sort before those of IPv6, so that no range holds both.
        let behind = self.0.partition_point(|(start, _)| *start <= address);
        behind.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|(_, end)| address <= *end)
    }
}
