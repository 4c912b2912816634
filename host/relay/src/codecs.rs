//! Which codecs an offer keeps: those that both sides may have.
//!
//! A codec that the sender may not have must not be offered in its name, or the other side chooses it and nothing is left of the answer. So
//! both profiles restrict offers, and an answer, which holds what was offered at most (RFC 3264 6.1), is restricted by neither. Where the
//! relay transcodes for the receiver, what this may not have is only masked: the sender still uses it.

use std::sync::Arc;

use crate::bencode::{put_list, put_string};
use crate::profile::Codecs;

/// Appends what becomes of the codecs of an offer, if anything does.
pub(crate) fn put_codecs(receiver: &Codecs, sender: &Codecs, out: &mut Vec<u8>) {
    let Kept { except, mask, strip } = Kept::new(receiver, sender);
    let transcode = receiver.transcode.iter().map(|name| &**name).collect::<Vec<_>>();
    if [&strip, &mask, &transcode].into_iter().all(Vec::is_empty) {
        return;
    }
    put_string(out, b"codec");
    out.push(b'd');
    for (key, list) in [("except", except), ("mask", mask), ("strip", strip), ("transcode", transcode)] {
        put_list(out, key, list);
    }
    out.push(b'e');
}

/// How many octets of [`put_codecs`] are due to one of the sides.
pub(crate) fn codecs_size(codecs: &Codecs) -> usize {
    const KEYS: usize = 64;
    const LENGTH: usize = 6;
    let Codecs { allow, remove, transcode } = codecs;
    // One that the sender may have is excepted, and masked where the receiver may not have it.
    let octets: usize = allow.iter().chain(remove).chain(transcode).map(|name| 2 * (name.len() + LENGTH)).sum();
    if octets == 0 { 0 } else { octets + KEYS }
}

/// What an offer keeps.
struct Kept<'a> {
    /// Of `all`, these stay.
    except: Vec<&'a str>,
    mask: Vec<&'a str>,
    strip: Vec<&'a str>,
}

impl<'a> Kept<'a> {
    fn new(receiver: &'a Codecs, sender: &'a Codecs) -> Self {
        const ALL: &str = "all";
        let mut strip = Vec::new();
        for name in receiver.remove.iter().chain(&sender.remove) {
            if !strip.contains(&&**name) {
                strip.push(&**name);
            }
        }
        // What the relay transcodes for the sender is offered to it in any case.
        let sends = if sender.allow.is_empty() { Vec::new() } else { names(&[&sender.allow, &sender.transcode]) };
        let receives = names(&[&receiver.allow]);
        let mut mask = Vec::new();
        let except = match (sends.is_empty(), receives.is_empty()) {
            (true, true) => Vec::new(),
            (true, false) => {
                if receiver.transcode.is_empty() {
                    strip.push(ALL);
                } else {
                    mask.push(ALL);
                }
                receives
            }
            (false, true) => {
                strip.push(ALL);
                sends
            }
            (false, false) => {
                strip.push(ALL);
                if receiver.transcode.is_empty() {
                    in_both(&receives, &sends)
                } else {
                    mask.extend(sends.iter().filter(|name| !receives.iter().any(|other| narrower(name, other).is_some())));
                    sends
                }
            }
        };
        Self { except, mask, strip }
    }
}

fn names<'a>(lists: &[&'a [Arc<str>]]) -> Vec<&'a str> {
    lists.iter().flat_map(|list| list.iter()).map(|name| &**name).collect()
}

fn in_both<'a>(one: &[&'a str], other: &[&'a str]) -> Vec<&'a str> {
    one.iter().flat_map(|name| other.iter().filter_map(|other| narrower(name, other))).collect()
}

/// Which of two names of a codec says more, if one is the other or begins with it (`opus`, `opus/48000/2`).
fn narrower<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let (start, rest) = long.as_bytes().split_at_checked(short.len())?;
    (start.eq_ignore_ascii_case(short.as_bytes()) && matches!(rest.first(), None | Some(b'/'))).then_some(long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn codecs(allow: &[&str], remove: &[&str], transcode: &[&str]) -> Codecs {
        Codecs { allow: list(allow), remove: list(remove), transcode: list(transcode) }
    }

    fn written(receiver: &Codecs, sender: &Codecs) -> String {
        let mut out = Vec::new();
        put_codecs(receiver, sender, &mut out);
        assert!(out.len() <= codecs_size(receiver) + codecs_size(sender));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_codec_is_offered_only_if_both_may_have_it() {
        let (none, alaw, g729) = (Codecs::default(), codecs(&["PCMA"], &[], &[]), codecs(&[], &["G729"], &[]));
        for (one, other, expected) in [
            (&none, &none, ""),
            (&alaw, &none, "5:codecd6:exceptl4:PCMAe5:stripl3:allee"),
            (&alaw, &codecs(&["opus", "pcma/8000"], &[], &[]), "5:codecd6:exceptl9:pcma/8000e5:stripl3:allee"),
            (&alaw, &codecs(&["opus"], &[], &[]), "5:codecd5:stripl3:allee"),
            (&g729, &none, "5:codecd5:stripl4:G729ee"),
            (&g729, &g729, "5:codecd5:stripl4:G729ee"),
            (&g729, &alaw, "5:codecd6:exceptl4:PCMAe5:stripl4:G7293:allee"),
        ] {
            assert_eq!(written(one, other), expected);
            assert_eq!(written(other, one), expected);
        }
    }

    #[test]
    fn what_the_receiver_may_not_have_is_masked_where_the_relay_transcodes() {
        let opus = codecs(&["PCMA"], &[], &["opus"]);
        assert_eq!(written(&opus, &Codecs::default()), "5:codecd6:exceptl4:PCMAe4:maskl3:alle9:transcodel4:opusee");
        let sender = codecs(&["PCMA", "PCMU"], &[], &[]);
        assert_eq!(
            written(&opus, &sender),
            "5:codecd6:exceptl4:PCMA4:PCMUe4:maskl4:PCMUe5:stripl3:alle9:transcodel4:opusee",
            "what the sender may not have is not used on its side either"
        );
        assert_eq!(written(&codecs(&[], &[], &["opus"]), &Codecs::default()), "5:codecd9:transcodel4:opusee");
        assert_eq!(written(&Codecs::default(), &opus), "5:codecd6:exceptl4:PCMA4:opuse5:stripl3:allee");
    }

    #[test]
    fn names_are_the_same_with_and_without_a_clock_rate() {
        for (one, other, expected) in
            [("opus", "opus/48000/2", Some("opus/48000/2")), ("PCMA", "pcma", Some("pcma")), ("G72", "G722", None), ("G722", "G729", None)]
        {
            assert_eq!(narrower(one, other), expected);
        }
    }
}
