//! The services clock, random and metrics. (The log is in [`super::log`].)

use jackfield_services::ask::{Answer, Question, ServiceError};
use wasmtime::component::{Resource, ResourceTableError};

use super::bindings::log::Level;
use super::bindings::{clock, metrics, random, types};
use super::state::State;
use jackfield_metrics::{Counter, Gauge, Histogram, SeriesError};

impl types::Host for State {}

/// Time and chance are there for everybody: that there is none is no answer that a plugin could use.
fn no_answer(error: ServiceError) -> wasmtime::Error {
    wasmtime::Error::msg(error.to_string())
}

impl State {
    fn number(&mut self, question: Question) -> wasmtime::Result<u64> {
        match self.ask(question).map_err(no_answer)? {
            Answer::Number(number) => Ok(number),
            other => Err(wasmtime::Error::msg(format!("{other:?} is no number"))),
        }
    }

    /// Random octets, as many as are asked for; too many at a time trap.
    pub(super) fn random_octets(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match self.ask(Question::RandomOctets { length }).map_err(no_answer)? {
            Answer::Octets(octets) => Ok(octets),
            other => Err(wasmtime::Error::msg(format!("{other:?} are no octets"))),
        }
    }

    /// Nanoseconds since some moment.
    pub(super) fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        self.number(Question::MonotonicNs)
    }

    /// Milliseconds since 1970.
    pub(super) fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        self.number(Question::UnixMs)
    }

    /// A random number.
    pub(super) fn random_number(&mut self) -> wasmtime::Result<u64> {
        self.number(Question::RandomNumber)
    }
}

/// Year, month, day, hour, minute, second, weekday from Monday as 1.
type LocalTime = (u16, u8, u8, u8, u8, u8, u8);

impl clock::Host for State {
    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        Self::unix_ms(self)
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        Self::monotonic_ns(self)
    }

    fn local(&mut self, zone: String) -> wasmtime::Result<Result<LocalTime, String>> {
        Ok(match self.ask(Question::LocalTime { zone }) {
            Ok(Answer::LocalTime(year, month, day, hour, minute, second, weekday)) => Ok((year, month, day, hour, minute, second, weekday)),
            Ok(other) => Err(format!("{other:?} is no time")),
            Err(ServiceError::Invalid(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl random::Host for State {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        self.random_octets(u64::from(len))
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        self.random_number()
    }
}

impl State {
    /// A handle of a metric. One that cannot be had is told in the log, and a cell that nobody reads takes its place: what a plugin
    /// counts must not decide what becomes of a call.
    fn metric<T: Default + Send + 'static>(&mut self, cell: Result<T, SeriesError>) -> wasmtime::Result<Resource<T>> {
        let cell = cell.unwrap_or_else(|error| {
            super::log::write(&self.identity, Level::Warn, None, &format!("a metric is not counted: {error}"));
            T::default()
        });
        Ok(self.table.push(cell)?)
    }

    fn release<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle).map(drop).map_err(ResourceTableError::into)
    }
}

impl metrics::Host for State {}

impl metrics::HostCounter for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Counter>> {
        let cell = self.identity.metrics.counter(&name, &labels);
        self.metric(cell)
    }

    fn add(&mut self, handle: Resource<Counter>, n: u64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.add(n);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Counter>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}

impl metrics::HostGauge for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Gauge>> {
        let cell = self.identity.metrics.gauge(&name, &labels);
        self.metric(cell)
    }

    fn set(&mut self, handle: Resource<Gauge>, v: f64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.set(v);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Gauge>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}

impl metrics::HostHistogram for State {
    fn new(&mut self, name: String, labels: Vec<(String, String)>) -> wasmtime::Result<Resource<Histogram>> {
        let cell = self.identity.metrics.histogram(&name, &labels);
        self.metric(cell)
    }

    fn observe(&mut self, handle: Resource<Histogram>, v: f64) -> wasmtime::Result<()> {
        self.table.get(&handle)?.observe(v);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<Histogram>) -> wasmtime::Result<()> {
        self.release(handle)
    }
}
