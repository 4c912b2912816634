//! The services that are granted, asked through the bindings.

use std::time::Duration;

use super::bindings::jackfield::plugin::{dns, http, kv, state, tables, timers, types};
use super::convert;
use crate::dns::{Naptr, Srv};
use crate::state::Contact;
use crate::{Endpoint, ServiceError};

type Asked<T> = Result<T, ServiceError>;

impl From<types::ServiceError> for ServiceError {
    fn from(error: types::ServiceError) -> Self {
        match error {
            types::ServiceError::Denied => Self::Denied(String::new()),
            types::ServiceError::Timeout => Self::Timeout(String::new()),
            types::ServiceError::Unavailable(why) => Self::Unavailable(why),
            types::ServiceError::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// See [`crate::kv::Bucket`].
pub(crate) struct Bucket(kv::Bucket);

impl Bucket {
    pub(crate) fn open(name: &str) -> Asked<Self> {
        Ok(Self(kv::Bucket::open(name)?))
    }

    pub(crate) fn get(&self, key: &str) -> Asked<Option<Vec<u8>>> {
        Ok(self.0.get(key)?)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Asked<()> {
        Ok(self.0.set(key, value, ttl_ms)?)
    }

    pub(crate) fn delete(&self, key: &str) -> Asked<()> {
        Ok(self.0.delete(key)?)
    }

    pub(crate) fn increment(&self, key: &str, by: i64, ttl_ms: Option<u64>) -> Asked<i64> {
        Ok(self.0.increment(key, by, ttl_ms)?)
    }

    pub(crate) fn compare_set(&self, key: &str, expect: Option<&[u8]>, value: &[u8], ttl_ms: Option<u64>) -> Asked<bool> {
        Ok(self.0.compare_set(key, expect, value, ttl_ms)?)
    }
}

pub(crate) fn columns(table: &str) -> Asked<Vec<String>> {
    Ok(tables::columns(table)?)
}

pub(crate) fn row(table: &str, key: &str) -> Asked<Option<Vec<String>>> {
    Ok(tables::get(table, key)?)
}

pub(crate) fn longest_prefix(table: &str, number: &str) -> Asked<Option<Vec<String>>> {
    Ok(tables::longest_prefix(table, number)?)
}

pub(crate) fn network(table: &str, address: &str) -> Asked<Option<Vec<String>>> {
    Ok(tables::network(table, address)?)
}

pub(crate) fn contains_address(table: &str, address: &str) -> Asked<bool> {
    Ok(tables::contains_address(table, address)?)
}

/// Status, header fields and body.
pub(crate) type Fetched = (u16, Vec<(String, String)>, Vec<u8>);

pub(crate) fn fetch(request: crate::http::Request) -> Asked<Fetched> {
    let crate::http::Request { method, url, headers, body, timeout } = request;
    // 0 is "as the configuration says": the shortest time that can be asked for is 1 ms.
    let timeout_ms = timeout.map_or(0, |timeout| convert::milliseconds(timeout).max(1));
    let response = http::fetch(&http::Request { method, url, headers, body, timeout_ms })?;
    Ok((response.status, response.headers, response.body))
}

pub(crate) fn locate(uri: &str) -> Asked<Vec<Endpoint>> {
    Ok(dns::locate(uri)?.into_iter().map(convert::endpoint).collect())
}

pub(crate) fn addresses(name: &str) -> Asked<Vec<String>> {
    Ok(dns::addresses(name)?)
}

pub(crate) fn srv(name: &str) -> Asked<Vec<Srv>> {
    let record = |dns::SrvRecord { priority, weight, port, target }| Srv { priority, weight, port, target };
    Ok(dns::srv(name)?.into_iter().map(record).collect())
}

pub(crate) fn naptr(name: &str) -> Asked<Vec<Naptr>> {
    let record = |record: dns::NaptrRecord| Naptr {
        order: record.order,
        preference: record.preference,
        flags: record.naptr_flags,
        service: record.service,
        regexp: record.regexp,
        replacement: record.replacement,
    };
    Ok(dns::naptr(name)?.into_iter().map(record).collect())
}

pub(crate) fn txt(name: &str) -> Asked<Vec<String>> {
    Ok(dns::txt(name)?)
}

pub(crate) fn contacts(aor: &str) -> Asked<Vec<Contact>> {
    let contact = |contact: state::Contact| Contact {
        uri: contact.uri,
        line: contact.line,
        trunk: contact.trunk,
        expires_in: Duration::from_secs(contact.expires_in_s.into()),
    };
    Ok(state::contacts(aor)?.into_iter().map(contact).collect())
}

pub(crate) fn trunk_up(trunk: &str) -> Asked<Option<bool>> {
    Ok(state::trunk_up(trunk)?)
}

pub(crate) fn trunk_calls(trunk: &str) -> Asked<Option<u32>> {
    Ok(state::trunk_calls(trunk)?)
}

pub(crate) fn active_calls(tag: &str) -> Asked<u32> {
    Ok(state::active_calls(tag)?)
}

pub(crate) fn start_timer(id: &str, after_ms: u64, every_ms: Option<u64>) -> Asked<()> {
    Ok(timers::start(id, after_ms, every_ms)?)
}

pub(crate) fn stop_timer(id: &str) -> Asked<()> {
    Ok(timers::stop(id)?)
}
