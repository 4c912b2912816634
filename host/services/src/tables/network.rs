//! The narrowest network that an address is in: networks within networks become ranges that lie side by side, found by bisection.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use jackfield_proto::network::Network;

use super::prefix::Same;

/// A range that is in no network.
const NONE: u32 = u32::MAX;

/// The networks, those of IPv4 and those of IPv6.
#[derive(Debug)]
pub(super) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Networks {
    /// The row of the narrowest network with this address. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub(super) fn find(&self, address: IpAddr) -> Option<u32> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }

    pub(super) fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }
}

/// Where ranges begin, and the row of each; one ends where the next begins.
#[derive(Debug)]
struct Ranges<A> {
    starts: Vec<A>,
    rows: Vec<u32>,
}

/// A network as it comes: its addresses, and its number by the order of the file.
#[derive(Clone, Copy, Debug)]
struct Span<A> {
    first: A,
    last: A,
    number: u32,
}

/// A number that an address is.
trait Bits: Copy + Ord {
    /// The next one; none behind the last.
    fn next(self) -> Option<Self>;
}

impl Bits for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Bits for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl<A: Bits> Ranges<A> {
    fn find(&self, address: A) -> Option<u32> {
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        self.rows.get(at).copied().filter(|row| *row != NONE)
    }

    /// Ranges of networks, of which each is inside another one or apart from it.
    fn new(mut spans: Vec<Span<A>>, rows: &[u32]) -> Result<Self, (Same, Span<A>)> {
        spans.sort_unstable_by_key(|span| (span.first, Reverse(span.last), span.number));
        let same = spans.windows(2).filter_map(|pair| match pair {
            [one, other] if (one.first, one.last) == (other.first, other.last) => {
                Some((Same { first: one.number, again: other.number }, *one))
            }
            _ => None,
        });
        if let Some(same) = same.min_by_key(|(same, _)| same.again) {
            return Err(same);
        }
        let mut ranges = Self { starts: Vec::with_capacity(spans.len()), rows: Vec::with_capacity(spans.len()) };
        // The networks around the place, the narrowest last.
        let mut around: Vec<(A, u32)> = Vec::new();
        for span in spans {
            ranges.close(&mut around, Some(span.first));
            let row = rows.get(span.number as usize).copied().unwrap_or(NONE);
            ranges.begin(span.first, row);
            around.push((span.last, row));
        }
        ranges.close(&mut around, None);
        ranges.starts.shrink_to_fit();
        ranges.rows.shrink_to_fit();
        Ok(ranges)
    }

    /// Ends the networks that end before a place: behind each goes on what is around it.
    fn close(&mut self, around: &mut Vec<(A, u32)>, before: Option<A>) {
        while let Some((last, _)) = around.last().copied().filter(|(last, _)| before.is_none_or(|place| *last < place)) {
            around.pop();
            if let Some(next) = last.next() {
                self.begin(next, around.last().map_or(NONE, |(_, row)| *row));
            }
        }
    }

    fn begin(&mut self, start: A, row: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.rows.pop();
        }
        if self.rows.last().copied().unwrap_or(NONE) != row {
            self.starts.push(start);
            self.rows.push(row);
        }
    }

    fn octets(&self) -> usize {
        self.starts.capacity() * size_of::<A>() + self.rows.capacity() * size_of::<u32>()
    }
}

/// Networks as they come.
#[derive(Debug, Default)]
pub(super) struct NetworksDraft {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
    rows: Vec<u32>,
}

impl NetworksDraft {
    /// Takes up a network. There is room for as many as there are rows.
    pub(super) fn add(&mut self, network: &Network, row: u32) {
        let number = u32::try_from(self.rows.len()).unwrap_or(NONE);
        self.rows.push(row);
        match bounds(network.addresses()) {
            Bounds::V4(first, last) => self.v4.push(Span { first, last, number }),
            Bounds::V6(first, last) => self.v6.push(Span { first, last, number }),
        }
    }

    /// The networks as they stay.
    ///
    /// # Errors
    /// One that is there twice, and how it is written.
    pub(super) fn finish(self) -> Result<Networks, (Same, String)> {
        let v4 = Ranges::new(self.v4, &self.rows).map_err(|(same, span)| {
            let length = (span.first ^ span.last).leading_zeros();
            (same, format!("{}/{length}", Ipv4Addr::from_bits(span.first)))
        })?;
        let v6 = Ranges::new(self.v6, &self.rows).map_err(|(same, span)| {
            let length = (span.first ^ span.last).leading_zeros();
            (same, format!("{}/{length}", Ipv6Addr::from_bits(span.first)))
        })?;
        Ok(Networks { v4, v6 })
    }
}

enum Bounds {
    V4(u32, u32),
    V6(u128, u128),
}

/// The first and the last address. A block of IPv4 addresses that are mapped into IPv6 is one of IPv4.
fn bounds(addresses: RangeInclusive<IpAddr>) -> Bounds {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let (first, last) = addresses.into_inner();
    let (first, last) = (bits(first), bits(last));
    match (Ipv6Addr::from_bits(first).to_ipv4_mapped(), Ipv6Addr::from_bits(last).to_ipv4_mapped()) {
        (Some(first), Some(last)) => Bounds::V4(first.to_bits(), last.to_bits()),
        _ => Bounds::V6(first, last),
    }
}
