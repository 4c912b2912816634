//! A profile, ready for questions: its options as octets of the ng protocol, so that a question only copies them.
//!
//! An option speaks of the side that receives a message. So an offer from A to B carries B's options and the answer from B to A carries A's,
//! and that holds for offers from either end.

use std::sync::Arc;

use crate::bencode::{put_list, put_pair, put_string};
use crate::exchange::Role;
use crate::profile::{Codecs, Ice, Profile, Replace, RtcpMux, Symmetry, Transport};

/// What stands for the first interface of a relay where only the other side of a call has one by name.
const FIRST_INTERFACE: &str = "default";

/// What one side gets, ready to be asked for.
#[derive(Clone, Debug)]
pub struct Treatment {
    interface: Option<Arc<str>>,
    sends: Sends,
    offered_to: Options,
    answered_to: Options,
}

/// Options towards a side: what differs with who sent the message is written for both.
#[derive(Clone, Debug)]
struct Options {
    from_telephone: Vec<u8>,
    from_browser: Vec<u8>,
}

/// What a side's own SDP is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sends {
    /// Addresses mean what they say.
    Addresses,
    /// Until it has candidates, its address is 0.0.0.0, which is no hold (RFC 8840 4.1.1).
    Candidates,
}

impl Default for Treatment {
    fn default() -> Self {
        Self::new(&Profile::default())
    }
}

impl Treatment {
    /// That of a profile.
    pub fn new(profile: &Profile) -> Self {
        let options = |role| Options {
            from_telephone: options(profile, role, Sends::Addresses),
            from_browser: options(profile, role, Sends::Candidates),
        };
        let sends = if profile.transport == Transport::Dtls { Sends::Candidates } else { Sends::Addresses };
        Self { interface: profile.interface.clone(), sends, offered_to: options(Role::Offer), answered_to: options(Role::Answer) }
    }

    /// Appends the pairs of a question about a message that goes from the sender's side to this one.
    pub(crate) fn put(&self, role: Role, sender: &Self, out: &mut Vec<u8>) {
        let options = match role {
            Role::Offer => {
                self.put_direction(sender, out);
                &self.offered_to
            }
            // The relay remembers the interfaces of the offer.
            Role::Answer => &self.answered_to,
        };
        out.extend_from_slice(match sender.sends {
            Sends::Addresses => &options.from_telephone,
            Sends::Candidates => &options.from_browser,
        });
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
    pub(crate) fn size(&self) -> usize {
        const DIRECTION: usize = 64;
        DIRECTION + self.offered_to.from_browser.len().max(self.answered_to.from_browser.len())
    }
}

fn options(profile: &Profile, role: Role, sender: Sends) -> Vec<u8> {
    let mut out = Vec::new();
    if role == Role::Offer {
        // In an answer the relay goes by what was offered.
        put_transport(profile.transport, &mut out);
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
    put_codecs(&profile.codecs, role, &mut out);
    let (mut flags, mut replace) = (Vec::new(), Vec::new());
    match profile.symmetry {
        Symmetry::Symmetric => {}
        Symmetry::Asymmetric => flags.push("asymmetric"),
    }
    if profile.transport == Transport::Dtls && role == Role::Offer {
        // A browser names its media by it (RFC 8843 4), and takes an offer without one with reluctance.
        flags.push("generate mid");
    }
    replace.extend(profile.replace.iter().map(|replace| replaced(*replace)));
    if sender == Sends::Candidates && profile.transport != Transport::Dtls {
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

fn put_codecs(codecs: &Codecs, role: Role, out: &mut Vec<u8>) {
    let names = |names: &'_ [Arc<str>]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let (allow, mut strip, transcode) = (names(&codecs.allow), names(&codecs.remove), names(&codecs.transcode));
    let mut mask = Vec::new();
    if !allow.is_empty() {
        // What is masked can still be what the other side sends, where the relay transcodes.
        let all = if role == Role::Offer && !transcode.is_empty() { &mut mask } else { &mut strip };
        all.push("all".to_owned());
    }
    let transcode = if role == Role::Offer { transcode } else { Vec::new() };
    if [&strip, &mask, &transcode].into_iter().all(Vec::is_empty) {
        return;
    }
    put_string(out, b"codec");
    out.push(b'd');
    for (key, list) in [("except", &allow), ("mask", &mask), ("strip", &strip), ("transcode", &transcode)] {
        put_list(out, key, list.iter().map(String::as_str));
    }
    out.push(b'e');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(receiver: &Profile, role: Role, sender: &Profile) -> String {
        let mut out = Vec::new();
        Treatment::new(receiver).put(role, &Treatment::new(sender), &mut out);
        assert!(out.len() <= Treatment::new(receiver).size());
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
    fn codecs_are_removed_allowed_and_transcoded() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>();
        let with = |allow: &[&str], remove: &[&str], transcode: &[&str], role| {
            let codecs = Codecs { allow: names(allow), remove: names(remove), transcode: names(transcode) };
            let profile = Profile { codecs, replace: Vec::new(), ..Profile::default() };
            written(&profile, role, &Profile::default())
        };
        for role in [Role::Offer, Role::Answer] {
            assert_eq!(with(&["PCMA"], &[], &[], role), "5:codecd6:exceptl4:PCMAe5:stripl3:allee");
            assert_eq!(with(&[], &["G729"], &[], role), "5:codecd5:stripl4:G729ee");
        }
        assert_eq!(with(&["PCMA"], &[], &["opus"], Role::Offer), "5:codecd6:exceptl4:PCMAe4:maskl3:alle9:transcodel4:opusee");
        assert_eq!(with(&[], &[], &["opus"], Role::Answer), "");
    }

    #[test]
    fn flags_are_passed_on() {
        let profile =
            Profile { symmetry: Symmetry::Asymmetric, flags: vec!["loop protect".into(), "asymmetric".into()], ..Profile::default() };
        assert!(written(&profile, Role::Offer, &profile).contains("5:flagsl10:asymmetric12:loop protecte"));
    }
}
