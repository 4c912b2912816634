//! DNS, through the router's own resolver and its cache. Granted with `grant = { dns = true }`; a call waits for the answer.
//!
//! ```
//! use jackfield::dns::{self, Srv};
//! use jackfield::testing;
//!
//! let record = Srv { priority: 10, weight: 1, port: 5061, target: "a.example".to_owned() };
//! testing::set_srv("_sips._tcp.example", [record.clone()]);
//! assert_eq!(dns::srv("_sips._tcp.example").unwrap(), [record]);
//! assert!(dns::txt("example").unwrap().is_empty());
//! ```

use crate::backend::asking as backend;
use crate::{Endpoint, ServiceError};

/// Where the router itself would send a request with this SIP URI, in order (RFC 3263).
pub fn locate(uri: &str) -> Result<Vec<Endpoint>, ServiceError> {
    about(uri, backend::locate(uri))
}

/// The IPv4 and IPv6 addresses of a name.
pub fn addresses(name: &str) -> Result<Vec<String>, ServiceError> {
    about(name, backend::addresses(name))
}

/// The SRV records of a name (RFC 2782), as they are in DNS: nothing is drawn by weight yet.
pub fn srv(name: &str) -> Result<Vec<Srv>, ServiceError> {
    about(name, backend::srv(name))
}

/// The NAPTR records of a name (RFC 3403).
pub fn naptr(name: &str) -> Result<Vec<Naptr>, ServiceError> {
    about(name, backend::naptr(name))
}

/// The TXT records of a name.
pub fn txt(name: &str) -> Result<Vec<String>, ServiceError> {
    about(name, backend::txt(name))
}

fn about<T>(name: &str, answer: Result<T, ServiceError>) -> Result<T, ServiceError> {
    answer.map_err(|error| error.about(format_args!("DNS for {name}")))
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is used first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host.
    pub target: String,
}

/// A NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest is looked at first.
    pub order: u16,
    /// The lowest of one order is preferred.
    pub preference: u16,
    /// What the result is: `s`, `a`, `u` or nothing.
    pub flags: String,
    /// What it is for, like `SIP+D2T`.
    pub service: String,
    /// The rule of substitution (ENUM).
    pub regexp: String,
    /// The name that comes next.
    pub replacement: String,
}
