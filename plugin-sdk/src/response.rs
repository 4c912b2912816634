//! The response in hand.

use crate::Endpoint;
use crate::backend::message as backend;

/// The response that a hook is asked about; it lives only during that call.
#[repr(transparent)]
pub struct Response(pub(crate) backend::Response);

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// The reason phrase.
    pub fn reason(&self) -> String {
        self.0.reason()
    }

    /// The value of the first header field of that name, without folding.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// The same for several names in one call of the host; the answers stand in the order of the names.
    pub fn headers<const N: usize>(&self, names: [&str; N]) -> [Option<String>; N] {
        let mut values = self.0.headers(&names).into_iter();
        std::array::from_fn(|_| values.next().flatten())
    }

    /// Every value of that name, comma lists split where RFC 3261 allows it.
    pub fn header_all(&self, name: &str) -> Vec<String> {
        self.0.header_all(name)
    }

    /// The names of the header fields in their usual spelling, each once, in order.
    pub fn header_names(&self) -> Vec<String> {
        self.0.header_names()
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    /// The whole message as received.
    pub fn raw(&self) -> Vec<u8> {
        self.0.raw()
    }

    /// Where it came from.
    pub fn source(&self) -> Endpoint {
        self.0.source()
    }
}
