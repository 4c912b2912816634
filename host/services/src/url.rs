//! URLs of stores: `redis://user:password@host:port/database`.

use reqwest::Url;

use crate::percent::decoded;
use crate::settings::{Password, Server};

/// The port of a server where none is written.
const PORT: u16 = 6379;

/// What is wrong with a URL of a store. It never says what stands in it: that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("is no URL ({0}); write it like \"redis://192.0.2.1:6379/0\"")]
    Unparsable(String),
    /// Its scheme is another one.
    #[error("has the scheme {0}; write redis or valkey, or rediss or valkeys for TLS")]
    Scheme(String),
    /// It has no host.
    #[error("names no host; write it like \"redis://192.0.2.1:6379/0\"")]
    Host,
    /// It has a query or a fragment.
    #[error("has a query or a fragment in it; write what it says as keys of this table")]
    Surplus,
    /// Its path is no number.
    #[error("has a path that is no number of a database; write it like \"redis://192.0.2.1:6379/0\"")]
    Database,
    /// User or password are no text.
    #[error("has a user or a password that is no UTF-8")]
    Credentials,
}

/// What a URL of a store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// Host and port.
    pub server: Server,
    /// Whether it begins with `rediss://` or `valkeys://`.
    pub secure: bool,
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Password>,
    /// The number at its end.
    pub database: Option<u16>,
}

impl StoreUrl {
    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let url = Url::parse(text).map_err(|error| BadUrl::Unparsable(error.to_string()))?;
        let secure = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            other => return Err(BadUrl::Scheme(other.to_owned())),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadUrl::Host)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl::Surplus);
        }
        let database = match url.path().trim_start_matches('/') {
            "" => None,
            number => Some(number.parse().map_err(|_| BadUrl::Database)?),
        };
        let text = |encoded: &str| String::from_utf8(decoded(encoded.as_bytes())).map_err(|_| BadUrl::Credentials);
        let username = Some(url.username()).filter(|name| !name.is_empty()).map(text).transpose()?;
        let password = url.password().map(text).transpose()?.map(Password::new);
        Ok(Self { server: Server { host, port: url.port().unwrap_or(PORT) }, secure, username, password, database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let plain = |host: &str, port| StoreUrl {
            server: Server { host: host.into(), port },
            secure: false,
            username: None,
            password: None,
            database: None,
        };
        for (text, expected) in [
            ("redis://127.0.0.1", plain("127.0.0.1", 6379)),
            ("redis://127.0.0.1:7000/", plain("127.0.0.1", 7000)),
            ("valkey://cache.test/5", StoreUrl { database: Some(5), ..plain("cache.test", 6379) }),
            ("rediss://[2001:db8::1]:6380", StoreUrl { secure: true, ..plain("2001:db8::1", 6380) }),
            (
                "redis://me:p%40ss%3A@h:1",
                StoreUrl { username: Some("me".into()), password: Some(Password::new("p@ss:".into())), ..plain("h", 1) },
            ),
            ("redis://:secret@h:1", StoreUrl { password: Some(Password::new("secret".into())), ..plain("h", 1) }),
        ] {
            assert_eq!(StoreUrl::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused() {
        for (text, error) in [
            ("127.0.0.1", BadUrl::Unparsable("relative URL without a base".into())),
            ("http://h", BadUrl::Scheme("http".into())),
            ("redis:///0", BadUrl::Host),
            ("redis://h/?db=1", BadUrl::Surplus),
            ("redis://h/one", BadUrl::Database),
            ("redis://h/70000", BadUrl::Database),
            ("redis://:%ff@h", BadUrl::Credentials),
        ] {
            assert_eq!(StoreUrl::parse(text), Err(error), "{text}");
        }
    }
}
