//! A profile, ready for questions: its options as octets of the ng protocol, so that a question only copies them.
//!
//! Most options speak of the side that receives a message. So an offer from A to B carries B's options and the answer from B to A carries
//! A's, and that holds for offers from either end. What an SDP says of its own sender is the sender's: whether its address is to be taken at
//! its word, for one.

use std::sync::Arc;

use crate::bencode::{put_list, put_pair};
use crate::codecs::{codecs_size, put_codecs};
use crate::exchange::Role;
use crate::profile::{Codecs, Family, Ice, Profile, Replace, RtcpMux, Symmetry, Transport};

/// What stands for the first interface of a relay where only the other side of a call has one by name.
const FIRST_INTERFACE: &str = "default";

/// What one side gets, ready to be asked for.
#[derive(Clone, Debug)]
pub struct Treatment {
    interface: Option<Arc<str>>,
    own: Own,
    codecs: Codecs,
    offered_to: Options,
    answered_to: Options,
}

/// Options towards a side: what differs with who sent the message is written for each.
#[derive(Clone, Debug)]
struct Options {
    from_telephone: BySymmetry,
    from_browser: BySymmetry,
}

#[derive(Clone, Debug)]
struct BySymmetry {
    symmetric: Vec<u8>,
    asymmetric: Vec<u8>,
}

/// What there is to know of who sends an SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    sends: Sends,
    symmetry: Symmetry,
}

/// What a side's own SDP is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sends {
    /// Addresses mean what they say.
    Addresses,
    /// Until it has candidates, its address is 0.0.0.0, which is no hold (RFC 8840 4.1.1).
    Candidates,
}

impl Options {
    fn new(profile: &Profile, role: Role) -> Self {
        let from = |sends| BySymmetry {
            symmetric: options(profile, role, Own { sends, symmetry: Symmetry::Symmetric }),
            asymmetric: options(profile, role, Own { sends, symmetry: Symmetry::Asymmetric }),
        };
        Self { from_telephone: from(Sends::Addresses), from_browser: from(Sends::Candidates) }
    }

    fn from(&self, sender: Own) -> &[u8] {
        let by_symmetry = match sender.sends {
            Sends::Addresses => &self.from_telephone,
            Sends::Candidates => &self.from_browser,
        };
        match sender.symmetry {
            Symmetry::Symmetric => &by_symmetry.symmetric,
            Symmetry::Asymmetric => &by_symmetry.asymmetric,
        }
    }
}

impl Default for Treatment {
    fn default() -> Self {
        Self::new(&Profile::default())
    }
}

impl Treatment {
    /// That of a profile.
    pub fn new(profile: &Profile) -> Self {
        let sends = if profile.transport == Transport::Dtls { Sends::Candidates } else { Sends::Addresses };
        Self {
            interface: profile.interface.clone(),
            own: Own { sends, symmetry: profile.symmetry },
            codecs: profile.codecs.clone(),
            offered_to: Options::new(profile, Role::Offer),
            answered_to: Options::new(profile, Role::Answer),
        }
    }

    /// Appends the pairs of a question about a message that goes from the sender's side to this one.
    pub(crate) fn put(&self, role: Role, sender: &Self, out: &mut Vec<u8>) {
        let options = match role {
            Role::Offer => {
                self.put_direction(sender, out);
                put_codecs(&self.codecs, &sender.codecs, out);
                &self.offered_to
            }
            // The relay remembers the interfaces of the offer.
            Role::Answer => &self.answered_to,
        };
        out.extend_from_slice(options.from(sender.own));
    }

    fn put_direction(&self, sender: &Self, out: &mut Vec<u8>) {
        if self.interface.is_some() || sender.interface.is_some() {
            put_list(out, "direction", [sender.interface_name(), self.interface_name()]);
        }
    }

    fn interface_name(&self) -> &str {
        self.interface.as_deref().unwrap_or(FIRST_INTERFACE)
    }

    /// How many octets [`Treatment::put`] may append.
    pub(crate) fn size(&self, sender: &Self) -> usize {
        const DIRECTION: usize = 64;
        let longest = |options: &Options| options.from_browser.asymmetric.len();
        DIRECTION + longest(&self.offered_to).max(longest(&self.answered_to)) + codecs_size(&self.codecs) + codecs_size(&sender.codecs)
    }
}

fn options(profile: &Profile, role: Role, sender: Own) -> Vec<u8> {
    let mut out = Vec::new();
    if role == Role::Offer {
        // In an answer the relay goes by what was offered.
        put_transport(profile.transport, &mut out);
    }
    match profile.family {
        Family::Keep => {}
        Family::Ipv4 => put_pair(&mut out, "address family", b"IP4"),
        Family::Ipv6 => put_pair(&mut out, "address family", b"IP6"),
    }
    match profile.ice {
        Ice::Keep => {}
        Ice::Remove => put_pair(&mut out, "ICE", b"remove"),
        Ice::Force => put_pair(&mut out, "ICE", b"force"),
    }
    match profile.rtcp_mux {
        RtcpMux::Keep => {}
        mux @ (RtcpMux::Demux | RtcpMux::Require | RtcpMux::Offer) => put_list(&mut out, "rtcp-mux", [mux.name()]),
    }
    let (mut flags, mut replace) = (Vec::new(), Vec::new());
    match sender.symmetry {
        Symmetry::Symmetric => {}
        // Said with the SDP of the end whose address counts.
        Symmetry::Asymmetric => flags.push("asymmetric"),
    }
    if profile.transport == Transport::Dtls && role == Role::Offer {
        // A browser names its media by it (RFC 8843 4), and takes an offer without one with reluctance.
        flags.push("generate mid");
    }
    replace.extend(profile.replace.iter().map(|replace| replaced(*replace)));
    if sender.sends == Sends::Candidates && profile.transport != Transport::Dtls {
        flags.push("original sendrecv");
        replace.push(replaced(Replace::ZeroAddress));
    }
    flags.extend(profile.flags.iter().map(|flag| &**flag));
    for list in [&mut flags, &mut replace] {
        list.sort_unstable();
        list.dedup();
    }
    put_list(&mut out, "flags", flags);
    put_list(&mut out, "replace", replace);
    out
}

