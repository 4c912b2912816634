//! Certificates made for one test: an authority, and leaves that it signs.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The chain as PEM, the leaf first.
    pub(crate) chain: String,
    /// The key as PEM.
    pub(crate) key: String,
    /// The leaf as DER, to recognise it by.
    pub(crate) der: Vec<u8>,
}

/// Who signs the certificates of a test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate as PEM, for those who shall trust it.
    pub(crate) pem: String,
}

/// The names that a certificate of a server on this machine has besides its own.
pub(crate) const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

impl Authority {
    /// A new authority that nobody trusts yet.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("an authority signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names and addresses, good for servers and clients (a proxy is both).
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names and addresses");
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("nobody", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let chain = certificate.pem() + &self.pem;
        Leaf { chain, key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// A certificate for a server that is reached at 127.0.0.1 and ::1, and called by further names.
    pub(crate) fn loopback_leaf(&self, names: &[&str]) -> Leaf {
        self.leaf(&[names, &LOOPBACK].concat())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.pem.as_bytes()) {
            roots.add(certificate.expect("our own PEM")).expect("our own authority");
        }
        roots
    }

    /// What a client needs that trusts this authority, and shows a certificate when it is asked.
    pub(crate) fn client(&self, shown: Option<&Leaf>) -> Arc<ClientConfig> {
        let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("ring knows TLS");
        let trusting = versions.with_root_certificates(self.roots());
        Arc::new(match shown {
            Some(leaf) => trusting.with_client_auth_cert(leaf.certificates(), leaf.private_key()).expect("a certificate with its key"),
            None => trusting.with_no_client_auth(),
        })
    }
}

impl Leaf {
    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(|certificate| certificate.expect("our own PEM")).collect()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("our own PEM")
    }

    /// What a server needs that shows this certificate.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("ring knows TLS");
        let config = versions.with_no_client_auth().with_single_cert(self.certificates(), self.private_key());
        Arc::new(config.expect("a certificate with its key"))
    }

    /// The same, and its clients have to show one of this authority.
    pub(crate) fn server_for_clients_of(&self, authority: &Authority) -> Arc<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider()).build().expect("an authority");
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("ring knows TLS");
        let config = versions.with_client_cert_verifier(verifier).with_single_cert(self.certificates(), self.private_key());
        Arc::new(config.expect("a certificate with its key"))
    }

    /// Writes `NAME.pem` and `NAME.key`, each in one step, as an operator should.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        // The key first: who reads the pair again when the certificate changes finds both.
        for (file, text) in [(format!("{name}.key"), &self.key), (format!("{name}.pem"), &self.chain)] {
            let beside = directory.join(format!("{file}.new"));
            std::fs::write(&beside, text).expect("the test's own directory");
            std::fs::rename(&beside, directory.join(file)).expect("a rename within the directory");
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
