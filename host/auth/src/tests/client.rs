//! Answers to challenges.

use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::{Edit, Reply};

use super::{account, edited, fields, parse, request, response};
use crate::{Challenge, Challenged, GiveUp, Hash, answer};

fn challenged(challenges: &[(&'static str, &str)]) -> (Message, Message) {
    let request = request("INVITE", "");
    let reply = challenges.iter().fold(Reply::status(407), |reply, (name, value)| reply.header(*name, value.to_string()));
    let response = response(&request, &reply);
    (request, response)
}

fn asked<'a>(request: &'a Message, response: &'a Message) -> Challenged<'a> {
    Challenged { request, uri: request.request_uri(), response, answered: 0, previous: &[] }
}

/// The fields of one name in the answer of an account for any realm.
fn answers(challenges: &[(&'static str, &str)], name: Name<'_>) -> Vec<String> {
    let (request, response) = challenged(challenges);
    let edits = answer(&account(None), asked(&request, &response), "cnonce").unwrap();
    fields(&edited(&request, &edits), name)
}

fn md5(parts: &[&str]) -> String {
    Hash::Md5.of(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
}

/// RFC 7616 3.4.
#[test]
fn credentials_repeat_what_the_challenge_names_and_nothing_else() {
    let secret = md5(&["alice", "r", "secret"]);
    let request = md5(&["INVITE", "sip:bob@example.test"]);
    let with_qop = md5(&[&secret, "n\\\"", "00000001", "cnonce", "auth", &request]);
    let value = r#"Digest realm="r", nonce="n\"", opaque="o\\", algorithm=md5, qop="auth-int , auth", stale=FALSE, new=thing"#;
    assert_eq!(
        answers(&[("Proxy-Authenticate", value)], Name::ProxyAuthorization),
        [format!(
            r#"Digest username="alice", realm="r", nonce="n\"", uri="sip:bob@example.test", response="{with_qop}", cnonce="cnonce", opaque="o\\", algorithm=MD5, qop=auth, nc=00000001"#
        )]
    );
    let without = md5(&[&secret, "n", &request]);
    assert_eq!(
        answers(&[("WWW-Authenticate", "Digest realm=\"r\",nonce=\"n\"")], Name::Authorization),
        [format!(r#"Digest username="alice", realm="r", nonce="n", uri="sip:bob@example.test", response="{without}""#)]
    );
}

#[test]
fn the_body_is_protected_where_nothing_else_is_offered() {
    let secret = md5(&[&md5(&["alice", "r", "secret"]), "n", "cnonce"]);
    let request = md5(&["INVITE", "sip:bob@example.test", &md5(&["v=0"])]);
    let expected = md5(&[&secret, "n", "00000001", "cnonce", "auth-int", &request]);
    let answers =
        answers(&[("WWW-Authenticate", "Digest realm=\"r\",nonce=\"n\",qop=\"auth-int\",algorithm=MD5-sess")], Name::Authorization);
    assert!(answers[0].contains(&expected) && answers[0].contains("qop=auth-int") && answers[0].contains("=MD5-sess"), "{answers:?}");
}

/// RFC 8760 2.4.
#[test]
fn the_first_algorithm_of_the_server_that_we_have_counts() {
    let of = |algorithm: &str| format!("Digest realm=\"r\", nonce=\"{algorithm}\", qop=\"auth\", algorithm={algorithm}");
    for (offered, taken) in [
        (vec!["SHA-256", "MD5"], "SHA-256"),
        (vec!["MD5", "SHA-256"], "MD5"),
        (vec!["SHA3", "SHA-512-256", "MD5"], "SHA-512-256"),
        (vec!["AKAv1-MD5", "SHA-256-sess"], "SHA-256-sess"),
    ] {
        let each: Vec<_> = offered.iter().map(|algorithm| ("Proxy-Authenticate", of(algorithm))).collect();
        let each: Vec<_> = each.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let joined = offered.iter().map(|algorithm| of(algorithm)).collect::<Vec<_>>().join(", ");
        for challenges in [each, vec![("Proxy-Authenticate", joined.as_str())]] {
            let answers = answers(&challenges, Name::ProxyAuthorization);
            assert!(answers.len() == 1 && answers[0].contains(&format!("nonce=\"{taken}\"")), "{offered:?} {answers:?}");
        }
    }
}

/// RFC 3261 16.7 item 7, 22.3: the challenges of several proxies and servers come in one response.
#[test]
fn every_realm_gets_its_answer() {
    let challenges = [
        ("Proxy-Authenticate", "Digest realm=\"a\", nonce=\"1\""),
        ("Proxy-Authenticate", "Digest realm=\"b\", nonce=\"2\""),
        ("WWW-Authenticate", "Digest realm=\"a\", nonce=\"3\""),
        ("WWW-Authenticate", "Basic realm=\"c\""),
    ];
    assert_eq!((answers(&challenges, Name::ProxyAuthorization).len(), answers(&challenges, Name::Authorization).len()), (2, 1));
    let (request, response) = challenged(&challenges);
    let edits = answer(&account(Some("b")), asked(&request, &response), "c").unwrap();
    assert!(
        matches!(&edits[..], [Edit::Add(name, value)] if name == "Proxy-Authorization" && value.starts_with(b"Digest username=\"alice\", realm=\"b\""))
    );
}

/// RFC 3261 22.3: credentials for other realms are others' business.
#[test]
fn credentials_of_the_sender_stay_but_for_the_realm_that_asks() {
    let request = request(
        "REGISTER",
        "Authorization: Digest username=\"x\", realm=\"other\",\r\n nonce=\"1\"\r\nAuthorization: Digest username=\"x\", realm=\"r\"\r\n\
         Proxy-Authorization: Digest username=\"x\", realm=\"r\"\r\n",
    );
    let challenge = Reply::status(401).header("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\"");
    let response = response(&request, &challenge);
    let edits = answer(&account(None), asked(&request, &response), "c").unwrap();
    let sent = edited(&request, &edits);
    let credentials = fields(&sent, Name::Authorization);
    assert_eq!((credentials.len(), credentials[0].as_str()), (2, "Digest username=\"x\", realm=\"other\",   nonce=\"1\""));
    assert!(credentials[1].starts_with("Digest username=\"alice\", realm=\"r\""), "{credentials:?}");
    assert_eq!(fields(&sent, Name::ProxyAuthorization), ["Digest username=\"x\", realm=\"r\""]);
}

#[test]
fn a_refusal_is_the_end_and_a_stale_nonce_is_answered_once() {
    let (request, response) = challenged(&[("Proxy-Authenticate", "Digest realm=\"r\", nonce=\"n\"")]);
    let first = asked(&request, &response);
    let edits = answer(&account(None), first, "c").unwrap();
    let refused = Err(GiveUp::Refused { realm: "r".into() });
    assert_eq!(answer(&account(None), Challenged { answered: 1, previous: &edits, ..first }, "c"), refused);
    let (_, stale) = challenged(&[("Proxy-Authenticate", "Digest realm=\"r\", nonce=\"m\", stale=True")]);
    let stale = Challenged { response: &stale, answered: 1, ..first };
    for previous in [&edits[..], &[]] {
        let again = answer(&account(None), Challenged { previous, ..stale }, "c").unwrap();
        // Whether or not the edits before are applied too, there is one field.
        for edits in [again.clone(), [previous, &again[..]].concat()] {
            let credentials = fields(&edited(&request, &edits), Name::ProxyAuthorization);
            assert!(credentials.len() == 1 && credentials[0].contains("nonce=\"m\""), "{credentials:?}");
        }
    }
    assert_eq!(answer(&account(None), Challenged { answered: 2, ..stale }, "c"), Err(GiveUp::TooOften { answered: 2 }));
}

#[test]
fn a_second_realm_further_on_is_answered_too() {
    let (request, proxys) = challenged(&[("Proxy-Authenticate", "Digest realm=\"proxy\", nonce=\"1\"")]);
    let (_, servers) = challenged(&[("WWW-Authenticate", "Digest realm=\"server\", nonce=\"2\"")]);
    let (_, seconds) = challenged(&[("Proxy-Authenticate", "Digest realm=\"second\", nonce=\"3\"")]);
    let first = asked(&request, &proxys);
    let before = answer(&account(None), first, "c").unwrap();
    let again = |response| answer(&account(None), Challenged { response, answered: 1, previous: &before, ..first }, "c").unwrap();
    // Edits replace those before, and yet the proxy still gets what it wants, where the same field is concerned.
    let credentials = fields(&edited(&request, &again(&seconds)), Name::ProxyAuthorization);
    assert!(credentials.len() == 2 && credentials[0].contains("realm=\"proxy\"") && credentials[1].contains("realm=\"second\""));
    let sent = edited(&request, &again(&servers));
    assert!(fields(&sent, Name::Authorization)[0].contains("realm=\"server\""));
    assert!(fields(&sent, Name::ProxyAuthorization)[0].contains("realm=\"proxy\""));
}

#[test]
fn what_cannot_be_answered_is_told_in_one_line() {
    let tell = |realm: Option<&str>, challenges: &[(&'static str, &str)]| {
        let (request, response) = challenged(challenges);
        answer(&account(realm), asked(&request, &response), "c").unwrap_err().to_string()
    };
    let of_realm = |rest: &str| format!("Digest realm=\"r\", nonce=\"n\"{rest}");
    for (realm, challenges, line) in [
        (None, vec![], "the response holds no Digest challenge"),
        (Some("r"), vec!["Basic realm=\"r\"".to_owned(), "Digest realm=\"r\"".to_owned()], "the response holds no Digest challenge"),
        (Some("x"), vec![of_realm(""), of_realm(", algorithm=SHA-256")], "the challenge is for realm `r`, the account for `x`"),
        (None, vec![of_realm(", algorithm=SHA3"), of_realm(", qop=\"x\"")], "realm `r` offers only `SHA3`, `MD5 with an unknown qop`"),
        (
            Some("x"),
            vec![format!("Digest realm=\"\u{7}{}\", nonce=n", "r".repeat(100))],
            &format!("the challenge is for realm `\\u{{7}}{}`, the account for `x`", "r".repeat(63)),
        ),
    ] {
        let challenges: Vec<_> = challenges.iter().map(|value| ("Proxy-Authenticate", value.as_str())).collect();
        assert_eq!(tell(realm, &challenges), line);
    }
}

#[test]
fn a_challenge_that_is_folded_or_has_quotes_in_odd_places_is_understood() {
    let response = parse(
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: DIGEST\r\n realm=r ,\r\n\tnonce=n,stale=\"true\",\
         algorithm=\"SHA-256\", qop=auth\r\n\r\n",
    );
    let challenges = Challenge::all_of(&response);
    assert_eq!(challenges.len(), 1);
    assert_eq!((&challenges[0].realm[..], &challenges[0].nonce[..], challenges[0].stale), (&b"r"[..], &b"n"[..], true));
    assert_eq!(challenges[0].known_algorithm(), Some(crate::Algorithm::SHA256));
}
