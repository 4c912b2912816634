//! Challenges of ours and what phones make of them.

use std::time::Duration;

use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::{Edit, Reply};
use jackfield_proto::time::Timestamp;

use super::{account, edited, fields, request, request_to, response};
use crate::{
    Account, Algorithm, Asked, Authenticator, Challenged, Hash, Memory, NonceKey, Outcome, Refusal, Role, Settings, Taken, Users, answer,
    line,
};

const PHONE: &str = "192.0.2.7:5060";

struct Setup {
    authenticator: Authenticator,
    memory: Memory,
    now: Timestamp,
    /// Makes every nonce another.
    asked: u64,
}

impl Setup {
    fn new(algorithms: &[Algorithm]) -> Self {
        let users = Users::parse(&users(), "r").unwrap();
        Self {
            authenticator: Authenticator::new(settings(algorithms), users).unwrap(),
            memory: Memory::new(NonceKey([3; 16])),
            now: Timestamp::from_duration(Duration::from_secs(1000)),
            asked: 0,
        }
    }

    fn judge_from(&mut self, request: &Message, source: &str, role: Role) -> Outcome {
        self.asked += 1;
        let asked = Asked { request, source: source.parse().unwrap(), role, now: self.now, random: self.asked };
        self.authenticator.judge(&self.memory, asked)
    }

    fn judge(&mut self, request: &Message) -> Outcome {
        self.judge_from(request, PHONE, Role::Proxy)
    }

    /// The request as it comes again after this challenge.
    fn sign(&self, request: &Message, challenge: &Reply, account: &Account) -> Message {
        let response = response(request, challenge);
        let challenged = Challenged { request, uri: request.request_uri(), response: &response, answered: 0, previous: &[] };
        edited(request, &answer(account, challenged, "cnonce").unwrap())
    }

    fn signed(&mut self, request: &Message, password: &str) -> Message {
        let (_, challenge) = refusal(self.judge(request));
        self.sign(request, &challenge, &Account { password: password.into(), ..account(None) })
    }
}

fn users() -> String {
    [("alice", Hash::Md5, "secret"), ("alice", Hash::Sha256, "secret"), ("bob", Hash::Md5, "hidden"), ("bob", Hash::Sha256, "hidden")]
        .map(|(name, hash, password)| line(name, "r", hash, password).unwrap())
        .join("\n")
}

fn settings(algorithms: &[Algorithm]) -> Settings {
    Settings { realm: "r".into(), algorithms: algorithms.to_vec(), nonce_life: Duration::from_secs(60), wrong_per_minute: 3 }
}

fn refusal(outcome: Outcome) -> (Refusal, Reply) {
    match outcome {
        Outcome::Refused { why, reply } => (why, reply),
        Outcome::Genuine { user, .. } => panic!("{user} is let in"),
    }
}

fn why(outcome: Outcome) -> Refusal {
    refusal(outcome).0
}

fn edits(outcome: Outcome) -> Vec<Edit> {
    match outcome {
        Outcome::Genuine { user, edits } => (assert_eq!(user, "alice"), edits).1,
        Outcome::Refused { why, .. } => panic!("refused: {why:?}"),
    }
}

fn is_stale(reply: &Reply) -> bool {
    reply.headers.iter().all(|(_, value)| value.ends_with(b", stale=true"))
}

#[test]
fn every_algorithm_is_accepted_and_the_strongest_is_offered_first() {
    for algorithm in Algorithm::ALL {
        let users = line("alice", "r", algorithm.hash, "secret").unwrap();
        let mut setup = Setup::new(&[]);
        setup.authenticator = Authenticator::new(settings(&[algorithm]), Users::parse(&users, "r").unwrap()).unwrap();
        let signed = setup.signed(&request("INVITE", ""), "secret");
        edits(setup.judge(&signed));
    }
    let mut setup = Setup::new(&[Algorithm::MD5, Algorithm::SHA512_256, Algorithm::MD5_SESS, Algorithm::SHA256]);
    let (why, reply) = refusal(setup.judge(&request("INVITE", "")));
    assert_eq!((why, reply.status), (Refusal::Unasked, 407));
    let offered = reply.headers.iter().map(|(name, value)| (&name[..], str::from_utf8(value).unwrap()));
    for ((name, value), algorithm) in offered.zip(["SHA-512-256", "SHA-256", "MD5-sess", "MD5"]) {
        assert!(name == b"Proxy-Authenticate" && value.starts_with("Digest realm=\"r\", nonce=\""), "{value}");
        assert!(value.ends_with(&format!("\", algorithm={algorithm}, qop=\"auth\"")), "{value}");
    }
    assert_eq!(reply.headers.len(), 4);
}

