//! Call-ID where it is hidden: who is called sees a word of ours, everything inside and the caller see the caller's.

use jackfield_proto::net::Transport;

use jackfield_proto::proxy::Verdict;

use super::{ALL, CALLEES_PROXY, CALLERS_PROXY, LEAST, Sides, call, hiding_settings, invite, uri};
use crate::support::{Request, edge_flow, text_of};

#[test]
fn each_side_has_its_own_call_id_and_inside_there_is_the_callers() {
    let mut sides = Sides::new(ALL);
    let invite = Request { call_id: "4711@192.0.2.97".into(), ..invite() };
    let dialog = call(&mut sides, invite);
    let theirs = dialog.arrived.value("Call-ID");
    assert!(theirs.starts_with("jh-") && !theirs.contains('@'), "{theirs}");
    assert_eq!(dialog.answer.value("Call-ID"), "4711@192.0.2.97");
    for _ in 0..2 {
        let sent = dialog.receive(&mut sides, &dialog.of_callee("INFO", "i"));
        assert_eq!(sent.value("Call-ID"), "4711@192.0.2.97");
        assert_eq!(text_of(sides.bench.asked.last().unwrap().request.call_id()), "4711@192.0.2.97");
        let answer = sides.answer(&sent, 200, "", &[], &[]);
        assert_eq!((answer.line(), answer.value("Call-ID")), ("Q 200".into(), theirs.clone()));
        let sent = dialog.receive(&mut sides, &dialog.of_caller("INFO", "j"));
        assert_eq!(sent.value("Call-ID"), theirs);
        assert_eq!(sides.answer(&sent, 200, "", &[], &[]).value("Call-ID"), "4711@192.0.2.97");
        sides.restart(hiding_settings(ALL));
    }
    sides.nothing_shows();
}

