//! HTTP requests. A call waits for the answer, and no other call does.
//!
//! URL prefixes are granted one by one: `grant = { http = ["https://api.example.com/route/"] }`. How long an answer may take and how long
//! its body may be, `[http]` of the configuration says. Connections are kept; redirections are not followed.
//!
//! ```
//! use jackfield::prelude::*;
//! use jackfield::{http, testing};
//!
//! #[derive(Deserialize)]
//! struct Routes {
//!     api: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Route {
//!     trunk: String,
//! }
//!
//! #[jackfield::plugin(methods("INVITE"))]
//! impl Plugin for Routes {
//!     fn on_request(&self, request: &Request) -> Result<Decision> {
//!         let number = request.uri_user().unwrap_or_default();
//!         let answer = http::get(format!("{}/{number}", self.api)).timeout(Duration::from_millis(500)).send()?;
//!         if answer.status() == 404 {
//!             return Ok(Decision::reply(404, "No Route"));
//!         }
//!         let route: Route = answer.success()?.json()?;
//!         Ok(Decision::forward(Target::unchanged().trunk(route.trunk)))
//!     }
//! }
//!
//! testing::answer_http("https://api.example.com/route/4912", 200, r#"{"trunk": "berlin"}"#);
//! testing::answer_http("https://api.example.com/route/1", 404, "");
//! let plugin = Routes::from_toml("api = 'https://api.example.com/route'").unwrap();
//! let decision = plugin.on_request(&Request::parse("INVITE sip:4912@sbc.example")).unwrap();
//! assert_eq!(decision.targets()[0].option_value("trunk"), Some("berlin"));
//! let unknown = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
//! assert_eq!(unknown, Decision::reply(404, "No Route"));
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::asking as backend;
use crate::{Error, Result, ServiceError, config};

/// A request, not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take, in whole milliseconds; `None`, or more than the configuration allows: as the configuration says.
    pub timeout: Option<Duration>,
}

/// A GET of this URL.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A POST to this URL.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A request with another method.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new(), timeout: None }
}

impl Request {
    /// With one more header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body. Its type is a header field, if it matters.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this value as JSON, and a Content-Type that says so. An error if it is nothing that JSON has.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(|error| Error::new(error).context(&self.url))?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// May take so long, in whole milliseconds, if the configuration does not say less.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the response; any status is one.
    pub fn send(self) -> Result<Response, ServiceError> {
        let what = format!("{} {}", self.method, self.url);
        match backend::fetch(self) {
            Ok((status, headers, body)) => Ok(Response { what, status, headers, body }),
            Err(error) => Err(error.about(what)),
        }
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What was asked, for errors.
    what: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The same response, or an error that names the request if its status is no 2xx.
    pub fn success(self) -> Result<Self> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(Error::new(format_args!("{}: status {}", self.what, self.status))) }
    }

    /// The value of the first header field of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All header fields in order.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as a text; an error that names the request if it is none (UTF-8).
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).map_err(|_| Error::new(format_args!("{}: the body is no text", self.what)))
    }

    /// What the body says as JSON; an error names the request and the key.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        config::read_json(self.text()?).map_err(|error| error.context(&self.what))
    }
}
