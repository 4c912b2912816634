//! What tables cost: `cargo bench -p jackfield-services --bench tables`. A million rows of each kind; prints what a table takes of the memory
//! and the most that reading it took (the allocator counts both), and the time of single look-ups, that of reading the clock included.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use jackfield_services::tables::{Matching, Table, TableSettings, load};

const ROWS: usize = 1_000_000;
const LOOK_UPS: usize = 1_000_000;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "the trait of allocators is unsafe to implement")]
// SAFETY: every call goes to the system's allocator as it is; counting touches no memory that is allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(live, Relaxed);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

    fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

fn main() {
    println!("{ROWS} rows, {LOOK_UPS} look-ups; `row` is the look-up with the texts of the row as a plugin gets them");
    let mut draw = Draw(1);
    let spread = keys(|| {
        let length = 3 + draw.below(13);
        draw.digits(length)
    });
    prefixes("prefixes, spread evenly, rows repeat", &spread, "carrier,rate", |draw| {
        format!("carrier-{},0.{:03}", draw.below(100), draw.below(500))
    });
    prefixes("prefixes, spread evenly, three columns, rows differ", &spread, "carrier,rate,name", |draw| {
        format!("carrier-{},0.{:04},zone {}", draw.below(300), draw.below(10_000), draw.below(100_000))
    });
    let mut draw = Draw(2);
    let dense = keys(|| {
        let length = 6 + draw.below(6);
        format!("+49{}", draw.digits(length))
    });
    prefixes("prefixes of one country, with +", &dense, "carrier,rate", |draw| {
        format!("carrier-{},0.{:03}", draw.below(100), draw.below(500))
    });
    exact(&spread);
    networks();
}

/// A million of different keys, in no order.
fn keys(mut key: impl FnMut() -> String) -> Vec<String> {
    let mut keys = BTreeSet::new();
    while keys.len() < ROWS {
        keys.insert(key());
    }
    let mut keys: Vec<_> = keys.into_iter().collect();
    let mut draw = Draw(3);
    (1..keys.len()).for_each(|place| keys.swap(place, draw.below(place as u64 + 1) as usize));
    keys
}

/// Writes a file, reads it as a table, and says what that took.
fn table(what: &str, matching: Matching, columns: &str, keys: &[String], mut values: impl FnMut(&mut Draw) -> String) -> Table {
    let mut draw = Draw(4);
    let text = keys.iter().fold(format!("key,{columns}\n"), |mut text, key| {
        writeln!(text, "{key},{}", values(&mut draw)).unwrap();
        text
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.csv");
    std::fs::write(&file, &text).unwrap();
    let (length, settings) = (text.len(), TableSettings { matching, ..TableSettings::new(file) });
    drop(text);
    let (before, begun) = (LIVE.load(Relaxed), Instant::now());
    MOST.store(before, Relaxed);
    let table = load("bench", &settings).unwrap();
    let (took, counted) = (begun.elapsed(), LIVE.load(Relaxed) - before);
    let mb = |octets: usize| octets as f64 / 1e6;
    println!(
        "{what}: {:.1} MB of heap ({:.1} by its own account), {:.1} MB at most while read, from {:.1} MB of CSV in {took:.2?}",
        mb(counted),
        mb(table.octets()),
        mb(MOST.load(Relaxed) - before),
        mb(length),
    );
    table
}

fn prefixes(what: &str, keys: &[String], columns: &str, values: impl FnMut(&mut Draw) -> String) {
    let table = table(what, Matching::LongestPrefix, columns, keys, values);
    let mut draw = Draw(5);
    let hits: Vec<String> = (0..LOOK_UPS).map(|_| format!("{}{}", keys[draw.below(ROWS as u64) as usize], draw.digits(4))).collect();
    let misses: Vec<String> = hits.iter().map(|number| miss(&table, number, &mut draw)).collect();
    let random: Vec<String> = (0..LOOK_UPS).map(|_| draw.digits(12)).collect();
    let any = |numbers: &[String]| numbers.iter().filter(|number| table.longest_prefix(number).unwrap().is_some()).count();
    println!("  found: {} of the hits, {} of the misses, {} of the random numbers", any(&hits), any(&misses), any(&random));
    measure("hits", &hits, |number| table.longest_prefix(number).unwrap().is_some());
    measure("hits, row", &hits, |number| table.longest_prefix(number).unwrap().map(|row| row.to_texts()));
    measure("misses", &misses, |number| table.longest_prefix(number).unwrap().is_some());
    measure("random numbers", &random, |number| table.longest_prefix(number).unwrap().is_some());
}

/// A number that goes as far down as it can, and is in no table nevertheless.
fn miss(table: &Table, number: &str, draw: &mut Draw) -> String {
    let Some(row) = table.longest_prefix(number).unwrap() else { return number.to_owned() };
    let shortest = row.cells().next().unwrap().len();
    let unlike = (1..shortest).rev().find_map(|length| {
        let cut = format!("{}{}", &number[..length], draw.digits(3));
        table.longest_prefix(&cut).unwrap().is_none().then_some(cut)
    });
    unlike.unwrap_or_else(|| format!("{}#", &number[..1]))
}

fn exact(keys: &[String]) {
    let values = |draw: &mut Draw| format!("carrier-{},0.{:03}", draw.below(100), draw.below(500));
    let table = table("exact", Matching::Exact, "carrier,rate", keys, values);
    let mut draw = Draw(6);
    let hits: Vec<String> = (0..LOOK_UPS).map(|_| keys[draw.below(ROWS as u64) as usize].clone()).collect();
    let misses: Vec<String> = (0..LOOK_UPS).map(|_| draw.digits(16)).collect();
    measure("hits", &hits, |key| table.exact(key).unwrap().is_some());
    measure("hits, row", &hits, |key| table.exact(key).unwrap().map(|row| row.to_texts()));
    measure("misses", &misses, |key| table.exact(key).unwrap().is_some());
}

fn networks() {
    let mut draw = Draw(7);
    let networks = keys(|| {
        let length = 10 + draw.below(23) as u32;
        let bits = (draw.next() as u32) & u32::MAX.checked_shl(32 - length).unwrap_or(0);
        format!("{}/{length}", Ipv4Addr::from_bits(bits))
    });
    let table = table("networks", Matching::Network, "who", &networks, |draw| format!("customer-{}", draw.below(1000)));
    let random: Vec<IpAddr> = (0..LOOK_UPS).map(|_| Ipv4Addr::from_bits(draw.next() as u32).into()).collect();
    measure("random addresses", &random, |address| table.network(*address).unwrap().is_some());
}

/// The times of single look-ups.
fn measure<Q, A>(what: &str, questions: &[Q], look_up: impl Fn(&Q) -> A) {
    let mut times: Vec<u32> = questions
        .iter()
        .map(|question| {
            let begun = Instant::now();
            black_box(look_up(black_box(question)));
            u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX)
        })
        .collect();
    let begun = Instant::now();
    for question in questions {
        black_box(look_up(black_box(question)));
    }
    let mean = begun.elapsed().as_nanos() / questions.len() as u128;
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    println!("  {what:16} median {:5} ns, p99 {:5} ns, p99.9 {:6} ns; {mean:4} ns on average without the clock", at(500), at(990), at(999));
}
