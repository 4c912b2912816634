//! What the granted services answer in a test.
//!
//! Everything is granted; a table, a URL or a trunk is there when the test has made it.

use std::time::Duration;

use crate::dns::{Naptr, Srv};
use crate::native::asking::Services;
use crate::native::services::world;
use crate::state::Contact;
use crate::{Endpoint, Plugin, ServiceError, http};

/// The services that a test can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// [`kv`](crate::kv). A bucket can still be opened, unless the error is that it is denied.
    Kv,
    /// [`tables`](crate::tables).
    Tables,
    /// [`http`](crate::http).
    Http,
    /// [`dns`](crate::dns).
    Dns,
    /// [`state`](crate::state).
    State,
    /// [`timers`](crate::timers).
    Timers,
}

fn services<T>(change: impl FnOnce(&mut Services) -> T) -> T {
    world(|world| change(&mut world.services))
}

/// Makes every question to this service fail so, until [`mend`].
pub fn fail(service: Service, error: ServiceError) {
    services(|services| services.failing.insert(service, error));
}

/// Makes this service answer again. What it had before it failed is still there.
pub fn mend(service: Service) {
    services(|services| services.failing.remove(&service));
}

/// Lets time pass: the clock goes on, and values that were set for a time go. Timers do not run out: that is [`run_timers`].
pub fn advance(time: Duration) {
    world(|world| world.unix_ms = world.unix_ms.saturating_add(crate::kv::milliseconds(time)));
}

/// Makes a table from a text: a line with the names of the columns, then a line for each row, separated by commas; white space around a
/// value does not count. The first column is the one that is looked up.
///
/// # Panics
///
/// When a row has more or fewer values than there are columns.
#[track_caller]
pub fn set_table(name: &str, text: &str) {
    let values = |line: &str| -> Vec<String> { line.split(',').map(|value| value.trim().to_owned()).collect() };
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let columns = lines.next().map(values).unwrap_or_default();
    let mut rows = Vec::new();
    for line in lines {
        let row = values(line);
        assert_eq!(row.len(), columns.len(), "table {name} has {} columns, and this row another number of values: {line}", columns.len());
        rows.push(row);
    }
    services(|services| services.tables.insert(name.to_owned(), (columns, rows)));
}

/// Answers requests to this URL so, whatever their method. Any other URL is denied.
pub fn answer_http(url: &str, status: u16, body: impl Into<Vec<u8>>) {
    answer_http_with(url, status, &[], body);
}

/// The same with header fields.
pub fn answer_http_with(url: &str, status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    services(|services| services.answers.insert(url.to_owned(), (status, headers, body.into())));
}

/// The HTTP requests so far, answered or denied; they are forgotten with this call.
pub fn take_http() -> Vec<http::Request> {
    services(|services| std::mem::take(&mut services.sent))
}

/// What [`dns::locate`](crate::dns::locate) finds for this URI. Without it, nothing.
pub fn set_location(uri: &str, endpoints: impl IntoIterator<Item = Endpoint>) {
    services(|services| services.locations.insert(uri.to_owned(), endpoints.into_iter().collect()));
}

/// The addresses of a name.
pub fn set_addresses(name: &str, addresses: &[&str]) {
    services(|services| services.addresses.insert(name.to_owned(), addresses.iter().map(|address| (*address).to_owned()).collect()));
}

/// The SRV records of a name.
pub fn set_srv(name: &str, records: impl IntoIterator<Item = Srv>) {
    services(|services| services.srv.insert(name.to_owned(), records.into_iter().collect()));
}

/// The NAPTR records of a name.
pub fn set_naptr(name: &str, records: impl IntoIterator<Item = Naptr>) {
    services(|services| services.naptr.insert(name.to_owned(), records.into_iter().collect()));
}

/// The TXT records of a name.
pub fn set_txt(name: &str, texts: &[&str]) {
    services(|services| services.txt.insert(name.to_owned(), texts.iter().map(|text| (*text).to_owned()).collect()));
}

/// The contacts that are registered for an address of record.
pub fn set_contacts(aor: &str, contacts: impl IntoIterator<Item = Contact>) {
    services(|services| services.contacts.insert(aor.to_owned(), contacts.into_iter().collect()));
}

/// A trunk that is up, with so many calls.
pub fn set_trunk_up(trunk: &str, calls: u32) {
    services(|services| services.trunks.insert(trunk.to_owned(), (true, calls)));
}

/// A trunk that is down.
pub fn set_trunk_down(trunk: &str) {
    services(|services| services.trunks.insert(trunk.to_owned(), (false, 0)));
}

/// So many calls at targets with this tag.
pub fn set_active_calls(tag: &str, calls: u32) {
    services(|services| services.active_calls.insert(tag.to_owned(), calls));
}

/// The timers that run, by id, with the time until they run out.
pub fn timers() -> Vec<(String, Duration)> {
    world(|world| {
        let left = |end: u64| Duration::from_millis(end.saturating_sub(world.unix_ms));
        world.services.timers.iter().map(|(id, (end, _))| (id.clone(), left(*end))).collect()
    })
}

/// Lets time pass, and calls [`Plugin::on_timer`] for each timer that runs out, at its time and in their order.
pub fn run_timers<P: Plugin>(plugin: &P, time: Duration) {
    let end = world(|world| world.unix_ms).saturating_add(crate::kv::milliseconds(time));
    while let Some(id) = world(|world| {
        let (due, id) = world.services.timers.iter().map(|(id, (due, _))| (*due, id.clone())).min()?;
        if due > end {
            return None;
        }
        world.unix_ms = world.unix_ms.max(due);
        match world.services.timers.get_mut(&id) {
            Some((next, Some(period))) => *next = due.saturating_add(*period),
            _ => drop(world.services.timers.remove(&id)),
        }
        Some(id)
    }) {
        plugin.on_timer(&id);
    }
    world(|world| world.unix_ms = end);
}

/// Forgets everything that was set, counted, logged and kept on this thread. Tests have a thread each, unless they run one at a time
/// (`--test-threads=1`).
pub fn reset() {
    world(|world| *world = crate::native::services::World::new());
}
