//! One question to Consul over HTTP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::settings::{BadUrl, ConsulSettings};
use crate::document::MAX_OCTETS;

/// So much of an answer that is an error goes into the message.
const MAX_REASON: usize = 200;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why Consul has not told the value of a key.
#[derive(Debug, thiserror::Error)]
pub enum ConsulError {
    /// The URL is none.
    #[error("the URL {0}")]
    Url(#[from] BadUrl),
    /// The file with the token cannot be used.
    #[error("cannot read the token in {}: {error}", file.display())]
    Token {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file with the certificates cannot be used.
    #[error("cannot use the certificates in {}: {why}", file.display())]
    Certificates {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// There is no answer.
    #[error("{0}")]
    Unreachable(String),
    /// There is no answer in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The answer is an error.
    #[error("answers {status}: {reason}")]
    Status {
        /// Its status.
        status: u16,
        /// What it says, or what to do.
        reason: String,
    },
    /// The answer has no index: it is not Consul's.
    #[error("answers without X-Consul-Index: this is not Consul, or something between changes its answers")]
    Stranger,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The value, of one that is too long only the start; none if there is no such key.
    pub(super) value: Option<Vec<u8>>,
    /// Its index.
    pub(super) index: u64,
}

/// Held by Consul until the key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// The index of the last answer.
    pub(super) index: u64,
    /// For no longer than this.
    pub(super) wait: Duration,
}

/// Connections to Consul.
pub(super) struct Client(reqwest::Client);

impl Client {
    pub(super) fn new(settings: &ConsulSettings) -> Result<Self, ConsulError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1);
        Ok(Self(builder.build().map_err(|error| unreachable(&error))?))
    }

    /// Asks for the value: at once, or held by Consul. `patience` comes on top of how long it is held.
    pub(super) async fn ask(&self, settings: &ConsulSettings, hold: Option<Hold>, patience: Duration) -> Result<Answer, ConsulError> {
        let mut url = settings.endpoint()?;
        let mut query = vec![("raw", String::new())];
        query.extend(settings.datacenter.clone().map(|datacenter| ("dc", datacenter)));
        if let Some(hold) = hold {
            query.extend([("index", hold.index.to_string()), ("wait", format!("{}ms", hold.wait.as_millis()))]);
        }
        url.query_pairs_mut().extend_pairs(query);
        // Consul adds up to a sixteenth to what it was told to wait.
        let limit = patience + hold.map_or(Duration::ZERO, |hold| hold.wait + hold.wait / 16);
        let request = self.0.get(url).headers(headers(settings)?);
        let answer = async {
            let response = request.send().await.map_err(|error| unreachable(&error))?;
            read(response).await
        };
        tokio::time::timeout(limit, answer).await.unwrap_or(Err(ConsulError::Slow(limit)))
    }
}

/// With ring and no provider of the process, so that nothing depends on who is first to install one.
fn tls(settings: &ConsulSettings) -> Result<rustls::ClientConfig, ConsulError> {
    let mut anchors = RootCertStore::empty();
    match &settings.ca_file {
        Some(file) => add_certificates(&mut anchors, file)?,
        None if settings.url.starts_with("https") => _ = anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        None => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(anchors).with_no_client_auth())
}

fn add_certificates(anchors: &mut RootCertStore, file: &Path) -> Result<(), ConsulError> {
    let bad = |why: String| ConsulError::Certificates { file: file.to_owned(), why };
    let octets = fs::read(file).map_err(|error| bad(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let certificates = certificates.map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("there is none in it; it must be PEM with `-----BEGIN CERTIFICATE-----`".to_owned()));
    }
    certificates.into_iter().try_for_each(|certificate| anchors.add(certificate)).map_err(|error| bad(error.to_string()))
}

/// The token is read each time: a new one counts from the next query on.
fn headers(settings: &ConsulSettings) -> Result<HeaderMap, ConsulError> {
    let mut headers = HeaderMap::new();
    let Some(file) = &settings.token_file else { return Ok(headers) };
    let bad = |error| ConsulError::Token { file: file.clone(), error };
    let text = fs::read_to_string(file).map_err(bad)?;
    let no_token = || bad(io::Error::new(io::ErrorKind::InvalidData, "there is none in it; write the token and nothing else"));
    let mut token = HeaderValue::from_str(text.trim()).ok().filter(|token| !token.is_empty()).ok_or_else(no_token)?;
    token.set_sensitive(true);
    headers.insert("x-consul-token", token);
    Ok(headers)
}

async fn read(mut response: Response) -> Result<Answer, ConsulError> {
    let status = response.status();
    let index = response.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
    if status == StatusCode::NOT_FOUND && index.is_some() {
        return Ok(Answer { value: None, index: index.unwrap_or_default() });
    }
    let bound = if status == StatusCode::OK { MAX_OCTETS } else { MAX_REASON };
    let mut value = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        value.extend_from_slice(&chunk);
        if value.len() > bound {
            value.truncate(bound + 1);
            break;
        }
    }
    if status != StatusCode::OK {
        return Err(ConsulError::Status { status: status.as_u16(), reason: reason(status, &value) });
    }
    Ok(Answer { value: Some(value), index: index.ok_or(ConsulError::Stranger)? })
}

/// What an error says, as one line without control characters.
fn reason(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_REASON).collect();
    match status {
        StatusCode::FORBIDDEN => format!("the token may not read the key, or there is none ({line})"),
        StatusCode::NOT_FOUND => "there is no Consul under this URL".to_owned(),
        _ if line.is_empty() => status.canonical_reason().unwrap_or("no reason").to_owned(),
        _ => line,
    }
}

/// An error with all its causes; they say what reqwest's own text leaves out.
fn unreachable(error: &reqwest::Error) -> ConsulError {
    let mut text = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "cannot connect".to_owned(),
        (false, true) => "no answer".to_owned(),
        (false, false) => "the answer is cut short".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    ConsulError::Unreachable(text)
}
