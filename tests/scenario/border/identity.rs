//! Who is told who is calling (RFC 3323, RFC 3325), over a whole call.

use jackfield_proto::net::Transport;

use super::end::End;
use super::{Border, Layout};
use crate::support::dialog::Dialog;
use crate::support::draft::Draft;
use crate::support::peer::Received;

const ASSERTED: &str = "P-Asserted-Identity";
const CALLER: &str = "<sip:+4930123@pbx.test>";
const CLAIMED: [(&str, &str); 4] = [
    ("P-Preferred-Identity", "<sip:preferred@pbx.test>"),
    ("Remote-Party-ID", "<sip:party@pbx.test>;party=calling"),
    ("History-Info", "<sip:history@pbx.test>;index=1"),
    ("Diversion", "<sip:diverted@pbx.test>;reason=unconditional"),
];

fn between(lan: &'static str, wan: &'static str) -> Border {
    Layout { lan: (Transport::Udp, lan), wan: (Transport::Udp, wan), trunk: "" }.start()
}

/// An INVITE that says all that can be said of a caller.
fn claiming(caller: &End, privacy: &str) -> Draft {
    let draft = caller.invite(&caller.calls("49")).with(ASSERTED, CALLER).without("Diversion");
    let draft = CLAIMED.into_iter().fold(draft, |draft, (name, value)| draft.header(name, value));
    if privacy.is_empty() { draft } else { draft.header("Privacy", privacy) }
}

/// How it arrives. It is refused there.
fn arrival(caller: &End, draft: &Draft, callee: &End) -> Received {
    let mut arrived = None;
    caller.is_refused(draft, callee, |got| {
        arrived = Some(got.clone());
        callee.response(got, 486)
    });
    arrived.expect("it has arrived")
}

fn said(got: &Received) -> Vec<&'static str> {
    [ASSERTED].into_iter().chain(CLAIMED.map(|(name, _)| name)).filter(|name| !got.values(name).is_empty()).collect()
}

/// RFC 3325 7: out of the trust domain, as Privacy says.
#[test]
fn a_provider_that_is_not_trusted_is_told_who_calls_unless_the_caller_minds() {
    let border = between("identity = \"trusted\"", "identity = \"untrusted\"");
    for (privacy, told) in [("", &[ASSERTED, "Remote-Party-ID"][..]), ("none", &[ASSERTED, "Remote-Party-ID"]), ("id", &[])] {
        let got = arrival(&border.lan, &claiming(&border.lan, privacy), &border.wan);
        assert_eq!((said(&got), got.value("Privacy")), (told.to_vec(), privacy.to_owned()), "Privacy: {privacy}");
    }
}

/// RFC 3325 5: what one that is trusted says is believed and told, id or not; but a P-Preferred-Identity is for the first proxy alone.
#[test]
fn what_a_trusted_provider_says_passes_to_a_trusted_pbx() {
    let border = between("identity = \"trusted\"", "identity = \"trusted\"");
    for privacy in ["", "id"] {
        let got = arrival(&border.wan, &claiming(&border.wan, privacy), &border.lan);
        assert_eq!(said(&got), [ASSERTED, "Remote-Party-ID", "History-Info", "Diversion"], "Privacy: {privacy}");
        assert_eq!(got.value(ASSERTED), CALLER);
    }
}

/// RFC 3325 5: who is not trusted asserts nothing, not for himself and not in his answers.
#[test]
fn what_a_telephone_says_of_itself_is_taken_out() {
    let border = between("identity = \"untrusted\"", "identity = \"trusted\"");
    let got = arrival(&border.lan, &claiming(&border.lan, ""), &border.wan);
    assert_eq!(said(&got), [""; 0]);
    border.wan.send(&border.wan.invite(&border.wan.calls("30")));
    let call = border.lan.expect("INVITE");
    border.lan.peer.send(&border.lan.response(&call, 183).header(ASSERTED, CALLER), &call.link);
    assert_eq!(said(&border.wan.expect_status(183)), [""; 0]);
    border.lan.peer.send(&border.lan.response(&call, 200).header(ASSERTED, CALLER), &call.link);
    assert_eq!(said(&border.wan.expect_status(200)), [""; 0]);
}

