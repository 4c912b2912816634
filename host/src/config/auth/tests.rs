//! Tables, what is said of bad ones, and which requests they ask for.

use bytes::Bytes;
use jackfield_auth::Hash;
use jackfield_proto::message::{Framing, Limits};

use super::super::{Config, Environment, Problem};
use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef";

fn parse_in(directory: &Path, table: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    let text = format!("[listen.a]\naddress = \"127.0.0.1\"\nauthenticate = \"phones\"\n[auth.phones]\n{table}\n");
    Config::parse(&directory.join("f"), &text, &environment)
}

fn parse(table: &str) -> Result<Config, Vec<Problem>> {
    parse_in(Path::new("/etc"), table)
}

fn request(method: &str, uri: &str, more: &str) -> Message {
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: <{uri}>\r\n\
         Call-ID: 1\r\nCSeq: 1 {method}\r\n{more}\r\n"
    );
    Message::parse(Bytes::from(text), Framing::Datagram, &Limits::default()).unwrap()
}

#[test]
fn every_key_is_read() {
    let config = parse(&format!(
        "realm = \"example.test\"\nusers-file = \"phones.users\"\nusers = {{ alice = \"MD5:{HASH}\", bob = [\"{HASH}\", \"SHA-256:{HASH}{HASH}\"] }}\n\
         algorithms = [\"MD5\", \"SHA-256-sess\"]\nnonce-life = \"5m\"\nregistrar-domains = [\"Example.TEST\"]\nhosts = [\"locked.test\"]\n\
         methods = [\"INVITE\", \"REGISTER\"]\nexempt = [\"10.0.0.0/8\"]\nwrong-per-minute = 0"
    ));
    let config = config.unwrap();
    let auth = &config.auth[0];
    let settings = Settings {
        realm: "example.test".into(),
        algorithms: vec![Algorithm::MD5, Algorithm::SHA256_SESS],
        nonce_life: Duration::from_secs(300),
        wrong_per_minute: 0,
    };
    assert_eq!((auth.name.as_str(), &auth.settings, auth.users.len()), ("phones", &settings, 2));
    assert_eq!((auth.users.first_without(Hash::Md5), auth.users.first_without(Hash::Sha256)), (None, Some("alice")));
    assert_eq!(auth.users_file.as_deref(), Some(Path::new("/etc/phones.users")));
    assert_eq!((&auth.registrar_domains, &auth.hosts), (&vec!["example.test".to_owned()], &vec!["locked.test".to_owned()]));
    assert_eq!((&auth.methods, auth.exempt.len()), (&vec!["INVITE".to_owned(), "REGISTER".to_owned()], 1));
    assert_eq!(config.listen[0].authenticate.as_deref(), Some("phones"));
    let least = parse(&format!("realm = \"r\"\nusers.alice = \"{HASH}\"")).unwrap();
    let settings = &least.auth[0].settings;
    assert_eq!((settings.nonce_life, settings.wrong_per_minute, &settings.algorithms), (NONCE_LIFE, WRONG_PER_MINUTE, &vec![]));
}

#[test]
fn what_cannot_be_meant_is_named() {
    let users = format!("realm = \"r\"\nusers.alice = \"{HASH}\"");
    for (table, problem) in [
        (
            "realm = \"r\"",
            "4:7: auth.phones.users-file: there are no users; add users-file = \"phones.users\", or users = { alice = \"SHA-256:...\" }",
        ),
        (
            "users-file = \"u\"",
            "4:7: auth.phones.realm: is missing; add realm = \"example.com\": what phones show, and what the hashes of passwords are made with",
        ),
        (
            "realm = \"\"\nusers-file = \"u\"",
            "5:9: auth.phones.realm: is empty, has blanks around it or control characters in it; write a name like \"example.com\"",
        ),
        (
            "realm = \"r\"\nusers.alice = \"SHA-256:00\"",
            "6:15: auth.phones.users.alice: the hash of `alice` is not 64 hexadecimal digits, as SHA-256 has them; `jackfield hash-password` makes such hashes",
        ),
        (
            &format!("{users}\nalgorithms = [\"SHA-1\"]"),
            "7:15: auth.phones.algorithms[0]: `SHA-1` is no algorithm; it is one of MD5, SHA-256, SHA-512-256 and these with -sess",
        ),
        (&format!("{users}\nmethods = [\"ACK\"]"), "7:12: auth.phones.methods[0]: ACK cannot be challenged (RFC 3261 22.1); remove it"),
        (
            &format!("{users}\nmethods = [\"invite\"]"),
            "7:12: auth.phones.methods[0]: `invite` is no method; write it like \"INVITE\", in capitals",
        ),
        (
            &format!("{users}\nhosts = [\"a b\"]"),
            "7:10: auth.phones.hosts[0]: `a b` is no host; write a name or an address alone, like \"example.com\"",
        ),
        (&format!("{users}\nnonce-live = \"1s\""), "7:1: auth.phones.nonce-live: unknown key; did you mean `nonce-life`?"),
        (
            &format!("{users}\n[auth.phone]\n{users}\n[listen.b]\naddress = \"127.0.0.2\"\nauthenticate = \"phons\""),
            "12:16: listen.b.authenticate: there is no [auth.phons]; did you mean `phone`?",
        ),
    ] {
        let problems = parse(table).unwrap_err();
        let place = |problem: &Problem| format!("{}:{}: {}: {}", problem.line, problem.column, problem.key, problem.message);
        assert!(problems.iter().map(place).any(|found| found == problem), "{problem}: {problems:?}");
    }
    let warned = parse(&format!("{users}\n[auth.unused]\n{users}")).unwrap().warnings;
    assert!(
        warned.iter().any(|warning| warning.key == "auth.unused" && warning.message.contains("authenticate = \"unused\"")),
        "{warned:?}"
    );
}

