//! Whole files: what a good one means, and what is said of a bad one.

mod faults;
mod full;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use jackfield_plugin_host::settings::Waiting;

use super::*;

fn environment() -> Environment {
    Environment { home: Some(PathBuf::from("/home/op")), cores: 4, ..Environment::default() }
}

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(Path::new("/etc/jackfield/jackfield.toml"), text, &environment())
}

/// The problems of a text as they are printed, for a file named `f`.
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).map_or_else(|problems| problems, |config| config.warnings);
    problems.iter().map(|problem| problem.display(Path::new("f")).to_string()).collect()
}

const LISTEN: &str = "[listen.lan]\naddress = \"192.0.2.1:5060\"\n";

#[test]
fn a_small_file_has_the_documented_defaults() {
    let config = parse(LISTEN).unwrap();
    assert_eq!(
        config,
        Config {
            path: PathBuf::from("/etc/jackfield/jackfield.toml"),
            domains: vec![],
            listen: vec![Listen {
                name: "lan".into(),
                place: Place::Address("192.0.2.1".parse().unwrap()),
                port: Some(5060),
                transports: vec![Transport::Udp, Transport::Tcp],
                advertise: None,
                tls: None,
                origins: vec![],
                access: Access::default(),
                authenticate: None,
                border: None,
                media: SideMedia::default(),
            }],
            auth: vec![],
            relay: Relay::default(),
            outbound_proxy: OutboundProxy::default(),
            trunks: vec![],
            media: None,
            admission: AdmissionSettings::default(),
            sipproxy: Sipproxy::default(),
            registrations: jackfield_trunk::registrations::RegistrationSettings::default(),
            dns: jackfield_resolver::Settings::default(),
            flows: Flows { path: PathPolicy::WhereSupported },
            tables: jackfield_services::tables::Settings::default(),
            plugins: Plugins {
                directory: None,
                chain: vec![],
                table: BTreeMap::new(),
                debounce: Duration::from_millis(200),
                waiting: Waiting::default()
            },
            services: Services::default(),
            timers: Timers {
                t1: Duration::from_millis(500),
                t2: Duration::from_secs(4),
                t4: Duration::from_secs(5),
                c: Duration::from_secs(185),
                candidate: Duration::from_millis(500),
                trying: Duration::from_millis(150),
            },
            limits: Limits {
                core: CoreLimits { contexts: 200_000, branches: 32, retry_after: 5, max_breadth: 60 },
                message: 65_536,
                headers: 256,
                udp_request_max: 1300,
                tcp: TcpLimits {
                    connections: 10_000,
                    message_time: Duration::from_secs(20),
                    idle_time: Duration::from_secs(600),
                    handshake_time: Duration::from_secs(10),
                    connect_time: Duration::from_secs(4),
                },
                source: SourceLimits::default(),
            },
            log: Log { level: LogLevel::Info, format: LogFormat::Human },
            admin: Admin { control: PathBuf::from("/home/op/.local/state/jackfield/control.sock"), metrics: None },
            workers: 4,
            drain: Duration::from_secs(60),
            explain_keep: 0,
            record: jackfield_plugin_host::record::RecordSettings::in_directory("/home/op/.local/state/jackfield/recordings".into()),
            state_directory: PathBuf::from("/home/op/.local/state/jackfield"),
            token_keys: None,
            warnings: vec![],
            places: Places::default(),
        }
    );
}

#[test]
fn the_keys_of_tokens_are_in_a_file_or_in_the_environment() {
    let keys = |text: &str| parse(&format!("{text}\n{LISTEN}")).unwrap().token_keys;
    assert_eq!(keys("token-key-file = \"k\""), Some(Secret::File("/etc/jackfield/k".into())));
    assert_eq!(keys("token-key-env = \"KEYS\""), Some(Secret::Variable("KEYS".into())));
    let both = problems(&format!("token-key-file = \"k\"\ntoken-key-env = \"KEYS\"\n{LISTEN}"));
    assert_eq!(both, ["f:2:17: token-key-env: there is a token-key-file already; keep one of them"]);
    let empty = problems(&format!("token-key-env = \"\"\n{LISTEN}"));
    assert_eq!(empty, ["f:1:17: token-key-env: is empty; write the name of an environment variable, like \"JACKFIELD_TOKEN_KEYS\""]);
}

#[test]
fn a_file_is_loaded_from_disk_with_its_directory_as_base() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    std::fs::write(&file, format!("state-directory = \"state\"\n{LISTEN}")).unwrap();
    assert_eq!(Config::load(&file).unwrap().state_directory, directory.path().join("state"));
    std::fs::write(&file, b"# caf\xe9\n").unwrap();
    let error = Config::load(&file).unwrap_err();
    assert_eq!(error.to_string(), format!("{}:1:6: not valid UTF-8; save the file as UTF-8", file.display()));
    let absent = Config::load(&directory.path().join("absent.toml")).unwrap_err();
    assert!(matches!(absent, LoadError::Unreadable { .. }));
}

#[test]
fn the_configurations_of_this_repository_are_good() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut checked = 0;
    for folder in ["tests/lab", "examples/quickstart", "examples/border", "examples/webrtc"] {
        for entry in std::fs::read_dir(repository.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "toml") && !file.ends_with("Cargo.toml") {
                let loaded = Config::load(&file);
                assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "{checked} files were found");
}

/// The blocks of TOML in the README: whole files, or a part that goes with any listener.
#[test]
fn the_examples_of_the_readme_are_good() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 3, "{} blocks were found", blocks.len());
    for block in blocks {
        let file = if block.contains("[listen.") { block.to_owned() } else { format!("{LISTEN}{block}") };
        assert_eq!(problems(&file), [""; 0], "{block}");
    }
}

#[test]
fn each_transport_has_its_port_where_none_is_written_and_secure_ones_their_files() {
    let config = parse(
        r#"
[listen.wan]
address = "192.0.2.1"
transports = ["udp", "tcp", "tls", "ws", "wss"]

[listen.wan.tls]
certificate = "wan.pem"
key = "/keys/wan.key"
also = [{ certificate = "b.pem", key = "b.key" }]
client-ca = "clients.pem"
server-ca = "ca.pem"

[listen.wan.websocket]
origins = ["https://phone.example.com", "null"]

[listen.lan]
address = "192.0.2.1:5070"
transports = ["tcp", "ws"]

[limits.tcp]
handshake-time = "3s"
"#,
    )
    .unwrap();
    assert_eq!(config.warnings, []);
    let wan = &config.listen[0];
    let ports = wan.transports.iter().map(|transport| wan.port_of(*transport));
    assert_eq!(ports.collect::<Vec<_>>(), [5060, 5060, 5061, 80, 443]);
    let base = Path::new("/etc/jackfield");
    let files = wan.tls.as_ref().unwrap();
    assert_eq!(
        files.paths().collect::<Vec<_>>(),
        [
            base.join("wan.pem"),
            "/keys/wan.key".into(),
            base.join("b.pem"),
            base.join("b.key"),
            base.join("clients.pem"),
            base.join("ca.pem")
        ]
    );
    assert_eq!(files.client_certificate, jackfield_transport::ClientCertificate::Require, "that is what a CA of clients is for");
    assert_eq!(wan.origins.iter().map(|origin| &**origin).collect::<Vec<_>>(), ["https://phone.example.com", "null"]);
    assert_eq!((config.listen[1].port, &config.listen[1].tls), (Some(5070), &None));
    assert_eq!(config.limits.tcp.handshake_time, Duration::from_secs(3));
}
