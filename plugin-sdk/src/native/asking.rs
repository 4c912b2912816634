//! The services that are granted, played by the test's thread: each answers from what the test has set, or fails as the test says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::services::{World, world};
use crate::dns::{Naptr, Srv};
use crate::state::Contact;
use crate::testing::Service;
use crate::{Endpoint, ServiceError, http};

type Asked<T> = Result<T, ServiceError>;

/// Status, header fields and body.
pub(crate) type Fetched = (u16, Vec<(String, String)>, Vec<u8>);

/// What the granted services answer from.
pub(crate) struct Services {
    /// Services that fail, and how.
    pub(crate) failing: BTreeMap<Service, ServiceError>,
    /// By bucket and key: the value, and the time it goes.
    pub(crate) buckets: BTreeMap<(String, String), (Vec<u8>, Option<u64>)>,
    /// Columns, then rows.
    pub(crate) tables: BTreeMap<String, (Vec<String>, Vec<Vec<String>>)>,
    pub(crate) answers: BTreeMap<String, Fetched>,
    pub(crate) sent: Vec<http::Request>,
    pub(crate) locations: BTreeMap<String, Vec<Endpoint>>,
    pub(crate) addresses: BTreeMap<String, Vec<String>>,
    pub(crate) srv: BTreeMap<String, Vec<Srv>>,
    pub(crate) naptr: BTreeMap<String, Vec<Naptr>>,
    pub(crate) txt: BTreeMap<String, Vec<String>>,
    pub(crate) contacts: BTreeMap<String, Vec<Contact>>,
    /// Whether it is up, and its calls.
    pub(crate) trunks: BTreeMap<String, (bool, u32)>,
    pub(crate) active_calls: BTreeMap<String, u32>,
    /// By id: when it runs out, and its period.
    pub(crate) timers: BTreeMap<String, (u64, Option<u64>)>,
}

impl Services {
    pub(crate) const fn new() -> Self {
        Self {
            failing: BTreeMap::new(),
            buckets: BTreeMap::new(),
            tables: BTreeMap::new(),
            answers: BTreeMap::new(),
            sent: Vec::new(),
            locations: BTreeMap::new(),
            addresses: BTreeMap::new(),
            srv: BTreeMap::new(),
            naptr: BTreeMap::new(),
            txt: BTreeMap::new(),
            contacts: BTreeMap::new(),
            trunks: BTreeMap::new(),
            active_calls: BTreeMap::new(),
            timers: BTreeMap::new(),
        }
    }
}

fn ask<T>(service: Service, answer: impl FnOnce(&mut World) -> Asked<T>) -> Asked<T> {
    world(|world| match world.services.failing.get(&service) {
        Some(error) => Err(error.clone()),
        None => answer(world),
    })
}

/// Octets of a key, as the host has it.
const KEY_MAX: usize = 512;
/// Octets of a value, as the host has it.
const VALUE_MAX: usize = 64 << 10;

/// See [`crate::kv::Bucket`].
pub(crate) struct Bucket(String);

