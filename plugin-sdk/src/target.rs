//! One destination.

use std::time::Duration;

use crate::Edit;

/// One destination of a request.
///
/// ```
/// use jackfield::prelude::*;
///
/// let target = Target::to("sip:+49301234@provider.example")
///     .via_proxy("sip:proxy.provider.example;lr")
///     .transport("tcp")
///     .timeout(Duration::from_secs(3))
///     .header("X-Trunk", "provider")
///     .tag("provider");
/// assert_eq!(target.route, ["sip:proxy.provider.example;lr"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The new Request-URI; `None` keeps the one received.
    pub uri: Option<String>,
    /// The preloaded route set: URIs of proxies, the first to visit first.
    pub route: Vec<String>,
    /// Name of the `[listen.*]` entry to send from; `None` lets the host choose.
    pub egress: Option<String>,
    /// The next target is tried when no response at all has come in this time; `None` leaves it to timers B and F (RFC 3261 17.1).
    pub timeout: Option<Duration>,
    /// Share within a weighted group; 0 means last resort.
    pub weight: u16,
    /// Edits of the message that goes to this target.
    pub edits: Vec<Edit>,
    /// What else the host understands: `trunk`, `media`, `transport`, `next-hop`, `answer-timeout-ms`. An unknown key makes the decision invalid.
    pub options: Vec<(String, String)>,
    /// Comes back in [`Branch`](crate::Branch) and [`Failure`](crate::Failure), and is a label of the metrics.
    pub tag: String,
}

impl Target {
    /// A target with this Request-URI.
    pub fn to(uri: impl Into<String>) -> Self {
        Self { uri: Some(uri.into()), ..Self::unchanged() }
    }

    /// A target that keeps the Request-URI received. With [`next_hop`](Self::next_hop) it says only where to send the request.
    pub fn unchanged() -> Self {
        Self {
            uri: None,
            route: Vec::new(),
            egress: None,
            timeout: None,
            weight: 1,
            edits: Vec::new(),
            options: Vec::new(),
            tag: String::new(),
        }
    }

    /// Sends the request through this proxy (a Route header field is added); called again, through the next one after it.
    pub fn via_proxy(mut self, uri: impl Into<String>) -> Self {
        self.route.push(uri.into());
        self
    }

    /// Sends the request by the trunk of this name, `[trunk.NAME]` of the configuration: its outbound proxies, its options and its fallback.
    /// Beside it, the target says no route, next hop, egress or transport: these are the trunk's.
    ///
    /// ```
    /// # use jackfield::prelude::*;
    /// let target = Target::unchanged().trunk("telekom").header("X-Account", "12345678");
    /// assert_eq!(target.option_value("trunk"), Some("telekom"));
    /// ```
    pub fn trunk(self, name: impl Into<String>) -> Self {
        self.option("trunk", name)
    }

    /// What becomes of the media of a call that goes to this target: `"relay"` (through a media relay), `"direct"`, or the NAME of a
    /// `[media.profile.NAME]` of the configuration, by which it is relayed and which says what the target's side gets. Without it, the
    /// listeners and trunks say so.
    ///
    /// ```
    /// # use jackfield::prelude::*;
    /// let target = Target::unchanged().trunk("telekom").media("relay");
    /// assert_eq!(target.option_value("media"), Some("relay"));
    /// ```
    pub fn media(self, media: impl Into<String>) -> Self {
        self.option("media", media)
    }

    /// Sends the request to this SIP URI, which appears nowhere in the message.
    pub fn next_hop(self, uri: impl Into<String>) -> Self {
        self.option("next-hop", uri)
    }

    /// Sends by this transport (`udp`, `tcp`, ...) whatever the URI says.
    pub fn transport(self, transport: impl Into<String>) -> Self {
        self.option("transport", transport)
    }

    /// Sends from the listener of this name.
    pub fn egress(mut self, listener: impl Into<String>) -> Self {
        self.egress = Some(listener.into());
        self
    }

    /// How long to wait for any response at all before the next target is tried.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long to let an INVITE ring before the next target is tried.
    pub fn answer_timeout(self, timeout: Duration) -> Self {
        self.option("answer-timeout-ms", timeout.as_millis().to_string())
    }

    /// The share of this target within a weighted group (1 unless set).
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }

    /// Edits the message that goes to this target.
    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Adds a header field.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.edit(Edit::add(name, value))
    }

    /// Replaces every header field of that name by one.
    pub fn set_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.edit(Edit::set(name, value))
    }

    /// Removes every header field of that name.
    pub fn remove_header(self, name: impl Into<String>) -> Self {
        self.edit(Edit::remove(name))
    }

    /// Sets a parameter of the Request-URI.
    pub fn uri_param(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.edit(Edit::set_uri_param(name, value))
    }

    /// Sets an option; one of the same name that was set before is replaced.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set_option(name, value);
        self
    }

    /// Sets an option of a target that exists, like one of a plan so far.
    pub fn set_option(&mut self, name: impl Into<String>, value: impl Into<String>) {
        set_option(&mut self.options, name.into(), value.into());
    }

    /// Names this target for [`Branch::tag`](crate::Branch::tag) and the metrics.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    /// The value of an option.
    pub fn option_value(&self, name: &str) -> Option<&str> {
        option_value(&self.options, name)
    }
}

pub(crate) fn set_option(options: &mut Vec<(String, String)>, name: String, value: String) {
    match options.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => options.push((name, value)),
    }
}

pub(crate) fn option_value<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
    options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
