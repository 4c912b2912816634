//! Host names as questions are asked about them, and names that never leave the machine.

use smallvec::SmallVec;

/// The longest name in text (RFC 1035 2.3.4: 255 octets on the wire).
pub(crate) const NAME_MAX: usize = 253;

/// A name in lower case. A dot at the end says that it is absolute; without one, a name of few dots may be looked for in the search list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(SmallVec<[u8; 96]>);

impl Name {
    /// The name of a host; none if there can be no such name. Underscores pass: names inside of a network have them.
    pub(crate) fn new(host: &str) -> Option<Self> {
        let bare = host.strip_suffix('.').unwrap_or(host);
        let legal =
            |label: &[u8]| (1..=63).contains(&label.len()) && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let name = bare.len() <= NAME_MAX && bare.as_bytes().split(|b| *b == b'.').all(legal);
        name.then(|| Self(host.bytes().map(|b| b.to_ascii_lowercase()).collect()))
    }

    /// The name with labels in front of it; none if it is too long then.
    pub(crate) fn below(&self, labels: &str) -> Option<Self> {
        let mut name = SmallVec::from_slice(labels.as_bytes());
        name.push(b'.');
        name.extend_from_slice(&self.0);
        (self.bare().len() + labels.len() < NAME_MAX).then_some(Self(name))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII passes `new`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Without a dot at the end.
    pub(crate) fn bare(&self) -> &str {
        bare(self.as_str())
    }

    /// What RFC 6761 6 says about it.
    pub(crate) fn special(&self) -> Option<Special> {
        match self.bare().rsplit('.').next() {
            Some("localhost") => Some(Special::Localhost),
            Some("invalid" | "onion") => Some(Special::Nowhere),
            _ => None,
        }
    }
}

/// A name without a dot at its end.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// A name that no name server may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// `localhost` and all below it: the loopback addresses (RFC 6761 6.3).
    Localhost,
    /// `invalid` (RFC 6761 6.4; it stands in Vias and Contacts of browsers, RFC 7118 5.2) and `onion` (RFC 7686 2): no address.
    Nowhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_dns_wants_them() {
        let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        for (host, name) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com.")),
            ("_sip._udp.a", Some("_sip._udp.a")),
            (&long, Some(&*long)),
            ("", None),
            (".", None),
            ("a..b", None),
            (".a", None),
            ("a b", None),
            ("m\u{fc}nchen.example", None),
            (&format!("{long}e"), None),
            (&"a".repeat(64), None),
        ] {
            assert_eq!(Name::new(host).as_ref().map(Name::as_str), name, "{host}");
        }
        assert_eq!(Name::new("a.b").unwrap().below("_sip._udp").unwrap().as_str(), "_sip._udp.a.b");
        assert_eq!(Name::new(&long).unwrap().below("_sip._udp"), None);
    }

    #[test]
    fn rfc6761_some_names_never_leave_the_machine() {
        for (host, special) in [
            ("localhost", Some(Special::Localhost)),
            ("LocalHost.", Some(Special::Localhost)),
            ("a.localhost", Some(Special::Localhost)),
            ("df7jal23ls0d.invalid", Some(Special::Nowhere)),
            ("invalid", Some(Special::Nowhere)),
            ("x.onion", Some(Special::Nowhere)),
            ("notlocalhost", None),
            ("localhost.example.com", None),
            ("example.test", None),
        ] {
            assert_eq!(Name::new(host).unwrap().special(), special, "{host}");
        }
    }
}
