//! Whether credentials are for this request: `uri` has to name what the Request-URI names (RFC 7616 3.4.6), or else credentials for one
//! callee would be good for every other.
//!
//! Phones write that URI with or without what they add to the Request-URI, and proxies between them and us add to it as well. So two SIP
//! URIs fit if user and host are the same; a port counts where both have one, `sip` and `sips` are the same, parameters, headers and a
//! password do not count. URIs of other schemes fit if scheme and opaque part are the same, parameters apart.

use jackfield_proto::message::{Uri, unescaped};

/// Whether the two name the same.
pub(crate) fn fits(digest_uri: &[u8], request_uri: &[u8]) -> bool {
    if digest_uri == request_uri {
        return true;
    }
    let (Some(ours), Some(theirs)) = (Uri::parse(request_uri), Uri::parse(digest_uri)) else { return false };
    let is_sip = |uri: &Uri<'_>| uri.is_sip() || uri.is_sips();
    if !is_sip(&ours) || !is_sip(&theirs) {
        return ours.scheme().eq_ignore_ascii_case(theirs.scheme()) && ours.opaque() == theirs.opaque();
    }
    let same_port = ours.port().is_none() || theirs.port().is_none() || ours.port() == theirs.port();
    same_port && same_host(&ours, &theirs) && same_user(&ours, &theirs)
}

/// Names in any case, addresses in any form.
fn same_host(ours: &Uri<'_>, theirs: &Uri<'_>) -> bool {
    match (ours.host_ip(), theirs.host_ip()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => ours.host().eq_ignore_ascii_case(theirs.host()),
    }
}

/// Escaped or not (RFC 3261 19.1.4), in its case.
fn same_user(ours: &Uri<'_>, theirs: &Uri<'_>) -> bool {
    unescaped(ours.user().unwrap_or_default()).eq(unescaped(theirs.user().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 3.4.6.
    #[test]
    fn a_uri_fits_what_it_names() {
        for (digest_uri, request_uri, expected) in [
            ("sip:bob@example.test", "sip:bob@example.test", true),
            ("sip:bob@EXAMPLE.test", "sip:bob@example.test;transport=tcp", true),
            ("sip:bob@example.test;user=phone", "sips:bob:x@example.test?Subject=y", true),
            ("sip:b%6Fb@example.test", "sip:bob@example.test:5060", true),
            ("sip:100%@example.test", "sip:100%25@example.test", true),
            ("sip:bob@[2001:db8::1]", "sip:bob@[2001:DB8:0::1]", true),
            ("sip:example.test", "sip:example.test;lr", true),
            ("tel:+491;phone-context=x", "tel:+491", true),
            ("no uri", "no uri", true),
            ("sip:bob@example.test:5062", "sip:bob@example.test:5060", false),
            ("sip:alice@example.test", "sip:bob@example.test", false),
            ("sip:BOB@example.test", "sip:bob@example.test", false),
            ("sip:example.test", "sip:bob@example.test", false),
            ("sip:bob@example.com", "sip:bob@example.test", false),
            ("tel:+492", "tel:+491", false),
            ("tel:+491", "sip:+491@example.test", false),
            ("", "sip:bob@example.test", false),
            ("*", "sip:bob@example.test", false),
            ("sip:%@h", "sip:%zz@h", false),
            ("sip:%+1@h", "sip:%01@h", false),
        ] {
            assert_eq!(fits(digest_uri.as_bytes(), request_uri.as_bytes()), expected, "{digest_uri} {request_uri}");
        }
    }
}