/// What rtpengine calls it.
fn replaced(replace: Replace) -> &'static str {
    match replace {
        Replace::Origin => "origin",
        Replace::Connection => "session connection",
        Replace::Username => "username",
        Replace::SessionName => "session name",
        Replace::Version => "SDP version",
        Replace::ZeroAddress => "zero address",
    }
}

fn put_transport(transport: Transport, out: &mut Vec<u8>) {
    let protocol = match transport {
        Transport::Keep => return,
        Transport::Rtp => "RTP/AVP",
        Transport::RtpAvpf => "RTP/AVPF",
        Transport::Sdes => "RTP/SAVP",
        Transport::Dtls => "UDP/TLS/RTP/SAVPF",
    };
    put_pair(out, "transport protocol", protocol.as_bytes());
    match transport {
        Transport::Keep | Transport::Rtp | Transport::RtpAvpf => {}
        // One way to exchange keys is offered, not both.
        Transport::Sdes => put_pair(out, "DTLS", b"off"),
        Transport::Dtls => put_list(out, "SDES", ["off"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(receiver: &Profile, role: Role, sender: &Profile) -> String {
        let mut out = Vec::new();
        Treatment::new(receiver).put(role, &Treatment::new(sender), &mut out);
        assert!(out.len() <= Treatment::new(receiver).size(&Treatment::new(sender)));
        String::from_utf8(out).unwrap()
    }

    fn browser() -> Profile {
        let options = Profile { transport: Transport::Dtls, ice: Ice::Force, rtcp_mux: RtcpMux::Require, ..Profile::default() };
        Profile { interface: Some("public".into()), ..options }
    }

    fn telephone() -> Profile {
        let options = Profile { transport: Transport::Rtp, ice: Ice::Remove, rtcp_mux: RtcpMux::Demux, ..Profile::default() };
        Profile { interface: Some("private".into()), ..options }
    }

    #[test]
    fn an_offer_carries_what_its_receiver_gets() {
        assert_eq!(
            written(&browser(), Role::Offer, &telephone()),
            "9:directionl7:private6:publice18:transport protocol17:UDP/TLS/RTP/SAVPF4:SDESl3:offe3:ICE5:force8:rtcp-muxl7:requiree\
             5:flagsl12:generate mide7:replacel6:origine"
        );
        assert_eq!(
            written(&telephone(), Role::Offer, &browser()),
            "9:directionl6:public7:privatee18:transport protocol7:RTP/AVP3:ICE6:remove8:rtcp-muxl5:demuxe\
             5:flagsl17:original sendrecve7:replacel6:origin12:zero addresse"
        );
    }

    #[test]
    fn an_answer_says_neither_interfaces_nor_transport() {
        assert_eq!(written(&browser(), Role::Answer, &telephone()), "3:ICE5:force8:rtcp-muxl7:requiree7:replacel6:origine");
    }

    #[test]
    fn a_profile_that_says_nothing_asks_for_nothing() {
        let plain = Profile { replace: Vec::new(), ..Profile::default() };
        assert_eq!(written(&plain, Role::Offer, &plain), "");
        assert_eq!(written(&plain, Role::Answer, &plain), "");
        // Of two interfaces one alone cannot be said.
        assert_eq!(written(&plain, Role::Offer, &telephone()), "9:directionl7:private7:defaulte");
    }

    #[test]
    fn codecs_are_said_with_offers_alone() {
        let limited = Profile { codecs: Codecs { allow: vec!["PCMA".into()], ..Codecs::default() }, ..Profile::default() };
        let plain = Profile::default();
        for (receiver, sender) in [(&limited, &plain), (&plain, &limited)] {
            assert_eq!(
                written(receiver, Role::Offer, sender),
                "5:codecd6:exceptl4:PCMAe5:stripl3:allee7:replacel6:origine",
                "a codec that one of them may not have is not offered at all"
            );
            assert_eq!(written(receiver, Role::Answer, sender), "7:replacel6:origine");
        }
    }

    #[test]
    fn offers_and_answers_say_which_addresses_their_receiver_has() {
        let six = Profile { family: Family::Ipv6, replace: Vec::new(), ..Profile::default() };
        let four = Profile { family: Family::Ipv4, ..six.clone() };
        for role in [Role::Offer, Role::Answer] {
            assert_eq!(written(&six, role, &four), "14:address family3:IP6");
            assert_eq!(written(&four, role, &six), "14:address family3:IP4");
        }
    }

    #[test]
    fn flags_are_passed_on() {
        let profile =
            Profile { symmetry: Symmetry::Asymmetric, flags: vec!["loop protect".into(), "asymmetric".into()], ..Profile::default() };
        assert!(written(&profile, Role::Offer, &profile).contains("5:flagsl10:asymmetric12:loop protecte"));
    }

    #[test]
    fn whose_address_counts_is_said_with_its_own_sdp() {
        let asymmetric = Profile { symmetry: Symmetry::Asymmetric, ..Profile::default() };
        let plain = Profile::default();
        for role in [Role::Offer, Role::Answer] {
            assert!(written(&plain, role, &asymmetric).contains("5:flagsl10:asymmetrice"), "{role:?}");
            assert!(!written(&asymmetric, role, &plain).contains("asymmetric"), "{role:?}");
        }
    }
}
