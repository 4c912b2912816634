use jackfield::prelude::*;

use super::ConformRouter;

fn decide(request: &str) -> Decision {
    ConformRouter::from_toml("").unwrap().on_request(&Request::parse(request)).unwrap()
}

/// Next hops with the transport that is forced, if one is.
fn hops(request: &str) -> Vec<String> {
    let hop = |target: &&Target| {
        assert_eq!((&target.uri, target.edits.len()), (&None, 0), "the Request-URI is never changed");
        let transport = target.option_value("transport").map(|transport| format!(" {transport}")).unwrap_or_default();
        format!("{}{transport}", target.option_value("next-hop").unwrap())
    };
    decide(request).targets().iter().map(hop).collect()
}

#[test]
fn loopback_addresses_are_followed_but_not_our_own() {
    for followed in [
        "BYE sip:127.0.0.2:5060",
        "INVITE sip:hunt@127.0.0.1:15081;transport=tcp",
        "INVITE sip:1@127.0.0.1",
        "INVITE sip:1@example.test\nRoute: <sip:127.0.0.2:5060;lr>",
        "INVITE sip:1@example.test\nRoute: <sip:x@127.0.0.1:15060;lr>, \"a, <b>\" <sip:127.0.0.2;lr>",
        "INVITE sip:1@[::1]:5070",
    ] {
        assert_eq!(decide(followed), Decision::pass(), "{followed}");
    }
    for ours in [
        "INVITE sip:127.0.0.1:15060",
        "INVITE sip:1@127.0.0.1:15060",
        "INVITE sip:1@[::1]:15060",
        "INVITE sip:1@127.0.0.2\nRoute: <sip:proxy.example;lr>",
    ] {
        assert_eq!(hops(ours), ["sip:127.0.0.1:15080"], "{ours}");
    }
}

#[test]
fn everything_else_goes_to_a() {
    for other in
        ["INVITE sip:1@example.test", "MESSAGE tel:+49301234", "OPTIONS sip:1@[2001:db8::1]", "INVITE sip:1@10.0.0.1", "ACK urn:x:y"]
    {
        assert_eq!(hops(other), ["sip:127.0.0.1:15080"], "{other}");
    }
}

#[test]
fn users_have_their_routes() {
    for (user, expected) in [
        ("tcp", vec!["sip:127.0.0.1:15080 tcp"]),
        ("udponly", vec!["sip:127.0.0.1:15082"]),
        ("void", vec!["sip:127.0.0.1:15089"]),
        ("voidtcp", vec!["sip:127.0.0.1:15089 tcp"]),
        ("huntvoid", vec!["sip:127.0.0.1:15089 tcp", "sip:127.0.0.1:15080"]),
        ("hunt", vec!["sip:127.0.0.1:15080", "sip:127.0.0.1:15081"]),
        ("fork", vec!["sip:127.0.0.1:15080", "sip:127.0.0.1:15081"]),
    ] {
        assert_eq!(hops(&format!("INVITE sip:{user}@example.test")), expected, "{user}");
    }
    let fork = decide("INVITE sip:fork@example.test");
    assert_eq!(fork.plan().unwrap().groups[0].mode, Mode::Parallel);
    let hunt = decide("INVITE sip:hunt@example.test");
    assert_eq!(hunt.plan().unwrap().option_value("next-on"), Some("408 5xx"));
    assert_eq!(hunt.targets()[0].timeout, Some(Duration::from_secs(3)));
}
