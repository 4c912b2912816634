//! Which URLs a plugin may fetch: those under a prefix that it was granted, compared part by part and never as text, so that a host, a port,
//! a user or a way out of a directory cannot be smuggled in.

use reqwest::Url;

use crate::percent::decoded;

/// What is wrong with a granted prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// It is no URL.
    #[error("is no URL ({0}); write it like \"https://api.example.com/route/\"")]
    Unparsable(String),
    /// It is neither http nor https.
    #[error("has the scheme {0}; write http or https")]
    Scheme(String),
    /// It has a user, a query or a fragment.
    #[error("has a user, a query or a fragment in it; write scheme, host, port and path alone")]
    Surplus,
    /// Its path leads out of itself.
    #[error("has a path with `.` or `..` in it, encoded or hidden behind `;`; write it as it is meant")]
    Escapes,
}

/// A granted prefix of URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Url);

impl Prefix {
    /// Reads one. With a `/` at the end it covers what is below; without, also the path itself.
    ///
    /// # Errors
    /// It is no prefix.
    pub fn parse(text: &str) -> Result<Self, BadPrefix> {
        let url = Url::parse(text).map_err(|error| BadPrefix::Unparsable(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadPrefix::Scheme(url.scheme().to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() || has_user(&url) {
            return Err(BadPrefix::Surplus);
        }
        // The parser has removed plain `..` from the path already: what was written is what counts here.
        let written = text.splitn(4, '/').nth(3).unwrap_or_default();
        if escapes(written) || escapes(url.path()) {
            return Err(BadPrefix::Escapes);
        }
        Ok(Self(url))
    }

    /// Whether it covers a URL.
    pub fn covers(&self, url: &Url) -> bool {
        let same =
            self.0.scheme() == url.scheme() && self.0.host() == url.host() && self.0.port_or_known_default() == url.port_or_known_default();
        let below = url.path().strip_prefix(self.0.path()).is_some_and(|rest| {
            // A segment ends where the prefix does.
            rest.is_empty() || self.0.path().ends_with('/') || rest.starts_with('/')
        });
        same && below && !has_user(url) && !escapes(url.path())
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// How often a path may be encoded over and over before it is taken for an attack.
const DECODINGS: usize = 4;

/// Whether some server might understand the path as one that leads out of its directory: `.` and `..` between slashes or backslashes,
/// encoded, encoded twice, or with a parameter behind it (`..;x`).
fn escapes(path: &str) -> bool {
    let mut octets = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        let segments = octets.split(|octet| matches!(octet, b'/' | b'\\'));
        let bare = |segment: &[u8]| segment.split(|octet| *octet == b';').next().map(<[u8]>::to_vec);
        if segments.filter_map(bare).any(|segment| matches!(segment.as_slice(), b"." | b"..")) || octets.contains(&0) {
            return true;
        }
        let decoded = decoded(&octets);
        if decoded == octets {
            return false;
        }
        octets = decoded;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_is_below_it() {
        let covers = |prefix: &str, url: &str| Prefix::parse(prefix).unwrap().covers(&Url::parse(url).unwrap());
        for (prefix, url, covered) in [
            ("https://api.test/route/", "https://api.test/route/1", true),
            ("https://api.test/route/", "https://api.test/route/", true),
            ("https://api.test/route/", "https://api.test/route/a/b?x=../..", true),
            ("https://api.test/route/", "https://api.test/route", false),
            ("https://api.test/route", "https://api.test/route", true),
            ("https://api.test/route", "https://api.test/route?x=1", true),
            ("https://api.test/route", "https://api.test/route/1", true),
            ("https://api.test/route", "https://api.test/routes", false),
            ("https://api.test", "https://api.test/anything", true),
            ("https://api.test", "https://api.test:443/anything", true),
            ("https://api.test", "https://API.test/anything", true),
            ("https://api.test", "http://api.test/", false),
            ("https://api.test", "https://api.test:8443/", false),
            ("https://api.test", "https://api.test.evil/", false),
            ("https://api.test", "https://evil/api.test", false),
            ("https://api.test/", "https://me@api.test/", false),
            ("https://api.test/", "https://api.test:443@evil/", false),
            ("https://api.test/", "https://:pw@api.test/", false),
            ("http://127.0.0.1:8080/", "http://127.1:8080/x", true),
            ("http://[::1]/", "http://[0:0::1]/x", true),
            ("https://api.test/route/", "https://api.test/route/../admin", false),
            ("https://api.test/route/", "https://api.test/route/%2e%2e/admin", false),
            ("https://api.test/route/", "https://api.test/route/%2e./admin", false),
            ("https://api.test/route/", "https://api.test/route/..%2fadmin", false),
            ("https://api.test/route/", "https://api.test/route/..%5Cadmin", false),
            ("https://api.test/route/", "https://api.test/route\\..\\..\\admin", false),
            ("https://api.test/route/", "https://api.test/route/%252e%252e%252fadmin", false),
            ("https://api.test/route/", "https://api.test/route/%25252525252e", false),
            ("https://api.test/route/", "https://api.test/route/..;/admin", false),
            ("https://api.test/route/", "https://api.test/route/%00", false),
            ("https://api.test/route/", "https://api.test/route/a%2Fb", true),
            ("https://api.test/route/", "https://api.test/route/%2B4930", true),
            ("https://api.test/route/", "https://api.test/route/a..b/...", true),
            ("https://api.test/route/", "https://api.test/Route/1", false),
            ("https://api.test/a b/", "https://api.test/a%20b/1", true),
        ] {
            assert_eq!(covers(prefix, url), covered, "{prefix} {url}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for (text, error) in [
            ("api.test/route", BadPrefix::Unparsable("relative URL without a base".into())),
            ("ftp://api.test/", BadPrefix::Scheme("ftp".into())),
            ("https://me:pw@api.test/", BadPrefix::Surplus),
            ("https://api.test/?a", BadPrefix::Surplus),
            ("https://api.test/#a", BadPrefix::Surplus),
            ("https://api.test/a/../b/", BadPrefix::Escapes),
            ("https://api.test/a/%2e%2e%2fb/", BadPrefix::Escapes),
        ] {
            assert_eq!(Prefix::parse(text), Err(error), "{text}");
        }
    }
}
