//! REGISTER: what is sent, and what the answers mean.

use jackfield_proto::message::{Message, Name};

use super::provider::{Provider, Reply, status};
use super::*;

fn challenge(realm: &str, nonce: &str, more: &str) -> Reply {
    let value = format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{more}");
    Some((401, vec![("WWW-Authenticate", value)]))
}

/// A provider that answers OPTIONS, and REGISTER by a script that is told how many have come before.
async fn provider(mut script: impl FnMut(&Message, u32) -> Reply + Send + 'static) -> Provider {
    let mut count = 0;
    Provider::udp(move |request| match request.method().to_string().as_str() {
        "REGISTER" => {
            count += 1;
            script(request, count - 1)
        }
        _ => status(200),
    })
    .await
}

fn registering(provider: &Provider) -> Subject {
    Subject { account: account(), registration: Registration::Try, ..subject(provider.route()) }
}

fn has_credentials(request: &Message) -> bool {
    request.field(&Name::Authorization).is_some_and(|field| String::from_utf8_lossy(field).contains("username=\"4930\""))
}

fn contact(request: &Message) -> String {
    request.field(&Name::Contact).map_or_else(String::new, |contact| String::from_utf8_lossy(contact).into_owned())
}

#[tokio::test]
async fn right_credentials_make_a_binding_for_a_moment_where_there_is_none() {
    let provider = provider(|request, count| match has_credentials(request) {
        true => status(200),
        false => challenge("provider.test", &format!("n{count}"), ""),
    })
    .await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), []);
    says(the(&found, Kind::Challenged), &["realm `provider.test`, MD5, qop auth"]);
    says(the(&found, Kind::Registered), &["200 OK", "the credentials are right"]);
    let sent = provider.requests("REGISTER");
    let contacts: Vec<_> = sent.iter().filter(|request| has_credentials(request)).map(contact).collect();
    assert_eq!(contacts.len(), 3, "asked, bound, removed: {contacts:?}");
    assert_eq!(contacts[0], "");
    assert!(contacts[1].starts_with("<sip:jackfield-doctor-") && contacts[1].ends_with(";expires=60"), "{contacts:?}");
    assert_eq!(contacts[2], contacts[1].replace(";expires=60", ";expires=0"));
    // RFC 3261 10.2.4: one Call-ID, and numbers that rise.
    let numbers: Vec<_> = sent.iter().map(|request| request.cseq().unwrap().0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(sent.iter().all(|request| request.call_id() == sent[0].call_id()));
    assert!(sent.iter().all(|request| request.to().unwrap().uri() == b"sip:4930@provider.test"));
    assert!(!found.iter().any(|finding| finding.to_string().contains("secret")));
}

#[tokio::test]
async fn the_binding_of_another_is_left_alone() {
    let provider = provider(|request, _| match has_credentials(request) {
        true => Some((200, vec![("Contact", "<sip:pbx@192.0.2.1;line=1>;expires=120".to_owned())])),
        false => challenge("provider.test", "n", ""),
    })
    .await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), []);
    says(the(&found, Kind::Registered), &["the credentials are right; 1 registered there, left alone"]);
    assert!(provider.requests("REGISTER").iter().all(|request| contact(request).is_empty()));
}

/// RFC 3261 10.3 item 8 wants a list, and not every registrar gives one: it may have the binding of a PBX that a second one would put out.
#[tokio::test]
async fn no_list_is_no_proof_that_nobody_is_registered() {
    for (answer, registered, aor, binds) in [
        (200, Registered::Live(2), None, false),
        (200, Registered::Live(2), Some("sip:test@provider.test"), false),
        (400, Registered::Live(2), None, false),
        (200, Registered::Unknown, None, false),
        (400, Registered::Unknown, None, false),
        (200, Registered::Unknown, Some("sip:test@provider.test"), true),
        (200, Registered::Nobody, None, true),
    ] {
        let provider = provider(move |request, _| status(if contact(request).is_empty() { answer } else { 200 })).await;
        let found = findings(&Subject { registered, aor: aor.map(Into::into), ..registering(&provider) }).await;
        assert_eq!(bad(&found), []);
        let bound = provider.requests("REGISTER").iter().any(|request| !contact(request).is_empty());
        assert_eq!(bound, binds, "{answer} {registered:?} {aor:?}: {found:#?}");
        if !binds {
            says(the(&found, Kind::NotTried), &["would put the PBX out"]);
        }
    }
}

#[tokio::test]
async fn a_registrar_that_wants_a_contact_gets_one() {
    let provider = provider(|request, _| status(if contact(request).is_empty() { 400 } else { 200 })).await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), []);
    assert_eq!(the(&found, Kind::Registered).grade, Grade::Good);
}

