//! Checks of single values, each naming the key it was given under.

use std::fmt::Display;

use jackfield_proto::message::Uri;
use jackfield_proto::net::Transport;

use crate::edit::{VALUE_MAX, has_control};
use crate::{Error, Result, Target};

// The host's bounds (host/src/plugin/decision.rs, edit.rs): what is beyond them makes every decision invalid.
const EDITS_MAX: usize = 64;
const ROUTES_MAX: usize = 16;
const TAG_MAX: usize = 128;
const TARGETS_MAX: usize = 256;

pub(super) fn check_uri(uri: &str, schemes: &[&str], key: impl Display) -> Result<()> {
    let scheme = uri.split_once(':').filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))) {
        let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}:")).collect();
        return Err(Error::new(format_args!("{key}: expected a URI that begins with {}, not \"{uri}\"", known.join(" or "))));
    }
    if uri.bytes().any(|b| b <= b' ' || b == 0x7f || b"<>\"".contains(&b)) {
        return Err(Error::new(format_args!("{key}: a URI has no spaces, quotes or angle brackets: \"{uri}\"")));
    }
    check_length(uri, &key)?;
    // The host takes port 0 too, and can never send to it.
    if Uri::parse(uri.as_bytes()).is_none_or(|uri| uri.port() == Some(0)) {
        return Err(Error::new(format_args!(
            "{key}: a URI has a host, an IPv6 address in brackets, and if it has a port, one of 1 to 65535: \"{uri}\""
        )));
    }
    Ok(())
}

fn check_length(text: &str, key: impl Display) -> Result<()> {
    match text.len() {
        0..=VALUE_MAX => Ok(()),
        length => Err(Error::new(format_args!("{key}: {length} octets are too long; at most {VALUE_MAX} are possible"))),
    }
}

fn check_count(count: usize, max: usize, what: &str) -> Result<()> {
    if count <= max { Ok(()) } else { Err(Error::new(format_args!("{count} {what} are too many; at most {max} are possible"))) }
}

/// Whether the host takes as many edits in one list.
pub fn check_edit_count(count: usize) -> Result<()> {
    check_count(count, EDITS_MAX, "edits")
}

pub(super) fn check_route_count(count: usize, key: impl Display) -> Result<()> {
    check_count(count, ROUTES_MAX, "URIs").map_err(|error| error.context(key))
}

pub(super) fn check_target_count(count: usize, key: impl Display) -> Result<()> {
    check_count(count, TARGETS_MAX, "targets").map_err(|error| error.context(key))
}

pub(super) fn check_tag(tag: &str, key: impl Display) -> Result<()> {
    if tag.len() > TAG_MAX {
        return Err(Error::new(format_args!("{key}: {} octets are too long; at most {TAG_MAX} are possible", tag.len())));
    }
    match tag.chars().any(char::is_control) {
        true => Err(Error::new(format_args!("{key}: a tag holds no control character"))),
        false => Ok(()),
    }
}

/// What stands behind the status of a reply.
pub(super) fn check_phrase(phrase: &str, key: impl Display) -> Result<()> {
    if has_control(phrase) {
        return Err(Error::new(format_args!("{key}: the phrase holds a line break or another control character")));
    }
    check_length(phrase, key)
}

/// Whether the host knows this option of a target, and takes this value.
pub(super) fn check_option(name: &str, value: &str, key: impl Display) -> Result<()> {
    match name {
        "trunk" => check_trunk(value, key),
        "media" => check_media(value, key),
        "transport" => check_transport(value, key),
        "next-hop" => check_uri(value, &["sip", "sips"], key),
        "answer-timeout-ms" => match value.parse() {
            Ok(ms) => check_timeout(ms, key),
            Err(_) => Err(Error::new(format_args!("{key}: expected a number of milliseconds, not \"{value}\""))),
        },
        _ => Err(Error::new(format_args!(
            "{key}: there is no such option; the host has trunk, media, transport, next-hop and answer-timeout-ms"
        ))),
    }
}

/// Whether the text can be the name of a trunk; whether there is such a trunk, only the host knows.
pub(super) fn check_trunk(name: &str, key: impl Display) -> Result<()> {
    match name.is_empty() || name.chars().any(char::is_control) {
        true => Err(Error::new(format_args!("{key}: expected the NAME of a [trunk.NAME], not {name:?}"))),
        false => Ok(()),
    }
}

/// Whether the text can say what becomes of media; which profiles there are, only the host knows. The error names the key.
pub fn check_media(media: &str, key: impl Display) -> Result<()> {
    match media.is_empty() || media.chars().any(char::is_control) {
        true => Err(Error::new(format_args!("{key}: expected relay, direct or the NAME of a [media.profile.NAME], not {media:?}"))),
        false => Ok(()),
    }
}

/// Whether a target that names a trunk leaves to it what is the trunk's, as the host demands.
pub(super) fn check_beside_trunk(target: &Target, at: &str) -> Result<()> {
    let option = |name| target.option_value(name).is_some();
    let said = [
        ("next-hop", option("next-hop")),
        ("route", !target.route.is_empty()),
        ("egress", target.egress.is_some()),
        ("transport", option("transport")),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((key, _)) if option("trunk") => {
            Err(Error::new(format_args!("{at}: {key} beside trunk is the trunk's to say; leave one of them out")))
        }
        _ => Ok(()),
    }
}

/// Whether the text names a transport; the error names the key.
pub fn check_transport(transport: &str, key: impl Display) -> Result<()> {
    if Transport::from_name(transport.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Error::new(format_args!("{key}: expected udp, tcp, tls, ws or wss, not \"{transport}\"")))
}

pub(super) fn check_timeout(ms: u32, key: impl Display) -> Result<()> {
    if ms > 0 { Ok(()) } else { Err(Error::new(format_args!("{key}: a timeout of 0 would try nothing"))) }
}

/// Whether the text is a list of final statuses and classes, like `408 5xx`; the error names the key.
pub fn check_status_list(text: &str, key: impl Display) -> Result<()> {
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let class = match word.strip_suffix("xx") {
            Some(class) => class.parse().ok(),
            None => word.parse().ok().map(|status: u16| status / 100),
        };
        let fault = match class {
            Some(3..=5) => continue,
            Some(6) => "always ends the search (RFC 3261 16.7)",
            Some(_) | None => "is none",
        };
        return Err(Error::new(format_args!("{key}: expected statuses and classes of 300 to 599, like \"408 5xx\"; \"{word}\" {fault}")));
    }
    Ok(())
}

/// Whether a host is the one of a pattern: the same name in any case, or, for `*.example.com`, one below it.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .filter(|at| *at > 0)
            .and_then(|at| host.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        None => host.eq_ignore_ascii_case(pattern),
    }
}
