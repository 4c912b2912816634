//! `[http]`, and the URL prefixes that plugins are granted.

use std::path::Path;
use std::time::Duration;

use jackfield_services::http::Prefix;
use jackfield_services::settings::HttpSettings;

use super::kv::granted;
use super::reader::Section;

const KEYS: [&str; 4] = ["timeout", "body", "requests", "certificate-authority"];

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn read(root: &Section<'_, '_>, base: &Path) -> HttpSettings {
    for item in granted(root, "http") {
        if let Some(Err(error)) = item.string().map(Prefix::parse) {
            item.error(error.to_string());
        }
    }
    let section = root.section("http", &KEYS);
    let default = HttpSettings::default();
    HttpSettings {
        timeout: section.item("timeout").and_then(|item| item.duration(MILLISECOND..=MINUTE)).unwrap_or(default.timeout),
        body: section
            .item("body")
            .and_then(|item| item.size(0..=64 << 20))
            .and_then(|octets| usize::try_from(octets).ok())
            .unwrap_or(default.body),
        requests: section.item("requests").and_then(|item| item.count(1..=10_000)).unwrap_or(default.requests),
        certificate_authority: section.item("certificate-authority").and_then(|item| item.path(base)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment, Problem};
    use super::*;

    fn parse(text: &str) -> Result<Config, Vec<Problem>> {
        let environment = Environment { root: true, cores: 1, ..Environment::default() };
        Config::parse(Path::new("/etc/jackfield/f"), &format!("[listen.lan]\naddress = \"127.0.0.1\"\n{text}"), &environment)
    }

    #[test]
    fn all_of_it_is_read() {
        let text = "[http]\ntimeout = \"500ms\"\nbody = \"64KiB\"\nrequests = 9\ncertificate-authority = \"ca.pem\"";
        let expected = HttpSettings {
            timeout: Duration::from_millis(500),
            body: 65_536,
            requests: 9,
            certificate_authority: Some("/etc/jackfield/ca.pem".into()),
        };
        assert_eq!(parse(text).unwrap().services.settings.http, expected);
        let default = HttpSettings { timeout: Duration::from_secs(2), body: 1 << 20, requests: 256, certificate_authority: None };
        assert_eq!(parse("").unwrap().services.settings.http, default);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let plugin = |http: &str| format!("[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.a]\ngrant = {{ http = [{http}] }}");
        for (text, problem) in [
            (
                "[http]\nretries = 1".to_owned(),
                "4:1: http.retries: unknown key; known here: timeout, body, requests, certificate-authority",
            ),
            ("[http]\ntimeout = \"2m\"".to_owned(), "4:11: http.timeout: `2m` is out of range; write 1ms to 1m"),
            ("[http]\nbody = \"1GiB\"".to_owned(), "4:8: http.body: `1GiB` is out of range; write 0 to 67108864 octets"),
            (
                plugin("\"https://a.test/\", \"a.test\""),
                "7:38: plugins.a.grant.http[1]: is no URL (relative URL without a base); write it like \"https://api.example.com/route/\"",
            ),
            (plugin("\"ftp://a.test/\""), "7:19: plugins.a.grant.http[0]: has the scheme ftp; write http or https"),
            (
                plugin("\"https://me:geheim@a.test/\""),
                "7:19: plugins.a.grant.http[0]: has a user, a query or a fragment in it; write scheme, host, port and path alone",
            ),
        ] {
            let problems = parse(&text).unwrap_err();
            let found: Vec<_> = problems.iter().map(|p| format!("{}:{}: {}: {}", p.line, p.column, p.key, p.message)).collect();
            assert_eq!(found, [problem], "{text}");
        }
    }
}
