//! Questions of plugins and the answers to them, as data: so they can be recorded, answered from a recording, compared and counted.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a plugin asks. Times to live are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// May this bucket be used?
    KvOpen {
        /// The bucket.
        bucket: String,
    },
    /// The value of a key.
    KvGet {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Write a value.
    KvSet {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The value.
        #[serde(with = "octets")]
        value: Vec<u8>,
        /// When it goes.
        ttl_ms: Option<u64>,
    },
    /// Remove a key.
    KvDelete {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// Count.
    KvIncrement {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// How much is added.
        by: i64,
        /// When it goes, if it is new.
        ttl_ms: Option<u64>,
    },
    /// Write a value if the present one is as expected.
    KvCompareSet {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What it is now; none: absent.
        #[serde(with = "optional_octets")]
        expect: Option<Vec<u8>>,
        /// The value.
        #[serde(with = "octets")]
        value: Vec<u8>,
        /// When it goes.
        ttl_ms: Option<u64>,
    },
    /// The names of the columns of a table.
    TableColumns {
        /// The table.
        table: String,
    },
    /// The row with exactly this key.
    TableRow {
        /// The table.
        table: String,
        /// The key.
        key: String,
    },
    /// The row with the longest key that the number begins with.
    TablePrefix {
        /// The table.
        table: String,
        /// The number.
        number: String,
    },
    /// The row of the narrowest network that an address is in.
    TableNetwork {
        /// The table.
        table: String,
        /// The address.
        address: String,
    },
    /// Whether an address is in a network of a table.
    TableContains {
        /// The table.
        table: String,
        /// The address.
        address: String,
    },
    /// Fetch something.
    Http(HttpRequest),
    /// Where a SIP URI leads (RFC 3263).
    DnsLocate {
        /// The URI.
        uri: String,
    },
    /// Records of a name.
    Dns {
        /// Which.
        kind: RecordKind,
        /// The name.
        name: String,
    },
    /// What is registered for an address of record.
    Contacts {
        /// The address of record.
        aor: String,
    },
    /// Whether a trunk is up.
    TrunkUp {
        /// Its name.
        trunk: String,
    },
    /// Calls at a trunk.
    TrunkCalls {
        /// Its name.
        trunk: String,
    },
    /// Calls at targets with a tag.
    ActiveCalls {
        /// The tag.
        tag: String,
    },
    /// Start a timer, or start it anew.
    TimerStart {
        /// Its name.
        id: String,
        /// From now.
        after_ms: u64,
        /// From then on.
        every_ms: Option<u64>,
    },
    /// Stop a timer.
    TimerStop {
        /// Its name.
        id: String,
    },
    /// The time of day, in milliseconds since 1970.
    UnixMs,
    /// Nanoseconds since some moment.
    MonotonicNs,
    /// The time of day in a zone of the tz database.
    LocalTime {
        /// The zone.
        zone: String,
    },
    /// Random octets.
    RandomOctets {
        /// How many.
        length: u32,
    },
    /// A random number.
    RandomNumber,
}

impl Question {
    /// Whether the answer may take its time: those of the machine and of tables never do.
    pub fn may_wait(&self) -> bool {
        match self {
            Self::KvGet { .. } | Self::KvSet { .. } | Self::KvDelete { .. } | Self::KvIncrement { .. } | Self::KvCompareSet { .. } => true,
            Self::Http(_) | Self::DnsLocate { .. } | Self::Dns { .. } => true,
            Self::KvOpen { .. } | Self::TableColumns { .. } | Self::TableRow { .. } | Self::TablePrefix { .. } => false,
            Self::TableNetwork { .. } | Self::TableContains { .. } | Self::Contacts { .. } | Self::TrunkUp { .. } => false,
            Self::TrunkCalls { .. } | Self::ActiveCalls { .. } | Self::TimerStart { .. } | Self::TimerStop { .. } => false,
            Self::UnixMs | Self::MonotonicNs | Self::LocalTime { .. } | Self::RandomOctets { .. } | Self::RandomNumber => false,
        }
    }
}

/// Kinds of DNS records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// A and AAAA.
    Addresses,
    /// SRV (RFC 2782).
    Srv,
    /// NAPTR (RFC 3403).
    Naptr,
    /// TXT.
    Txt,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "octets")]
    pub body: Vec<u8>,
    /// How long it may take; 0: as the configuration says.
    pub timeout_ms: u32,
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "octets")]
    pub body: Vec<u8>,
}

