//! Operations as commands of Redis, and what its replies mean.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, Script, ServerErrorKind, Value};

use super::super::{Operation, VALUE_MAX, no_counter, overflow};
use crate::ask::{Answer, ServiceError};

/// How a script is sent: most servers know it by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Hash,
    Source,
}

/// The counter is read back as text, because a number of Lua has 53 bits. PEXPIRE only where the key was absent: the time to live counts
/// from creation.
static INCREMENT: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        "local new = redis.call('EXISTS', KEYS[1]) == 0\n\
         local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])\n\
         if type(sum) == 'table' and sum.err then return sum end\n\
         if new and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end\n\
         return redis.call('GET', KEYS[1])",
    )
});

static COMPARE_SET: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        "local present = redis.pcall('GET', KEYS[1])\n\
         if type(present) == 'table' and present.err then return present end\n\
         if ARGV[1] == 'absent' then\n\
           if present then return 0 end\n\
         elseif present ~= ARGV[2] then return 0 end\n\
         if ARGV[4] == '' then redis.call('SET', KEYS[1], ARGV[3])\n\
         else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end\n\
         return 1",
    )
});

/// The command for an operation.
pub(super) fn command(key: &str, operation: &Operation, form: Form) -> Cmd {
    match operation {
        Operation::Get => redis::cmd("GET").arg(key).take(),
        Operation::Delete => redis::cmd("DEL").arg(key).take(),
        Operation::Set { value, ttl } => {
            let mut command = redis::cmd("SET").arg(key).arg(value.as_slice()).take();
            if let Some(ttl) = ttl {
                command.arg("PX").arg(milliseconds(*ttl));
            }
            command
        }
        Operation::Increment { by, ttl } => script(&INCREMENT, key, form).arg(*by).arg(optional(*ttl)).take(),
        Operation::CompareSet { expect, value, ttl } => {
            let (wanted, present) = match expect {
                Some(present) => ("present", present.as_slice()),
                None => ("absent", &[][..]),
            };
            script(&COMPARE_SET, key, form).arg(wanted).arg(present).arg(value.as_slice()).arg(optional(*ttl)).take()
        }
    }
}

/// A script with the hash that servers know it by.
struct Program {
    source: &'static str,
    hash: String,
}

impl Program {
    fn new(source: &'static str) -> Self {
        Self { source, hash: Script::new(source).get_hash().to_owned() }
    }
}

fn script(program: &Program, key: &str, form: Form) -> Cmd {
    let (name, what) = match form {
        Form::Hash => ("EVALSHA", program.hash.as_str()),
        Form::Source => ("EVAL", program.source),
    };
    redis::cmd(name).arg(what).arg(1).arg(key).take()
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn optional(ttl: Option<Duration>) -> String {
    ttl.map(|ttl| milliseconds(ttl).to_string()).unwrap_or_default()
}

/// What a server said that is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the script yet, and has done nothing.
    NoScript,
    /// It cannot serve just now, or does not want to from here on: another connection is needed. `LOADING`, `READONLY`, `NOAUTH`.
    Away(String),
    /// The slot is at another node for good.
    Moved(String),
    /// The slot is being moved, and this key has gone already.
    Ask(String),
    /// The cluster does not serve the slot.
    Down(String),
    /// What the plugin is told.
    Told(ServiceError),
    /// It is no reply that this server can have meant: the connection is out of step.
    Nonsense,
}

/// What a reply means for an operation.
pub(super) fn answer(operation: &Operation, reply: Value) -> Result<Answer, Refusal> {
    let reply = match reply {
        Value::ServerError(error) => return Err(refusal(&RedisError::from(error))),
        reply => reply,
    };
    match (operation, reply) {
        (Operation::Get, Value::Nil) => Ok(Answer::Value(None)),
        (Operation::Get, Value::BulkString(value)) if value.len() <= VALUE_MAX => Ok(Answer::Value(Some(value))),
        (Operation::Get, Value::BulkString(value)) => {
            let told = format!("the value has {} octets, which somebody else has written; up to {VALUE_MAX} are possible", value.len());
            Err(Refusal::Told(ServiceError::Invalid(told)))
        }
        (Operation::Set { .. }, Value::Okay) | (Operation::Delete, Value::Int(_)) => Ok(Answer::Done),
        (Operation::Increment { .. }, Value::BulkString(count)) => {
            let count = str::from_utf8(&count).ok().and_then(|text| text.parse().ok());
            count.map(Answer::Count).ok_or(Refusal::Nonsense)
        }
        (Operation::CompareSet { .. }, Value::Int(written @ (0 | 1))) => Ok(Answer::Truth(written == 1)),
        _ => Err(Refusal::Nonsense),
    }
}

/// What an error of a server means.
pub(super) fn refusal(error: &RedisError) -> Refusal {
    let detail = || error.detail().unwrap_or_default().to_owned();
    let away = |why: &str| Refusal::Away(why.to_owned());
    let told = |why: String| Refusal::Told(ServiceError::Unavailable(why));
    let ErrorKind::Server(kind) = error.kind() else {
        return match error.code() {
            Some("NOAUTH" | "WRONGPASS") => away("it asks for a password, or for another one"),
            Some("WRONGTYPE") => Refusal::Told(ServiceError::Invalid("something else than a value was written under this key".to_owned())),
            Some("OOM") => told("the server has no memory left (OOM)".to_owned()),
            Some(code) => told(short(code, &detail())),
            None => Refusal::Nonsense,
        };
    };
    match kind {
        ServerErrorKind::NoScript => Refusal::NoScript,
        ServerErrorKind::BusyLoading => away("it is loading its data (LOADING)"),
        ServerErrorKind::ReadOnly => away("it is a replica and takes no writes (READONLY)"),
        ServerErrorKind::MasterDown => away("it is a replica without its master (MASTERDOWN)"),
        ServerErrorKind::Moved => Refusal::Moved(redirected(error)),
        ServerErrorKind::Ask => Refusal::Ask(redirected(error)),
        ServerErrorKind::ClusterDown => Refusal::Down("the cluster is down (CLUSTERDOWN)".to_owned()),
        ServerErrorKind::TryAgain => Refusal::Down("the slot is being moved (TRYAGAIN)".to_owned()),
        ServerErrorKind::ResponseError if detail().contains("not an integer") => Refusal::Told(no_counter()),
        ServerErrorKind::ResponseError if detail().contains("would overflow") => Refusal::Told(overflow()),
        _ => told(short(error.code().unwrap_or("ERR"), &detail())),
    }
}

fn redirected(error: &RedisError) -> String {
    error.redirect_node().map(|(address, _)| address.to_owned()).unwrap_or_default()
}

/// An error as it is told: short, and without control characters.
pub(super) fn short(code: &str, detail: &str) -> String {
    format!("the server says {code} {detail}").trim_end().chars().filter(|c| !c.is_control()).take(160).collect()
}