/// RFC 3261 8.2.6.2: our own answers, with a transaction and without, have the Call-ID of whom they go to.
#[test]
fn our_own_answers_have_the_call_id_of_the_request() {
    let mut sides = Sides::new(ALL);
    let dialog = call(&mut sides, invite());
    let theirs = dialog.arrived.value("Call-ID");
    let of_last = |sides: &Sides, line: &str| sides.bench.last(line).value("Call-ID");

    let again = dialog.of_callee("INVITE", "again").field("Contact", "<sip:B@[2001:db8::66]>");
    dialog.receive(&mut sides, &again);
    sides.bench.pass_ms(200);
    assert_eq!(of_last(&sides, "Q 100"), theirs);
    let on_the_way = sides.bench.last("p INVITE");
    sides.answer(&on_the_way, 180, "", &[], &[]);
    sides.receive(&again.cancel(), edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(of_last(&sides, "Q 200"), theirs);
    let cancel = sides.bench.last("p CANCEL");
    assert_eq!(cancel.value("Call-ID"), "call-1");
    sides.answer(&on_the_way, 487, "", &[], &[]);
    assert_eq!(of_last(&sides, "Q 487"), theirs);
    assert_eq!(of_last(&sides, "p ACK"), "call-1");

    sides.receive(&dialog.of_callee("INFO", "hops").max_forwards(0), edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(of_last(&sides, "Q 483"), theirs);
    sides.bench.unreachable.insert((Transport::Udp, crate::support::address('p')));
    sides.receive(&dialog.of_callee("INFO", "unreachable"), edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(of_last(&sides, "Q 500"), theirs);
    sides.nothing_shows();
}

/// RFC 3891, RFC 3911, RFC 4538, RFC 3261 20.21: each side names a dialog as it knows it.
#[test]
fn call_ids_in_other_fields_cross_both_ways() {
    let mut sides = Sides::new(ALL);
    let dialog = call(&mut sides, invite());
    let theirs = dialog.arrived.value("Call-ID");
    for (name, of_caller) in [
        ("Replaces", "call-1;to-tag=tQ;from-tag=a1"),
        ("Join", "call-1 ;to-tag=tQ;from-tag=a1"),
        ("Target-Dialog", "call-1;local-tag=a1;remote-tag=tQ"),
        ("In-Reply-To", "call-1"),
    ] {
        let of_callee = of_caller.replace("call-1", &theirs);
        let sent = dialog.receive(&mut sides, &dialog.of_caller("REFER", name).field(name, of_caller));
        assert_eq!(sent.value(name), of_callee);
        let sent = dialog.receive(&mut sides, &dialog.of_callee("REFER", name).field(name, &of_callee));
        assert_eq!(sent.value(name), of_caller);
    }
    let list = format!("{theirs}, {theirs}");
    let sent = dialog.receive(&mut sides, &dialog.of_callee("INFO", "list").field("In-Reply-To", &list));
    assert_eq!(sent.values("In-Reply-To"), ["call-1", "call-1"]);
}

/// RFC 5589 7: who transfers a call names the other end, and the dialog with him, as he knows them; who follows that gets there.
#[test]
fn an_attended_transfer_finds_the_other_end() {
    let mut sides = Sides::new(ALL);
    let with_transferee = call(&mut sides, invite());
    let second = Request { call_id: "call-2@192.0.2.97".into(), ..invite() }.branch("second");
    let with_target = call(&mut sides, second);
    let known = uri(&with_target.answer.value("Contact"));
    let refer_to = format!("<{known};method=INVITE?Replaces=call-2%40192.0.2.97%3Bto-tag%3DtQ%3bfrom-tag%3da1&Subject=x>");
    let refer = with_transferee.of_caller("REFER", "refer").field("Refer-To", &refer_to);
    let sent = with_transferee.receive(&mut sides, &refer);
    let target = uri(&sent.value("Refer-To"));
    let (to_call, headers) = target.split_once(";method=INVITE?").unwrap();
    assert!(to_call.starts_with("sip:jh-") && to_call.ends_with("@[2001:db8::1]:5060"), "{target}");
    let theirs = with_target.arrived.value("Call-ID");
    assert_eq!(headers, format!("Replaces={theirs}%3Bto-tag%3DtQ%3Bfrom-tag%3Da1&Subject=x"));

    sides.bench.on_request(|_| Some(Verdict::follow(Vec::new())));
    let replacing = Request { call_id: "new".into(), from_tag: "n1".into(), ..Request::new("INVITE") };
    let replacing = replacing.by(CALLEES_PROXY, Transport::Udp).uri(to_call).branch("replacing");
    let replacing = replacing.field("Replaces", &format!("{theirs};to-tag=tQ;from-tag=a1")).field("Contact", "<sip:C@[2001:db8::67]>");
    sides.receive(&replacing, edge_flow(CALLEES_PROXY, Transport::Udp));
    assert_eq!(text_of(sides.last().message.request_uri()), "sip:B@[2001:db8::66]:5060");
    sides.nothing_shows();
}

/// Another of our kind may be the caller: then its word is the Call-ID of the dialog.
#[test]
fn a_callers_own_call_id_may_look_like_ours() {
    let mut sides = Sides::new(ALL);
    let call_id = format!("jh-{}", "A".repeat(40));
    let dialog = call(&mut sides, Request { call_id: call_id.clone(), ..invite() });
    assert_ne!(dialog.arrived.value("Call-ID"), call_id);
    let sent = dialog.receive(&mut sides, &dialog.of_caller("INFO", "1"));
    assert_eq!(sent.value("Call-ID"), dialog.arrived.value("Call-ID"));
    let sent = dialog.receive(&mut sides, &dialog.of_callee("INFO", "2"));
    assert_eq!(sent.value("Call-ID"), call_id);
}

#[test]
fn it_stays_where_nobody_asks() {
    let mut sides = Sides::new(LEAST);
    let dialog = call(&mut sides, invite());
    assert_eq!(dialog.arrived.value("Call-ID"), "call-1");
    sides.receive(&dialog.of_caller("BYE", "1").field("In-Reply-To", "x"), edge_flow(CALLERS_PROXY, Transport::Udp));
    assert_eq!((sides.last().value("Call-ID").as_str(), sides.last().value("In-Reply-To").as_str()), ("call-1", "x"));
}
