//! A certificate for this machine, and an authority that signs it and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// What a browser may write into its address line to get here.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// The files of the certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The authority's certificate, for browsers that shall trust it.
    pub(crate) authority: PathBuf,
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// The one in this folder. It is made if it is not there; after that a browser that has been told to trust it finds the same again.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let file = |name: &str| folder.join(name);
        let files = Self { authority: file("authority.pem"), chain: file("certificate.pem"), key: file("certificate.key") };
        if ![&files.authority, &files.chain, &files.key].iter().all(|path| path.is_file()) {
            files.make().with_context(|| format!("cannot make a certificate in {}", folder.display()))?;
        }
        Ok(files)
    }

    /// The authority may speak for this machine only, and its key is forgotten once it has signed: to trust it gives nothing away.
    fn make(&self) -> Result<()> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Jackfield's example, for this machine only");
        let here = CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8);
        let permitted_subtrees = vec![GeneralSubtree::DnsName("localhost".to_owned()), GeneralSubtree::IpAddress(here)];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &issuer)?;
        std::fs::write(&self.authority, authority.pem())?;
        std::fs::write(&self.chain, leaf.pem() + &authority.pem())?;
        // Read by who runs this alone: it is a key, if only of loopback.
        let options = std::os::unix::fs::OpenOptionsExt::mode(std::fs::File::options().write(true).create(true).truncate(true), 0o600)
            .open(&self.key)?;
        std::io::Write::write_all(&mut &options, key.serialize_pem().as_bytes())?;
        Ok(())
    }

    /// What a server needs that shows it.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_file_iter(&self.chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Arc::new(versions.with_no_client_auth().with_single_cert(chain, key)?))
    }

    /// The hash of its public key, by which Chromium can be told to take this one certificate.
    pub(crate) fn public_key_hash(&self) -> Result<String> {
        let key = KeyPair::from_pem(&std::fs::read_to_string(&self.key)?)?;
        Ok(BASE64.encode(&Sha256::digest(key.subject_public_key_info())))
    }
}
