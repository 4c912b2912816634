//! Verifying peers: the chain of their certificate by webpki, what it speaks for by RFC 5922.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use super::identity::Identities;
use super::load::{ClientCertificate, ServerVerification};

/// A peer is complained about in the log not more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Peers that are remembered to have been complained about.
const COMPLAINTS: usize = 256;

/// Who is trusted to sign certificates.
#[derive(Debug)]
pub(super) struct Trust {
    anchors: RootCertStore,
    /// Trusted by themselves: a certificate that somebody signed for himself and gave to us proves his identity too.
    pinned: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(super) fn new(anchors: RootCertStore, pinned: Vec<CertificateDer<'static>>) -> Self {
        Self { anchors, pinned }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &Algorithms,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(leaf).map_err(refusal)?;
        let verified = certificate.verify_for_usage(algorithms.all, &self.anchors.roots, others, now, SipUsage, None, None);
        match verified {
            Ok(_) => Ok(()),
            // webpki takes no certificate of a CA for that of a peer, and one that signed itself mostly is both.
            Err(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnknownIssuer) if self.pinned.contains(leaf) => is_current(leaf, now),
            Err(error) => Err(refusal(error)),
        }
    }
}

type Algorithms = WebPkiSupportedAlgorithms;

fn is_current(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let (validity, now) = (certificate.validity(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    match now {
        now if now > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
        now if now < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
        _ => Ok(()),
    }
}

/// RFC 5924 5: a certificate without extended key usages is for everything. Where there are some, id-kp-sipDomain is meant for this;
/// those for servers and clients of TLS are what public CAs give, and one SIP server is both.
struct SipUsage;

impl ExtendedKeyUsageValidator for SipUsage {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        const SERVER: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
        const CLIENT: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
        const SIP_DOMAIN: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 20];
        const ANY: &[usize] = &[2, 5, 29, 37, 0];
        let mut present = Vec::new();
        for usage in usages {
            present.push(usage?.to_decoded_oid());
        }
        let fits = |usage: &Vec<usize>| [SERVER, CLIENT, SIP_DOMAIN, ANY].contains(&usage.as_slice());
        if present.is_empty() || present.iter().any(fits) {
            return Ok(());
        }
        let required = webpki::KeyUsage::server_auth();
        Err(webpki::Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext { required, present }))
    }
}

/// In the words of rustls, which makes a TLS alert of them.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as Fault;
    let certificate = match error {
        Fault::BadDer | Fault::BadDerTime | Fault::TrailingData(_) => CertificateError::BadEncoding,
        Fault::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Fault::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Fault::UnknownIssuer => CertificateError::UnknownIssuer,
        Fault::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Fault::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    };
    certificate.into()
}

/// Verifies servers that we connect to.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) trust: Trust,
    pub(super) mode: ServerVerification,
    pub(super) algorithms: Algorithms,
    /// Whom the log complained about, and when.
    pub(super) complaints: Mutex<HashMap<String, Instant>>,
}

impl ServerVerifier {
    /// What is wrong with a server that shows this chain.
    pub(super) fn check(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], peer: &str, now: UnixTime) -> Result<(), Error> {
        self.trust.verify(leaf, others, now, &self.algorithms)?;
        let identities = Identities::of(leaf).map_err(|_| CertificateError::BadEncoding)?;
        if identities.prove(peer) { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
    }

    /// A peer that does not prove who it is, is an operator's business; that it is tried again and again is not.
    fn complain(&self, peer: &str, leaf: &CertificateDer<'_>, error: &Error) {
        let now = Instant::now();
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.retain(|_, at| now.duration_since(*at) < COMPLAIN_EVERY);
        if complaints.contains_key(peer) || complaints.len() >= COMPLAINTS {
            return;
        }
        complaints.insert(peer.to_owned(), now);
        drop(complaints);
        match Identities::written_in(leaf) {
            Ok(presented) => tracing::warn!(%error, "{peer} has not proved who it is: its certificate speaks for {presented}"),
            Err(unreadable) => tracing::warn!(%error, "{peer} has not proved who it is: {unreadable}"),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.mode == ServerVerification::Full {
            let peer = server_name.to_str();
            self.check(end_entity, intermediates, &peer, now).inspect_err(|error| self.complain(&peer, end_entity, error))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies clients that connect to us: who signed their certificate. What it speaks for is asked where the connection is to be used for
/// requests of ours.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    trust: Trust,
    mode: ClientCertificate,
    algorithms: Algorithms,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub(super) fn new(trust: Trust, mode: ClientCertificate, algorithms: Algorithms) -> Self {
        let hints = trust.anchors.subjects();
        Self { trust, mode, algorithms, hints }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.mode != ClientCertificate::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientCertificate::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.verify(end_entity, intermediates, now, &self.algorithms).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
