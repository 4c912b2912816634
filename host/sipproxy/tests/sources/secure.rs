//! Consul over TLS.

use std::sync::Arc;

use jackfield_sipproxy::{ConsulSettings, Settings, Source, Trouble};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::fake_consul::FakeConsul;
use super::{one, proxies, quick};

#[tokio::test]
async fn https_trusts_the_ca_file_and_nobody_else() {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let fake = FakeConsul::start_with(Some(&one("a.de", "p1")), Some(TlsAcceptor::from(Arc::new(server)))).await;
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let consul = ConsulSettings {
        url: format!("https://{}", fake.address),
        key: "k".to_owned(),
        ca_file: Some(ca_file.clone()),
        ..ConsulSettings::default()
    };
    let timing = jackfield_sipproxy::Timing { start: std::time::Duration::from_millis(300), ..quick() };
    let settings = Settings { consul: Some(consul), timing, ..Settings::default() };

    std::fs::write(&ca_file, other.cert.pem()).unwrap();
    let source = Source::start(settings).await;
    let mut documents = source.documents();
    let now = documents.borrow().clone();
    let Some((_, Trouble::Away { why, .. })) = now.troubles().next() else { panic!("{now:?}") };
    assert!(why.contains("certificate"), "{why}");
    assert!(fake.questions().is_empty());

    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    super::until(&mut documents, "the right certificate", |documents| proxies(documents) == ["a.de via p1"]).await;
}
