//! Packets through rtpengine itself, from the sockets of both ends.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::{Border, Keys, body};
use crate::support::dialog::Dialog;
use crate::support::peer::Received;
use crate::support::rtp::{Voice, told};
use crate::support::rtpengine::Rtpengine;

const NONE: Keys<'_> = Keys { main: "", wan: "", trunk: "", tables: "", media: None };

/// Where the two ends have their media.
const INSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 71);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 72);

/// A call of the PBX with these session descriptions. Gives the offer as the provider got it, the answer as the PBX did, and both dialogs.
fn call(border: &Border, offer: &str, answer: &str) -> (Received, Received, Dialog, Dialog) {
    border.pbx.send(&border.invite(offer), &border.inside);
    let got = border.provider.expect("INVITE");
    border.provider.send(&border.provider.response(&got, 200).body("application/sdp", answer), &got.link);
    let answered = border.pbx.expect_status(200);
    let mut caller = Dialog::of_caller(&answered);
    border.pbx.send(&caller.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    let callee = Dialog::of_callee(&got, &border.provider);
    (got, answered, caller, callee)
}

/// A re-INVITE of the PBX with the same voices; gives what each of them was told.
fn offers_again(border: &Border, dialog: &mut Dialog, pbx: &Voice, provider: &Voice) -> (String, String) {
    border.pbx.send(&dialog.request(&border.pbx, "INVITE", &border.inside).body("application/sdp", pbx.sdp()), &border.inside);
    let got = border.provider.expect("INVITE");
    border.provider.send(&border.provider.response(&got, 200).body("application/sdp", provider.sdp()), &got.link);
    let answered = border.pbx.expect_status(200);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside), &border.inside);
    border.provider.expect("ACK");
    (body(&answered), body(&got))
}

#[test]
fn packets_cross_each_way_and_neither_end_sees_the_others_address() {
    let Some(relay) = Rtpengine::start("one") else { return };
    let border = Border::new(&Keys { tables: &relay.table(""), ..NONE }, |config| config, &[]);
    let (pbx, provider) = (Voice::at("pbx", INSIDE), Voice::at("provider", OUTSIDE));
    let (offer, answer, mut dialog, _) = call(&border, &pbx.sdp(), &provider.sdp());
    let (of_provider, of_pbx) = (told(&body(&offer)), told(&body(&answer)));
    assert_eq!((of_provider.ip(), of_pbx.ip()), (IpAddr::from(relay.public), IpAddr::from(relay.private)), "each side its interface");
    assert!(!body(&offer).contains(&INSIDE.to_string()), "{}", body(&offer));
    assert!(!body(&answer).contains(&OUTSIDE.to_string()), "{}", body(&answer));
    // Symmetric: what comes, comes from where the end was told to send to (RFC 4961).
    assert_eq!(pbx.is_heard_by(&provider, of_pbx), of_provider);
    assert_eq!(provider.is_heard_by(&pbx, of_provider), of_pbx);
    assert_eq!(relay.calls().len(), 1);
    let (of_pbx, of_provider) = offers_again(&border, &mut dialog, &pbx, &provider);
    pbx.is_heard_by(&provider, told(&of_pbx));
    provider.is_heard_by(&pbx, told(&of_provider));
    border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
    let bye = border.provider.expect("BYE");
    border.provider.reply(&bye, 200);
    border.pbx.expect_status(200);
    relay.has_no_calls(Duration::from_secs(5));
}

/// What is behind NAT is heard where it speaks from, whatever its session description says.
#[test]
fn an_end_behind_nat_hears_the_other_once_it_has_spoken() {
    let Some(relay) = Rtpengine::start("one") else { return };
    let border = Border::new(&Keys { tables: &relay.table(""), ..NONE }, |config| config, &[]);
    let (pbx, provider) = (Voice::at("pbx", INSIDE), Voice::at("provider", OUTSIDE));
    let (offer, answer, _, mut callee) = call(&border, &pbx.sdp_behind_nat(), &provider.sdp());
    assert!(!body(&offer).contains("192.0.2.77"), "{}", body(&offer));
    pbx.is_heard_by(&provider, told(&body(&answer)));
    provider.is_heard_by(&pbx, told(&body(&offer)));
    border.provider.send(&callee.request(&border.provider, "BYE", &border.outside), &border.outside);
    let bye = border.pbx.expect("BYE");
    border.pbx.reply(&bye, 200);
    border.provider.expect_status(200);
    relay.has_no_calls(Duration::from_secs(5));
}

