//! Reading certificates and keys, with errors that say which file is meant and what is wrong with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::verify::Trust;

/// The files behind a listener's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom we are: the first where a client names nobody whom we are, and the one that we show to servers. At least one.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_certificate: ClientCertificate,
    /// Who signs the certificates of servers that we connect to; none for the system's store.
    pub server_ca: Option<PathBuf>,
    /// Whether servers that we connect to have to prove who they are.
    pub verify_server: ServerVerification,
}

impl TlsFiles {
    /// All files, to be watched for changes.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        pairs.chain(&self.client_ca).chain(&self.server_ca).map(PathBuf::as_path)
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, our own certificate first.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// No.
    #[default]
    None,
    /// Yes; who has none is let in, who has one that is not good is not.
    Request,
    /// Who has none is not let in.
    Require,
}

/// Whether servers that we connect to have to prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerVerification {
    /// Yes (RFC 5922).
    #[default]
    Full,
    /// No: any certificate will do.
    Skip,
}

/// Which of the files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The chain of [`TlsFiles::certificates`] with this index.
    Certificate(usize),
    /// The key there.
    Key(usize),
    /// [`TlsFiles::client_ca`].
    ClientCa,
    /// [`TlsFiles::server_ca`].
    ServerCa,
    /// None of them, but what they say together.
    Whole,
}

/// TLS that cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct TlsError {
    /// Which file is to blame.
    pub about: About,
    /// What is wrong with it.
    pub fault: TlsFault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// It cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no PEM.
    #[error("{} is damaged: {error}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        error: pem::Error,
    },
    /// There is no certificate in it.
    #[error("{} has no certificate in it; it must be PEM with `-----BEGIN CERTIFICATE-----`", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A certificate in it cannot be read.
    #[error("{} has a certificate that cannot be used: {error}", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// There is no private key in it.
    #[error("{} has no private key in it; it must be PEM with `-----BEGIN PRIVATE KEY-----`, and not encrypted", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is of a kind that is not supported.
    #[error("the key in {} cannot be used: {error}", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// Client certificates are wanted, and nobody is trusted to sign them.
    #[error("client certificates are asked for, and there is no client CA to verify them with")]
    NoClientCa,
    /// There is no certificate at all.
    #[error("there is no certificate")]
    Nothing,
    /// rustls does not take it.
    #[error("TLS cannot be set up: {0}")]
    Refused(#[from] rustls::Error),
}

impl TlsFault {
    pub(super) fn about(self, about: About) -> TlsError {
        TlsError { about, fault: self }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsFault> {
    std::fs::read(file).map_err(|error| TlsFault::Unreadable { file: file.to_owned(), error })
}

/// All certificates of a file; at least one.
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let octets = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let chain = chain.map_err(|error| TlsFault::Damaged { file: file.to_owned(), error })?;
    if chain.is_empty() { Err(TlsFault::NoCertificate { file: file.to_owned() }) } else { Ok(chain) }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let octets = read(file)?;
    PrivateKeyDer::from_pem_slice(&octets).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsFault::NoKey { file: file.to_owned() },
        error => TlsFault::Damaged { file: file.to_owned(), error },
    })
}

/// One certificate with its key, which belong together.
pub(super) fn certified(files: &CertificateFiles, index: usize, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = chain(&files.certificate).map_err(|fault| fault.about(About::Certificate(index)))?;
    let key = key(&files.key).map_err(|fault| fault.about(About::Key(index)))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| TlsFault::BadKey { file: files.key.clone(), error }.about(About::Key(index)))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsFault::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }.about(About::Key(index)))
        }
        Err(error) => Err(TlsFault::BadCertificate { file: files.certificate.clone(), error }.about(About::Certificate(index))),
    }
}

/// Whom a file tells to trust.
pub(super) fn trust(file: &Path, about: About) -> Result<Trust, TlsError> {
    let certificates = chain(file).map_err(|fault| fault.about(about))?;
    let mut anchors = RootCertStore::empty();
    for certificate in &certificates {
        let added = anchors.add(certificate.clone());
        added.map_err(|error| TlsFault::BadCertificate { file: file.to_owned(), error }.about(about))?;
    }
    Ok(Trust::new(anchors, certificates))
}

/// Whom the system trusts; what of it cannot be read is left out.
pub(super) fn system_trust() -> Trust {
    let mut anchors = RootCertStore::empty();
    anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Trust::new(anchors, Vec::new())
}
