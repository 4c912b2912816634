//! The services that are questions to somebody: buckets, tables, HTTP, DNS, what the router knows, timers, and time and chance too, so that
//! a recording can answer all of them.

use wasmtime::component::Resource;

use jackfield_services::ask::{Answer, HttpRequest, Question, RecordKind, ServiceError};

use super::bindings::{dns, http, kv, state, tables, timers, types};
use super::state::{Bucket, State};

/// What a service function of the interface returns: the outer error traps.
type Asked<T> = wasmtime::Result<Result<T, types::ServiceError>>;

impl From<ServiceError> for types::ServiceError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Denied => Self::Denied,
            ServiceError::Timeout => Self::Timeout,
            ServiceError::Unavailable(why) => Self::Unavailable(why),
            ServiceError::Invalid(why) => Self::Invalid(why),
        }
    }
}

/// An answer of another kind than the question: a defect of whoever answered.
fn mismatched(answer: &Answer) -> types::ServiceError {
    types::ServiceError::Unavailable(format!("the service gave another kind of answer: {answer:?}").chars().take(200).collect())
}

/// The answer of the kind that belongs to the question.
macro_rules! answer {
    ($state:expr, $question:expr, $pattern:pat => $value:expr) => {
        Ok(match $state.ask($question) {
            Ok($pattern) => Ok($value),
            Ok(other) => Err(mismatched(&other)),
            Err(error) => Err(error.into()),
        })
    };
}

impl State {
    fn bucket(&self, handle: &Resource<Bucket>) -> wasmtime::Result<String> {
        Ok(self.table.get(handle)?.0.clone())
    }
}

impl kv::Host for State {}

