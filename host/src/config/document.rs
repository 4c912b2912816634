//! The document as a whole, and the sections that are no more than a few values.

use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::time::Duration;

use jackfield_services::settings::Settings;
use jackfield_trunk::registrations::RegistrationSettings;
use toml::de::DeTable;

use super::Network;
use super::host::parse_host;
use super::places::Places;
use super::problem::position;
use super::reader::{Report, Section};
use super::side::{self, Names};
use super::state::CONTROL_SOCKET;
use super::{
    Admin, Config, CoreLimits, Environment, Flows, Limits, Log, LogFormat, LogLevel, PathPolicy, Problem, Relay, Secret, Services,
    Severity, TcpLimits, Timers, admission, auth, dns, http, kv, listen, media, outbound, plugins, sipproxy, source_limits, store, tables,
    trunk, watching,
};

const KEYS: [&str; 28] = [
    "domains",
    "listen",
    "auth",
    "relay",
    "outbound-proxy",
    "trunk",
    "media",
    "admission",
    "sipproxy",
    "registrations",
    "dns",
    "flows",
    "plugins",
    "table",
    "kv",
    "store",
    "http",
    "timers",
    "explain",
    "record",
    "limits",
    "log",
    "admin",
    "workers",
    "drain",
    "state-directory",
    "token-key-file",
    "token-key-env",
];

/// Contexts of one worker where the file says nothing.
const CONTEXTS_PER_WORKER: u64 = 200_000;

/// The longest path that a Unix socket can have on Linux: 108 octets with a final NUL.
const SOCKET_PATH_MAX: usize = 107;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Config, Vec<Problem>> {
    let (document, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        return Err(faults.iter().map(|fault| toml_problem(text, fault)).collect());
    }
    let report = Report::new(text);
    let root = Section::root(&report, document.get_ref(), &KEYS);
    let config = read(path, &root, environment);
    let problems = report.into_problems();
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    Ok(Config { warnings: problems, places: Places::of(text, document.get_ref()), ..config })
}

/// A fault in the TOML itself. Its keys cannot be told, and those of the rest cannot be trusted, so that these stand alone.
fn toml_problem(text: &str, fault: &toml::de::Error) -> Problem {
    let (line, column) = position(text, fault.span().map_or(0, |span| span.start));
    Problem { severity: Severity::Error, line, column, key: String::new(), message: format!("not valid TOML: {}", fault.message()) }
}

/// A file that is no text.
pub(super) fn not_utf8(octets: &[u8], error: Utf8Error) -> Problem {
    let valid = octets.get(..error.valid_up_to()).and_then(|valid| str::from_utf8(valid).ok()).unwrap_or_default();
    let (line, column) = position(valid, valid.len());
    let message = "not valid UTF-8; save the file as UTF-8".to_owned();
    Problem { severity: Severity::Error, line, column, key: String::new(), message }
}

fn read(path: &Path, root: &Section<'_, '_>, environment: &Environment) -> Config {
    let base = path.parent().unwrap_or(Path::new(""));
    let workers = root.item("workers").and_then(|item| item.count(1..=255)).unwrap_or(environment.cores.clamp(1, 255));
    let state_directory = match root.item("state-directory") {
        Some(item) => item.path(base).unwrap_or_default(),
        None => environment.default_state_directory().unwrap_or_else(|| {
            root.missing("state-directory", "there is no home directory to keep state in; add state-directory = \"/some/path\"");
            PathBuf::new()
        }),
    };
    let auth = auth::read(root, base);
    let names = Names::of(root);
    let mut listen = listen::read(root, base, &auth, &names);
    auth::warn_about_idle(root, &listen);
    let admin = admin(&root.section("admin", &["control", "metrics"]), base, &state_directory);
    listen::refuse_shared_port(root, &listen, admin.metrics);
    let mut trunks = trunk::read(root, &listen, base, &names);
    side::settle(&mut listen, &mut trunks);
    let plugins = plugins::read(root, base);
    media::warn_about_idle(root, &listen, &trunks, &plugins);
    Config {
        path: path.to_owned(),
        domains: domains(root),
        relay: relay(&root.section("relay", &["to"])),
        outbound_proxy: outbound::read(root, &listen),
        trunks,
        media: media::read(root),
        admission: admission::read(root),
        sipproxy: sipproxy::read(root, base, environment),
        registrations: registrations(&root.section("registrations", &["refresh-grace", "limit"])),
        dns: dns::read(root),
        flows: flows(&root.section("flows", &["path"])),
        plugins,
        tables: tables::read(root, base),
        services: services(root, base),
        timers: timers(&root.section("timers", &["t1", "t2", "t4", "c", "trying", "candidate"])),
        limits: limits(root, workers),
        log: log(&root.section("log", &["level", "format"])),
        explain_keep: watching::explain(root),
        record: watching::record(root, base, &state_directory),
        drain: root.item("drain").and_then(|item| item.duration(Duration::ZERO..=HOUR)).unwrap_or(Duration::from_secs(60)),
        token_keys: token_keys(root, base),
        warnings: Vec::new(),
        places: Places::default(),
        listen,
        auth,
        admin,
        workers,
        state_directory,
    }
}

