//! The three calls that are demonstrated: what each asks for, and what has to become of it.

use anyhow::{Result, bail, ensure};
use example_agents::Taken;

/// One call and what it shows.
#[derive(Debug)]
pub(crate) struct Demonstration {
    /// What to call it on the command line.
    pub(crate) name: &'static str,
    /// What it shows, in a line.
    pub(crate) title: &'static str,
    /// Whom the caller asks for.
    pub(crate) uri: &'static str,
    /// What the caller adds to its INVITE.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The callee that the plugins of the shipped configuration choose.
    pub(crate) callee: &'static str,
    /// The plugins that decide it.
    pub(crate) plugin: &'static str,
    /// What the callee's INVITE has to say: header field and value, or (with an empty name) a part of the Request-URI.
    pub(crate) arrives_with: &'static [(&'static str, &'static str)],
}

/// The three calls.
pub(crate) const ALL: [Demonstration; 3] = [
    Demonstration {
        name: "header",
        title: "a header field chooses the carrier",
        uri: "sip:+4930123456@example.test",
        headers: &[("X-My-Account-Number", "12345678")],
        callee: "telekom",
        plugin: "header-match",
        arrives_with: &[("X-Trunk", "telekom")],
    },
    Demonstration {
        name: "line",
        title: "the parameter line= of the Request-URI chooses the office",
        uri: "sip:reception@example.test;line=eylpkkv",
        headers: &[],
        callee: "office",
        plugin: "line-match",
        arrives_with: &[("X-Trunk", "office")],
    },
    Demonstration {
        name: "option",
        title: "an option is forced, whatever the caller sent",
        uri: "sip:room42@conference.example.test;privacy=none",
        headers: &[("X-My-Account-Number", "12345678"), ("X-Codec-Policy", "anything goes")],
        callee: "telekom",
        plugin: "header-match, option-injection",
        arrives_with: &[("X-Codec-Policy", "g711-only"), ("", ";privacy=id")],
    },
];

impl Demonstration {
    /// The one of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        match ALL.iter().find(|demonstration| demonstration.name == name) {
            Some(found) => Ok(found),
            None => bail!("there is no call {name:?}; there are {}", ALL.each_ref().map(|d| d.name).join(", ")),
        }
    }

    /// Whether the call went where the shipped configuration sends it.
    pub(crate) fn check(&self, taken: &Taken) -> Result<()> {
        ensure!(taken.callee == self.callee, "the call went to {}, and {} was to send it to {}", taken.callee, self.plugin, self.callee);
        for (name, value) in self.arrives_with {
            let found = if name.is_empty() { taken.uri() } else { taken.header(name).unwrap_or_default() };
            let is_it = if name.is_empty() { found.contains(value) } else { found == *value };
            let what = if name.is_empty() { "Request-URI" } else { name };
            ensure!(is_it, "the callee's INVITE has {what} {found:?}, and {} was to make it {value:?}", self.plugin);
        }
        Ok(())
    }
}
