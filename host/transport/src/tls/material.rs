//! What a listener needs to speak TLS, in both directions: one value, replaced as a whole when its files change.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::Identities;
use super::load::{About, ClientCertificate, ServerVerification, TlsError, TlsFault, TlsFiles, certified, system_trust, trust};
use super::verify::{ClientVerifier, ServerVerifier};

/// Sessions of TLS 1.2 clients that take no tickets, kept for resumption; those of others are kept by themselves.
const SESSIONS: usize = 256;

/// How early an operator is told that a certificate is about to expire.
const EXPIRES_SOON: i64 = 14 * 86_400;

/// Certificates, keys, and whom to trust.
#[derive(Debug)]
pub struct TlsMaterial {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    /// What is in `client`, for who only wants to know what it would say.
    pub(super) verifier: Arc<ServerVerifier>,
    warnings: Vec<TlsWarning>,
}

/// Something that is probably not meant, but does not hinder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsWarning {
    /// Which file it is about.
    pub about: About,
    message: String,
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl TlsMaterial {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used; which, and why.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut keys = Vec::new();
        let mut warnings = Vec::new();
        for (index, pair) in files.certificates.iter().enumerate() {
            let key = certified(pair, index, &provider)?;
            let warning = validity(&key).map(|what| format!("the certificate in {} {what}", pair.certificate.display()));
            warnings.extend(warning.map(|message| TlsWarning { about: About::Certificate(index), message }));
            keys.push(key);
        }
        let first = keys.first().cloned().ok_or_else(|| TlsFault::Nothing.about(About::Whole))?;
        let server = server(files, keys, &provider)?;
        let verifier = Arc::new(verifier(files, &provider, &mut warnings)?);
        let client = client(Arc::clone(&verifier), first, &provider)?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client), verifier, warnings })
    }

    /// What an operator should know.
    pub fn warnings(&self) -> &[TlsWarning] {
        &self.warnings
    }
}

fn server(files: &TlsFiles, keys: Vec<Arc<CertifiedKey>>, provider: &Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
    let refused = |error: rustls::Error| TlsFault::Refused(error).about(About::Whole);
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions().map_err(refused)?;
    let builder = match (files.client_certificate, &files.client_ca) {
        (ClientCertificate::None, _) => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
        (_, None) => return Err(TlsFault::NoClientCa.about(About::ClientCa)),
        (mode, Some(file)) => {
            let verifier = ClientVerifier::new(trust(file, About::ClientCa)?, mode, algorithms);
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(keys)));
    // What is needed to resume a session is with the client, encrypted: it costs no memory here.
    config.ticketer = ring::Ticketer::new().map_err(refused)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn verifier(files: &TlsFiles, provider: &CryptoProvider, warnings: &mut Vec<TlsWarning>) -> Result<ServerVerifier, TlsError> {
    let trust = match &files.server_ca {
        Some(file) => trust(file, About::ServerCa)?,
        None => system_trust(),
    };
    let mut warn = |message: &str| warnings.push(TlsWarning { about: About::Whole, message: message.to_owned() });
    match files.verify_server {
        ServerVerification::Skip => {
            warn("servers need not prove who they are: anybody on the way can read and change what is sent to them")
        }
        ServerVerification::Full if trust.is_empty() => warn("the system trusts no CA, so that no server can prove who it is"),
        ServerVerification::Full => {}
    }
    let algorithms = provider.signature_verification_algorithms;
    Ok(ServerVerifier { trust, mode: files.verify_server, algorithms, complaints: Default::default() })
}

fn client(verifier: Arc<ServerVerifier>, key: Arc<CertifiedKey>, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault::Refused(error).about(About::Whole))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

/// What is wrong with the time of a certificate.
fn validity(key: &CertifiedKey) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(key.cert.first()?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let now = i64::try_from(now).ok()?;
    let (from, to) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    match now {
        now if now < from => Some("is not valid yet"),
        now if now > to => Some("has expired"),
        now if now + EXPIRES_SOON > to => Some("expires within two weeks"),
        _ => None,
    }
}

/// Our certificates, to choose from by the name that a client asks for (RFC 6066 3).
#[derive(Debug)]
struct Certificates(Vec<(Arc<CertifiedKey>, Identities)>);

impl Certificates {
    fn new(keys: Vec<Arc<CertifiedKey>>) -> Self {
        let with_names = |key: Arc<CertifiedKey>| {
            let identities = key.cert.first().and_then(|leaf| Identities::written_in(leaf).ok()).unwrap_or_default();
            (key, identities)
        };
        Self(keys.into_iter().map(with_names).collect())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &CertifiedKey| key.key.choose_scheme(client_hello.signature_schemes()).is_some();
        let by = |matches: &dyn Fn(&Identities) -> bool| {
            self.0.iter().find(|(key, identities)| matches(identities) && usable(key)).map(|(key, _)| Arc::clone(key))
        };
        let named = client_hello.server_name().and_then(|name| by(&|has| has.prove(name)).or_else(|| by(&|has| has_wildcard(has, name))));
        // A SIP peer that asks for a name which is not ours still learns who we are, and decides by itself.
        named.or_else(|| by(&|_| true)).or_else(|| self.0.first().map(|(key, _)| Arc::clone(key)))
    }
}

/// Wildcards mean nothing in SIP (RFC 5922 7.2), but browsers that come for WebSocket take them.
fn has_wildcard(identities: &Identities, name: &str) -> bool {
    let Some((_, parent)) = name.split_once('.') else { return false };
    identities.names().any(|own| own.strip_prefix("*.").is_some_and(|own| own.eq_ignore_ascii_case(parent)))
}