fn services(root: &Section<'_, '_>, base: &Path) -> Services {
    let (stores, secrets) = store::read(root, base);
    let buckets = kv::read(root, &stores);
    Services { settings: Settings { buckets, stores, http: http::read(root, base) }, secrets }
}

fn token_keys(root: &Section<'_, '_>, base: &Path) -> Option<Secret> {
    match (root.item("token-key-file"), root.item("token-key-env")) {
        (Some(_), Some(item)) => {
            item.error("there is a token-key-file already; keep one of them");
            None
        }
        (Some(file), None) => file.path(base).map(Secret::File),
        (None, Some(item)) => match item.string()? {
            "" => {
                item.error("is empty; write the name of an environment variable, like \"JACKFIELD_TOKEN_KEYS\"");
                None
            }
            name => Some(Secret::Variable(name.to_owned())),
        },
        (None, None) => None,
    }
}

fn domains(root: &Section<'_, '_>) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for item in root.item("domains").iter().filter_map(|list| list.strings()).flatten() {
        let Some(text) = item.string() else { continue };
        match parse_host(text) {
            Some(host) if domains.contains(&host) => item.error(format!("`{text}` is here twice; remove one")),
            Some(host) => domains.push(host),
            None => item.error(format!("`{text}` is no host; write a name or an address alone, like \"example.com\"")),
        }
    }
    domains
}

fn relay(section: &Section<'_, '_>) -> Relay {
    let mut relay = Relay::default();
    for item in section.item("to").iter().filter_map(|list| list.strings()).flatten() {
        let Some(text) = item.string() else { continue };
        match (text.parse::<Network>(), parse_host(text)) {
            (Ok(network), _) => relay.networks.push(network),
            (Err(_), Some(host)) => relay.hosts.push(host),
            (Err(error), None) if text.contains('/') => item.error(format!("{error}; write it like \"192.0.2.0/24\"")),
            (Err(_), None) => {
                item.error(format!("`{text}` is no host, address or block; write it like \"pbx.example.com\" or \"192.0.2.0/24\""));
            }
        }
    }
    relay
}

fn flows(section: &Section<'_, '_>) -> Flows {
    let policies = [("supported", PathPolicy::WhereSupported), ("never", PathPolicy::Never)];
    Flows { path: section.item("path").and_then(|item| item.word(&policies)).unwrap_or_default() }
}

fn registrations(section: &Section<'_, '_>) -> RegistrationSettings {
    let default = RegistrationSettings::default();
    RegistrationSettings {
        refresh_grace: section.item("refresh-grace").and_then(|item| item.duration(Duration::ZERO..=HOUR)).unwrap_or(default.refresh_grace),
        limit: section.item("limit").and_then(|item| item.count(0..=10_000_000)).unwrap_or(default.limit),
    }
}

