//! What a phone makes of a challenge (RFC 7616 3.4 with MD5 and qop=auth), put together here and not by the code under test.

use std::fmt::Write as _;

use md5::{Digest, Md5};

use super::draft::Draft;
use super::received::Received;

/// Hexadecimal MD5 of these with colons between them.
pub(crate) fn md5(parts: &[&str]) -> String {
    Md5::digest(parts.join(":")).iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A line of a users file.
pub(crate) fn user(name: &str, realm: &str, password: &str) -> String {
    format!("{name}:{realm}:{}\n", md5(&[name, realm, password]))
}

/// A user and a password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
}

impl Login<'_> {
    /// The same request with the answer to a challenge, as its next attempt.
    pub(crate) fn answer(&self, request: &Draft, challenge: &Received, branch: &str) -> Draft {
        let (asked, answered) = match challenge.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let offers = challenge.values(asked);
        let offer = offers.iter().find(|offer| offer.contains("algorithm=MD5,")).expect("a challenge with MD5");
        let (realm, nonce) = (parameter(offer, "realm"), parameter(offer, "nonce"));
        let mut words = request.start.split(' ');
        let (method, uri) = (words.next().expect("a method"), words.next().expect("a Request-URI"));
        let secret = md5(&[self.name, &realm, self.password]);
        let response = md5(&[&secret, &nonce, "00000001", "c", "auth", &md5(&[method, uri])]);
        let credentials = format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm=MD5, cnonce=\"c\", \
             qop=auth, nc=00000001",
            self.name
        );
        let via = request.value("Via");
        let (sent_by, _) = via.split_once(";branch=").expect("a branch");
        let number: u32 = request.value("CSeq").split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        request
            .clone()
            .with("Via", format!("{sent_by};branch=z9hG4bK{branch}"))
            .with("CSeq", format!("{} {method}", number + 1))
            .header(answered, credentials)
    }
}

/// A parameter of credentials, quoted or not; empty without one.
pub(crate) fn of_credentials<'a>(credentials: &'a str, name: &str) -> &'a str {
    let parameters = credentials.trim_start_matches("Digest ").split(',').filter_map(|part| part.trim().split_once('='));
    parameters.filter(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"')).next().unwrap_or_default()
}

/// A quoted parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> String {
    let value = challenge.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or_else(|| panic!("no {name} in {challenge}")).to_owned()
}
