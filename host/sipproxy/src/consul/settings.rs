//! Which key, and how it is asked for.

use std::path::PathBuf;

use reqwest::Url;

/// What stands for the system's host name in a key.
const PLACEHOLDER: &str = "HOSTNAME";

/// Which key, and how it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsulSettings {
    /// Where the agent's HTTP interface is, `http` or `https`.
    pub url: String,
    /// The key, with the host name already in its place.
    pub key: String,
    /// A file with the token (`X-Consul-Token`), which is read again for every query.
    pub token_file: Option<PathBuf>,
    /// The datacenter; none is the agent's own.
    pub datacenter: Option<String>,
    /// A file with the certificates of those who sign the agent's; none trusts whom the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// Why a URL cannot be Consul's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is none.
    #[error("is no URL ({0}); write it like \"http://127.0.0.1:8500\"")]
    Unreadable(String),
    /// It is one of something else.
    #[error("has the scheme {0}; write http or https")]
    Scheme(String),
    /// It has more than a place in it.
    #[error("has a user, a query or a fragment in it; write the place alone, and a token into a file")]
    More,
}

impl ConsulSettings {
    /// The key with the host name instead of `HOSTNAME`.
    pub fn key_of_host(template: &str, host_name: &str) -> String {
        template.replace(PLACEHOLDER, host_name)
    }

    /// Whether the key depends on the host name.
    pub fn wants_host_name(template: &str) -> bool {
        template.contains(PLACEHOLDER)
    }

    /// The URL of the key.
    ///
    /// # Errors
    ///
    /// If the settings' URL is none of Consul's.
    pub fn endpoint(&self) -> Result<Url, BadUrl> {
        let mut url = Url::parse(&self.url).map_err(|error| BadUrl::Unreadable(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadUrl::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(BadUrl::More);
        }
        // Only a URL without a host cannot be a base, and http has one.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "kv"]).extend(self.key.split('/').filter(|segment| !segment.is_empty()));
        }
        Ok(url)
    }
}

/// The system's host name.
///
/// # Errors
///
/// If the system does not tell it.
pub fn host_name() -> std::io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_the_key_below_the_url() {
        for (url, key, endpoint) in [
            (
                "http://127.0.0.1:8500",
                "config/csphost01/system/outboundproxy",
                "http://127.0.0.1:8500/v1/kv/config/csphost01/system/outboundproxy",
            ),
            ("https://consul.example/behind/", "/a//b c?d", "https://consul.example/behind/v1/kv/a/b%20c%3Fd"),
        ] {
            let settings = ConsulSettings { url: url.into(), key: key.into(), ..ConsulSettings::default() };
            assert_eq!(settings.endpoint().unwrap().as_str(), endpoint);
        }
    }

    #[test]
    fn what_is_no_place_of_consul_is_refused() {
        for (url, part) in [
            ("127.0.0.1:8500", "is no URL"),
            ("unix:///run/consul.sock", "has the scheme unix"),
            ("http://me:secret@127.0.0.1", "has a user"),
            ("http://127.0.0.1/?token=x", "has a user, a query"),
            ("http://", "is no URL"),
        ] {
            let settings = ConsulSettings { url: url.into(), ..ConsulSettings::default() };
            let error = settings.endpoint().unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("secret"));
        }
    }

    #[test]
    fn the_host_name_stands_in_the_key() {
        assert_eq!(
            ConsulSettings::key_of_host("config/HOSTNAME/system/outboundproxy", "csphost01"),
            "config/csphost01/system/outboundproxy"
        );
        assert!(!host_name().unwrap().is_empty());
    }
}
