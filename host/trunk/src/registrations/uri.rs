//! What of a URI makes a registration: the address-of-record, the line, and when two contacts are one.

use jackfield_proto::message::{Uri, unescaped};

/// The octets of a user part as they compare: escapes resolved, case kept.
pub(super) fn user_octets(user: &[u8]) -> impl Iterator<Item = u8> + '_ {
    unescaped(user)
}

/// The octets of a parameter's value as they compare: escapes resolved, without case.
pub(super) fn value_octets(value: &[u8]) -> impl Iterator<Item = u8> + '_ {
    unescaped(value).map(|octet| octet.to_ascii_lowercase())
}

/// Whether two user parts are the same.
pub(super) fn same_user(a: &[u8], b: &[u8]) -> bool {
    user_octets(a).eq(user_octets(b))
}

/// Whether two values of a parameter are the same.
pub(super) fn same_value(a: &[u8], b: &[u8]) -> bool {
    value_octets(a).eq(value_octets(b))
}

/// A SIP or SIPS URI; other schemes are nobody's registration here.
pub(super) fn sip_uri(text: &[u8]) -> Option<Uri<'_>> {
    Uri::parse(text).filter(|uri| uri.is_sip() || uri.is_sips())
}

/// The `line` parameter, by which a user agent knows again for which of its accounts a request is; none if it is empty.
pub(super) fn line<'a>(uri: &Uri<'a>) -> Option<&'a [u8]> {
    uri.param(b"line").flatten().filter(|line| !line.is_empty())
}

/// The user part; none if it is empty.
pub(super) fn user<'a>(uri: &Uri<'a>) -> Option<&'a [u8]> {
    uri.user().filter(|user| !user.is_empty())
}

/// The address-of-record that a To URI names: without password, parameters and headers, scheme and host in lower case (RFC 3261 10.3
/// item 5). None if it is not UTF-8.
pub(super) fn address_of_record(to: &Uri<'_>) -> Option<String> {
    let mut text = String::with_capacity(to.as_bytes().len());
    text.push_str(if to.is_sips() { "sips:" } else { "sip:" });
    if let Some(user) = to.user() {
        text.push_str(std::str::from_utf8(user).ok()?);
        text.push('@');
    }
    let host = text.len();
    text.push_str(std::str::from_utf8(to.host()).ok()?);
    text.get_mut(host..)?.make_ascii_lowercase();
    if let Some(port) = to.port() {
        text.push(':');
        text.push_str(&port.to_string());
    }
    Some(text)
}

/// Whether two contacts are one (RFC 3261 19.1.4), in the way of registrars rather than to the letter: a default port may be written or
/// not, and parameters that only one of them has do not tell them apart. A `line` that both have does.
pub(super) fn same_contact(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let port = |uri: &Uri<'_>| uri.port().unwrap_or(if uri.is_sips() { 5061 } else { 5060 });
    let host = match (a.host_ip(), b.host_ip()) {
        (Some(a), Some(b)) => a == b,
        _ => a.host().eq_ignore_ascii_case(b.host()),
    };
    a.is_sips() == b.is_sips()
        && host
        && port(a) == port(b)
        && same_user(a.user().unwrap_or_default(), b.user().unwrap_or_default())
        && a.params().take(PARAMS_MAX).all(|param| match b.param(param.name) {
            Some(other) => same_value(param.value.unwrap_or_default(), other.unwrap_or_default()),
            None => true,
        })
}

/// Parameters of a contact that are compared: more tell nobody apart, and each is looked for in all the others.
const PARAMS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let both = [(a, b), (b, a)].map(|(a, b)| same_contact(&sip_uri(a.as_bytes()).unwrap(), &sip_uri(b.as_bytes()).unwrap()));
        assert_eq!(both[0], both[1], "{a} {b}");
        both[0]
    }

    /// RFC 3261 19.1.4, its examples among them.
    #[test]
    fn contacts_are_compared_as_registrars_do() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            ("sip:bob@192.0.2.7", "sip:bob@192.0.2.7:5060"),
            ("sip:bob@[2001:DB8::1]:5070;line=Ab", "sip:bob@[2001:db8:0::1]:5070;line=aB"),
            ("sip:192.0.2.7:0", "SIP:192.0.2.7:0"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@192.0.2.7", "sip:bob@192.0.2.7:5061"),
            ("sip:bob@192.0.2.7:0", "sip:bob@192.0.2.7"),
            ("sip:bob@192.0.2.7;line=a", "sip:bob@192.0.2.7;line=b"),
            ("sip:bob@192.0.2.7;transport=udp", "sip:bob@192.0.2.7;transport=tcp"),
            ("sip:bob@192.0.2.7", "sips:bob@192.0.2.7"),
            ("sip:bob@192.0.2.7", "sip:192.0.2.7"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn an_address_of_record_is_the_uri_without_what_is_none_of_it() {
        for (to, aor) in [
            ("SIP:+4930@Tel.Example.TEST;user=phone?x=y", "sip:+4930@tel.example.test"),
            ("sips:a:secret@h:5061;transport=tcp", "sips:a@h:5061"),
            ("sip:[2001:DB8::1]", "sip:[2001:db8::1]"),
        ] {
            assert_eq!(address_of_record(&sip_uri(to.as_bytes()).unwrap()).as_deref(), Some(aor));
        }
        assert_eq!(address_of_record(&Uri::parse(b"sip:\xff@h").unwrap()), None);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert!(same_user(b"%zz%4", b"%zz%4"));
        assert!(same_user(b"%2B49", b"+49"));
        assert!(!same_user(b"%4", b"4"));
    }
}
