//! TLS with the provider: what it shows, and whether the proxy would believe that (RFC 5922).

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield_transport::{Identities, Inspection, ServerVerification, Shown, TlsFiles, TlsMaterial};
use rustls::{AlertDescription, CertificateError, Error};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::finding::{Kind, Report};
use crate::wording;

/// Certificates of a chain that are shown.
const CHAIN: usize = 6;

/// Days before the end of a certificate when it is time to say so.
const SOON: i64 = 14;

const DAY: i64 = 86_400;

/// TLS of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Security<'a> {
    /// The listener's name.
    pub(crate) listener: &'a str,
    /// Its files.
    pub(crate) files: &'a TlsFiles,
    /// Who has to be there: a domain, or an address.
    pub(crate) peer: &'a str,
}

impl Security<'_> {
    fn key(&self, key: &str) -> String {
        format!("listen.{}.tls.{key}", self.listener)
    }

    /// Agrees on TLS and tells what the other side shows. None if it cannot be agreed on, or if the proxy would not go on.
    pub(crate) async fn establish(
        &self,
        stream: TcpStream,
        patience: Duration,
        report: &mut Report<'_>,
    ) -> Option<(TlsStream<TcpStream>, Trust)> {
        let material = match TlsMaterial::load(self.files) {
            Ok(material) => material,
            Err(error) => {
                let remedy = format!("correct [listen.{}.tls]", self.listener);
                report.bad(Kind::TlsFiles, format!("the TLS files of the listener `{}` cannot be used: {error}", self.listener), remedy);
                return None;
            }
        };
        let inspection = match material.inspection(self.peer) {
            Ok(inspection) => inspection,
            Err(error) => {
                report.bad(Kind::TlsFailed, error.to_string(), "name the provider's proxy by a host name or an address");
                return None;
            }
        };
        let connector = TlsConnector::from(inspection.config.clone());
        let agreed = timeout(patience, connector.connect(inspection.name.clone(), stream)).await;
        match agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let (_, session) = stream.get_ref();
                let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("of an unknown version");
                let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
                report.good(Kind::TlsAgreed, format!("{} with {suite}", version.replace("TLSv", "TLS ").replace('_', ".")));
                let trust = self.judge(&inspection, report);
                Some((stream, trust))
            }
            Err(error) => {
                self.judge(&inspection, report);
                let (what, remedy) = self.failed(&error, patience);
                report.bad(Kind::TlsFailed, what, remedy);
                None
            }
        }
    }

    /// Why TLS was not agreed on.
    fn failed(&self, error: &io::Error, patience: Duration) -> (String, String) {
        let ours = format!("show it another certificate: {} and {}", self.key("certificate"), self.key("key"));
        match tls_error(error) {
            Some(Error::InvalidMessage(_)) => (
                "what answers there does not speak TLS".to_owned(),
                "use the provider's TLS port (often 5061), or transport = \"tcp\"".to_owned(),
            ),
            Some(Error::AlertReceived(alert)) if refuses_us(*alert) => {
                (format!("the provider does not accept our certificate: {}", alert_text(*alert)), ours)
            }
            Some(Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)) => (
                "the provider speaks no version or cipher of TLS that is safe: Jackfield has TLS 1.2 and 1.3 with forward secrecy only"
                    .to_owned(),
                "ask the provider for TLS 1.2 or later, or for another port".to_owned(),
            ),
            Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
                (format!("the provider does not know the name {}", self.peer), "name its proxy as its certificate does".to_owned())
            }
            Some(error) => (format!("no TLS: {error}"), "ask the provider, with this message".to_owned()),
            None if error.kind() == io::ErrorKind::TimedOut => (
                format!("the connection is there, but TLS is not answered in {}", wording::time(patience)),
                "use the provider's TLS port (often 5061), or transport = \"tcp\"".to_owned(),
            ),
            None => (
                format!("the connection was closed in the middle of the TLS handshake: {error}"),
                "use the provider's TLS port (often 5061); if it wants a certificate of ours that it knows, ask which".to_owned(),
            ),
        }
    }

    /// What has been shown, and what it is worth.
    fn judge(&self, inspection: &Inspection, report: &mut Report<'_>) -> Trust {
        let Some(Shown { chain, verdict }) = inspection.shown() else { return Trust::Refused };
        for (index, certificate) in chain.iter().take(CHAIN).enumerate() {
            let what = describe(certificate).unwrap_or_else(|| "cannot be read".to_owned());
            report.note(Kind::Certificate, format!("certificate {} of {}: {what}", index + 1, chain.len()));
        }
        let leaf = chain.first().map(|leaf| &leaf[..]).unwrap_or_default();
        let error = match verdict {
            Ok(()) => {
                report.good(Kind::Trusted, format!("the certificate is trusted, and speaks for {}", self.peer));
                self.warn_of_end(leaf, report);
                return self.believed(report);
            }
            Err(error) => error,
        };
        let (kind, what, remedy) = self.fault(&error, leaf, chain.len());
        if self.files.verify_server == ServerVerification::Skip {
            report.advise(Kind::Unverified, format!("{what}; it is used nevertheless: {} = false", self.key("verify-server")), remedy);
            return Trust::Proved;
        }
        report.bad(kind, what, remedy);
        Trust::Refused
    }

    fn believed(&self, report: &mut Report<'_>) -> Trust {
        if self.files.verify_server == ServerVerification::Skip {
            let key = self.key("verify-server");
            report.advise(
                Kind::Unverified,
                format!("{key} = false: anybody on the way could show any certificate"),
                format!("remove {key}: it is not needed"),
            );
        }
        Trust::Proved
    }

    fn warn_of_end(&self, leaf: &[u8], report: &mut Report<'_>) {
        let Some(days) = days_left(leaf).filter(|days| *days < SOON) else { return };
        report.note(Kind::ExpiresSoon, format!("the provider's certificate expires in {days} days; calls fail then unless it is renewed"));
    }

    /// What is wrong with a certificate, and what to do about it.
    fn fault(&self, error: &Error, leaf: &[u8], length: usize) -> (Kind, String, String) {
        let clock = "if this machine's clock is right (`date`), the provider has to renew it";
        let Error::InvalidCertificate(fault) = error else {
            return (
                Kind::Untrusted,
                format!("the certificate is not accepted: {error}"),
                "ask the provider, with this message".to_owned(),
            );
        };
        match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let days = days_left(leaf).map_or_else(String::new, |days| format!(" {} days ago", -days));
                (Kind::OutOfTime, format!("the certificate, or one above it, has expired{days}"), clock.to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (Kind::OutOfTime, "the certificate, or one above it, is not valid yet".to_owned(), clock.to_owned())
            }
            CertificateError::UnknownIssuer => {
                let trusted = match &self.files.server_ca {
                    Some(file) => format!("who is in {}", file.display()),
                    None => "who is in the system's store".to_owned(),
                };
                let alone = if length == 1 { "; it came without the certificates above it" } else { "" };
                let what = format!("nobody whom this listener trusts ({trusted}) has signed the certificate{alone}");
                (Kind::Untrusted, what, format!("{} = \"FILE\" with the CA that {} is signed by", self.key("server-ca"), issuer(leaf)))
            }
            CertificateError::BadSignature => {
                let what = format!(
                    "the certificate says that it is signed by {}, and the key of that CA that this listener has did not sign it",
                    issuer(leaf)
                );
                (
                    Kind::Untrusted,
                    what,
                    format!("the CA may have a new key: {} = \"FILE\" with its present certificate", self.key("server-ca")),
                )
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => self.wrong_name(leaf),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
                Kind::Untrusted,
                "the certificate is for other purposes than servers, clients or SIP domains (RFC 5924)".to_owned(),
                "the provider has to show another one".to_owned(),
            ),
            fault => {
                (Kind::Untrusted, format!("the certificate is not accepted: {fault}"), "ask the provider, with this message".to_owned())
            }
        }
    }

    fn wrong_name(&self, leaf: &[u8]) -> (Kind, String, String) {
        let speaks_for =
            Identities::of(leaf).map_or_else(|_| "nobody".to_owned(), |names| wording::printable(names.to_string().as_bytes()));
        let wildcard = if speaks_for.contains('*') { " (a wildcard counts for nobody in SIP: RFC 5922 7.2)" } else { "" };
        let what = format!("the certificate speaks for {speaks_for}{wildcard}, and not for {}", self.peer);
        let remedy = format!(
            "name the provider's proxy as its certificate does (proxy = \"sip:NAME;transport=tls;lr\"); {} = false lets anybody in",
            self.key("verify-server")
        );
        (Kind::WrongName, what, remedy)
    }
}

