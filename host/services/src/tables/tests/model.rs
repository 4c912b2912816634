//! Tables against models that are too simple to be wrong, with inputs from a seed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use jackfield_proto::network::Network;

use super::*;

/// Pseudo-random numbers (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A text of few letters, so that many begin alike.
    fn text(&mut self, letters: &[char], longest: u64) -> String {
        (0..=self.below(longest)).map(|_| letters[self.below(letters.len() as u64) as usize]).collect()
    }
}

/// Letters of keys: digits alone, and what shares octets with one another.
const LETTERS: [&[char]; 3] =
    [&['0', '1', '9'], &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '*', '#'], &['1', 'a', '\u{e4}', '\u{e5}', '\u{10348}']];

fn csv(rows: &BTreeMap<String, String>) -> String {
    rows.iter().fold("key,value\n".to_owned(), |mut text, (key, value)| {
        writeln!(text, "{key},{value}").unwrap();
        text
    })
}

#[test]
fn keys_and_prefixes_are_found_as_a_search_of_all_rows_finds_them() {
    for seed in 0..60 {
        let mut draw = Draw(seed);
        let letters = LETTERS[seed as usize % LETTERS.len()];
        let longest = [4, 12, 40][seed as usize / 3 % 3];
        let count = [0, 1, 30, 600][seed as usize % 4];
        let rows: BTreeMap<String, String> = (0..count).map(|_| (draw.text(letters, longest), format!("v{}", draw.below(20)))).collect();
        let (prefixes, exact) = (Place::new("p.csv", Matching::LongestPrefix), Place::new("e.csv", Matching::Exact));
        let (prefixes, exact) = (prefixes.write(csv(&rows)).load().unwrap(), exact.write(csv(&rows)).load().unwrap());
        assert_eq!(prefixes.len(), rows.len());
        let questions: Vec<String> = (0..300).map(|_| draw.text(letters, longest + 3)).chain(rows.keys().cloned()).collect();
        for number in &questions {
            let ends = number.char_indices().map(|(end, _)| end).chain([number.len()]);
            let best = ends.rev().find_map(|end| rows.get_key_value(&number[..end])).map(|(key, value)| format!("{key}|{value}"));
            assert_eq!(row(prefixes.longest_prefix(number).unwrap()), best, "seed {seed}, {number}");
            let same = rows.get(number).map(|value| format!("{number}|{value}"));
            assert_eq!(row(exact.exact(number).unwrap()), same, "seed {seed}, {number}");
        }
    }
}

/// An address of few values, so that networks lie within networks.
fn address(draw: &mut Draw) -> IpAddr {
    let edge = |draw: &mut Draw| [0, 1, 127, 128, 255][draw.below(5) as usize];
    match draw.below(2) {
        0 => IpAddr::from([10, edge(draw), edge(draw), edge(draw)]),
        _ => {
            let mut octets = [0; 16];
            octets.iter_mut().for_each(|octet| *octet = if draw.below(3) == 0 { edge(draw) } else { 0xff });
            IpAddr::from(octets)
        }
    }
}

#[test]
fn networks_are_found_as_a_search_of_all_rows_finds_them() {
    for seed in 0..60 {
        let mut draw = Draw(seed);
        let networks: BTreeMap<String, Network> = (0..[1, 20, 200][seed as usize % 3])
            .map(|_| {
                let address = address(&mut draw);
                let longest = if address.is_ipv4() { 32 } else { 128 };
                let network = Network::of(address, draw.below(longest + 1) as u8);
                (network.to_string(), network)
            })
            .collect();
        let rows = networks.keys().map(|name| (name.clone(), "same".to_owned())).collect();
        let place = Place::new("n.csv", Matching::Network);
        let table = place.write(csv(&rows)).load().unwrap();
        let edges: Vec<IpAddr> = networks.values().flat_map(|network| [*network.addresses().start(), *network.addresses().end()]).collect();
        let others: Vec<IpAddr> = (0..300).map(|_| address(&mut draw)).collect();
        for address in edges.into_iter().chain(others) {
            let around = networks.iter().filter(|(_, network)| network.contains(address));
            let best = around
                .min_by(|(_, one), (_, other)| if one.covers(other) { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less });
            let best = best.map(|(name, _)| format!("{name}|same"));
            assert_eq!(row(table.network(address).unwrap()), best, "seed {seed}, {address}");
        }
    }
}

#[test]
fn a_million_prefixes_take_less_than_64_mb() {
    const ROWS: usize = 200_000;
    // The bound of a million, scaled: what a row takes does not depend on how many there are.
    const OCTETS: usize = 64_000_000 / (1_000_000 / ROWS);
    let mut draw = Draw(1);
    let mut rows = BTreeMap::new();
    while rows.len() < ROWS {
        let number = 10_u64.pow(2 + draw.below(13) as u32) + draw.next() % 10_u64.pow(14);
        let length = 3 + draw.below(13) as usize;
        let key: String = number.to_string().chars().take(length).collect();
        let value = format!("carrier-{},0.{:04}", draw.below(200), draw.below(10_000));
        rows.insert(key, value);
    }
    let place = Place::new("p.csv", Matching::LongestPrefix);
    let content = csv(&rows).replacen("key,value", "key,carrier,rate", 1);
    let table = place.write(content).load().unwrap();
    assert_eq!(table.len(), ROWS);
    assert!(table.octets() < OCTETS, "{} octets", table.octets());
}