impl kv::HostBucket for State {
    fn open(&mut self, name: String) -> Asked<Resource<Bucket>> {
        match self.ask(Question::KvOpen { bucket: name.clone() }) {
            Ok(_) => Ok(Ok(self.table.push(Bucket(name))?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn get(&mut self, handle: Resource<Bucket>, key: String) -> Asked<Option<Vec<u8>>> {
        let bucket = self.bucket(&handle)?;
        answer!(self, Question::KvGet { bucket, key }, Answer::Value(value) => value)
    }

    fn set(&mut self, handle: Resource<Bucket>, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Asked<()> {
        let bucket = self.bucket(&handle)?;
        answer!(self, Question::KvSet { bucket, key, value, ttl_ms }, Answer::Done => ())
    }

    fn delete(&mut self, handle: Resource<Bucket>, key: String) -> Asked<()> {
        let bucket = self.bucket(&handle)?;
        answer!(self, Question::KvDelete { bucket, key }, Answer::Done => ())
    }

    fn increment(&mut self, handle: Resource<Bucket>, key: String, by: i64, ttl_ms: Option<u64>) -> Asked<i64> {
        let bucket = self.bucket(&handle)?;
        answer!(self, Question::KvIncrement { bucket, key, by, ttl_ms }, Answer::Count(count) => count)
    }

    fn compare_set(
        &mut self,
        handle: Resource<Bucket>,
        key: String,
        expect: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Asked<bool> {
        let bucket = self.bucket(&handle)?;
        answer!(self, Question::KvCompareSet { bucket, key, expect, value, ttl_ms }, Answer::Truth(written) => written)
    }

    fn drop(&mut self, handle: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl tables::Host for State {
    fn columns(&mut self, table: String) -> Asked<Vec<String>> {
        answer!(self, Question::TableColumns { table }, Answer::Row(columns) => columns.unwrap_or_default())
    }

    fn get(&mut self, table: String, key: String) -> Asked<Option<Vec<String>>> {
        answer!(self, Question::TableRow { table, key }, Answer::Row(row) => row)
    }

    fn longest_prefix(&mut self, table: String, number: String) -> Asked<Option<Vec<String>>> {
        answer!(self, Question::TablePrefix { table, number }, Answer::Row(row) => row)
    }

    fn network(&mut self, table: String, address: String) -> Asked<Option<Vec<String>>> {
        answer!(self, Question::TableNetwork { table, address }, Answer::Row(row) => row)
    }

    fn contains_address(&mut self, table: String, address: String) -> Asked<bool> {
        answer!(self, Question::TableContains { table, address }, Answer::Truth(contained) => contained)
    }
}

impl state::Host for State {
    fn contacts(&mut self, aor: String) -> Asked<Vec<state::Contact>> {
        let of = |contact: jackfield_services::ask::Contact| state::Contact {
            uri: contact.uri,
            line: contact.line,
            trunk: contact.trunk,
            expires_in_s: contact.expires_in_s,
        };
        answer!(self, Question::Contacts { aor }, Answer::Contacts(contacts) => contacts.into_iter().map(of).collect())
    }

    fn trunk_up(&mut self, trunk: String) -> Asked<Option<bool>> {
        answer!(self, Question::TrunkUp { trunk }, Answer::TrunkUp(up) => up)
    }

    fn trunk_calls(&mut self, trunk: String) -> Asked<Option<u32>> {
        answer!(self, Question::TrunkCalls { trunk }, Answer::TrunkCalls(calls) => calls)
    }

    fn active_calls(&mut self, tag: String) -> Asked<u32> {
        answer!(self, Question::ActiveCalls { tag }, Answer::Number(calls) => u32::try_from(calls).unwrap_or(u32::MAX))
    }
}

impl http::Host for State {
    fn fetch(&mut self, request: http::Request) -> Asked<http::Response> {
        let http::Request { method, url, headers, body, timeout_ms } = request;
        let question = Question::Http(HttpRequest { method, url, headers, body, timeout_ms });
        answer!(self, question, Answer::Http(response) => {
            http::Response { status: response.status, headers: response.headers, body: response.body }
        })
    }
}

impl dns::Host for State {
    fn locate(&mut self, uri: String) -> Asked<Vec<types::Endpoint>> {
        let endpoint = |(address, port, transport): (String, u16, String)| {
            let transport = match transport.as_str() {
                "tcp" => types::Transport::Tcp,
                "tls" => types::Transport::Tls,
                "ws" => types::Transport::Ws,
                "wss" => types::Transport::Wss,
                _ => types::Transport::Udp,
            };
            types::Endpoint { address, port, transport }
        };
        answer!(self, Question::DnsLocate { uri }, Answer::Endpoints(found) => found.into_iter().map(endpoint).collect())
    }

    fn addresses(&mut self, name: String) -> Asked<Vec<String>> {
        answer!(self, Question::Dns { kind: RecordKind::Addresses, name }, Answer::Texts(texts) => texts)
    }

    fn srv(&mut self, name: String) -> Asked<Vec<dns::SrvRecord>> {
        let record = |(priority, weight, port, target)| dns::SrvRecord { priority, weight, port, target };
        answer!(self, Question::Dns { kind: RecordKind::Srv, name }, Answer::Srv(records) => records.into_iter().map(record).collect())
    }

    fn naptr(&mut self, name: String) -> Asked<Vec<dns::NaptrRecord>> {
        let record = |naptr: jackfield_services::ask::Naptr| dns::NaptrRecord {
            order: naptr.order,
            preference: naptr.preference,
            naptr_flags: naptr.flags,
            service: naptr.service,
            regexp: naptr.regexp,
            replacement: naptr.replacement,
        };
        answer!(self, Question::Dns { kind: RecordKind::Naptr, name }, Answer::Naptr(records) => records.into_iter().map(record).collect())
    }

    fn txt(&mut self, name: String) -> Asked<Vec<String>> {
        answer!(self, Question::Dns { kind: RecordKind::Txt, name }, Answer::Texts(texts) => texts)
    }
}

impl timers::Host for State {
    fn start(&mut self, id: String, after_ms: u64, every_ms: Option<u64>) -> Asked<()> {
        answer!(self, Question::TimerStart { id, after_ms, every_ms }, Answer::Done => ())
    }

    fn stop(&mut self, id: String) -> Asked<()> {
        answer!(self, Question::TimerStop { id }, Answer::Done => ())
    }
}
