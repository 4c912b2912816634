use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message};

use super::super::view::Edits;
use super::*;

const ALL: Exports = Exports { request: true, response: true, failure: true, registration: true, timer: true, complete: true };

fn subscription(hooks: types::Hooks) -> types::Subscription {
    types::Subscription { hooks, methods: vec![], statuses: vec![], if_header: vec![], if_uri_param: None, initial_only: false }
}

fn message(text: &'static str) -> Message {
    Message::parse(Bytes::from_static(text.as_bytes()), Framing::Datagram, &Limits::default()).unwrap()
}

fn request() -> Message {
    message("INVITE sip:1@pbx;a=1 SIP/2.0\r\nTo: <sip:b@h;line=L>\r\nX-A: 1\r\nCSeq: 1 INVITE\r\n\r\n")
}

fn wants(change: impl FnOnce(&mut types::Subscription)) -> bool {
    let mut made = subscription(types::Hooks::REQUEST);
    change(&mut made);
    let request = request();
    let subject = subject(&request, true);
    Subscriptions::read(vec![made], ALL).unwrap().request.want_request(&subject)
}

fn subject(request: &Message, initial: bool) -> Subject<'_> {
    Subject { method: b"INVITE", uri: request.request_uri(), request: View::new(request, Edits::One(&[])), initial }
}

#[test]
fn conditions_hold_together_and_empty_ones_always() {
    assert!(wants(|_| {}));
    assert!(wants(|s| s.methods = vec!["BYE".into(), "INVITE".into()]));
    assert!(!wants(|s| s.methods = vec!["invite".into()]), "methods have case (RFC 3261 7.1)");
    assert!(wants(|s| s.if_header = vec!["X-B".into(), "x-a".into()]));
    assert!(!wants(|s| s.if_header = vec!["X-B".into()]));
    assert!(wants(|s| s.if_uri_param = Some("A".into())));
    assert!(wants(|s| s.if_uri_param = Some("line".into())), "the URI in To counts as well");
    assert!(!wants(|s| s.if_uri_param = Some("b".into())));
    assert!(!wants(|s| {
        s.methods = vec!["INVITE".into()];
        s.if_header = vec!["X-B".into()];
    }));
}

#[test]
fn subscriptions_are_alternatives() {
    let bye = types::Subscription { methods: vec!["BYE".into()], ..subscription(types::Hooks::REQUEST) };
    let header = types::Subscription { if_header: vec!["X-A".into()], ..subscription(types::Hooks::REQUEST) };
    let request = request();
    let subscriptions = Subscriptions::read(vec![bye, header], ALL).unwrap();
    assert!(subscriptions.request.want_request(&subject(&request, true)));
    assert!(subscriptions.response.is_empty() && subscriptions.failure.is_empty());
}

#[test]
fn initial_only_leaves_out_requests_in_a_dialog() {
    let made = types::Subscription { initial_only: true, ..subscription(types::Hooks::REQUEST) };
    let request = request();
    let filters = Subscriptions::read(vec![made], ALL).unwrap().request;
    assert!(filters.want_request(&subject(&request, true)));
    assert!(!filters.want_request(&subject(&request, false)));
}

#[test]
fn outcomes_are_chosen_by_status_and_by_the_header_of_the_response() {
    let made = types::Subscription {
        methods: vec!["INVITE".into()],
        statuses: vec!["5xx".into(), "408".into()],
        if_header: vec!["X-R".into()],
        ..subscription(types::Hooks::RESPONSE | types::Hooks::FAILURE)
    };
    let filters = Subscriptions::read(vec![made], ALL).unwrap().failure;
    let (request, response) = (request(), message("SIP/2.0 503 No\r\nX-R: 1\r\nCSeq: 1 INVITE\r\n\r\n"));
    let (subject, view) = (subject(&request, true), View::new(&response, Edits::One(&[])));
    let want = |status, response| filters.want_outcome(&subject, &Outcome { status, response });
    assert!(filters.may_want_outcome(&subject));
    assert!(want(503, Some(view)) && want(599, Some(view)) && want(408, Some(view)));
    assert!(!want(404, Some(view)) && !want(600, Some(view)));
    assert!(!want(503, None), "without a response the header is looked for in the request");
}

#[test]
fn nothing_narrows_a_subscription_to_registrations() {
    let made = types::Subscription { methods: vec!["BYE".into()], ..subscription(types::Hooks::REGISTRATION) };
    let subscriptions = Subscriptions::read(vec![subscription(types::Hooks::REQUEST), made], ALL).unwrap();
    assert!(subscriptions.registration && !subscriptions.request.is_empty());
    assert!(!Subscriptions::read(vec![subscription(types::Hooks::REQUEST)], ALL).unwrap().registration);
}

#[test]
fn what_cannot_be_had_is_refused() {
    let read = |made, exports| Subscriptions::read(vec![made], exports).map(drop);
    let without = Exports { timer: false, complete: false, ..ALL };
    assert_eq!(read(subscription(types::Hooks::TIMER), without).err(), Some(Refused::NotExported("on-timer")));
    assert_eq!(read(subscription(types::Hooks::COMPLETE), without).err(), Some(Refused::NotExported("on-complete")));
    let exports = Exports { failure: false, registration: false, ..ALL };
    assert_eq!(read(subscription(types::Hooks::FAILURE), exports), Err(Refused::NotExported("on-failure")));
    assert_eq!(read(subscription(types::Hooks::REGISTRATION), exports), Err(Refused::NotExported("on-registration")));
    for status in ["0xx", "7xx", "99", "700", "x", "5XX", ""] {
        let made = types::Subscription { statuses: vec![status.into()], ..subscription(types::Hooks::RESPONSE) };
        assert_eq!(read(made, ALL), Err(Refused::Status(status.into())));
    }
}
