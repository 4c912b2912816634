//! A message that a peer took.

use jackfield_proto::message::{Message, Name};

use super::link::Link;

/// A message that a peer took, and the way back.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) link: Link,
}

impl Received {
    /// The first value of a header field, as text; empty without one.
    pub(crate) fn value(&self, name: &str) -> String {
        self.values(name).into_iter().next().unwrap_or_default()
    }

    /// Every field of a name, as text, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let wanted = Name::from_bytes(name.as_bytes());
        let fields = self.message.fields().filter(|field| field.name == wanted);
        fields.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect()
    }

    /// The Request-URI as text.
    pub(crate) fn uri(&self) -> String {
        String::from_utf8_lossy(self.message.request_uri()).into_owned()
    }

    /// The status; 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        self.message.status()
    }
}
