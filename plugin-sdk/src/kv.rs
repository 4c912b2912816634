//! Buckets of keys and values, shared by all instances of all plugins that they are granted to, and kept over reloads.
//!
//! A bucket is granted by name, `grant = { kv = ["limits"] }`, and is in memory unless its `[kv.limits]` names a store (Redis or Valkey);
//! then several routers share it, and a call waits for it, up to the store's `timeout`.
//!
//! ```
//! use jackfield::kv::Bucket;
//! use jackfield::prelude::*;
//! use jackfield::testing;
//!
//! /// No more than `limit` calls of one caller in a minute.
//! #[derive(Deserialize)]
//! struct Limit {
//!     limit: i64,
//! }
//!
//! #[jackfield::plugin(methods("INVITE"))]
//! impl Plugin for Limit {
//!     fn on_request(&self, request: &Request) -> Result<Decision> {
//!         let caller = request.source().address;
//!         let calls = Bucket::open("limits")?.increment_for(&caller, 1, Duration::from_secs(60))?;
//!         Ok(if calls > self.limit { Decision::reply(503, "Too Many Calls") } else { Decision::pass() })
//!     }
//! }
//!
//! let plugin = Limit::from_toml("limit = 1").unwrap();
//! let request = Request::parse("INVITE sip:1@sbc.example");
//! assert_eq!(plugin.on_request(&request).unwrap(), Decision::pass());
//! assert_eq!(plugin.on_request(&request).unwrap(), Decision::reply(503, "Too Many Calls"));
//! testing::advance(Duration::from_secs(60));
//! assert_eq!(plugin.on_request(&request).unwrap(), Decision::pass());
//! ```

use std::time::Duration;

use crate::ServiceError;
use crate::backend::asking as backend;

/// A bucket. It may be opened in `new` and kept, or opened where it is used.
///
/// A key has 512 octets at most, a value 64 KiB.
///
/// A value that is set for a time goes when the time is over; any other stays until it is deleted. A bucket in memory that is full refuses
/// new keys as unavailable: what is counted is not lost to make room.
pub struct Bucket {
    name: String,
    handle: backend::Bucket,
}

impl Bucket {
    /// Opens it; denied if it is not granted. This never waits.
    pub fn open(name: &str) -> Result<Self, ServiceError> {
        let handle = backend::Bucket::open(name).map_err(|error| error.about(format_args!("bucket {name}")))?;
        Ok(Self { name: name.to_owned(), handle })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        self.told(key, self.handle.get(key))
    }

    /// The value of a key as a text; invalid if it is none (UTF-8).
    pub fn get_string(&self, key: &str) -> Result<Option<String>, ServiceError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let text = String::from_utf8(value).map_err(|_| ServiceError::Invalid("the value is no text".to_owned()));
        self.told(key, text.map(Some))
    }

    /// The value of a key that was counted; invalid if it is no number.
    pub fn get_number(&self, key: &str) -> Result<Option<i64>, ServiceError> {
        let Some(text) = self.get_string(key)? else { return Ok(None) };
        let number = text.parse().map_err(|_| ServiceError::Invalid("the value is no number".to_owned()));
        self.told(key, number.map(Some))
    }

    /// Writes a value that stays.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), ServiceError> {
        self.told(key, self.handle.set(key, value.as_ref(), None))
    }

    /// Writes a value for a time, in whole milliseconds.
    pub fn set_for(&self, key: &str, value: impl AsRef<[u8]>, time: Duration) -> Result<(), ServiceError> {
        self.told(key, self.handle.set(key, value.as_ref(), Some(milliseconds(time))))
    }

    /// Removes a key; one that is not there is no error.
    pub fn delete(&self, key: &str) -> Result<(), ServiceError> {
        self.told(key, self.handle.delete(key))
    }

    /// Adds to a number, in one step, and says what it is now. A key that is not there counts from 0. Invalid if the value is no number, or
    /// would leave 64 bits.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, ServiceError> {
        self.told(key, self.handle.increment(key, by, None))
    }

    /// The same for a time, in whole milliseconds, which begins when the key is new and not anew each time: so it counts what happens in
    /// one window.
    pub fn increment_for(&self, key: &str, by: i64, time: Duration) -> Result<i64, ServiceError> {
        self.told(key, self.handle.increment(key, by, Some(milliseconds(time))))
    }

    /// Writes a value if the present one is `expect`, in one step, and says whether it did.
    pub fn compare_set(&self, key: &str, expect: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, ServiceError> {
        self.told(key, self.handle.compare_set(key, Some(expect.as_ref()), value.as_ref(), None))
    }

    /// The same for a time, in whole milliseconds.
    pub fn compare_set_for(
        &self,
        key: &str,
        expect: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        time: Duration,
    ) -> Result<bool, ServiceError> {
        self.told(key, self.handle.compare_set(key, Some(expect.as_ref()), value.as_ref(), Some(milliseconds(time))))
    }

    /// Writes a value if the key is not there, in one step, and says whether it did.
    pub fn set_new(&self, key: &str, value: impl AsRef<[u8]>) -> Result<bool, ServiceError> {
        self.told(key, self.handle.compare_set(key, None, value.as_ref(), None))
    }

    /// The same for a time, in whole milliseconds.
    pub fn set_new_for(&self, key: &str, value: impl AsRef<[u8]>, time: Duration) -> Result<bool, ServiceError> {
        self.told(key, self.handle.compare_set(key, None, value.as_ref(), Some(milliseconds(time))))
    }

    fn told<T>(&self, key: &str, answer: Result<T, ServiceError>) -> Result<T, ServiceError> {
        answer.map_err(|error| error.about(format_args!("key {key} of bucket {}", self.name)))
    }
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