#[test]
fn without_configured_algorithms_those_are_offered_that_every_user_has() {
    let of = |users: &str| {
        let authenticator = Authenticator::new(settings(&[]), Users::parse(users, "r").unwrap());
        authenticator.map(|authenticator| authenticator.offered().to_vec())
    };
    assert_eq!(of(&users()), Some(vec![Algorithm::SHA256, Algorithm::MD5]));
    let md5 = line("carol", "r", Hash::Md5, "x").unwrap();
    assert_eq!(of(&format!("{}\n{md5}", users())), Some(vec![Algorithm::MD5]));
    assert_eq!(of(&format!("{md5}\n{}", line("dave", "r", Hash::Sha256, "x").unwrap())), None);
    assert_eq!(of(""), None);
}

/// RFC 3261 22.3.
#[test]
fn credentials_for_our_realm_are_taken_out_and_others_stay() {
    let others = "Proxy-Authorization: Digest username=\"x\", realm=\"next\"\r\nAuthorization: Digest username=\"alice\", realm=\"R\"\r\n";
    let mut setup = Setup::new(&[]);
    let signed = setup.signed(&request("INVITE", others), "secret");
    assert_eq!(fields(&signed, Name::ProxyAuthorization).len(), 2);
    let edits = edits(setup.judge(&signed));
    let sent = edited(&signed, &edits);
    assert_eq!(fields(&sent, Name::ProxyAuthorization), ["Digest username=\"x\", realm=\"next\""]);
    assert_eq!(fields(&sent, Name::Authorization), ["Digest username=\"alice\", realm=\"R\""]);
}

/// RFC 3261 22.3: proxy and registrar of one realm are one, and what a phone repeats to either of them is for nobody else.
#[test]
fn credentials_for_our_realm_are_taken_out_of_both_header_fields() {
    let ours = "Digest username=\"alice\", realm=\"r\", response=\"0\"";
    let next = "Digest username=\"x\", realm=\"next\"";
    for (role, repeated) in [(Role::Proxy, Name::Authorization), (Role::Registrar, Name::ProxyAuthorization)] {
        let name = str::from_utf8(repeated.as_bytes()).unwrap();
        let request = request("REGISTER", &format!("{name}: {ours}\r\n{name}: {next}\r\n"));
        let mut setup = Setup::new(&[]);
        let (_, challenge) = refusal(setup.judge_from(&request, PHONE, role));
        let signed = setup.sign(&request, &challenge, &account(None));
        let edits = edits(setup.judge_from(&signed, PHONE, role));
        let sent = edited(&signed, &edits);
        let left = [fields(&sent, Name::Authorization), fields(&sent, Name::ProxyAuthorization)].concat();
        assert_eq!(left, [next], "{role:?}");
        assert_eq!(fields(&edited(&request, &setup.authenticator.cleaning(&request)), repeated), [next]);
    }
}

/// A datagram's source can be forged: who cannot receive there must not be able to use up the guesses of who is there.
#[test]
fn a_nonce_is_good_for_the_source_that_it_was_given_to() {
    let mut setup = Setup::new(&[]);
    let invite = request("INVITE", "");
    for _ in 0..5 {
        let (_, challenge) = refusal(setup.judge_from(&invite, "203.0.113.66:5060", Role::Proxy));
        let forged = setup.sign(&invite, &challenge, &Account { password: "guess".into(), ..account(None) });
        let (why, reply) = refusal(setup.judge(&forged));
        assert!(why == Refusal::Stale && is_stale(&reply), "{reply:?}");
    }
    let signed = setup.signed(&invite, "secret");
    edits(setup.judge(&signed));
    for (given, used, expected) in [
        ("192.0.2.7:5060", "192.0.2.7:5070", Ok(())),
        ("192.0.2.7:5060", "[::ffff:192.0.2.7]:5060", Ok(())),
        ("[2001:db8:0:1::1]:5060", "[2001:db8:0:1:ffff::2]:5060", Ok(())),
        ("[2001:db8:0:1::1]:5060", "[2001:db8:0:2::1]:5060", Err(Refusal::Stale)),
        ("192.0.2.7:5060", "192.0.2.8:5060", Err(Refusal::Stale)),
    ] {
        let (_, challenge) = refusal(setup.judge_from(&invite, given, Role::Proxy));
        let signed = setup.sign(&invite, &challenge, &account(None));
        let judged = match setup.judge_from(&signed, used, Role::Proxy) {
            Outcome::Genuine { .. } => Ok(()),
            Outcome::Refused { why, .. } => Err(why),
        };
        assert_eq!(judged, expected, "{given} {used}");
    }
}

