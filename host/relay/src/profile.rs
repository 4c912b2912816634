//! What one side gets of a relay, as options with names.

use std::sync::Arc;

/// What the side that receives a message gets in it. By default all is as the other side has it, with the relay's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name of the relay's interface that this side sends to; none: its first.
    pub interface: Option<Arc<str>>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// How media is transported.
    pub transport: Transport,
    /// ICE (RFC 8445).
    pub ice: Ice,
    /// RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: RtcpMux,
    /// Which codecs.
    pub codecs: Codecs,
    /// Whether the relay sends to where media of this side comes from.
    pub symmetry: Symmetry,
    /// What of the SDP is replaced beside the addresses of media. Default: the address of the origin.
    pub replace: Vec<Replace>,
    /// Further flags of the ng protocol, passed on as they are with what this side receives. So one that rtpengine takes to be about the
    /// sender of an SDP belongs into the profile of the other side.
    pub flags: Vec<Arc<str>>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            interface: None,
            family: Family::Keep,
            transport: Transport::Keep,
            ice: Ice::Keep,
            rtcp_mux: RtcpMux::Keep,
            codecs: Codecs::default(),
            symmetry: Symmetry::Symmetric,
            replace: vec![Replace::Origin],
            flags: Vec::new(),
        }
    }
}

macro_rules! named {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$doc])* #[doc = concat!("In configuration `", $name, "`.")] $variant,)*
        }

        impl $type {
            /// The names that configuration knows.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// That of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Its name in configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

named! {
    /// Of which kind the relay's address is that a side sends to. Between a side with IPv4 and one with IPv6 each has to say it: else the
    /// relay offers an address of the kind that it was offered, of another interface if need be.
    Family {
        /// As on the other side.
        Keep = "keep",
        /// IPv4.
        Ipv4 = "ipv4",
        /// IPv6.
        Ipv6 = "ipv6",
    }
}

named! {
    /// How media is transported on a side.
    Transport {
        /// As on the other side.
        Keep = "keep",
        /// RTP/AVP (RFC 3551).
        Rtp = "rtp",
        /// RTP/AVPF (RFC 4585).
        RtpAvpf = "rtp-avpf",
        /// RTP/SAVP with keys in the SDP (RFC 4568).
        Sdes = "sdes",
        /// UDP/TLS/RTP/SAVPF with keys by DTLS (RFC 5763, 5764), as browsers want it.
        Dtls = "dtls",
    }
}

named! {
    /// What becomes of ICE.
    Ice {
        /// The relay is a candidate where the other side has ICE.
        Keep = "keep",
        /// There is none.
        Remove = "remove",
        /// The relay is the only candidate, whatever the other side has.
        Force = "force",
    }
}

named! {
    /// Whether RTP and RTCP share a port.
    RtcpMux {
        /// As the two sides agree.
        Keep = "keep",
        /// Not on this side; the other one may.
        Demux = "demux",
        /// Always on this side, without a second port, as browsers want it.
        Require = "require",
        /// Offered to this side.
        Offer = "offer",
    }
}

named! {
    /// Whether the relay sends to where media comes from, or to where the SDP says.
    Symmetry {
        /// Where it comes from, as soon as some came: what is behind a NAT can be reached by that only.
        Symmetric = "symmetric",
        /// Where the SDP says.
        Asymmetric = "asymmetric",
    }
}

named! {
    /// What is replaced in the SDP beside the addresses of media.
    Replace {
        /// The address in `o=`.
        Origin = "origin",
        /// `c=` of the session where each medium has its own.
        Connection = "connection",
        /// The name in `o=`.
        Username = "username",
        /// The name in `s=`.
        SessionName = "session-name",
        /// The version in `o=`: the relay counts.
        Version = "version",
        /// `c=` of 0.0.0.0, by which old telephones hold a call.
        ZeroAddress = "zero-address",
    }
}

/// Which codecs a side gets. Names are those of `a=rtpmap` (`PCMA`, `opus/48000/2`, `telephone-event`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codecs {
    /// Only these, in the order of who offers; none: all. What sends DTMF as events wants `telephone-event` here as well.
    pub allow: Vec<Arc<str>>,
    /// Not these.
    pub remove: Vec<Arc<str>>,
    /// These in an offer even if nobody has them: the relay transcodes.
    pub transcode: Vec<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in Transport::NAMES {
            assert_eq!(Transport::named(name).map(Transport::name), Some(*name));
        }
        for name in Replace::NAMES {
            assert_eq!(Replace::named(name).map(Replace::name), Some(*name));
        }
        for name in Family::NAMES {
            assert_eq!(Family::named(name).map(Family::name), Some(*name));
        }
        assert_eq!(Ice::named("forced"), None);
    }
}
