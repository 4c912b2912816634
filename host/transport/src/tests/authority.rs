//! Certificates made for a test.

use std::io::{Read, Write};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use super::*;
use crate::{CertificateFiles, TlsFiles, TlsMaterial};

/// Who signs, and where the files lie.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        let pem = params.self_signed(&key).expect("an authority signs itself").pem();
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), &pem).expect("written");
        Self { issuer: Issuer::new(params, key), pem, directory }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The DER of a certificate that speaks for these names.
    pub(super) fn der(&self, names: &[&str]) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        params(names).signed_by(&key, &self.issuer).expect("signed").der().to_vec()
    }

    /// Writes a certificate as it is described, and its key.
    pub(super) fn write(&self, name: &str, params: &CertificateParams) -> CertificateFiles {
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let files = CertificateFiles { certificate: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) };
        std::fs::write(&files.certificate, pem + &self.pem).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    /// Writes a certificate that speaks for these names, the first of which names its files.
    pub(super) fn certificate(&self, names: &[&str]) -> CertificateFiles {
        self.write(&names[0].replace(':', "_"), &params(names))
    }

    /// Files of a listener that shows a certificate for these names and trusts this authority.
    pub(super) fn files(&self, names: &[&str]) -> TlsFiles {
        TlsFiles { certificates: vec![self.certificate(names)], server_ca: Some(self.ca()), ..TlsFiles::default() }
    }

    /// A client that trusts this authority, speaks these versions of TLS, and shows that certificate.
    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion], shown: Option<&CertificateFiles>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        Arc::new(match shown {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::pem_file_iter(&files.certificate).expect("a file").collect::<Result<_, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        })
    }
}

/// A certificate for hosts, addresses, and `sip:` URIs.
pub(super) fn params(names: &[&str]) -> CertificateParams {
    let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with("sip"));
    let mut params = CertificateParams::new(hosts.into_iter().map(str::to_owned).collect::<Vec<_>>()).expect("names");
    params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().expect("ASCII"))));
    params.distinguished_name.push(DnType::CommonName, "not looked at");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(super) fn material(files: &TlsFiles) -> Arc<TlsMaterial> {
    Arc::new(TlsMaterial::load(files).expect("good files"))
}

/// A secure endpoint on the loopback address.
pub(super) fn secure(transport: Transport, files: &TlsFiles) -> Endpoint {
    Endpoint { tls: Some(material(files)), ..endpoint(transport, (Ipv4Addr::LOCALHOST, 0).into()) }
}

/// A connection of a scripted client, with TLS established; or why not.
pub(super) type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

/// Blocks; not for the thread that serves.
pub(super) fn handshake(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> std::io::Result<Client> {
    let socket = std::net::TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = StreamOwned::new(ClientConnection::new(config, name).expect("a session"), socket);
    client.flush()?;
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    Ok(client)
}

/// The first certificate that the server has shown.
pub(super) fn shown(client: &Client) -> Vec<u8> {
    client.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

/// The first certificate in a file.
pub(super) fn der_of(files: &CertificateFiles) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.certificate).expect("a file").to_vec()
}

/// Sends a request and reads what the bed answers to it.
pub(super) fn exchange(client: &mut Client, request: &str, answer: &str) -> std::io::Result<()> {
    client.write_all(request.as_bytes())?;
    let mut buffer = vec![0; answer.len()];
    client.read_exact(&mut buffer)?;
    assert_eq!(String::from_utf8_lossy(&buffer), answer);
    Ok(())
}
