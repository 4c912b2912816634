//! The longest key that a number begins with: a trie of symbols of four bits, in which chains of single children are one node.
//!
//! Digits, `+`, `*` and `#` are one symbol each, every other octet an escape and two more, so that all keys are possible and those of
//! telephony are short. A node takes 16 octets: a bit for each child that is there, and the children lie side by side, so that a
//! look-up reads one line of memory for each branching. The nodes lie level by level: the upper ones, which all look-ups read, share pages.
//! A key is nowhere but in the way to its node.

use super::error::Fault;

/// A node without a row.
const NONE: u32 = u32::MAX;

/// The symbol in front of an octet that has none of its own.
const ESCAPE: u8 = 13;

/// Symbols of a label that fit into the node.
const INLINE: usize = 10;

/// Symbols of a label; where a chain is longer, there is another node.
const LABEL: usize = 255;

/// The symbol of an octet that has one.
fn symbol(octet: u8) -> u8 {
    match octet {
        b'0'..=b'9' => octet - b'0',
        b'*' => 10,
        b'#' => 11,
        b'+' => 12,
        _ => ESCAPE,
    }
}

/// A node. While the trie is made, `first` and `row` are the range of the keys below it and `label` holds their depth.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first of its children.
    first: u32,
    /// The row of the key that ends here.
    row: u32,
    /// For which symbols there are children.
    children: u16,
    /// How many symbols there are between its branching and the one above.
    length: u8,
    /// These symbols, two to an octet; where they are more than fit, where they begin in the trie's `labels`.
    label: [u8; INLINE / 2],
}

/// The keys and the numbers of their rows.
#[derive(Debug)]
pub(super) struct Prefixes {
    nodes: Vec<Node>,
    /// Long labels, two symbols to an octet.
    labels: Vec<u8>,
}

/// The symbols of a number, one after the other.
struct Symbols<'n> {
    octets: &'n [u8],
    /// Octets that have been begun.
    at: usize,
    /// Symbols that are left of the last of these.
    left: u8,
}

impl Iterator for Symbols<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.left > 0 {
            self.left -= 1;
            let octet = self.at.checked_sub(1).and_then(|at| self.octets.get(at)).copied()?;
            return Some(if self.left == 1 { octet >> 4 } else { octet & 15 });
        }
        let symbol = symbol(*self.octets.get(self.at)?);
        self.at += 1;
        if symbol == ESCAPE {
            self.left = 2;
        }
        Some(symbol)
    }
}

fn symbols(text: &str) -> Symbols<'_> {
    Symbols { octets: text.as_bytes(), at: 0, left: 0 }
}

/// A symbol of a packed label.
fn unpack(label: &[u8], place: usize) -> u8 {
    let octet = label.get(place / 2).copied().unwrap_or(0);
    if place.is_multiple_of(2) { octet >> 4 } else { octet & 15 }
}

impl Prefixes {
    /// How much of the number the longest key is, in octets, and its row.
    pub(super) fn find(&self, number: &str) -> Option<(usize, u32)> {
        let mut symbols = symbols(number);
        let mut best = None;
        let mut node = self.nodes.first()?;
        loop {
            if !self.follows(node, &mut symbols) {
                return best;
            }
            if node.row != NONE {
                best = Some((symbols.at, node.row));
            }
            let Some(symbol) = symbols.next() else { return best };
            let bit = 1 << symbol;
            if node.children & bit == 0 {
                return best;
            }
            let before = (node.children & (bit - 1)).count_ones();
            match self.nodes.get((node.first + before) as usize) {
                Some(child) => node = child,
                None => return best,
            }
        }
    }

    /// Whether what comes is the node's label.
    #[inline]
    fn follows(&self, node: &Node, symbols: &mut Symbols<'_>) -> bool {
        let length = usize::from(node.length);
        if length <= INLINE {
            return (0..length).all(|place| symbols.next() == Some(unpack(&node.label, place)));
        }
        let label = self.labels.get(number(&node.label)..).unwrap_or_default();
        (0..length).all(|place| symbols.next() == Some(unpack(label, place)))
    }

    pub(super) fn octets(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.labels.capacity()
    }
}

/// The number in the first four octets of a label.
fn number(label: &[u8; INLINE / 2]) -> usize {
    let [a, b, c, d, _] = *label;
    u32::from_le_bytes([a, b, c, d]) as usize
}

fn of_number(number: usize) -> Result<[u8; INLINE / 2], Fault> {
    let [a, b, c, d] = u32::try_from(number).map_err(|_| Fault::Full)?.to_le_bytes();
    Ok([a, b, c, d, 0])
}

/// Keys as they come.
#[derive(Debug, Default)]
pub(super) struct PrefixesDraft {
    /// An octet for each symbol.
    symbols: Vec<u8>,
    ends: Vec<u32>,
    rows: Vec<u32>,
}

/// Two keys that are the same, by the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Same {
    pub(super) first: u32,
    pub(super) again: u32,
}

