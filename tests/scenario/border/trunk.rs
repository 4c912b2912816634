//! A border at a trunk, with all that trunks and plugins do beside it.

use std::time::Duration;

use super::conversations::everything;
use super::end::End;
use super::{ALL, Layout};
use crate::support::dialog::ack_of_failure;
use crate::support::gauges::{Gauges, calls_by_command};
use crate::support::peer::Received;

/// The trunk alone says what is hidden; both listeners say nothing.
const HIDING: &str = "from = [\"127.0.2.6\"]\nhide = { call-id = true, clean = [\"from\", \"to\", \"origin\", \"identity\"] }\n";

/// Both ways: the provider sees nothing of the PBX, nor the PBX of the provider.
#[test]
fn a_provider_sees_nothing_of_the_pbx_behind_a_trunk_that_hides() {
    let border = Layout::trunk(HIDING).start();
    everything(&border.lan, &border.wan);
    everything(&border.wan, &border.lan);
    border.nothing_shows();
}

/// With a plugin that chooses the trunk, and one that says where else a call goes.
#[test]
fn a_call_that_a_plugin_decides_about_is_hidden() {
    let table = |end: &End| {
        format!(
            "header = \"X-Account\"\nmatch = {{ \"1\" = \"trunk\", \"2\" = \"hop\" }}\ntargets.trunk = {{ trunk = \"to-wan\" }}\n\
             targets.hop = {{ next-hop = {:?}, egress = \"wan\", set-headers = {{ X-By = \"plugin\" }} }}\n",
            end.next_hop()
        )
    };
    let border = Layout::udp(ALL).start_with(&["header-match"], |config, _, wan| config.plugin("header-match", table(wan)));
    for account in ["1", "2"] {
        for by_caller in [true, false] {
            let draft = border.lan.invite("sip:49@example.test").header("X-Account", account);
            let (mut of_caller, mut of_callee) = border.lan.establishes(&draft, &border.wan);
            border.wan.asks(&mut of_callee, "INVITE", &border.lan);
            match by_caller {
                true => border.lan.asks(&mut of_caller, "BYE", &border.wan),
                false => border.wan.asks(&mut of_callee, "BYE", &border.lan),
            };
        }
    }
    border.nothing_shows();
}

/// The two sides know a call by different Call-IDs; it is counted once, and its end is seen from either.
#[test]
fn calls_with_a_hidden_call_id_are_counted_until_either_end_hangs_up() {
    let gauges = Gauges::new();
    let layout = Layout { trunk: "from = [\"127.0.2.6\"]\ncalls = 2\nhide = { call-id = true }\n", ..Layout::udp("") };
    let border = layout.start_with(&[], |config, _, _| gauges.of(config));
    let (lan, wan) = (&border.lan, &border.wan);
    for _ in 0..2 {
        let calls: Vec<_> = (0..4)
            .map(|number| match number % 2 {
                0 => (lan, wan, lan.establishes(&lan.invite(&lan.calls("49")), wan)),
                _ => (wan, lan, wan.establishes(&wan.invite(&wan.calls("30")), lan)),
            })
            .collect();
        // A call counts where it goes to.
        assert_eq!(calls_by_command(&border.proxy), [("to-lan".to_owned(), 2), ("to-wan".to_owned(), 2)].into());
        let busy = lan.invite(&lan.calls("50"));
        lan.send(&busy);
        let answer = lan.peer.expect_final();
        assert_eq!(answer.status(), 503);
        lan.send(&ack_of_failure(&busy, &answer));
        for (number, (caller, callee, (mut of_caller, mut of_callee))) in calls.into_iter().enumerate() {
            match number / 2 {
                0 => caller.asks(&mut of_caller, "BYE", callee),
                _ => callee.asks(&mut of_callee, "BYE", caller),
            };
        }
        gauges.are_zero(&border.proxy, Duration::from_secs(10));
    }
}

/// RFC 3261 22: the numbers of the two sides differ from the second INVITE on, and so do the Call-IDs.
#[test]
fn a_challenge_is_answered_in_a_hidden_call_and_its_numbers_fit_for_both_sides() {
    let layout = Layout {
        trunk: "from = [\"127.0.2.6\"]\nusername = \"49301\"\npassword-file = \"secret\"\n\
                hide = { call-id = true, clean = [\"from\", \"to\", \"origin\", \"identity\"] }\n",
        ..Layout::udp("")
    };
    let border = layout.start_with(&[], |config, _, _| config.file("secret", "pass\n"));
    let (lan, wan) = (&border.lan, &border.wan);
    let number = |message: &Received| message.message.cseq().map_or(0, |(number, _)| number);
    for by_caller in [true, false] {
        lan.send(&lan.invite(&lan.calls("49")));
        let bare = wan.expect("INVITE");
        let challenge = "Digest realm=\"provider.test\", nonce=\"n0nce\", algorithm=SHA-256, qop=\"auth\"";
        wan.peer.send(&wan.response(&bare, 407).header("Proxy-Authenticate", challenge), &bare.link);
        wan.expect("ACK");
        let again = wan.expect("INVITE");
        assert!(again.value("Proxy-Authorization").contains("username=\"49301\""), "{}", again.value("Proxy-Authorization"));
        assert_eq!((number(&again), again.value("Call-ID")), (number(&bare) + 1, bare.value("Call-ID")));
        wan.reply_with_sdp(&again, 200);
        let answer = lan.expect_status(200);
        assert_eq!(answer.value("CSeq"), "1 INVITE");
        let (mut of_caller, mut of_callee) = (lan.caller_of(&answer), wan.callee_of(&again));
        lan.send(&lan.next(&mut of_caller, "ACK"));
        assert_eq!(number(&wan.expect_in_dialog("ACK")), number(&again));
        wan.asks(&mut of_callee, "INVITE", lan);
        assert!(number(&lan.asks(&mut of_caller, "INVITE", wan)) > number(&again));
        wan.asks(&mut of_callee, "INFO", lan);
        match by_caller {
            true => lan.asks(&mut of_caller, "BYE", wan),
            false => wan.asks(&mut of_callee, "BYE", lan),
        };
    }
    border.nothing_shows();
}