/// RFC 3261 13.2.1: the callee offers.
#[test]
fn packets_of_a_call_with_a_delayed_offer_cross_each_way() {
    let Some(relay) = Rtpengine::start("one") else { return };
    let border = Border::new(&Keys { tables: &relay.table(""), ..NONE }, |config| config, &[]);
    let (pbx, provider) = (Voice::at("pbx", INSIDE), Voice::at("provider", OUTSIDE));
    border.pbx.send(&border.bare_invite(), &border.inside);
    let got = border.provider.expect("INVITE");
    border.provider.send(&border.provider.response(&got, 200).body("application/sdp", provider.sdp()), &got.link);
    let answered = border.pbx.expect_status(200);
    let mut dialog = Dialog::of_caller(&answered);
    border.pbx.send(&dialog.request(&border.pbx, "ACK", &border.inside).body("application/sdp", pbx.sdp()), &border.inside);
    let ack = border.provider.expect("ACK");
    let (of_pbx, of_provider) = (told(&body(&answered)), told(&body(&ack)));
    assert_eq!((of_provider.ip(), of_pbx.ip()), (IpAddr::from(relay.public), IpAddr::from(relay.private)));
    pbx.is_heard_by(&provider, of_pbx);
    provider.is_heard_by(&pbx, of_provider);
}

/// Frozen or killed, a relay takes its media with it and nothing else: new calls, and the next offer of those that are up, are the other's.
#[test]
fn a_relay_that_is_frozen_or_killed_has_its_calls_moved_with_packets_and_all() {
    let (Some(mut one), Some(two)) = (Rtpengine::start("one"), Rtpengine::start("two")) else { return };
    let tables = format!("{}{}", one.table(""), two.table("weight = 0"));
    let border = Border::new(&Keys { tables: &tables, ..NONE }, |config| config, &[]);
    for frozen in [true, false] {
        let (pbx, provider) = (Voice::at("pbx", INSIDE), Voice::at("provider", OUTSIDE));
        let (_, answer, mut dialog, _) = call(&border, &pbx.sdp(), &provider.sdp());
        assert_eq!(told(&body(&answer)).ip(), IpAddr::from(one.private), "as long as it is there");
        if frozen {
            one.freeze()
        } else {
            one.kill()
        }
        let begun = Instant::now();
        let (offer, answer, mut new, _) = call(&border, &pbx.sdp(), &provider.sdp());
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(told(&body(&answer)).ip(), IpAddr::from(two.private));
        pbx.is_heard_by(&provider, told(&body(&answer)));
        provider.is_heard_by(&pbx, told(&body(&offer)));
        let (of_pbx, of_provider) = offers_again(&border, &mut dialog, &pbx, &provider);
        assert_eq!(told(&of_pbx).ip(), IpAddr::from(two.private));
        pbx.is_heard_by(&provider, told(&of_pbx));
        provider.is_heard_by(&pbx, told(&of_provider));
        for dialog in [&mut dialog, &mut new] {
            border.pbx.send(&dialog.request(&border.pbx, "BYE", &border.inside), &border.inside);
            let bye = border.provider.expect("BYE");
            border.provider.reply(&bye, 200);
            border.pbx.expect_status(200);
        }
        two.has_no_calls(Duration::from_secs(5));
        if frozen {
            one.thaw();
            // What ended while it was frozen it is told of now, and then it has new calls again.
            one.has_no_calls(Duration::from_secs(30));
            border.proxy.logged(&["media relay answers again", "one"]);
        }
    }
}
