use super::super::Environment;
use super::*;

/// A plugin `a` with a bucket `b` in the store `s`.
const BUCKET: &str = "[listen.lan]\naddress = \"127.0.0.1\"\n[plugins]\ndirectory = \"p\"\nchain = [\"a\"]\n[plugins.a]\ngrant = { kv = [\"b\"] }\n[kv.b]\nstore = \"s\"\n[store.s]\n";

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    Config::parse(Path::new("/etc/jackfield/f"), &format!("{BUCKET}{text}"), &environment)
}

fn read(text: &str) -> StoreSettings {
    let config = parse(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    assert_eq!(config.warnings, [], "{text}");
    config.services.settings.stores["s"].clone()
}

fn server(host: &str, port: u16) -> Server {
    Server { host: host.into(), port }
}

#[test]
fn a_url_is_enough() {
    let expected = StoreSettings::at(Servers::Single(server("127.0.0.1", 6379)));
    assert_eq!(read("url = \"redis://127.0.0.1\""), expected);
    assert_eq!(expected.timeout, Duration::from_millis(200));
    assert_eq!((expected.prefix.as_str(), expected.operations), ("jackfield:", 1024));
    assert_eq!(parse("url = \"redis://127.0.0.1\"").unwrap().services.settings.buckets["b"].store.as_deref(), Some("s"));
}

#[test]
fn all_of_a_store_is_read() {
    let text = "url = \"rediss://cache.test:6380\"\nusername = \"me\"\ndatabase = 4\ncertificate-authority = \"ca.pem\"\n\
        timeout = \"50ms\"\nprefix = \"site-a:\"\noperations = 64\npassword-file = \"secret\"";
    let expected = StoreSettings {
        tls: Some(TlsSettings { certificate_authority: Some("/etc/jackfield/ca.pem".into()) }),
        username: Some("me".into()),
        password: None,
        database: 4,
        timeout: Duration::from_millis(50),
        prefix: "site-a:".into(),
        operations: 64,
        servers: Servers::Single(server("cache.test", 6380)),
    };
    assert_eq!(read(text), expected);
    let secret = Secret::File("/etc/jackfield/secret".into());
    assert_eq!(parse(text).unwrap().services.secrets["s"], StoreSecrets { server: Some(secret), sentinel: None });
}

#[test]
fn what_a_url_says_counts() {
    let expected = StoreSettings {
        username: Some("me".into()),
        password: Some(Password::new("p@ss".into())),
        database: 2,
        ..StoreSettings::at(Servers::Single(server("::1", 7000)))
    };
    assert_eq!(read("url = \"valkey://me:p%40ss@[::1]:7000/2\""), expected);
}

#[test]
fn sentinels_and_clusters_are_read() {
    let sentinel = |nodes: Vec<Server>| Servers::Sentinel { nodes, master: "m".into(), password: None };
    for (text, servers, secure) in [
        (
            "sentinel = { nodes = [\"10.0.0.1\", \"10.0.0.2:5\"], master = \"m\" }",
            sentinel(vec![server("10.0.0.1", 26379), server("10.0.0.2", 5)]),
            false,
        ),
        ("sentinel = { nodes = [\"[::1]:7\", \"[::1]\"], master = \"m\" }", sentinel(vec![server("::1", 7), server("::1", 26379)]), false),
        ("sentinel = { nodes = [\"rediss://h\"], master = \"m\" }", sentinel(vec![server("h", 26379)]), true),
        ("cluster = [\"redis://a:1\", \"redis://b\"]", Servers::Cluster(vec![server("a", 1), server("b", 6379)]), false),
    ] {
        let store = read(text);
        assert_eq!((store.servers, store.tls.is_some()), (servers, secure), "{text}");
    }
}

#[test]
fn what_cannot_be_meant_is_named() {
    for (text, problem) in [
        ("", "10:8: store.s.url: is missing; add url = \"redis://ADDRESS:6379\", or `sentinel`, or `cluster`"),
        ("uri = \"redis://h\"\nurl = \"redis://h\"", "11:1: store.s.uri: unknown key; did you mean `url`?"),
        ("url = \"redis://h\"\ncluster = [\"redis://h\"]", "12:1: store.s.cluster: is here with `url`; keep one of them"),
        (
            "url = \"redis://h\"\nsentinel = { nodes = [\"h\"], master = \"m\" }",
            "12:1: store.s.sentinel: is here with `url`; keep one of them",
        ),
        ("url = \"http://me:geheim@h\"", "11:7: store.s.url: has the scheme http; write redis or valkey, or rediss or valkeys for TLS"),
        (
            "url = \"redis://:geheim@h\"\npassword-env = \"P\"",
            "12:1: store.s.password-env: there is a password in the URL already; keep one of them",
        ),
        ("url = \"redis://me@h\"\nusername = \"me\"", "12:1: store.s.username: there is a user in the URL already; keep one of them"),
        (
            "url = \"redis://h/1\"\ndatabase = 1",
            "12:1: store.s.database: there is a database at the end of the URL already; keep one of them",
        ),
        (
            "url = \"redis://h\"\npassword-file = \"f\"\npassword-env = \"P\"",
            "13:16: store.s.password-env: there is a password-file already; keep one of them",
        ),
        ("url = \"redis://h\"\ntimeout = 200", "12:11: store.s.timeout: 200 has no unit; write \"200ms\" or \"200s\""),
        ("url = \"redis://h\"\nprefix = \"{a}\"", "12:10: store.s.prefix: cannot be a prefix; write up to 128 characters without braces"),
        ("url = \"redis://h\"\noperations = 0", "12:14: store.s.operations: 0 is out of range; write a number from 1 to 1000000"),
        ("cluster = []", "11:11: store.s.cluster: names 0 nodes; write 1 to 16"),
        ("cluster = [\"redis://h\", \"redis://h\"]", "11:25: store.s.cluster[1]: is here twice; remove one"),
        ("cluster = [\"redis://h/1\"]", "11:12: store.s.cluster[0]: a cluster has database 0 alone; remove the number at the end"),
        (
            "cluster = [\"redis://h\", \"rediss://i\"]",
            "11:25: store.s.cluster[1]: has another scheme, user, password or database than the first node; write them alike",
        ),
        ("cluster = [\"redis://h\"]\ndatabase = 1", "12:1: store.s.database: a cluster has database 0 alone; remove the key"),
        (
            "sentinel = { nodes = [\"h\"] }",
            "11:1: store.s.sentinel.master: is missing; add master = \"mymaster\", as the Sentinels call it",
        ),
        ("sentinel = { master = \"m\" }", "11:1: store.s.sentinel.nodes: is missing; add nodes = [\"ADDRESS:26379\"]"),
        (
            "sentinel = { nodes = [\"redis://:geheim@h\"], master = \"m\" }",
            "11:23: store.s.sentinel.nodes[0]: is no Sentinel; write it like \"192.0.2.1:26379\", or \"rediss://192.0.2.1:26379\" for TLS, without a user",
        ),
        (
            "url = \"redis://h\"\n[store.\"a:b\"]\nurl = \"redis://h\"",
            "12:8: store.\"a:b\": `a:b` cannot be the name of a store; names are up to 64 letters, digits, `-`, `_` and `.`",
        ),
    ] {
        let problems = parse(text).unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| format!("{}:{}: {}: {}", p.line, p.column, p.key, p.message)).collect();
        assert_eq!(found, [problem], "{text}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let warnings = |text: &str| parse(text).unwrap().warnings.iter().map(|p| format!("{}: {}", p.key, p.message)).collect::<Vec<_>>();
    assert_eq!(
        warnings("url = \"redis://h\"\ncertificate-authority = \"ca.pem\""),
        ["store.s.certificate-authority: has no effect: no URL begins with rediss://"]
    );
    assert_eq!(
        warnings("url = \"redis://h\"\n[store.t]\nurl = \"redis://h\""),
        ["store.t: no bucket is in this store; add store = \"t\" to a [kv.NAME]"]
    );
}

#[test]
fn passwords_are_read_when_they_are_wanted_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    for (name, text) in [("one", "geheim\n"), ("two", "auch geheim\n")] {
        std::fs::write(file(name), text).unwrap();
    }
    let text = |name: &str| {
        let (one, two) = (file(name), file("two"));
        format!("password-file = \"{one}\"\nsentinel = {{ nodes = [\"h\"], master = \"m\", password-file = \"{two}\" }}")
    };
    let config = parse(&text("one")).unwrap();
    let settings = config.services_with_passwords().unwrap();
    let store = &settings.stores["s"];
    assert_eq!(store.password, Some(Password::new("geheim".into())));
    let Servers::Sentinel { password, .. } = &store.servers else { panic!("{store:?}") };
    assert_eq!(*password, Some(Password::new("auch geheim".into())));
    assert!(!format!("{settings:?}").contains("geheim"));
    let problems = parse(&text("none")).unwrap().services_with_passwords().unwrap_err();
    let [Problem { line: 11, key, message, .. }] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(key, "store.s.password-file");
    assert!(message.starts_with("cannot read "), "{message}");
}
