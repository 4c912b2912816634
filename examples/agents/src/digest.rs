//! Digest authentication (RFC 3261 22, RFC 8760) in the least form that shows it: MD5 and SHA-256, with `qop=auth`.

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Who somebody says to be, and the password that proves it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Whom somebody lets in, and on what terms.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The realm of its challenges.
    pub realm: String,
    /// Who may.
    pub account: Account,
}

/// The one nonce of these guards. A real one never sends the same twice.
const NONCE: &str = "4f1e2d3c-example";

impl Guard {
    /// The value of a challenge.
    pub(crate) fn challenge(&self) -> String {
        format!("Digest realm=\"{}\", nonce=\"{NONCE}\", algorithm=MD5, qop=\"auth\"", self.realm)
    }

    /// Whether the credentials in a request's Authorization are those of the account.
    pub(crate) fn admits(&self, method: &str, credentials: &str) -> bool {
        let of = |name| parameter(credentials, name).unwrap_or_default();
        let claimed = Account { user: of("username"), password: self.account.password.clone() };
        let asked = Asked { realm: self.realm.clone(), nonce: NONCE.to_owned(), algorithm: "MD5".to_owned() };
        let proof = claimed.proof(&asked, method, &of("uri"), &of("nc"), &of("cnonce"));
        claimed.user == self.account.user && of("nonce") == NONCE && of("response") == proof
    }
}

/// What a challenge asks with.
struct Asked {
    realm: String,
    nonce: String,
    algorithm: String,
}

impl Account {
    /// The value of the Authorization or Proxy-Authorization that answers a challenge.
    pub(crate) fn answer(&self, challenge: &str, method: &str, uri: &str) -> String {
        let of = |name| parameter(challenge, name).unwrap_or_default();
        let algorithm = parameter(challenge, "algorithm").unwrap_or_else(|| "MD5".to_owned());
        let asked = Asked { realm: of("realm"), nonce: of("nonce"), algorithm };
        let (nc, cnonce) = ("00000001", "0a4f113b");
        let response = self.proof(&asked, method, uri, nc, cnonce);
        let Asked { realm, nonce, algorithm } = asked;
        let opaque = parameter(challenge, "opaque").map(|opaque| format!(", opaque=\"{opaque}\"")).unwrap_or_default();
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}, \
             qop=auth, nc={nc}, cnonce=\"{cnonce}\"{opaque}",
            self.user
        )
    }

    /// The request-digest of RFC 7616 3.4.1.
    fn proof(&self, asked: &Asked, method: &str, uri: &str, nc: &str, cnonce: &str) -> String {
        let hash = |text: String| match asked.algorithm.eq_ignore_ascii_case("SHA-256") {
            true => HEXLOWER.encode(&Sha256::digest(text)),
            false => HEXLOWER.encode(&Md5::digest(text)),
        };
        let secret = hash(format!("{}:{}:{}", self.user, asked.realm, self.password));
        let request = hash(format!("{method}:{uri}"));
        hash(format!("{secret}:{}:{nc}:{cnonce}:auth:{request}", asked.nonce))
    }
}

/// A parameter of a challenge or of credentials, without its quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    let list = value.trim_start().strip_prefix("Digest")?;
    let found = list.split(',').find_map(|part| part.trim().split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case(name)))?;
    Some(found.1.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(password: &str) -> Account {
        Account { user: "pbx".to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_right_password_for_the_right_request_is_let_in_and_nothing_else() {
        let guard = Guard { realm: "alpha.example".to_owned(), account: account("secret") };
        let answer = |password| account(password).answer(&guard.challenge(), "REGISTER", "sip:alpha.example");
        assert!(guard.admits("REGISTER", &answer("secret")));
        assert!(!guard.admits("INVITE", &answer("secret")), "credentials are for one method");
        assert!(!guard.admits("REGISTER", &answer("guess")));
        assert!(!guard.admits("REGISTER", ""));
    }

    /// The example of RFC 7616 3.9.1.
    #[test]
    fn the_digest_is_that_of_the_rfc() {
        let mufasa = Account { user: "Mufasa".to_owned(), password: "Circle of Life".to_owned() };
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".to_owned();
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, expected) in
            [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")]
        {
            let asked = Asked { realm: "http-auth@example.org".to_owned(), nonce: nonce.clone(), algorithm: algorithm.to_owned() };
            assert_eq!(mufasa.proof(&asked, "GET", "/dir/index.html", "00000001", cnonce), expected);
        }
    }
}