impl Bucket {
    /// A store that is away does not keep a bucket from being opened.
    pub(crate) fn open(name: &str) -> Asked<Self> {
        match world(|world| world.services.failing.get(&Service::Kv).cloned()) {
            Some(ServiceError::Denied(why)) => Err(ServiceError::Denied(why)),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// Asks about a key whose value, if its time is not over, is the second argument.
    fn ask<T>(&self, key: &str, answer: impl FnOnce(&mut World, (String, String), Option<Vec<u8>>) -> Asked<T>) -> Asked<T> {
        ask(Service::Kv, |world| {
            if key.len() > KEY_MAX {
                return Err(ServiceError::Invalid(format!("the key has {} octets; up to {KEY_MAX} are possible", key.len())));
            }
            let place = (self.0.clone(), key.to_owned());
            if world.services.buckets.get(&place).is_some_and(|(_, end)| end.is_some_and(|end| end <= world.unix_ms)) {
                world.services.buckets.remove(&place);
            }
            let value = world.services.buckets.get(&place).map(|(value, _)| value.clone());
            answer(world, place, value)
        })
    }

    pub(crate) fn get(&self, key: &str) -> Asked<Option<Vec<u8>>> {
        self.ask(key, |_, _, value| Ok(value))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Asked<()> {
        self.ask(key, |world, place, _| write(world, place, value, ttl_ms))
    }

    pub(crate) fn delete(&self, key: &str) -> Asked<()> {
        self.ask(key, |world, place, _| {
            world.services.buckets.remove(&place);
            Ok(())
        })
    }

    pub(crate) fn increment(&self, key: &str, by: i64, ttl_ms: Option<u64>) -> Asked<i64> {
        self.ask(key, |world, place, value| {
            let Some(value) = value else {
                write(world, place, by.to_string().as_bytes(), ttl_ms)?;
                return Ok(by);
            };
            let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok());
            let number = number.ok_or_else(|| ServiceError::Invalid("the value is no number".to_owned()))?;
            let sum = number.checked_add(by).ok_or_else(|| ServiceError::Invalid("the sum would leave 64 bits".to_owned()))?;
            if let Some((value, _)) = world.services.buckets.get_mut(&place) {
                *value = sum.to_string().into_bytes();
            }
            Ok(sum)
        })
    }

    pub(crate) fn compare_set(&self, key: &str, expect: Option<&[u8]>, value: &[u8], ttl_ms: Option<u64>) -> Asked<bool> {
        self.ask(key, |world, place, present| {
            let equal = present.as_deref() == expect;
            if equal {
                write(world, place, value, ttl_ms)?;
            }
            Ok(equal)
        })
    }
}

fn write(world: &mut World, place: (String, String), value: &[u8], ttl_ms: Option<u64>) -> Asked<()> {
    if value.len() > VALUE_MAX {
        return Err(ServiceError::Invalid(format!("the value has {} octets; up to {VALUE_MAX} are possible", value.len())));
    }
    let end = ttl_ms.map(|ttl| world.unix_ms.saturating_add(ttl));
    world.services.buckets.insert(place, (value.to_vec(), end));
    Ok(())
}

type Table = (Vec<String>, Vec<Vec<String>>);

fn table<T>(name: &str, look: impl FnOnce(&Table) -> Asked<T>) -> Asked<T> {
    ask(Service::Tables, |world| match world.services.tables.get(name) {
        Some(table) => look(table),
        None => Err(ServiceError::Denied("a test makes it with testing::set_table".to_owned())),
    })
}

fn key(row: &[String]) -> &str {
    row.first().map_or("", String::as_str)
}

pub(crate) fn columns(name: &str) -> Asked<Vec<String>> {
    table(name, |(columns, _)| Ok(columns.clone()))
}

pub(crate) fn row(name: &str, wanted: &str) -> Asked<Option<Vec<String>>> {
    table(name, |(_, rows)| Ok(rows.iter().find(|row| key(row) == wanted).cloned()))
}

pub(crate) fn longest_prefix(name: &str, number: &str) -> Asked<Option<Vec<String>>> {
    table(name, |(_, rows)| {
        let fitting = rows.iter().filter(|row| number.starts_with(key(row)));
        Ok(fitting.max_by_key(|row| key(row).len()).cloned())
    })
}

pub(crate) fn network(name: &str, address: &str) -> Asked<Option<Vec<String>>> {
    let address: IpAddr = address.parse().map_err(|_| ServiceError::Invalid(format!("{address} is no IP address")))?;
    table(name, |(_, rows)| {
        let fitting = rows.iter().filter_map(|row| Some((network_length(key(row), address)?, row)));
        Ok(fitting.max_by_key(|(length, _)| *length).map(|(_, row)| row.clone()))
    })
}

pub(crate) fn contains_address(name: &str, address: &str) -> Asked<bool> {
    Ok(network(name, address)?.is_some())
}

/// How long the prefix of this network is, if the address is in it.
fn network_length(network: &str, address: IpAddr) -> Option<u32> {
    let (base, length) = network.split_once('/').unwrap_or((network, "128"));
    let (bits, base, address) = match (base.parse().ok()?, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => (32, u128::from(base.to_bits()), u128::from(address.to_bits())),
        (IpAddr::V6(base), IpAddr::V6(address)) => (128, base.to_bits(), address.to_bits()),
        _ => return None,
    };
    let length = length.parse::<u32>().ok()?.min(bits);
    // A shift by all bits of the number is none in Rust.
    let differing = (base ^ address).checked_shr(bits - length).unwrap_or(0);
    (differing == 0).then_some(length)
}

pub(crate) fn fetch(request: http::Request) -> Asked<Fetched> {
    ask(Service::Http, |world| {
        let answer = world.services.answers.get(&request.url).cloned();
        world.services.sent.push(request);
        answer.ok_or_else(|| ServiceError::Denied("a test makes the answer with testing::answer_http".to_owned()))
    })
}

fn records<T: Clone>(choose: impl FnOnce(&Services) -> &BTreeMap<String, Vec<T>>, name: &str) -> Asked<Vec<T>> {
    ask(Service::Dns, |world| Ok(choose(&world.services).get(name).cloned().unwrap_or_default()))
}

pub(crate) fn locate(uri: &str) -> Asked<Vec<Endpoint>> {
    records(|services| &services.locations, uri)
}

pub(crate) fn addresses(name: &str) -> Asked<Vec<String>> {
    records(|services| &services.addresses, name)
}

pub(crate) fn srv(name: &str) -> Asked<Vec<Srv>> {
    records(|services| &services.srv, name)
}

pub(crate) fn naptr(name: &str) -> Asked<Vec<Naptr>> {
    records(|services| &services.naptr, name)
}

pub(crate) fn txt(name: &str) -> Asked<Vec<String>> {
    records(|services| &services.txt, name)
}

pub(crate) fn contacts(aor: &str) -> Asked<Vec<Contact>> {
    ask(Service::State, |world| Ok(world.services.contacts.get(aor).cloned().unwrap_or_default()))
}

pub(crate) fn trunk_up(trunk: &str) -> Asked<Option<bool>> {
    ask(Service::State, |world| Ok(world.services.trunks.get(trunk).map(|(up, _)| *up)))
}

pub(crate) fn trunk_calls(trunk: &str) -> Asked<Option<u32>> {
    ask(Service::State, |world| Ok(world.services.trunks.get(trunk).map(|(_, calls)| *calls)))
}

pub(crate) fn active_calls(tag: &str) -> Asked<u32> {
    ask(Service::State, |world| Ok(world.services.active_calls.get(tag).copied().unwrap_or_default()))
}

/// The interface's shortest timer.
const SHORTEST_MS: u64 = 10;

pub(crate) fn start_timer(id: &str, after_ms: u64, every_ms: Option<u64>) -> Asked<()> {
    if after_ms < SHORTEST_MS || every_ms.is_some_and(|every| every < SHORTEST_MS) {
        return Err(ServiceError::Invalid(format!("no timer is shorter than {SHORTEST_MS} ms")));
    }
    ask(Service::Timers, |world| {
        world.services.timers.insert(id.to_owned(), (world.unix_ms.saturating_add(after_ms), every_ms));
        Ok(())
    })
}

pub(crate) fn stop_timer(id: &str) -> Asked<()> {
    ask(Service::Timers, |world| {
        world.services.timers.remove(id);
        Ok(())
    })
}