impl PrefixesDraft {
    /// Takes up a key.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn add(&mut self, key: &str, row: u32) -> Result<(), Fault> {
        self.symbols.extend(symbols(key));
        self.ends.push(u32::try_from(self.symbols.len()).map_err(|_| Fault::Full)?);
        self.rows.push(row);
        Ok(())
    }

    fn key(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.symbols.get(start as usize..end as usize).unwrap_or_default()
    }

    /// A key as it was written.
    pub(super) fn text(&self, number: u32) -> String {
        let mut symbols = self.key(number).iter();
        let mut octets = Vec::new();
        while let Some(symbol) = symbols.next() {
            octets.push(match symbol {
                10 => b'*',
                11 => b'#',
                12 => b'+',
                &ESCAPE => symbols.next().unwrap_or(&0) << 4 | symbols.next().unwrap_or(&0),
                digit => b'0' + digit,
            });
        }
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// The numbers of the keys in the order of their symbols.
    ///
    /// # Errors
    /// A key that is there twice.
    pub(super) fn sort(&self) -> Result<Vec<u32>, Same> {
        let mut order: Vec<u32> = (0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|one, other| self.key(*one).cmp(self.key(*other)).then(one.cmp(other)));
        let same = order.windows(2).filter_map(|pair| match pair {
            [first, again] if self.key(*first) == self.key(*again) => Some(Same { first: *first, again: *again }),
            _ => None,
        });
        match same.min_by_key(|same| same.again) {
            Some(same) => Err(same),
            None => Ok(order),
        }
    }

    /// Makes the trie of keys that have been sorted, level by level.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn finish(self, order: Vec<u32>) -> Result<Prefixes, Fault> {
        let all = u32::try_from(order.len()).map_err(|_| Fault::Full)?;
        let mut trie = Prefixes { nodes: Vec::with_capacity(self.nodes(&order)), labels: Vec::new() };
        trie.nodes.push(pending(0, all, 0)?);
        let mut at = 0;
        while let Some(node) = trie.nodes.get(at).copied() {
            let node = self.branch(&mut trie, &order, node)?;
            if let Some(place) = trie.nodes.get_mut(at) {
                *place = node;
            }
            at += 1;
        }
        drop((self, order));
        trie.nodes.shrink_to_fit();
        trie.labels.shrink_to_fit();
        Ok(trie)
    }

    /// How many nodes sorted keys need: one where each ends, and one where ways part in between. So no room has to be found anew while they are
    /// made, which would hold them twice; the few that long labels need come on top.
    fn nodes(&self, order: &[u32]) -> usize {
        // The depths of the nodes on the way to the key before.
        let mut way: Vec<usize> = vec![0];
        let mut count = 1;
        let mut before: &[u8] = &[];
        for key in order.iter().map(|number| self.key(*number)) {
            let parting = before.iter().zip(key).take_while(|(one, other)| one == other).count();
            while way.last().is_some_and(|depth| *depth > parting) {
                way.pop();
            }
            for depth in [parting, key.len()] {
                if way.last() != Some(&depth) {
                    way.push(depth);
                    count += 1;
                }
            }
            before = key;
        }
        count
    }

    /// Finishes a node, and appends its children as pending ones.
    fn branch(&self, trie: &mut Prefixes, order: &[u32], node: Node) -> Result<Node, Fault> {
        let (mut start, end, depth) = (node.first as usize, node.row as usize, number(&node.label));
        let key = |place: usize| order.get(place).map_or(&[][..], |number| self.key(*number));
        let (first, last) = (key(start).get(depth..).unwrap_or_default(), key(end.wrapping_sub(1)).get(depth..).unwrap_or_default());
        // They are sorted: what the first and the last have in common, all have.
        let length = first.iter().zip(last).take(LABEL).take_while(|(one, other)| one == other).count();
        let label = pack(trie, first.get(..length).unwrap_or_default())?;
        let depth = depth + length;
        let mut row = NONE;
        if start < end && key(start).len() == depth {
            row = order.get(start).and_then(|number| self.rows.get(*number as usize)).copied().unwrap_or(NONE);
            start += 1;
        }
        let children_from = u32::try_from(trie.nodes.len()).map_err(|_| Fault::Full)?;
        let mut children = 0;
        while start < end {
            let symbol = key(start).get(depth).copied().unwrap_or(0);
            let same = order.get(start..end).unwrap_or_default();
            let next = start + same.partition_point(|number| self.key(*number).get(depth).copied().unwrap_or(0) <= symbol).max(1);
            children |= 1_u16 << symbol;
            trie.nodes.push(pending(
                u32::try_from(start).map_err(|_| Fault::Full)?,
                u32::try_from(next).map_err(|_| Fault::Full)?,
                depth + 1,
            )?);
            start = next;
        }
        Ok(Node { first: children_from, row, children, length: u8::try_from(length).unwrap_or(0), label })
    }
}

/// A node that is still to be made: of the keys in this range, which have so many symbols in common.
fn pending(start: u32, end: u32, depth: usize) -> Result<Node, Fault> {
    Ok(Node { first: start, row: end, children: 0, length: 0, label: of_number(depth)? })
}

/// A label as a node has it.
fn pack(trie: &mut Prefixes, symbols: &[u8]) -> Result<[u8; INLINE / 2], Fault> {
    let packed = symbols.chunks(2).map(|pair| match pair {
        [one, other] => one << 4 | other,
        [one] => one << 4,
        _ => 0,
    });
    if symbols.len() <= INLINE {
        let mut label = [0; INLINE / 2];
        label.iter_mut().zip(packed).for_each(|(place, octet)| *place = octet);
        return Ok(label);
    }
    let label = of_number(trie.labels.len())?;
    trie.labels.extend(packed);
    Ok(label)
}
