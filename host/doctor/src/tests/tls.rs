//! TLS: what the provider shows, and what it is worth.

use std::path::PathBuf;

use jackfield_transport::{CertificateFiles, ServerVerification, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::names::{Servers, findings_with};
use super::provider::{Provider, status};
use super::*;

/// Who signs, and where the files lie.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::called("Test Authority")
    }

    fn called(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let files = CertificateFiles { certificate: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) };
        std::fs::write(&files.certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// What the listener has that trusts this authority.
    fn listener(&self) -> TlsFiles {
        let certificates = vec![self.sign("us.test", |_| {})];
        TlsFiles { certificates, server_ca: Some(self.file("ca.pem")), ..TlsFiles::default() }
    }

    /// A provider with this certificate; who asks for ours if it has somebody to trust.
    async fn provider(&self, files: &CertificateFiles, asks: Option<PathBuf>) -> Provider {
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&ring)).with_safe_default_protocol_versions().unwrap();
        let config = match asks {
            None => builder.with_no_client_auth().with_single_cert(chain, key).unwrap(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), ring).build().unwrap();
                builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
            }
        };
        Provider::stream(Some(TlsAcceptor::from(Arc::new(config))), |_| status(200)).await
    }
}

/// A look at a provider that is `proxy.test`, from a listener with these files.
async fn look(provider: &Provider, files: TlsFiles) -> Vec<Finding> {
    let mut subject = subject(format!("sip:proxy.test:{};transport=tls;lr", provider.address.port()));
    subject.listeners = vec![Egress { tls: Some(files), ..listener(Transport::Tls) }];
    findings_with(Servers::new(None).address("proxy.test", "127.0.0.1"), &subject).await
}

#[tokio::test]
async fn a_good_certificate_is_shown_and_trusted() {
    let authority = Authority::new();
    let provider = authority.provider(&authority.sign("proxy.test", |_| {}), None).await;
    let found = look(&provider, authority.listener()).await;
    assert_eq!(bad(&found), [], "{found:#?}");
    says(the(&found, Kind::TlsAgreed), &["TLS 1.3 with TLS13_AES_256_GCM_SHA384"]);
    says(the(&found, Kind::Certificate), &["certificate 1 of 1", "for proxy.test", "signed by `CN=Test Authority`", "days left"]);
    says(the(&found, Kind::Trusted), &["speaks for proxy.test"]);
    assert_eq!(the(&found, Kind::Answers).grade, Grade::Good);
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_told_by_its_date() {
    let authority = Authority::new();
    for (from, to, words) in [
        (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1), ["has expired", "days ago"]),
        (date_time_ymd(2096, 1, 1), date_time_ymd(2097, 1, 1), ["is not valid yet", "`date`"]),
    ] {
        let files = authority.sign("proxy.test", |params| (params.not_before, params.not_after) = (from, to));
        let provider = authority.provider(&files, None).await;
        let found = look(&provider, authority.listener()).await;
        assert_eq!(bad(&found), [Kind::OutOfTime]);
        says(the(&found, Kind::OutOfTime), &words);
    }
}

#[tokio::test]
async fn a_certificate_of_another_name_says_whom_it_speaks_for() {
    let authority = Authority::new();
    for name in ["other.test", "*.test"] {
        let provider = authority.provider(&authority.sign(name, |_| {}), None).await;
        let found = look(&provider, authority.listener()).await;
        assert_eq!(bad(&found), [Kind::WrongName]);
        says(the(&found, Kind::WrongName), &[&format!("speaks for {name}"), "and not for proxy.test", "listen.wan.tls.verify-server"]);
        assert_eq!(the(&found, Kind::WrongName).what.contains("wildcard"), name.contains('*'), "RFC 5922 7.2");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_names_the_key_to_set() {
    let (ours, theirs) = (Authority::new(), Authority::called("Another"));
    let provider = theirs.provider(&theirs.sign("proxy.test", |_| {}), None).await;
    let found = look(&provider, ours.listener()).await;
    assert_eq!(bad(&found), [Kind::Untrusted]);
    says(the(&found, Kind::Untrusted), &["listen.wan.tls.server-ca = \"FILE\"", "`CN=Another`", "ca.pem"]);
    assert!(!found.iter().any(|finding| finding.kind == Kind::RoundTrip), "the proxy would not go on either");

    let lax = TlsFiles { verify_server: ServerVerification::Skip, ..ours.listener() };
    let found = look(&provider, lax).await;
    assert_eq!((bad(&found), the(&found, Kind::Unverified).grade), (Vec::new(), Grade::Note));
    assert_eq!(the(&found, Kind::RoundTrip).grade, Grade::Good);
}

#[tokio::test]
async fn an_authority_that_has_changed_its_key_is_told_from_an_unknown_one() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let provider = theirs.provider(&theirs.sign("proxy.test", |_| {}), None).await;
    let found = look(&provider, ours.listener()).await;
    assert_eq!(bad(&found), [Kind::Untrusted]);
    says(the(&found, Kind::Untrusted), &["may have a new key", "listen.wan.tls.server-ca"]);
}

#[tokio::test]
async fn a_certificate_about_to_expire_is_noted() {
    let authority = Authority::new();
    let soon = std::time::SystemTime::now() + Duration::from_secs(3 * 86_400 - 3600);
    let files = authority.sign("proxy.test", |params| params.not_after = soon.into());
    let provider = authority.provider(&files, None).await;
    let found = look(&provider, authority.listener()).await;
    assert_eq!(bad(&found), []);
    says(the(&found, Kind::ExpiresSoon), &["expires in 2 days"]);
}

#[tokio::test]
async fn a_provider_that_does_not_know_our_certificate_says_so() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let provider = ours.provider(&ours.sign("proxy.test", |_| {}), Some(theirs.file("ca.pem"))).await;
    let found = look(&provider, ours.listener()).await;
    assert_eq!(bad(&found), [Kind::TlsFailed], "{found:#?}");
    says(the(&found, Kind::TlsFailed), &["does not accept our certificate", "listen.wan.tls.certificate"]);

    let provider = ours.provider(&ours.sign("proxy.test", |_| {}), Some(ours.file("ca.pem"))).await;
    assert_eq!(bad(&look(&provider, ours.listener()).await), []);
}

#[tokio::test]
async fn a_port_without_tls_is_named() {
    let authority = Authority::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SIP/2.0 400 Bad Request\r\n\r\n").await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await.unwrap();
    });
    let mut subject = subject(format!("sip:{address};transport=tls;lr"));
    subject.listeners = vec![Egress { tls: Some(authority.listener()), ..self::listener(Transport::Tls) }];
    let found = findings(&subject).await;
    assert_eq!(bad(&found), [Kind::TlsFailed]);
    says(the(&found, Kind::TlsFailed), &["does not speak TLS", "5061"]);
}

#[tokio::test]
async fn files_of_ours_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let provider = authority.provider(&authority.sign("proxy.test", |_| {}), None).await;
    let files = TlsFiles { server_ca: Some("/nowhere/ca.pem".into()), ..authority.listener() };
    let found = look(&provider, files).await;
    assert_eq!(bad(&found), [Kind::TlsFiles]);
    says(the(&found, Kind::TlsFiles), &["/nowhere/ca.pem", "[listen.wan.tls]"]);
}
