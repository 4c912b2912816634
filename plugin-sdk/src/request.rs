//! The request in hand.

use jackfield_proto::message::NameAddr;

use crate::Plan;
use crate::backend::message as backend;

/// The request that a hook is asked about. It lives only during that call; each method asks the host for just what it names.
///
/// Methods show the edits of earlier plugins of the chain; [`raw`](Self::raw) is the message as received. Header names may be given in
/// any case and in compact form.
#[repr(transparent)]
pub struct Request(pub(crate) backend::Request);

impl Request {
    /// What earlier plugins of the chain have routed.
    pub fn plan(&self) -> Option<Plan> {
        self.0.plan()
    }

    /// The method.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// The Request-URI.
    pub fn uri(&self) -> String {
        self.0.uri()
    }

    /// The user part of the Request-URI, %-escapes as they came.
    pub fn uri_user(&self) -> Option<String> {
        self.0.uri_user()
    }

    /// The host part of the Request-URI; an IPv6 reference keeps its brackets. Empty for a URI without one (`tel:`).
    pub fn uri_host(&self) -> String {
        self.0.uri_host()
    }

    /// A parameter of the Request-URI; empty for one without a value.
    pub fn uri_param(&self, name: &str) -> Option<String> {
        self.0.uri_param(name)
    }

    /// The value of the first header field of that name, without folding.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// The same for several names in one call of the host; the answers stand in the order of the names.
    pub fn headers<const N: usize>(&self, names: [&str; N]) -> [Option<String>; N] {
        let mut values = self.header_list(&names).into_iter();
        std::array::from_fn(|_| values.next().flatten())
    }

    /// The same for a list of names that is not known when the plugin is written.
    pub fn header_list<T: AsRef<str>>(&self, names: &[T]) -> Vec<Option<String>> {
        self.0.headers(names)
    }

    /// Every value of that name, comma lists split where RFC 3261 allows it.
    pub fn header_all(&self, name: &str) -> Vec<String> {
        self.0.header_all(name)
    }

    /// A parameter of the URI inside a header field: `header_uri_param("To", "line")`.
    pub fn header_uri_param(&self, header: &str, parameter: &str) -> Option<String> {
        self.0.header_uri_param(header, parameter)
    }

    /// The URI inside a header field: `header_uri("From")`. `None` where there is no such field, or nothing that can be read as one.
    ///
    /// ```
    /// # use jackfield::prelude::*;
    /// let request = Request::parse("INVITE sip:1@sbc.example\nFrom: \"Alice, Sales\" <sip:4930@a.example;user=phone>;tag=1");
    /// assert_eq!(request.header_uri("From").as_deref(), Some("sip:4930@a.example;user=phone"));
    /// assert_eq!(request.header_uri_user("From").as_deref(), Some("4930"));
    /// ```
    pub fn header_uri(&self, header: &str) -> Option<String> {
        let value = self.header(header)?;
        NameAddr::parse(value.as_bytes()).map(|address| text(address.uri()))
    }

    /// The user part of that URI, %-escapes as they came: who calls, as From or P-Asserted-Identity says.
    pub fn header_uri_user(&self, header: &str) -> Option<String> {
        let value = self.header(header)?;
        NameAddr::parse(value.as_bytes())?.uri_parsed()?.user().map(text)
    }

    /// A parameter of the header field itself, without quotes: `header_param("From", "tag")`.
    pub fn header_param(&self, header: &str, parameter: &str) -> Option<String> {
        self.0.header_param(header, parameter)
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

    /// The listener it came in on: its name in the configuration, and its address.
    pub fn arrived_on(&self) -> (String, Endpoint) {
        self.0.arrived_on()
    }

    /// Whether it is outside a dialog of this proxy.
    pub fn is_initial(&self) -> bool {
        self.0.is_initial()
    }

    /// The trunk that it has come from (its `[trunk.NAME]`), as the host has found by where it came from.
    pub fn trunk(&self) -> Option<String> {
        self.0.trunk()
    }

    /// The user of the credentials that the host has verified, if any.
    pub fn auth_user(&self) -> Option<String> {
        self.0.auth_user()
    }

    /// The id of this transaction in every hook and log line.
    pub fn transaction_id(&self) -> String {
        self.0.transaction_id()
    }

    /// What this plugin has noted about this request.
    pub fn note(&self, key: &str) -> Option<String> {
        self.0.note(key)
    }

    /// Notes something about this request for the later hooks of this plugin, which may run in another instance.
    pub fn set_note(&self, key: &str, value: &str) {
        self.0.set_note(key, value);
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// An address with its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The IP address, IPv6 without brackets.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The transport.
    pub transport: Transport,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}
