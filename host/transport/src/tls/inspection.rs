//! A look at what a server shows, without believing it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::material::TlsMaterial;
use super::session::name_of;
use super::verify::ServerVerifier;

/// What is needed to agree on TLS with a server whoever that turns out to be, and what it has shown. For one connection, over which nothing
/// goes that anybody else may not see.
#[derive(Debug)]
pub struct Inspection {
    /// To connect with. It shows our certificate, as every connection does.
    pub config: Arc<ClientConfig>,
    /// Whom the server would have to prove to be.
    pub name: ServerName<'static>,
    lens: Arc<Lens>,
}

/// What a server has shown, and whether it would be believed.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its certificates (DER), its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why connections to it fail where servers have to prove who they are (RFC 5922); whether they have to here is another matter.
    pub verdict: Result<(), Error>,
}

impl TlsMaterial {
    /// Prepares a look at the server that is to be `peer`: a domain, or an address.
    ///
    /// # Errors
    /// No certificate could prove such a name.
    pub fn inspection(&self, peer: &str) -> Result<Inspection, Error> {
        let lens = Arc::new(Lens { verifier: Arc::clone(&self.verifier), shown: Mutex::default() });
        let mut config = (*self.client).clone();
        // A session that is taken up again shows nothing.
        config.resumption = Resumption::disabled();
        config.dangerous().set_certificate_verifier(Arc::clone(&lens) as Arc<dyn ServerCertVerifier>);
        Ok(Inspection { config: Arc::new(config), name: name_of(peer)?, lens })
    }
}

impl Inspection {
    /// What the server has shown; none if the handshake did not come that far.
    pub fn shown(&self) -> Option<Shown> {
        self.lens.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Lets everybody in, and takes down what the real verifier says.
#[derive(Debug)]
struct Lens {
    verifier: Arc<ServerVerifier>,
    shown: Mutex<Option<Shown>>,
}

impl ServerCertVerifier for Lens {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verifier.check(end_entity, intermediates, &server_name.to_str(), now);
        let chain = [end_entity].into_iter().chain(intermediates).map(|certificate| certificate.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shown { chain, verdict });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
