//! The computation of RFC 7616 3.4.1 to 3.4.3.

use crate::algorithm::{Algorithm, Hash, Scope};

/// Which protection a response gives (RFC 7616 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qop {
    /// Of method and URI.
    Auth,
    /// Of the body as well.
    AuthInt,
}

impl Qop {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// What stands for a password: H(name:realm:password), as hexadecimal digits.
pub(crate) fn secret(hash: Hash, name: &[u8], realm: &[u8], password: &[u8]) -> String {
    hash.of(&[name, realm, password])
}

/// What goes into a response beside the secret. Everything as it is spelled, without quotes and with its escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) nonce: &'a [u8],
    /// What the client has added; none in the form of RFC 2069, which a challenge without qop asks for.
    pub(crate) counted: Option<Counted<'a>>,
    /// Of a `-sess` algorithm, which needs it without a qop as well.
    pub(crate) cnonce: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// What comes with a qop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) qop: Qop,
    pub(crate) nc: &'a [u8],
}

impl Signed<'_> {
    /// The value of `response`.
    pub(crate) fn response(&self, secret: &str) -> String {
        let Self { algorithm, nonce, cnonce, .. } = *self;
        let of = |parts: &[&[u8]]| algorithm.hash.of(parts);
        let session = match algorithm.scope {
            Scope::Password => None,
            Scope::Session => Some(of(&[secret.as_bytes(), nonce, cnonce])),
        };
        let secret = session.as_deref().unwrap_or(secret).as_bytes();
        match self.counted {
            None => of(&[secret, nonce, of(&[self.method, self.uri]).as_bytes()]),
            Some(Counted { qop, nc }) => {
                let request = match qop {
                    Qop::Auth => of(&[self.method, self.uri]),
                    Qop::AuthInt => of(&[self.method, self.uri, of(&[self.body]).as_bytes()]),
                };
                of(&[secret, nonce, nc, cnonce, qop.name().as_bytes(), request.as_bytes()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Counted<'_> = Counted { qop: Qop::Auth, nc: b"00000001" };

    /// RFC 7616 3.9.1.
    #[test]
    fn the_example_with_both_algorithms() {
        let sha256 = Signed {
            algorithm: Algorithm::SHA256,
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            counted: Some(FIRST),
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            method: b"GET",
            uri: b"/dir/index.html",
            body: b"",
        };
        let md5 = Signed { algorithm: Algorithm::MD5, ..sha256 };
        for (signed, expected) in
            [(sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"), (md5, "8ca523f5e9506fed4657c9700eebdbec")]
        {
            let secret = secret(signed.algorithm.hash, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
            assert_eq!(signed.response(&secret), expected);
        }
    }

    /// RFC 7616 3.9.2, with the response of its erratum 4897: the one printed was made with another function than SHA-512/256.
    #[test]
    fn the_example_with_another_alphabet() {
        let signed = Signed {
            algorithm: Algorithm::SHA512_256,
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            counted: Some(FIRST),
            cnonce: b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            method: b"GET",
            uri: b"/doe.json",
            body: b"",
        };
        let secret = secret(Hash::Sha512_256, "J\u{e4}s\u{f8}n Doe".as_bytes(), b"api@example.org", b"Secret, or not?");
        assert_eq!(signed.response(&secret), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    /// RFC 2617 3.5, and the same request in the form of RFC 2069.
    #[test]
    fn the_example_of_the_first_edition() {
        let signed = Signed {
            algorithm: Algorithm::MD5,
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            counted: Some(FIRST),
            cnonce: b"0a4f113b",
            method: b"GET",
            uri: b"/dir/index.html",
            body: b"",
        };
        let secret = secret(Hash::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
        assert_eq!(signed.response(&secret), "6629fae49393a05397450978507c4ef1");
        assert_eq!(Signed { counted: None, ..signed }.response(&secret), "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn a_session_and_a_protected_body_are_part_of_the_response() {
        let plain = Signed {
            algorithm: Algorithm::MD5,
            nonce: b"n",
            counted: Some(FIRST),
            cnonce: b"c",
            method: b"INVITE",
            uri: b"sip:a@h",
            body: b"v=0",
        };
        let secret = secret(Hash::Md5, b"a", b"r", b"p");
        let md5 = |text: &str| Hash::Md5.of(&[text.as_bytes()]);
        let request = md5("INVITE:sip:a@h");
        let session = Signed { algorithm: Algorithm::MD5_SESS, ..plain };
        assert_eq!(session.response(&secret), md5(&format!("{}:n:00000001:c:auth:{request}", md5(&format!("{secret}:n:c")))));
        let whole = Signed { counted: Some(Counted { qop: Qop::AuthInt, ..FIRST }), ..plain };
        let request = md5(&format!("INVITE:sip:a@h:{}", md5("v=0")));
        assert_eq!(whole.response(&secret), md5(&format!("{secret}:n:00000001:c:auth-int:{request}")));
    }
}
