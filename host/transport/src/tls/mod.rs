//! TLS by rustls: whom we are, whom we trust, and what a certificate proves (RFC 5922).

mod identity;
mod inspection;
mod load;
mod material;
mod session;
mod verify;

pub use identity::{Identities, NotX509};
pub use inspection::{Inspection, Shown};
pub use load::{About, CertificateFiles, ClientCertificate, ServerVerification, TlsError, TlsFault, TlsFiles};
pub use material::{TlsMaterial, TlsWarning};

pub(super) use session::{accepting, connecting};
