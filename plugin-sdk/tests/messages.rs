//! Messages made from the texts of tests.

use jackfield::prelude::*;

#[test]
fn request_line_alone_is_enough() {
    let request = Request::parse("INVITE sip:alice@sbc.example:5070;line=abc;lr");
    assert_eq!(request.method(), "INVITE");
    assert_eq!(request.uri(), "sip:alice@sbc.example:5070;line=abc;lr");
    assert_eq!(request.uri_user().as_deref(), Some("alice"));
    assert_eq!(request.uri_host(), "sbc.example");
    assert_eq!(request.uri_param("LINE").as_deref(), Some("abc"));
    assert_eq!(request.uri_param("lr").as_deref(), Some(""));
    assert_eq!(request.uri_param("none"), None);
    assert_eq!(request.header("Max-Forwards").as_deref(), Some("70"));
    assert_eq!(request.header("CSeq").as_deref(), Some("1 INVITE"));
    assert_eq!(request.header_param("From", "tag").as_deref(), Some("test"));
    assert!(request.is_initial() && !Request::parse("BYE sip:a").in_dialog().is_initial());
}

#[test]
fn header_fields_are_found_in_any_spelling_and_indentation() {
    let request = Request::parse(
        "INVITE sip:1@sbc SIP/2.0
         X-Account: 1234
         f: \"A, B\" <sip:a@b;line=7>;tag=99
         X-Long: one
           two
         Route: <sip:p1;lr>, <sip:p2;lr>
         Content-Type: text/plain

         hello",
    );
    assert_eq!(request.header("x-account").as_deref(), Some("1234"));
    assert_eq!(request.header_uri_param("From", "line").as_deref(), Some("7"));
    assert_eq!(request.header_param("From", "tag").as_deref(), Some("99"));
    assert_eq!(request.header("X-Long").as_deref(), Some("one two"));
    assert_eq!(request.header_all("Route"), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    assert_eq!(request.headers(["X-None", "Route"]), [None, Some("<sip:p1;lr>, <sip:p2;lr>".to_owned())]);
    assert_eq!(request.header_names()[..4], ["X-Account", "From", "X-Long", "Route"]);
    assert_eq!(request.body(), b"hello");
}

#[test]
fn parameters_of_header_fields_lose_their_quotes() {
    let request = Request::parse("INVITE sip:1@sbc\nTo: <sip:1@sbc>;note=\"a \\\"b\\\" c\";flag\nContent-Type: text/plain;charset=utf-8");
    assert_eq!(request.header_param("To", "note").as_deref(), Some("a \"b\" c"));
    assert_eq!(request.header_param("To", "flag").as_deref(), Some(""));
    assert_eq!(request.header_param("Content-Type", "charset").as_deref(), Some("utf-8"));
    assert_eq!(request.header_param("To", "none"), None);
}

#[test]
fn circumstances_can_be_set() {
    let plan = Plan::from(Target::to("sip:x"));
    let request = Request::parse("INVITE sip:1@sbc")
        .with_plan(plan.clone())
        .with_source("198.51.100.7", 5080, Transport::Tcp)
        .with_listener("wan")
        .with_auth_user("alice")
        .with_trunk("telekom");
    assert_eq!(request.plan(), Some(plan));
    assert_eq!(request.source(), Endpoint { address: "198.51.100.7".to_owned(), port: 5080, transport: Transport::Tcp });
    assert_eq!(request.arrived_on().0, "wan");
    assert_eq!(request.auth_user().as_deref(), Some("alice"));
    assert_eq!((request.trunk().as_deref(), Request::parse("INVITE sip:1@sbc").trunk()), (Some("telekom"), None));
}

#[test]
fn status_alone_is_enough_for_a_response() {
    let response = Response::parse("503 Service Unavailable\nRetry-After: 5");
    assert_eq!((response.status(), response.reason().as_str()), (503, "Service Unavailable"));
    assert_eq!(response.header("Retry-After").as_deref(), Some("5"));
}

#[test]
#[should_panic(expected = "not a request")]
fn text_that_is_no_message_fails_the_test_that_wrote_it() {
    Request::parse("");
}
