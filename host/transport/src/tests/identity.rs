//! RFC 5922 7: which domain a certificate is good for.

use rcgen::{CertificateParams, DnType, KeyPair};

use super::authority::Authority;
use crate::Identities;

#[test]
fn rfc5922_7_1_sip_uris_count_before_host_names_and_7_2_wildcards_match_nothing() {
    let authority = Authority::new();
    for (written, peer, proves) in [
        (&["a.test"][..], "a.test", true),
        (&["a.test"], "A.Test", true),
        (&["a.test"], "a.test.", true),
        (&["a.test", "b.test"], "b.test", true),
        (&["a.test"], "b.test", false),
        (&["a.test"], "x.a.test", false),
        (&["x.a.test"], "a.test", false),
        (&["*.a.test"], "x.a.test", false),
        (&["*.a.test"], "a.test", false),
        (&["*.a.test"], "*.a.test", false),
        (&["sip:a.test"], "a.test", true),
        (&["sip:a.test:5061;transport=tls"], "a.test", true),
        (&["sip:a.test", "b.test"], "a.test", true),
        (&["sip:a.test", "b.test"], "b.test", false),
        (&["sip:alice@a.test"], "a.test", false),
        (&["sip:alice@a.test", "a.test"], "a.test", true),
        (&["sips:a.test"], "a.test", false),
        (&["192.0.2.1"], "192.0.2.1", true),
        (&["192.0.2.1"], "192.0.2.2", false),
        (&["a.test", "192.0.2.1"], "192.0.2.1", true),
        (&["sip:a.test", "192.0.2.1"], "192.0.2.1", true),
        (&["2001:db8::1"], "[2001:db8::1]", true),
        (&["2001:db8::1"], "2001:db8:0::1", true),
    ] {
        let identities = Identities::of(&authority.der(written)).expect("a certificate");
        assert_eq!(identities.prove(peer), proves, "{written:?} for {peer}");
    }
}

#[test]
fn rfc5922_7_1_a_common_name_counts_only_without_alternatives() {
    let named = |name: &str, alternatives: Vec<String>| {
        let mut params = CertificateParams::new(alternatives).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        Identities::of(certificate.der()).expect("a certificate")
    };
    assert!(named("a.test", Vec::new()).prove("a.test"));
    assert!(!named("a.test", vec!["b.test".to_owned()]).prove("a.test"));
    assert_eq!(named("Example Ltd.", Vec::new()).to_string(), "nobody");
    assert_eq!(named("a.test", vec!["B.test".to_owned(), "192.0.2.1".to_owned()]).to_string(), "b.test, 192.0.2.1");
}

#[test]
fn what_is_no_certificate_proves_nothing() {
    for octets in [&b""[..], b"\x30", b"not a certificate", &[0x30; 3000]] {
        assert!(Identities::of(octets).is_err());
    }
    let whole = Authority::new().der(&["a.test"]);
    for length in 0..whole.len() {
        assert!(Identities::of(&whole[..length]).is_err(), "{length} octets of one");
    }
}