#[test]
fn a_registrar_asks_by_401_and_its_nonces_are_no_good_for_the_proxy() {
    let mut setup = Setup::new(&[]);
    let register = request("REGISTER", "");
    let (_, challenge) = refusal(setup.judge_from(&register, PHONE, Role::Registrar));
    assert_eq!((challenge.status, &challenge.headers[0].0[..]), (401, &b"WWW-Authenticate"[..]));
    let signed = setup.sign(&register, &challenge, &account(None));
    let to_proxy = edited(&register, &[Edit::Add("Proxy-Authorization".into(), fields(&signed, Name::Authorization).remove(0).into())]);
    assert_eq!(why(setup.judge(&signed)), Refusal::Unasked);
    assert_eq!(why(setup.judge(&to_proxy)), Refusal::Stale);
    let outcome = setup.judge_from(&signed, PHONE, Role::Registrar);
    assert_eq!(edits(outcome), [Edit::Remove("Authorization".into())]);
}

#[test]
fn what_proves_nothing_is_asked_again() {
    let mut setup = Setup::new(&[]);
    let invite = request("INVITE", "");
    for other in ["wrong", "Secret", ""] {
        let signed = setup.signed(&invite, other);
        let (why, reply) = refusal(setup.judge(&signed));
        assert_eq!((why, is_stale(&reply)), (Refusal::Wrong, false));
    }
    let mut setup = Setup::new(&[Algorithm::SHA256]);
    let (_, challenge) = refusal(setup.judge(&invite));
    let eve = setup.sign(&invite, &challenge, &Account { username: "eve".into(), ..account(None) });
    assert_eq!(why(setup.judge(&eve)), Refusal::Wrong);
    // What is none of ours or not whole is as good as nothing.
    let signed = setup.signed(&invite, "secret");
    let credentials = fields(&signed, Name::ProxyAuthorization).remove(0);
    for (from, to) in [
        ("realm=\"r\"", "realm=\"R\""),
        ("Digest ", "Basic "),
        ("algorithm=SHA-256", "algorithm=MD5"),
        ("algorithm=SHA-256", "algorithm=SHA-1"),
        ("qop=auth", "qop=conf"),
        ("nc=00000001", "nc=000000001"),
        ("nc=00000001", "nc=+1"),
        ("nc=00000001", "mc=00000001"),
        ("cnonce=", "cmonce="),
        ("username=", "userhash=true, username="),
        ("username=", "username*="),
        ("response=", "answer="),
    ] {
        assert!(credentials.contains(from), "{from}");
        let changed = request("INVITE", &format!("Proxy-Authorization: {}\r\n", credentials.replacen(from, to, 1)));
        assert_eq!(why(setup.judge(&changed)), Refusal::Unasked, "{to}");
    }
    edits(setup.judge(&signed));
}

/// RFC 7616 3.3: stale.
#[test]
fn a_nonce_that_has_expired_or_is_of_another_process_is_called_stale() {
    let mut setup = Setup::new(&[]);
    let invite = request("INVITE", "");
    let signed = setup.signed(&invite, "secret");
    setup.now = setup.now + Duration::from_millis(60_001);
    let (why, reply) = refusal(setup.judge(&signed));
    assert!(why == Refusal::Stale && is_stale(&reply), "{reply:?}");
    let again = setup.sign(&invite, &reply, &account(None));
    edits(setup.judge(&again));
    let signed = setup.signed(&invite, "secret");
    setup.memory = Memory::new(NonceKey([4; 16]));
    let (why, reply) = refusal(setup.judge(&signed));
    assert!(why == Refusal::Stale && is_stale(&reply), "{reply:?}");
}

/// RFC 7616 5.5.
#[test]
fn credentials_are_good_for_one_request() {
    let mut setup = Setup::new(&[]);
    let invite = request("INVITE", "");
    let signed = setup.signed(&invite, "secret");
    edits(setup.judge(&signed));
    for (source, expected) in [(PHONE, Refusal::Replayed), ("192.0.2.7:1", Refusal::Replayed), ("198.51.100.1:5060", Refusal::Stale)] {
        let (why, reply) = refusal(setup.judge_from(&signed, source, Role::Proxy));
        assert!(why == expected && is_stale(&reply), "{reply:?}");
    }
    // The same nonce with the next count.
    let credentials = fields(&signed, Name::ProxyAuthorization).remove(0);
    let next = |count: &str| {
        let nonce = credentials.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        let secret = Hash::Sha256.of(&[b"alice", b"r", b"secret"]);
        let uri = Hash::Sha256.of(&[b"INVITE", b"sip:bob@example.test"]);
        let parts = [&secret, nonce, count, "c", "auth", &uri];
        let response = Hash::Sha256.of(&parts.map(str::as_bytes));
        let credentials = format!(
            "Digest username=\"alice\", realm=\"r\", nonce=\"{nonce}\", uri=\"sip:bob@example.test\", algorithm=SHA-256, qop=auth, nc={count}, \
             cnonce=\"c\", response=\"{}\"",
            response.to_uppercase()
        );
        request("INVITE", &format!("Proxy-Authorization: {credentials}\r\n"))
    };
    edits(setup.judge(&next("00000002")));
    assert_eq!(why(setup.judge(&next("00000002"))), Refusal::Replayed);
    assert_eq!(why(setup.judge(&next("2"))), Refusal::Replayed);
    edits(setup.judge(&next("0000000A")));
}

