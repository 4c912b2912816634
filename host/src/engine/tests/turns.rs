//! Requests of a dialog while a decision about one of them is still to come.

use super::*;

const INFO: Method<'static> = Method::new(b"INFO");

/// Sends calls to a callee; decisions about INFO in a dialog come later.
fn script(held: &Held<Decision<u32>>, hop: String) -> Script {
    let held = held.clone();
    let mut script = Script::to(&[]);
    script.wants_in_dialog = true;
    script.on_request = Box::new(move |view| match (view.kind, view.request.method()) {
        (RequestKind::InDialog, INFO) => held.said(pass),
        (RequestKind::InDialog, _) => Said::Now(pass()),
        _ => Said::Now(forward(std::slice::from_ref(&hop), Watch::default())),
    });
    script
}

fn pass() -> Decision<u32> {
    Decision::Undecided { edits: Vec::new(), kept: None }
}

/// The Route fields of a dialog, from the Record-Route fields of its INVITE, in their order, or of the answer, the other way round.
fn routes(message: &Message) -> String {
    let fields = message.fields().filter(|field| field.name == Name::RecordRoute);
    let mut routes: Vec<_> = fields.map(|field| format!("Route: {}\r\n", String::from_utf8_lossy(field.value))).collect();
    if !message.is_request() {
        routes.reverse();
    }
    routes.concat()
}

/// A dialog of `caller` and `callee`, as each of them knows it.
struct Dialog {
    caller_routes: String,
    callee_routes: String,
}

impl Dialog {
    async fn new(engine: &Engine<Script>, caller: &Agent, callee: &Agent) -> Self {
        caller.send(proxy(engine), caller.request("INVITE", "sip:a@a.test", "1", "")).await;
        let invite = callee.expect_request(Method::INVITE).await;
        callee.answer(proxy(engine), &invite, 200).await;
        let answer = caller.expect_status(200).await;
        Self { caller_routes: routes(&answer), callee_routes: routes(&invite) }
    }

    /// A request of the caller with this number.
    fn of_caller(&self, caller: &Agent, callee: &Agent, method: &str, number: u32) -> String {
        let (from, to) = (format!("<sip:caller@{}>;tag=caller", caller.address), "<sip:a@a.test>;tag=callee");
        self.request(&callee.uri(), caller, (&from, to), &self.caller_routes, (method, number), caller)
    }

    /// One of the callee.
    fn of_callee(&self, caller: &Agent, callee: &Agent, method: &str, number: u32) -> String {
        let (from, to) = ("<sip:a@a.test>;tag=callee", format!("<sip:caller@{}>;tag=caller", caller.address));
        self.request(&caller.uri(), callee, (from, &to), &self.callee_routes, (method, number), caller)
    }

    fn request(
        &self,
        uri: &str,
        sender: &Agent,
        (from, to): (&str, &str),
        routes: &str,
        (method, number): (&str, u32),
        caller: &Agent,
    ) -> String {
        let (at, call_id) = (sender.address, format!("1@{}", caller.address));
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n{routes}Content-Length: 0\r\n\r\n"
        )
    }
}

/// RFC 3261 12.2.2: a request with a lower CSeq than one before it is refused.
#[tokio::test]
async fn requests_of_one_side_of_a_dialog_stay_in_order_while_one_is_decided_about() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::new());
    let engine = start("", script(&held, callee.uri()));
    let dialog = Dialog::new(&engine, &caller, &callee).await;
    for (method, number) in [("INFO", 2), ("ACK", 1), ("INFO", 3), ("BYE", 4)] {
        caller.send(proxy(&engine), dialog.of_caller(&caller, &callee, method, number)).await;
    }
    let first = held.next().await;
    // Neither the other side nor another call waits for that.
    callee.send(proxy(&engine), dialog.of_callee(&caller, &callee, "UPDATE", 7)).await;
    let update = caller.expect_request(Method::UPDATE).await;
    caller.answer(proxy(&engine), &update, 200).await;
    callee.expect_status(200).await;
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "2", "")).await;
    let message = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &message, 202).await;
    caller.expect_status(202).await;
    assert!(held.is_empty(), "the second INFO waits for the first");
    first.send(pass()).ok().unwrap();
    let info = callee.expect_request(INFO).await;
    assert!(text(&info).contains("CSeq: 2 INFO"), "{}", text(&info));
    callee.answer(proxy(&engine), &info, 200).await;
    callee.expect_request(Method::ACK).await;
    let second = held.next().await;
    second.send(pass()).ok().unwrap();
    assert!(text(&callee.expect_request(INFO).await).contains("CSeq: 3 INFO"));
    callee.expect_request(Method::BYE).await;
}

#[tokio::test]
async fn a_request_of_a_dialog_with_too_many_before_it_is_refused_and_the_others_go_on() {
    let (caller, callee, held) = (Agent::new().await, Agent::new().await, Held::new());
    let engine = start("", script(&held, callee.uri()));
    let dialog = Dialog::new(&engine, &caller, &callee).await;
    caller.send(proxy(&engine), dialog.of_caller(&caller, &callee, "INFO", 2)).await;
    let first = held.next().await;
    for number in 3..20 {
        caller.send(proxy(&engine), dialog.of_caller(&caller, &callee, "MESSAGE", number)).await;
    }
    let refusal = text(&caller.expect_status(500).await);
    assert!(refusal.contains("CSeq: 19 MESSAGE") && refusal.contains("Retry-After: "), "{refusal}");
    // What breaks down costs the others nothing.
    drop(first);
    let info = callee.expect_request(INFO).await;
    callee.answer(proxy(&engine), &info, 200).await;
    for number in 3..19 {
        let message = callee.expect_request(Method::new(b"MESSAGE")).await;
        assert!(text(&message).contains(&format!("CSeq: {number} MESSAGE")), "{}", text(&message));
        callee.answer(proxy(&engine), &message, 200).await;
    }
    // Nobody is before this one any more.
    caller.send(proxy(&engine), dialog.of_caller(&caller, &callee, "BYE", 20)).await;
    callee.expect_request(Method::BYE).await;
}
