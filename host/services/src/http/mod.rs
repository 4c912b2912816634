//! HTTP requests of plugins.
//!
//! Any status is a response, redirects are not followed, and proxies that the environment names are not used: where a request goes is what the
//! grant says. Connections are kept and used again. Header fields that say where a message ends or whom it is for are written here alone.

mod prefix;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ask::{HttpRequest, HttpResponse, ServiceError};
use crate::runtime::Runtime;
use crate::settings::HttpSettings;
use crate::tls;

pub use prefix::{BadPrefix, Prefix};

/// Octets of a URL.
pub const URL_MAX: usize = 8 << 10;
/// Header fields of a request or a response.
pub const HEADERS_MAX: usize = 64;
/// Octets of all header fields of a request or a response.
pub const HEADER_OCTETS_MAX: usize = 32 << 10;

/// Connections to one server that are kept while nobody uses them.
const IDLE: usize = 32;
/// How long one is kept.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// What the client writes itself, or what would let a request end elsewhere than it seems (RFC 9110 7.6.1, RFC 9112 6).
const RESERVED: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends requests.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    settings: HttpSettings,
    permits: Arc<Semaphore>,
    runtime: Runtime,
}

impl Client {
    pub(crate) fn new(settings: HttpSettings, runtime: Runtime) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(settings.certificate_authority.as_deref())?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(IDLE_TIME)
            .http1_max_headers(HEADERS_MAX)
            .build()
            .map_err(|error| format!("HTTP cannot be set up: {error}"))?;
        let permits = Arc::new(Semaphore::new(settings.requests));
        Ok(Self { client, settings, permits, runtime })
    }

    pub(crate) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// Sends a request if one of the prefixes covers it, and waits for the whole response.
    ///
    /// # Errors
    /// It is not granted, it is none, or there is no response in time or at all.
    pub fn fetch(&self, granted: &[Prefix], request: HttpRequest, within: Duration) -> Result<HttpResponse, ServiceError> {
        let body = self.settings.body;
        let time = match request.timeout_ms {
            0 => self.settings.timeout,
            ms => Duration::from_millis(ms.into()).min(self.settings.timeout),
        };
        let time = time.min(within);
        let built = self.build(granted, request)?;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let most = self.settings.requests;
            return Err(ServiceError::Unavailable(format!("{most} HTTP requests are under way; raise `requests` of [http]")));
        };
        let client = self.client.clone();
        self.runtime.wait(time, async move {
            let _permit = permit;
            // The caller waits no longer than this either, so nothing goes on that nobody wants.
            timeout(time, exchange(client, built, body)).await.unwrap_or(Err(ServiceError::Timeout))
        })
    }

    fn build(&self, granted: &[Prefix], request: HttpRequest) -> Result<reqwest::Request, ServiceError> {
        let invalid = |why: String| ServiceError::Invalid(why);
        if request.url.len() > URL_MAX {
            return Err(invalid(format!("the URL has {} octets; up to {URL_MAX} are possible", request.url.len())));
        }
        let mut url = Url::parse(&request.url).map_err(|error| invalid(format!("the URL is none: {error}")))?;
        if !granted.iter().any(|prefix| prefix.covers(&url)) {
            return Err(ServiceError::Denied);
        }
        url.set_fragment(None);
        let method = method(&request.method)?;
        if request.body.len() > self.settings.body {
            let (length, most) = (request.body.len(), self.settings.body);
            return Err(invalid(format!("the body has {length} octets; up to {most} are possible (`body` of [http])")));
        }
        let mut built = reqwest::Request::new(method, url);
        *built.headers_mut() = headers(&request.headers)?;
        if !request.body.is_empty() {
            *built.body_mut() = Some(request.body.into());
        }
        Ok(built)
    }
}

/// CONNECT makes a tunnel and TRACE shows what proxies have added: neither is a question to a server.
fn method(text: &str) -> Result<Method, ServiceError> {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let found = known.into_iter().find(|method| method.as_str() == text);
    found.ok_or_else(|| ServiceError::Invalid("the method is none of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS".to_owned()))
}

fn headers(fields: &[(String, String)]) -> Result<HeaderMap, ServiceError> {
    let invalid = |why: String| ServiceError::Invalid(why);
    let octets: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if fields.len() > HEADERS_MAX || octets > HEADER_OCTETS_MAX {
        let count = fields.len();
        return Err(invalid(format!(
            "{count} header fields of {octets} octets are too many; up to {HEADERS_MAX} of {HEADER_OCTETS_MAX} are possible"
        )));
    }
    let mut map = HeaderMap::with_capacity(fields.len());
    for (index, (name, value)) in fields.iter().enumerate() {
        let nth = index + 1;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("header field {nth} has no valid name")))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(invalid(format!("the header field {name} is written by the router; leave it out")));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| invalid(format!("the value of the header field {name} has a control character in it")))?;
        map.append(name, value);
    }
    Ok(map)
}

async fn exchange(client: reqwest::Client, request: reqwest::Request, most: usize) -> Result<HttpResponse, ServiceError> {
    let mut response = client.execute(request).await.map_err(unavailable)?;
    let status = response.status().as_u16();
    let octets: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if octets > HEADER_OCTETS_MAX {
        return Err(ServiceError::Unavailable(format!("the response has more than {HEADER_OCTETS_MAX} octets of header fields")));
    }
    // Names are in lower case in a HeaderMap.
    let field = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
    let headers = response.headers().iter().map(field).collect();
    let too_long = || ServiceError::Unavailable(format!("the response has a body of more than {most} octets; raise `body` of [http]"));
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, headers, body })
}

/// What went wrong, without the URL: it may have a token in its query.
fn unavailable(error: reqwest::Error) -> ServiceError {
    if error.is_timeout() {
        return ServiceError::Timeout;
    }
    let error = error.without_url();
    // The innermost cause says most: "Connection refused", "invalid peer certificate".
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let place = if error.is_connect() { "no connection" } else { "no response" };
    ServiceError::Unavailable(format!("{place}: {cause}").chars().take(200).collect())
}
