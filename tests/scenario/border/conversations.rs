//! Everything that two user agents say to each other, by every transport: it arrives, and says nothing of whom it came from.

use jackfield_proto::net::Transport;

use super::end::{EDGE, End, INNER};
use super::{ALL, Layout};
use crate::support::dialog::{ack_of_failure, cancel_of, uri_of};
use crate::support::draft::unique;

/// RFC 3261 13, RFC 3262, RFC 3311, RFC 6086, RFC 3515: a call with all that a call can have.
fn a_long_call(caller: &End, callee: &End) {
    caller.send(&caller.invite(&caller.calls("49")).header("Supported", "100rel"));
    let invite = callee.expect("INVITE");
    let early = callee.response(&invite, 183).header("Require", "100rel").header("RSeq", "7").body("application/sdp", callee.sdp());
    callee.peer.send(&early, &invite.link);
    let mut of_caller = caller.caller_of(&caller.expect_status(183));
    let mut of_callee = callee.callee_of(&invite);
    let prack = caller.next(&mut of_caller, "PRACK").header("RAck", "7 1 INVITE");
    caller.send(&prack);
    let got = callee.expect_in_dialog("PRACK");
    callee.reply(&got, 200);
    caller.expect_status(200);
    callee.asks(&mut of_callee, "UPDATE", caller);
    callee.reply(&invite, 200);
    caller.expect_status(200);
    caller.send(&caller.next(&mut of_caller, "ACK").with("CSeq", "1 ACK"));
    callee.expect_in_dialog("ACK");
    for method in ["INVITE", "UPDATE", "INFO", "MESSAGE", "OPTIONS"] {
        caller.asks(&mut of_caller, method, callee);
        callee.asks(&mut of_callee, method, caller);
    }
    // Who transfers a call names the other end as he knows it; who is told knows it by another name (RFC 5589 6).
    let target = of_caller.target.clone();
    caller.send(&caller.next(&mut of_caller, "REFER").header("Refer-To", format!("<{target}>")));
    let refer = callee.expect_in_dialog("REFER");
    let named = uri_of(&refer.value("Refer-To"));
    assert!(named.starts_with("sip:jh-") && named.contains(&callee.listener.ip().to_string()), "{named}");
    callee.reply(&refer, 202);
    caller.expect_status(202);
    callee.asks(&mut of_callee, "NOTIFY", caller);
    caller.asks(&mut of_caller, "BYE", callee);
}

fn a_call_that_the_callee_ends(caller: &End, callee: &End) {
    let (_, mut of_callee) = caller.establishes(&caller.invite(&caller.calls("50")), callee);
    callee.asks(&mut of_callee, "BYE", caller);
}

/// RFC 3261 9.
fn a_call_given_up(caller: &End, callee: &End) {
    let draft = caller.invite(&caller.calls("51"));
    caller.send(&draft);
    let invite = callee.expect("INVITE");
    callee.reply(&invite, 180);
    caller.expect_status(180);
    caller.send(&cancel_of(&draft));
    caller.expect_status(200);
    let cancel = callee.expect("CANCEL");
    callee.reply(&cancel, 200);
    callee.reply(&invite, 487);
    callee.expect("ACK");
    let answer = caller.expect_status(487);
    caller.send(&ack_of_failure(&draft, &answer));
}

/// RFC 3261 21.4.24, 21.3.3.
fn calls_that_come_to_nothing(caller: &End, callee: &End) {
    let busy = caller.is_refused(&caller.invite(&caller.calls("52")), callee, |got| callee.response(got, 486));
    assert_eq!(busy.status(), 486);
    let elsewhere = format!("<sip:53@{}:5060>;q=0.5", callee.network.at(INNER));
    let moved =
        caller.is_refused(&caller.invite(&caller.calls("53")), callee, |got| callee.response(got, 302).header("Contact", &elsewhere));
    let contact = moved.value("Contact");
    assert!(moved.status() == 302 && contact.starts_with("<sip:jh-") && contact.ends_with(";q=0.5"), "{} {contact}", moved.status());
}

/// RFC 6665, and REFER that begins a dialog (RFC 3515).
fn a_subscription(caller: &End, callee: &End) {
    for method in ["SUBSCRIBE", "REFER"] {
        let draft = caller.request(method, &caller.calls("54")).header("Event", "presence").header("Refer-To", "<sip:else@where.test>");
        caller.send(&draft);
        let got = callee.expect(method);
        callee.reply(&got, 202);
        let mut of_caller = caller.caller_of(&caller.expect_status(202));
        let mut of_callee = callee.callee_of(&got);
        callee.asks(&mut of_callee, "NOTIFY", caller);
        caller.asks(&mut of_caller, "SUBSCRIBE", callee);
        callee.asks(&mut of_callee, "NOTIFY", caller);
    }
}