/// RFC 7616 3.4.6.
#[test]
fn credentials_for_another_callee_are_refused() {
    let mut setup = Setup::new(&[]);
    let signed = setup.signed(&request("INVITE", ""), "secret");
    let credentials = fields(&signed, Name::ProxyAuthorization).remove(0);
    let elsewhere = request_to("INVITE", "sip:expensive@example.test", &format!("Proxy-Authorization: {credentials}\r\n"));
    let (why, reply) = refusal(setup.judge(&elsewhere));
    assert_eq!((why, reply.status), (Refusal::OtherUri, 400));
    edits(setup.judge(&signed));
}

#[test]
fn who_guesses_is_slowed_and_the_phone_beside_him_is_not() {
    let mut setup = Setup::new(&[]);
    let invite = request("INVITE", "");
    let signed = setup.signed(&invite, "secret");
    edits(setup.judge(&signed));
    let attacker = "192.0.2.7:40000";
    for _ in 0..3 {
        let signed = setup.signed(&invite, "guess");
        assert_eq!(why(setup.judge_from(&signed, attacker, Role::Proxy)), Refusal::Wrong);
    }
    let right = setup.signed(&invite, "secret");
    let (why_slowed, reply) = refusal(setup.judge_from(&right, attacker, Role::Proxy));
    assert_eq!((why_slowed, reply.status), (Refusal::Slowed, 503));
    assert_eq!(reply.headers, [("Retry-After".into(), "20".into())]);
    assert_eq!(why(setup.judge_from(&invite, attacker, Role::Proxy)), Refusal::Unasked, "who brings no credentials is asked for them");
    edits(setup.judge(&right));
    setup.now = setup.now + Duration::from_secs(20);
    let right = setup.signed(&invite, "secret");
    edits(setup.judge_from(&right, attacker, Role::Proxy));
}

/// RFC 2617 3.2.2.1: without qop there is no count.
#[test]
fn the_oldest_form_is_good_for_one_request_of_each_nonce() {
    let mut setup = Setup::new(&[Algorithm::MD5]);
    let invite = request("INVITE", "");
    let (_, mut challenge) = refusal(setup.judge(&invite));
    let old = String::from_utf8(challenge.headers[0].1.to_vec()).unwrap().replace(", qop=\"auth\"", "");
    challenge.headers[0].1 = old.into();
    let signed = setup.sign(&invite, &challenge, &account(None));
    assert!(!fields(&signed, Name::ProxyAuthorization)[0].contains("nc="));
    edits(setup.judge(&signed));
    assert_eq!(why(setup.judge(&signed)), Refusal::Replayed);
}

/// What has been recorded is judged again: the challenges were another process's, at another time, to another source.
#[test]
fn where_anybodys_nonces_are_taken_the_password_alone_decides() {
    let mut recorded = Setup::new(&[Algorithm::MD5]);
    let (right, wrong) = (recorded.signed(&request("INVITE", ""), "secret"), recorded.signed(&request("INVITE", ""), "guess"));
    let mut setup = Setup { memory: Memory::taking(Taken::Anybodys, NonceKey([4; 16])), ..Setup::new(&[Algorithm::MD5]) };
    setup.now = setup.now + Duration::from_secs(100_000);
    for _ in 0..2 {
        assert!(matches!(setup.judge_from(&right, "192.0.2.8:1", Role::Proxy), Outcome::Genuine { user, .. } if user == "alice"));
    }
    assert_eq!(why(setup.judge(&wrong)), Refusal::Wrong);
    assert_eq!(why(setup.judge(&request("INVITE", ""))), Refusal::Unasked);
    setup.memory = Memory::new(NonceKey([4; 16]));
    assert_eq!(why(setup.judge(&right)), Refusal::Stale, "nobody else takes them");
}
