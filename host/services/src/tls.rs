//! What TLS to stores and HTTP servers is checked with.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Trust in the certificates of a file, or in those of the system. With ring and no provider of the process, so that nothing depends on
/// who is first to install one.
pub(crate) fn client(authority: Option<&Path>) -> Result<ClientConfig, String> {
    let mut anchors = RootCertStore::empty();
    match authority {
        Some(file) => {
            add(&mut anchors, file).map_err(|why| format!("cannot use the certificates in {}: {why}", file.display()))?;
        }
        None => _ = anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(builder.with_root_certificates(anchors).with_no_client_auth())
}

fn add(anchors: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let octets = fs::read(file).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&octets).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is none in it; it must be PEM with `-----BEGIN CERTIFICATE-----`".to_owned());
    }
    certificates.into_iter().try_for_each(|certificate| anchors.add(certificate)).map_err(|error| error.to_string())
}