fn timers(section: &Section<'_, '_>) -> Timers {
    let read = |key, range, default| section.item(key).and_then(|item| item.duration(range)).unwrap_or(default);
    let default = Timers::default();
    let timers = Timers {
        t1: read("t1", MILLISECOND..=Duration::from_secs(10), default.t1),
        t2: read("t2", MILLISECOND..=Duration::from_secs(60), default.t2),
        t4: read("t4", MILLISECOND..=Duration::from_secs(60), default.t4),
        c: read("c", Duration::from_secs(1)..=HOUR, default.c),
        candidate: read("candidate", 50 * MILLISECOND..=Duration::from_secs(30), default.candidate),
        // RFC 3261 17.2.1: a 100 has to be sent within 200 ms where nothing else is.
        trying: read("trying", Duration::ZERO..=Duration::from_millis(200), default.trying),
    };
    if timers.t2 < timers.t1 {
        let place = section.item("t2").or_else(|| section.item("t1"));
        place.iter().for_each(|item| item.error("t2 is shorter than t1; intervals grow from t1 up to t2 (RFC 3261 17.1.2.2)"));
    }
    if timers.c <= Duration::from_secs(180) {
        let message = "timer C has to be longer than 3 minutes (RFC 3261 16.6 item 11); shorter ones end calls that still ring";
        section.item("c").iter().for_each(|item| item.warning(message));
    }
    timers
}

fn limits(root: &Section<'_, '_>, workers: usize) -> Limits {
    let section = root
        .section("limits", &["message", "headers", "contexts", "branches", "max-breadth", "retry-after", "udp-request", "tcp", "source"]);
    let tcp = section.section("tcp", &["connections", "message-time", "idle-time", "handshake-time", "connect-time"]);
    let count = |section: &Section<'_, '_>, key, range, default| section.item(key).and_then(|i| i.count(range)).unwrap_or(default);
    let number = |key, range, default| {
        let number = section.item(key).and_then(|item| item.number(range));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let size = |key, range, default| {
        let size = section.item(key).and_then(|item| item.size(range));
        size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default)
    };
    let time = |key, default| tcp.item(key).and_then(|item| item.duration(MILLISECOND..=24 * HOUR)).unwrap_or(default);
    let core = CoreLimits::default();
    let contexts = section.item("contexts").and_then(|item| item.number(1..=100_000_000));
    let contexts = contexts.unwrap_or(CONTEXTS_PER_WORKER * workers as u64).div_ceil(workers as u64);
    let retry_after = section.item("retry-after").and_then(|item| item.duration(Duration::from_secs(1)..=HOUR));
    let tcp_default = TcpLimits::default();
    Limits {
        core: CoreLimits {
            contexts: usize::try_from(contexts).unwrap_or(usize::MAX),
            branches: count(&section, "branches", 1..=1000, core.branches),
            retry_after: retry_after.map_or(core.retry_after, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
            max_breadth: number("max-breadth", 1..=1000, core.max_breadth),
        },
        message: size("message", 1 << 10..=16 << 20, 65_536),
        headers: count(&section, "headers", 16..=4096, 256),
        udp_request_max: size("udp-request", 200..=65_507, 1300),
        tcp: TcpLimits {
            connections: count(&tcp, "connections", 1..=1_000_000, tcp_default.connections),
            message_time: time("message-time", tcp_default.message_time),
            idle_time: time("idle-time", tcp_default.idle_time),
            handshake_time: time("handshake-time", tcp_default.handshake_time),
            connect_time: time("connect-time", tcp_default.connect_time),
        },
        source: source_limits::read(&section),
    }
}

fn log(section: &Section<'_, '_>) -> Log {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
    let default = Log::default();
    Log {
        level: section.item("level").and_then(|item| item.word(&levels)).unwrap_or(default.level),
        format: section.item("format").and_then(|item| item.word(&formats)).unwrap_or(default.format),
    }
}

fn admin(section: &Section<'_, '_>, base: &Path, state_directory: &Path) -> Admin {
    let item = section.item("control");
    let control = item.as_ref().and_then(|item| item.path(base)).unwrap_or_else(|| state_directory.join(CONTROL_SOCKET));
    let length = control.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        let message =
            format!("the path {} has {length} octets, a socket's may have {SOCKET_PATH_MAX}; choose a shorter one", control.display());
        match &item {
            Some(item) => item.error(message),
            None => section.missing("control", message),
        }
    }
    Admin { control, metrics: section.item("metrics").and_then(|item| item.socket_address(None)) }
}