/// What a plugin is told. Each question has one kind of answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; nothing to tell.
    Done,
    /// A value of a bucket.
    Value(#[serde(with = "optional_octets")] Option<Vec<u8>>),
    /// A number: a count, a time, chance.
    Number(u64),
    /// The new value of a counter.
    Count(i64),
    /// Yes or no.
    Truth(bool),
    /// A row of a table, or the names of its columns.
    Row(Option<Vec<String>>),
    /// Addresses or texts.
    Texts(Vec<String>),
    /// What HTTP gave.
    Http(HttpResponse),
    /// Where to send, in order: address, port, transport in lower case.
    Endpoints(Vec<(String, u16, String)>),
    /// SRV records: priority, weight, port, target.
    Srv(Vec<(u16, u16, u16, String)>),
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// Registered contacts.
    Contacts(Vec<Contact>),
    /// Whether a trunk is up; none if there is none.
    TrunkUp(Option<bool>),
    /// Calls at a trunk; none if there is none.
    TrunkCalls(Option<u32>),
    /// Year, month, day, hour, minute, second, weekday from Monday as 1.
    LocalTime(u16, u8, u8, u8, u8, u8, u8),
    /// Octets.
    Octets(#[serde(with = "octets")] Vec<u8>),
}

/// A NAPTR record (RFC 3403 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the record")]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub service: String,
    pub regexp: String,
    pub replacement: String,
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The Contact URI as the user agent wrote it.
    pub uri: String,
    /// Its `line` parameter.
    pub line: Option<String>,
    /// The trunk that it is registered through.
    pub trunk: Option<String>,
    /// Until it expires.
    pub expires_in_s: u32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceError {
    /// It is not granted.
    #[error("not granted")]
    Denied,
    /// There was none in time.
    #[error("no answer in time")]
    Timeout,
    /// It cannot be reached, or has no room.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The question makes no sense.
    #[error("invalid: {0}")]
    Invalid(String),
}

/// Who answers questions. May block for as long as `within` says.
pub trait Ask: fmt::Debug + Send + Sync {
    /// Answers. `within` is what is left of the time that the call may wait.
    ///
    /// # Errors
    /// There is no answer.
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError>;
}

/// Octets in JSON: text as it is, anything else as base64 behind `base64:`. For `#[serde(with)]`.
pub mod octets {
    use serde::{Deserialize, Deserializer, Serializer};

    const PREFIX: &str = "base64:";

    pub(super) fn to_text(octets: &[u8]) -> String {
        match str::from_utf8(octets) {
            Ok(text) if !text.starts_with(PREFIX) => text.to_owned(),
            _ => format!("{PREFIX}{}", data_encoding::BASE64.encode(octets)),
        }
    }

    pub(super) fn from_text(text: String) -> Result<Vec<u8>, data_encoding::DecodeError> {
        match text.strip_prefix(PREFIX) {
            Some(encoded) => data_encoding::BASE64.decode(encoded.as_bytes()),
            None => Ok(text.into_bytes()),
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_text(octets))
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of the deserializer, and base64 that is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        from_text(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

mod optional_octets {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        octets.as_deref().map(super::octets::to_text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(super::octets::from_text).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_that_are_no_text_survive_a_recording() {
        for value in [b"plain".to_vec(), vec![0xff, 0], b"base64:x".to_vec(), Vec::new()] {
            let question = Question::KvSet { bucket: "b".into(), key: "k".into(), value, ttl_ms: Some(5) };
            let text = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&text).unwrap(), question, "{text}");
        }
        let answer = Answer::Value(None);
        assert_eq!(serde_json::from_str::<Answer>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
    }
}