#[test]
fn remote_party_id_and_diversion_pass_as_configured() {
    let accepting = "identity = { trusted = false, accept = [\"Diversion\"] }";
    let border = between(accepting, "identity = { trusted = false, tell = [\"Diversion\"] }");
    assert_eq!(said(&arrival(&border.lan, &claiming(&border.lan, ""), &border.wan)), ["Diversion"]);
    // An old PBX, which writes and reads nothing else.
    let old_pbx = "identity = { trusted = true, form = \"remote-party-id\" }";
    for (wan, restricted) in [("identity = \"trusted\"", (vec![ASSERTED], "id")), ("identity = \"untrusted\"", (Vec::new(), ""))] {
        let border = between(old_pbx, wan);
        for (privacy, expected) in [("", (vec![ASSERTED], "")), (";privacy=full", restricted)] {
            let party = format!("{CALLER};party=calling{privacy}");
            let draft = border.lan.invite(&border.lan.calls("49")).without(ASSERTED).without("Diversion").header("Remote-Party-ID", party);
            let got = arrival(&border.lan, &draft, &border.wan);
            assert_eq!((said(&got), got.value("Privacy").as_str()), expected, "{wan}: {privacy}");
        }
        let got =
            arrival(&border.wan, &border.wan.invite(&border.wan.calls("30")).with(ASSERTED, CALLER).without("Diversion"), &border.lan);
        let told = if wan.contains("untrusted") { vec![] } else { vec!["Remote-Party-ID"] };
        assert_eq!(said(&got), told, "{wan}");
    }
}

/// RFC 3323 4.1.1.3, 5: anonymous in every request of the caller and every response to him, while he sees himself as he is.
#[test]
fn an_anonymous_caller_stays_so_for_the_whole_dialog() {
    for wan in
        ["identity = { trusted = false, privacy = true }", "identity = { trusted = false, privacy = true }\nhide = { call-id = true }"]
    {
        let border = between("identity = \"trusted\"", wan);
        let (lan, wan) = (&border.lan, &border.wan);
        let draft = claiming(lan, "user;id").header("Subject", "who I am").header("User-Agent", "cellar");
        lan.send(&draft);
        let got = wan.expect("INVITE");
        let heard_before = |got: &Received| {
            let from = got.value("From");
            assert!(from.contains("sip:anonymous@anonymous.invalid") && !from.contains("cellar"), "{from}");
            assert_eq!(said(got).iter().filter(|name| **name == ASSERTED).count(), 0);
        };
        heard_before(&got);
        assert_eq!(got.values("Subject"), [""; 0]);
        wan.reply_with_sdp(&got, 200);
        let answer = lan.expect_status(200);
        assert_eq!(answer.value("From"), draft.value("From"));
        let mut of_caller = of_caller(lan, &answer);
        let mut of_callee = Dialog::of_callee(&got, &wan.peer);
        of_callee.route.retain(|hop| !wan.proxies().contains(hop));
        lan.send(&lan.next(&mut of_caller, "ACK"));
        heard_before(&wan.expect("ACK"));
        for method in ["INVITE", "INFO"] {
            lan.send(&lan.next(&mut of_caller, method).with("User-Agent", "cellar").header(ASSERTED, CALLER));
            let got = wan.expect(method);
            heard_before(&got);
            wan.reply(&got, 200);
            assert_eq!(lan.expect_status(200).value("From"), draft.value("From"));
            if method == "INVITE" {
                lan.send(&lan.next(&mut of_caller, "ACK"));
                heard_before(&wan.expect("ACK"));
            }
        }
        wan.send(&wan.next(&mut of_callee, "INFO"));
        let info = lan.expect("INFO");
        lan.reply(&info, 200);
        let answer = wan.expect_status(200);
        assert!(!String::from_utf8_lossy(answer.message.bytes()).contains("cellar"));
        lan.send(&lan.next(&mut of_caller, "BYE"));
        let bye = wan.expect("BYE");
        heard_before(&bye);
        wan.reply(&bye, 200);
        assert_eq!(lan.expect_status(200).value("From"), draft.value("From"));
    }
}

/// The caller's dialog also where nothing hides that we have two Record-Routes.
fn of_caller(end: &End, answer: &Received) -> Dialog {
    let mut dialog = Dialog::of_caller(answer);
    dialog.route.retain(|hop| !end.proxies().contains(hop));
    dialog
}