/// RFC 3261 10, RFC 3327, RFC 3608: the registrar knows a Contact of ours, and who has registered is called by it.
fn a_registration_and_a_call_by_it(phone: &End, registrar: &End) {
    let contact = format!("{};expires=600;reg-id=1;+sip.instance=\"<urn:uuid:{}>\"", phone.contact(), unique());
    let mut draft = phone.request("REGISTER", &format!("sip:{}", registrar.network.domain())).with("Contact", &contact);
    draft = draft.without("Record-Route").header("Supported", "path, outbound");
    // The name that the registrar knows is at its own domain, and stays, as in From (RFC 3261 10.2).
    let name = format!("<sip:4930@{}>", registrar.network.domain());
    draft = draft.with("To", &name).with("From", format!("{name};tag={}", unique()));
    let path = phone.proxies().join(", ");
    phone.send(&if path.is_empty() { draft } else { draft.header("Path", &path) });
    let got = registrar.expect("REGISTER");
    assert!(got.value("To") == name && got.value("From").starts_with(&name), "{} {}", got.value("To"), got.value("From"));
    let (ours, none) = (got.value("Contact"), got.values("Path"));
    assert!(ours.starts_with("<sip:jh-") && none.is_empty(), "{ours} {none:?}");
    let other = format!("<sip:another@{}>;expires=5", registrar.network.at(INNER));
    let answer = registrar.response(&got, 200).with("Contact", format!("{ours}, {other}"));
    let answer = answer.header("Service-Route", format!("<sip:{};lr>", registrar.network.at(EDGE)));
    registrar.peer.send(&answer, &got.link);
    let answer = phone.expect_status(200);
    let contacts = answer.value("Contact");
    assert!(contacts.starts_with(&contact), "{contacts}");
    assert_eq!(answer.values("Path").join(", "), path);

    registrar.send(&registrar.invite(&uri_of(&ours)));
    let call = phone.expect_in_dialog("INVITE");
    phone.reply_with_sdp(&call, 200);
    let mut of_caller = registrar.caller_of(&registrar.expect_status(200));
    let mut of_callee = phone.callee_of(&call);
    registrar.send(&registrar.next(&mut of_caller, "ACK"));
    phone.expect_in_dialog("ACK");
    registrar.asks(&mut of_caller, "INFO", phone);
    phone.asks(&mut of_callee, "BYE", registrar);
}

pub(super) fn everything(caller: &End, callee: &End) {
    a_long_call(caller, callee);
    a_call_that_the_callee_ends(caller, callee);
    a_call_given_up(caller, callee);
    calls_that_come_to_nothing(caller, callee);
    a_subscription(caller, callee);
}

fn nothing_is_seen_by(lan: Transport, wan: Transport) {
    let border = Layout::of(lan, wan, ALL).start();
    everything(&border.lan, &border.wan);
    a_registration_and_a_call_by_it(&border.lan, &border.wan);
    // A browser has no name by which it could be called, but for what it has registered.
    if !border.lan.is_a_browser() {
        everything(&border.wan, &border.lan);
        a_registration_and_a_call_by_it(&border.wan, &border.lan);
    }
    border.nothing_shows();
}

#[test]
fn nothing_that_a_side_gets_by_udp_names_the_other() {
    nothing_is_seen_by(Transport::Udp, Transport::Udp);
}

#[test]
fn nothing_that_a_side_gets_by_tcp_names_the_other() {
    nothing_is_seen_by(Transport::Tcp, Transport::Tcp);
}

#[test]
fn nothing_that_a_side_gets_by_tls_names_the_other() {
    nothing_is_seen_by(Transport::Tls, Transport::Tls);
}

#[test]
fn nothing_that_a_side_gets_over_a_change_of_transport_names_the_other() {
    nothing_is_seen_by(Transport::Udp, Transport::Tls);
    nothing_is_seen_by(Transport::Tcp, Transport::Udp);
}

#[test]
fn nothing_that_a_provider_gets_names_a_browser() {
    nothing_is_seen_by(Transport::Ws, Transport::Udp);
}

#[test]
fn nothing_that_a_provider_gets_names_a_browser_under_tls() {
    nothing_is_seen_by(Transport::Wss, Transport::Tls);
}

/// What looks through the messages sees what there is to see, at both sides; and what is not said to be cleaned is not.
#[test]
fn what_is_not_hidden_shows() {
    for (keys, least) in
        [("hide = false", &["Via", "Record-Route", "Contact", "Call-ID", "From", "o="][..]), ("hide = true", &["From", "o="])]
    {
        let border = Layout::udp(keys).start();
        let (lan, wan) = (&border.lan, &border.wan);
        lan.send(&lan.invite(&lan.calls("49")));
        let got = wan.expect("INVITE");
        wan.reply_with_sdp(&got, 183);
        lan.expect_status(183);
        let shown = border.shown();
        let at = |name: &str| shown.iter().filter(|says| says.starts_with(name)).count();
        assert!(at("lan reads") > 0 && at("wan reads") > 0, "{keys}: {shown:?}");
        let secrets = lan.secrets();
        for line in least {
            let message = String::from_utf8_lossy(got.message.bytes()).into_owned();
            let reads = message.lines().any(|text| text.starts_with(line) && !secrets.read_in(text.as_bytes()).is_empty());
            assert!(reads, "{keys}: {line} says nothing in\n{message}");
        }
    }
}
