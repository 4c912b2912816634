use std::fs;
use std::time::Duration;

use jackfield_services::settings::{Servers, StoreSettings, TlsSettings};

use crate::support::Plugin;
use crate::support::redis::{Redis, is_there};

#[test]
fn tls_is_spoken_with_servers_that_a_given_authority_vouches_for() {
    if !is_there("redis::tls::tls_is_spoken_with_servers_that_a_given_authority_vouches_for") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let authority = crate::http::authority::Authority::new();
    let redis = Redis::start(&[]);
    let (certificate, key) = authority.sign(&redis.host.to_string());
    for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate), ("key.pem", key)] {
        fs::write(file(name), text).unwrap();
    }
    // All at once: each is checked together with the others.
    let all = [
        "tls-auth-clients",
        "no",
        "tls-ca-cert-file",
        &file("ca.pem"),
        "tls-cert-file",
        &file("cert.pem"),
        "tls-key-file",
        &file("key.pem"),
    ];
    let said = redis.cli(&[&["config", "set"][..], &all[..], &["tls-port", "6380"][..]].concat());
    assert_eq!(said, "OK");
    let mut server = redis.server();
    server.port = 6380;
    let store = |ca: Option<String>| StoreSettings {
        tls: Some(TlsSettings { certificate_authority: ca.map(Into::into) }),
        timeout: Duration::from_secs(4),
        ..StoreSettings::at(Servers::Single(server.clone()))
    };
    Plugin::at(store(Some(file("ca.pem")))).until_it_works();
    let why = Plugin::at(store(None)).until_it_is_away();
    assert!(why.contains("certificate"), "{why}");
}