#[tokio::test]
async fn rfc3261_10_2_8_a_longer_time_is_agreed_to() {
    let provider = provider(|request, _| match contact(request) {
        contact if contact.ends_with("expires=60") => Some((423, vec![("Min-Expires", "300".to_owned())])),
        _ => status(200),
    })
    .await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), []);
    assert!(provider.requests("REGISTER").iter().any(|request| contact(request).ends_with("expires=300")));
}

#[tokio::test]
async fn a_binding_that_cannot_be_removed_is_noted() {
    let provider = provider(|request, _| status(if contact(request).ends_with("expires=0") { 500 } else { 200 })).await;
    let found = findings(&registering(&provider)).await;
    assert_eq!((bad(&found), the(&found, Kind::NotRemoved).grade), (Vec::new(), Grade::Note));
}

#[tokio::test]
async fn being_asked_again_is_a_wrong_password() {
    let provider = provider(|_, count| challenge("provider.test", &format!("n{count}"), "")).await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), [Kind::WrongPassword]);
    says(the(&found, Kind::WrongPassword), &["wrong user name or password", "trunk.telekom.username"]);
    assert_eq!(provider.requests("REGISTER").len(), 2, "one try, so that nobody is locked out");
}

#[tokio::test]
async fn stale_nonces_for_ever_are_a_loop() {
    let provider = provider(|_, count| challenge("provider.test", &format!("n{count}"), ", stale=true")).await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), [Kind::ChallengeLoop]);
    says(the(&found, Kind::ChallengeLoop), &["challenge loop: 2 answers"]);
    assert_eq!(provider.requests("REGISTER").len(), 3);
}

#[tokio::test]
async fn a_challenge_in_another_realm_is_not_answered() {
    let provider = provider(|_, _| challenge("other.test", "n", "")).await;
    let mut subject = registering(&provider);
    subject.account = Some(Arc::new(jackfield_auth::Account {
        username: "4930".to_owned(),
        password: "secret".to_owned(),
        realm: Some("provider.test".to_owned()),
    }));
    let found = findings(&subject).await;
    assert_eq!(bad(&found), [Kind::WrongRealm]);
    says(the(&found, Kind::WrongRealm), &["wrong realm", "`other.test`", "trunk.telekom.realm = \"other.test\""]);
    assert!(!provider.requests("REGISTER").iter().any(has_credentials));
}

#[tokio::test]
async fn a_challenge_of_an_unknown_algorithm_cannot_be_answered() {
    let value = "Digest realm=\"provider.test\", nonce=\"n\", algorithm=MD4";
    let provider = provider(move |_, _| Some((401, vec![("WWW-Authenticate", value.to_owned())]))).await;
    assert_eq!(bad(&findings(&registering(&provider)).await), [Kind::NotAnswerable]);
    let provider = self::provider(|_, _| status(401)).await;
    assert_eq!(bad(&findings(&registering(&provider)).await), [Kind::NotAnswerable]);
}

#[tokio::test]
async fn a_refusal_of_right_credentials_is_a_blocked_account() {
    let provider = provider(|request, _| match has_credentials(request) {
        true => status(403),
        false => challenge("provider.test", "n", ""),
    })
    .await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), [Kind::NotRegistered]);
    says(the(&found, Kind::NotRegistered), &["403 Forbidden", "blocked", "sip:4930@provider.test"]);
}

#[tokio::test]
async fn silence_to_register_alone_is_named() {
    let provider = provider(|_, _| None).await;
    let subject = registering(&provider);
    let subject = Subject { times: Times { answer: Duration::from_millis(500), ..subject.times }, ..subject };
    let found = findings(&subject).await;
    assert_eq!(bad(&found), [Kind::NotRegistered]);
    says(the(&found, Kind::NotRegistered), &["is silent to REGISTER"]);
}

#[tokio::test]
async fn who_refuses_options_may_still_be_registered_with() {
    let provider = Provider::udp(|request| status(if request.method().to_string() == "REGISTER" { 200 } else { 403 })).await;
    let found = findings(&registering(&provider)).await;
    assert_eq!(bad(&found), [Kind::Forbidden]);
    assert_eq!(the(&found, Kind::Registered).grade, Grade::Good);
}

#[tokio::test]
async fn nothing_is_registered_without_leave_or_without_an_account() {
    let provider = provider(|_, _| status(200)).await;
    findings(&Subject { registration: Registration::Leave, ..registering(&provider) }).await;
    let found = findings(&Subject { account: None, ..registering(&provider) }).await;
    assert_eq!(the(&found, Kind::NotTried).grade, Grade::Note);
    assert_eq!(provider.requests("REGISTER").len(), 0);
}