/// Whether the proxy would send requests to who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Proved,
    Refused,
}

/// What rustls says in an error of a stream.
pub(crate) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

/// Whether an alert says that our own certificate is not liked.
pub(crate) fn refuses_us(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            // A CA of the right name with another key.
            | Alert::DecryptError
            | Alert::AccessDenied
    )
}

pub(crate) fn alert_text(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned)
}

fn describe(certificate: &[u8]) -> Option<String> {
    let names = Identities::of(certificate).map(|names| names.to_string()).unwrap_or_default();
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (from, to) = (certificate.validity().not_before, certificate.validity().not_after);
    let left = (to.timestamp() - now()).div_euclid(DAY);
    let left = if left < 0 { format!("expired {} days ago", -left) } else { format!("{left} days left") };
    let subject = wording::printable(certificate.subject().to_string().as_bytes());
    let issuer = wording::printable(certificate.issuer().to_string().as_bytes());
    let names = wording::printable(names.as_bytes());
    Some(format!("`{subject}` for {names}, signed by `{issuer}`, {} to {} ({left})", date(from), date(to)))
}

fn issuer(certificate: &[u8]) -> String {
    let issuer = X509Certificate::from_der(certificate).map(|(_, certificate)| certificate.issuer().to_string());
    issuer.map_or_else(|_| "it".to_owned(), |issuer| format!("`{}`", wording::printable(issuer.as_bytes())))
}

fn days_left(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some((certificate.validity().not_after.timestamp() - now()).div_euclid(DAY))
}

fn date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!("{}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
