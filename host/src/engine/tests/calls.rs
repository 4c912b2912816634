//! Calls that go well, and the questions that are asked on their way.

use jackfield_proto::proxy::Edit;

use super::*;

#[tokio::test]
async fn a_whole_call_goes_by_the_decision_and_its_dialog_by_the_route() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let engine = start("", Script::to(&[callee.uri()]));
    let proxy = proxy(&engine);
    for call in 0..20 {
        let invite = caller.request("INVITE", "sip:somebody@nowhere.test", &format!("call{call}"), "");
        caller.send(proxy, &invite).await;
        let received = callee.expect_request(Method::INVITE).await;
        callee.answer(proxy, &received, 180).await;
        callee.answer(proxy, &received, 200).await;
        caller.expect_status(180).await;
        let ok = caller.expect_status(200).await;
        let route = String::from_utf8_lossy(ok.field(&Name::RecordRoute).expect("the proxy stays in the path")).into_owned();
        for method in [Method::ACK, Method::BYE] {
            let name = String::from_utf8_lossy(method.as_bytes()).into_owned();
            let request = caller.request(&name, &callee.uri(), &format!("{name}{call}"), &format!("Route: {route}\r\n"));
            caller.send(proxy, request.replace(">\r\nCall-ID", ">;tag=callee\r\nCall-ID")).await;
            let received = callee.expect_request(method).await;
            assert_eq!(received.field(&Name::Route), None, "{}", text(&received));
            if method == Method::BYE {
                callee.answer(proxy, &received, 200).await;
            }
        }
        caller.expect_status(200).await;
    }
}

#[tokio::test]
async fn a_decision_may_answer_or_absorb() {
    let caller = Agent::new().await;
    let script = Script::new(|view| if view.request.request_uri().starts_with(b"sip:drop") { Decision::Drop } else { reply(486) });
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:drop@a.test", "1", "")).await;
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:busy@a.test", "2", "")).await;
    let answer = caller.expect_status(486).await;
    assert!(answer.call_id().starts_with(b"2@"), "{}", text(&answer));
}

#[tokio::test]
async fn a_host_name_is_looked_up() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let hop = format!("sip:localhost:{};transport=udp", callee.address.port());
    let engine = start("", Script::to(&[hop]));
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
    let received = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &received, 200).await;
    caller.expect_status(200).await;
}

#[tokio::test]
async fn responses_are_reviewed_where_that_is_wanted() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let (hops, tag) = (vec![callee.uri()], callee.uri());
    let mut script = Script::new(move |_| forward(&hops, Watch { responses: true, ..Watch::default() }));
    script.on_response = Box::new(move |state, view| {
        assert_eq!((*state, &**view.tag, view.attempt), (42, tag.as_str(), 1));
        Said::Now(Reviewed::Pass(vec![Edit::Add("X-Reviewed".into(), view.response.status().to_string().into())]))
    });
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
    let received = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &received, 202).await;
    let answer = caller.expect_status(202).await;
    assert!(text(&answer).contains("X-Reviewed: 202\r\n"), "{}", text(&answer));
}

#[tokio::test]
async fn a_failure_is_asked_about_where_that_is_wanted() {
    let (caller, callee) = (Agent::new().await, Agent::new().await);
    let hops = vec![callee.uri()];
    let mut script = Script::new(move |_| forward(&hops, Watch { failures: true, ..Watch::default() }));
    script.on_failure = Box::new(|state, view| {
        assert_eq!((*state, view.remaining, view.response.map(|response| response.status())), (42, 0, Some(480)));
        Said::Now(FailureOutcome::Reply(Reply::status(486)))
    });
    let engine = start("", script);
    caller.send(proxy(&engine), caller.request("MESSAGE", "sip:a@a.test", "1", "")).await;
    let received = callee.expect_request(Method::new(b"MESSAGE")).await;
    callee.answer(proxy(&engine), &received, 480).await;
    caller.expect_status(486).await;
}
