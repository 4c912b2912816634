//! Readers of single values: numbers, durations, sizes, addresses. Each reports what it cannot use and then gives nothing.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use jackfield_proto::message::host_address;

use super::host::parse_host;
use super::reader::{Item, nearest};

/// Units of durations with their length in microseconds.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Units of sizes with their number of octets.
const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl Item<'_, '_> {
    /// A whole number in a range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return self.wrong_type("a whole number");
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(format!("{integer} is out of range; write a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// [`Item::number`] as a `usize`.
    pub(super) fn count(&self, range: RangeInclusive<u64>) -> Option<usize> {
        self.number(range).and_then(|number| usize::try_from(number).ok())
    }

    /// A duration with its unit, like `"500ms"`. A bare number is refused: timers of SIP are milliseconds, deadlines are seconds, and
    /// a guess would be wrong by a thousand for half of the readers.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = match self.value.get_ref() {
            DeValue::String(text) => text,
            DeValue::Integer(number) => {
                self.error(format!("{number} has no unit; write \"{number}ms\" or \"{number}s\""));
                return None;
            }
            _ => return self.wrong_type("a duration like \"500ms\", \"20s\", \"3m\" or \"1h\""),
        };
        let Some(duration) = scaled(text, &TIME_UNITS).map(Duration::from_micros) else {
            self.error(format!("`{text}` is no duration; write a whole number and a unit (ms, s, m, h, d), like \"500ms\" or \"20s\""));
            return None;
        };
        if !range.contains(&duration) {
            self.error(format!("`{text}` is out of range; write {} to {}", short(*range.start()), short(*range.end())));
            return None;
        }
        Some(duration)
    }

    /// A number of octets, bare or with a unit, like `"64KiB"`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let text = match self.value.get_ref() {
            DeValue::Integer(_) => return self.number(range),
            DeValue::String(text) => text,
            _ => return self.wrong_type("a size like \"64KiB\", \"16MiB\" or a number of octets"),
        };
        let Some(size) = scaled(text, &SIZE_UNITS) else {
            self.error(format!("`{text}` is no size; write a whole number and a unit (B, KiB, MiB, GiB), like \"16MiB\""));
            return None;
        };
        if !range.contains(&size) {
            self.error(format!("`{text}` is out of range; write {} to {} octets", range.start(), range.end()));
            return None;
        }
        Some(size)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let hint = match nearest(text, &known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("write one of {}", known.join(", ")),
            };
            self.error(format!("`{text}` is not known; {hint}"));
        }
        found
    }

    /// True or false.
    pub(super) fn truth(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => self.wrong_type("true or false, without quotes"),
        }
    }

    /// A list of strings; elements that are something else are reported.
    pub(super) fn strings(&self) -> Option<Vec<Item<'_, '_>>> {
        Some(self.list()?.into_iter().filter(|item| item.string().is_some()).collect())
    }

    /// A path; a relative one starts at `base`.
    pub(super) fn path(&self, base: &Path) -> Option<PathBuf> {
        match self.string()? {
            "" => {
                self.error("is empty; write a path");
                None
            }
            text => Some(base.join(text)),
        }
    }

    /// An IP address, with or without a port.
    pub(super) fn address_and_port(&self) -> Option<(IpAddr, Option<u16>)> {
        let text = self.string()?;
        let bare = || host_address(text.as_bytes()).map(|address| (address, None));
        let found = text.parse().ok().map(|address: SocketAddr| (address.ip(), Some(address.port()))).or_else(bare);
        if found.is_none() {
            self.error(address_advice(text));
        }
        found
    }

    /// An IP address with a port; where there is none, `default_port` stands in if there is one.
    pub(super) fn socket_address(&self, default_port: Option<u16>) -> Option<SocketAddr> {
        let text = self.string()?;
        let bare = || host_address(text.as_bytes()).zip(default_port).map(SocketAddr::from);
        let address = text.parse().ok().or_else(bare);
        if address.is_none() {
            self.error(address_advice(text));
        }
        address
    }
}

/// What is wrong with a text that should have been an IP address with a port.
fn address_advice(text: &str) -> String {
    if let Some(address) = host_address(text.as_bytes()) {
        let example = SocketAddr::from((address, 9090));
        return format!("`{text}` has no port; write it like \"{example}\"");
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    match host_address(host.as_bytes()) {
        Some(IpAddr::V6(v6)) if !host.starts_with('[') => format!("`{text}` is ambiguous; write IPv6 in brackets, like \"[{v6}]:5060\""),
        Some(_) => format!("`{text}` has no valid port; write a number from 0 to 65535"),
        None if parse_host(host).is_some() => {
            format!("`{text}` is a name; write the IP address to bind, and the name into `advertise`")
        }
        None => format!("`{text}` is no address; write it like \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\""),
    }
}

/// A whole number with one of the units, in the smallest of them.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A duration in its largest whole unit.
pub(super) fn short(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let fits = |(_, length): &&(&str, u64)| micros >= *length && micros.is_multiple_of(*length);
    match TIME_UNITS.iter().rev().find(fits) {
        Some((unit, length)) => format!("{}{unit}", micros / length),
        None => format!("{}ms", micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_scale() {
        for (text, micros) in [
            ("500ms", Some(500_000)),
            ("20s", Some(20_000_000)),
            ("20 s", Some(20_000_000)),
            ("3m", Some(180_000_000)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("20S", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(scaled(text, &TIME_UNITS), micros, "{text}");
        }
        assert_eq!(scaled("64KiB", &SIZE_UNITS), Some(65_536));
        assert_eq!(scaled("64KB", &SIZE_UNITS), None);
    }

    #[test]
    fn short_uses_the_largest_whole_unit() {
        for (millis, text) in [(0, "0ms"), (500, "500ms"), (1_000, "1s"), (90_000, "90s"), (180_000, "3m"), (86_400_000, "1d")] {
            assert_eq!(short(Duration::from_millis(millis)), text);
        }
    }
}
