//! Files that cannot be used, and what is said of them.

use std::fs;

use rcgen::date_time_ymd;

use super::authority::{Authority, params};
use crate::{About, CertificateFiles, ClientCertificate, ServerVerification, TlsFiles, TlsMaterial};

#[test]
fn each_fault_names_its_file_and_what_is_wrong_with_it() {
    let authority = Authority::new();
    let good = authority.certificate(&["a.test"]);
    let other = authority.certificate(&["b.test"]);
    let file = |name: &str, content: &str| {
        let file = authority.file(name);
        fs::write(&file, content).expect("written");
        file
    };
    let (absent, empty) = (authority.file("absent.pem"), file("empty.pem", "# nothing here\n"));
    let damaged = file("damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let rubbish = file("rubbish.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let no_key = file("no.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let pair = |certificate: &std::path::Path, key: &std::path::Path| TlsFiles {
        certificates: vec![CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() }],
        ..TlsFiles::default()
    };
    let also = |certificate: &std::path::Path| {
        let mut files = pair(&good.certificate, &good.key);
        files.certificates.push(CertificateFiles { certificate: certificate.to_owned(), key: other.key.clone() });
        files
    };
    let base = || pair(&good.certificate, &good.key);
    let clients = |ca: Option<&std::path::Path>| TlsFiles {
        client_ca: ca.map(std::path::Path::to_owned),
        client_certificate: ClientCertificate::Require,
        ..base()
    };
    for (files, about, said) in [
        (pair(&absent, &good.key), About::Certificate(0), "cannot read DIR/absent.pem: No such file or directory (os error 2)"),
        (pair(&empty, &good.key), About::Certificate(0), "DIR/empty.pem has no certificate in it"),
        (pair(&good.key, &good.key), About::Certificate(0), "DIR/a.test.key has no certificate in it"),
        (pair(&damaged, &good.key), About::Certificate(0), "DIR/damaged.pem is damaged"),
        (pair(&rubbish, &good.key), About::Certificate(0), "DIR/rubbish.pem has a certificate that cannot be used"),
        (pair(&good.certificate, &absent), About::Key(0), "cannot read DIR/absent.pem"),
        (pair(&good.certificate, &good.certificate), About::Key(0), "DIR/a.test.pem has no private key in it"),
        (pair(&good.certificate, &no_key), About::Key(0), "the key in DIR/no.key cannot be used"),
        (
            pair(&good.certificate, &other.key),
            About::Key(0),
            "the key in DIR/b.test.key does not belong to the first certificate in DIR/a.test.pem",
        ),
        (also(&empty), About::Certificate(1), "DIR/empty.pem has no certificate in it"),
        (also(&good.certificate), About::Key(1), "the key in DIR/b.test.key does not belong"),
        (clients(Some(&empty)), About::ClientCa, "DIR/empty.pem has no certificate in it"),
        (clients(None), About::ClientCa, "client certificates are asked for, and there is no client CA"),
        (TlsFiles { server_ca: Some(absent.clone()), ..base() }, About::ServerCa, "cannot read DIR/absent.pem"),
        (TlsFiles::default(), About::Whole, "there is no certificate"),
    ] {
        let error = TlsMaterial::load(&files).expect_err(said);
        let text = error.to_string().replace(&authority.file("").display().to_string(), "DIR/");
        assert_eq!(error.about, about, "{text}");
        assert!(text.starts_with(said), "`{text}` does not begin with `{said}`");
    }
}

#[test]
fn a_certificate_out_of_its_time_is_a_warning() {
    let authority = Authority::new();
    for (from, to, said) in [
        (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1), Some("has expired")),
        (date_time_ymd(2096, 1, 1), date_time_ymd(2097, 1, 1), Some("is not valid yet")),
        (date_time_ymd(2001, 1, 1), date_time_ymd(2097, 1, 1), None),
    ] {
        let mut params = params(&["a.test"]);
        (params.not_before, params.not_after) = (from, to);
        let files = authority.write("dated", &params);
        let said = said.map(|said| format!("the certificate in {} {said}", files.certificate.display()));
        let files = TlsFiles { certificates: vec![files], server_ca: Some(authority.ca()), ..TlsFiles::default() };
        let material = TlsMaterial::load(&files).expect("it can be used");
        let warnings: Vec<_> = material.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings, Vec::from_iter(said));
    }
}

#[test]
fn that_servers_need_not_prove_anything_is_a_warning() {
    let authority = Authority::new();
    let files = TlsFiles { verify_server: ServerVerification::Skip, ..authority.files(&["a.test"]) };
    let material = TlsMaterial::load(&files).expect("it can be used");
    assert_eq!(material.warnings().len(), 1);
    assert!(material.warnings()[0].to_string().contains("need not prove"), "{:?}", material.warnings());
}
