//! Key-value buckets: in memory, or in Redis or Valkey. Both answer every operation alike.
//!
//! - A key that is not there has no value; to delete it is no error.
//! - `set` and `compare-set` replace value and time to live; without one the key stays. A time to live of a counter begins when the counter
//!   does and is not touched by counting.
//! - Counters are decimal digits, without leading zeros and signs other than `-`, within 64 bits.
//! - A value that a server has lost, or that expired, is absent. An operation that was not answered in time may have happened.

mod buckets;
pub mod memory;
pub mod store;

use std::time::Duration;

use crate::ask::{Question, ServiceError};

pub use buckets::{Buckets, Prepared};

/// Octets of a key.
pub const KEY_MAX: usize = 512;
/// Octets of a value.
pub const VALUE_MAX: usize = 64 << 10;
/// The longest time to live: ten years, which no clock of a server overflows at.
pub const TTL_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// What is done at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Its value.
    Get,
    /// Write it.
    Set {
        /// The value.
        value: Vec<u8>,
        /// When it goes; none: it stays.
        ttl: Option<Duration>,
    },
    /// Remove it.
    Delete,
    /// Count.
    Increment {
        /// How much is added.
        by: i64,
        /// When it goes, if it is new.
        ttl: Option<Duration>,
    },
    /// Write it if it is as expected.
    CompareSet {
        /// What it is now; none: absent.
        expect: Option<Vec<u8>>,
        /// The value.
        value: Vec<u8>,
        /// When it goes; none: it stays.
        ttl: Option<Duration>,
    },
}

/// A checked question about a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// What to do.
    pub operation: Operation,
}

impl Request {
    /// What a question means; none if it is about no key of a bucket.
    ///
    /// # Errors
    /// A key, a value or a time to live is out of its bounds.
    pub fn of(question: Question) -> Option<Result<Self, ServiceError>> {
        let (bucket, key, operation) = match question {
            Question::KvGet { bucket, key } => (bucket, key, Ok(Operation::Get)),
            Question::KvDelete { bucket, key } => (bucket, key, Ok(Operation::Delete)),
            Question::KvSet { bucket, key, value, ttl_ms } => {
                (bucket, key, checked(&value).and(ttl(ttl_ms)).map(|ttl| Operation::Set { value, ttl }))
            }
            Question::KvIncrement { bucket, key, by, ttl_ms } => (bucket, key, ttl(ttl_ms).map(|ttl| Operation::Increment { by, ttl })),
            Question::KvCompareSet { bucket, key, expect, value, ttl_ms } => {
                let fine = expect.as_deref().map_or(Ok(()), checked).and(checked(&value)).and(ttl(ttl_ms));
                (bucket, key, fine.map(|ttl| Operation::CompareSet { expect, value, ttl }))
            }
            _ => return None,
        };
        if key.len() > KEY_MAX {
            return Some(Err(ServiceError::Invalid(format!("the key has {} octets; up to {KEY_MAX} are possible", key.len()))));
        }
        Some(operation.map(|operation| Self { bucket, key, operation }))
    }
}

fn checked(value: &[u8]) -> Result<(), ServiceError> {
    match value.len() <= VALUE_MAX {
        true => Ok(()),
        false => Err(ServiceError::Invalid(format!("the value has {} octets; up to {VALUE_MAX} are possible", value.len()))),
    }
}

fn ttl(ms: Option<u64>) -> Result<Option<Duration>, ServiceError> {
    let ttl = ms.map(Duration::from_millis);
    match ttl.is_none_or(|ttl| !ttl.is_zero() && ttl <= TTL_MAX) {
        true => Ok(ttl),
        false => Err(ServiceError::Invalid("the time to live has to be 1 ms to ten years".to_owned())),
    }
}

/// What is said of a value that cannot be counted with.
fn no_counter() -> ServiceError {
    ServiceError::Invalid("the value is no counter: decimal digits within 64 bits".to_owned())
}

/// What is said of a count that leaves 64 bits.
fn overflow() -> ServiceError {
    ServiceError::Invalid("the counter would leave 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told() {
        let set = |key: usize, value: usize, ttl_ms| {
            let question = Question::KvSet { bucket: "b".into(), key: "k".repeat(key), value: vec![0; value], ttl_ms };
            Request::of(question).unwrap().map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(set(512, 65_536, Some(1)), Ok(()));
        assert_eq!(set(0, 0, None), Ok(()));
        assert_eq!(set(513, 0, None), Err("invalid: the key has 513 octets; up to 512 are possible".into()));
        assert_eq!(set(1, 65_537, None), Err("invalid: the value has 65537 octets; up to 65536 are possible".into()));
        for ttl in [0, 315_360_000_001, u64::MAX] {
            assert_eq!(set(1, 1, Some(ttl)), Err("invalid: the time to live has to be 1 ms to ten years".into()), "{ttl}");
        }
        assert_eq!(Request::of(Question::UnixMs), None);
    }
}