#[test]
fn users_of_table_and_file_are_one_list() {
    let directory = tempfile::tempdir().unwrap();
    let config = |more: &str| parse_in(directory.path(), &format!("realm = \"r\"\nusers-file = \"u\"\n{more}")).unwrap();
    let told = |config: &Config| {
        config.check_users().into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>()
    };
    let file = directory.path().join("u");
    assert!(told(&config(""))[0].starts_with(&format!("auth.phones.users-file: cannot read {}: ", file.display())));
    std::fs::write(&file, format!("alice:r:{HASH}\nbob:other:{HASH}\n")).unwrap();
    let both = config(&format!("users.carol = \"{HASH}\""));
    assert_eq!(both.user_lists().unwrap()["phones"].len(), 2);
    assert_eq!(told(&both), [""; 0]);
    let offered = config("algorithms = [\"SHA-256\", \"MD5\"]");
    assert_eq!(told(&offered), ["auth.phones.algorithms: SHA-256 is offered, but `alice` has no hash of SHA-256, and may be refused"]);
    let mixed = config(&format!("users.carol = \"SHA-256:{HASH}{HASH}\""));
    assert!(told(&mixed)[0].starts_with("auth.phones.users-file: no hash function is common to all users"), "{:?}", told(&mixed));
    std::fs::write(&file, "# nobody\nalice:r:00\n").unwrap();
    let line = format!("auth.phones.users-file: {}:2: the hash of `alice` is not 32 hexadecimal digits, as MD5 has them", file.display());
    assert_eq!(told(&config("")), [line]);
    std::fs::write(&file, "").unwrap();
    assert_eq!(told(&config("")), ["auth.phones.users-file: there is no user of the realm \"r\""]);
}

#[test]
fn one_password_may_hold_for_every_name() {
    let directory = tempfile::tempdir().unwrap();
    let config = |more: &str| parse_in(directory.path(), &format!("realm = \"r\"\n{more}"));
    let common = config("common-password-file = \"p\"").unwrap();
    let file = directory.path().join("p");
    let problems = common.user_lists().unwrap_err();
    assert!(problems[0].key == "auth.phones.common-password-file" && problems[0].message.starts_with("cannot read"), "{problems:?}");
    std::fs::write(&file, "secret\n").unwrap();
    let mut expected = Users::default();
    expected.admit_all("r", "secret");
    assert_eq!((&common.user_lists().unwrap()["phones"], common.auth[0].files()), (&expected, vec![file]));
    let problems = config("common-password-file = \"p\"\ncommon-password-env = \"P\"").unwrap_err();
    assert_eq!(problems[0].message, "there is a common-password-file already; keep one of them");
}

#[test]
fn what_is_asked_for_is_told_by_method_and_host() {
    let auth = |more: &str| parse(&format!("realm = \"r\"\nusers.alice = \"{HASH}\"\n{more}")).unwrap().auth.remove(0);
    let all = auth("");
    for method in ["INVITE", "REGISTER", "MESSAGE", "BYE", "NEW"] {
        assert!(all.asks_for(&request(method, "sip:bob@example.test", "")), "{method}");
    }
    assert!(!all.asks_for(&request("ACK", "sip:b@h", "")) && !all.asks_for(&request("CANCEL", "sip:b@h", "")));
    let some = auth("methods = [\"INVITE\"]\nhosts = [\"locked.test\", \"2001:db8::1\"]");
    for (method, uri, more, expected) in [
        ("INVITE", "sip:b@LOCKED.test.:5070", "", true),
        ("INVITE", "sip:b@[2001:db8:0::1]", "", true),
        ("INVITE", "sip:b@open.test", "Route: <sip:locked.test;lr>\r\n", true),
        ("INVITE", "sip:b@open.test;maddr=locked.test", "", true),
        ("INVITE", "sip:b@open.test", "", false),
        ("INVITE", "tel:+49", "", false),
        ("OPTIONS", "sip:b@locked.test", "", false),
    ] {
        assert_eq!(some.asks_for(&request(method, uri, more)), expected, "{method} {uri} {more}");
    }
    let registrar = auth("registrar-domains = [\"example.test\"]");
    assert!(registrar.is_to_registrar(&request("REGISTER", "sip:Example.test", "")));
    assert!(!registrar.is_to_registrar(&request("REGISTER", "sip:other.test", "")));
    assert!(!registrar.is_to_registrar(&request("INVITE", "sip:example.test", "")));
    assert!(!all.is_to_registrar(&request("REGISTER", "sip:example.test", "")));
}
