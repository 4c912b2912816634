use std::fs;
use std::sync::Arc;

use clap::{CommandFactory, error::ErrorKind};
use jackfield_plugin_host::report::Difference;
use jackfield_trunk::registrations::{BindingView, Overview};

use super::*;
use crate::admin::control::ControlSocket;
use crate::admin::{MediaStatus, PluginChange, PluginStatus, RelayStatus, Snapshot, Status, TrunkStatus, WayStatus};
use crate::config::Severity;

/// What a command prints to standard output and to standard error, and how it ends.
fn executed(arguments: &[&str], hooks: Hooks) -> (String, String, Exit) {
    let cli = Cli::try_parse_from(["jackfield"].iter().chain(arguments)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = execute(cli, hooks, &mut out, &mut err).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
}

const HOOKS: Hooks = Hooks { run: |_, _| anyhow::bail!("not to be run"), check_plugins: |_| Vec::new() };

#[test]
fn help_reads_well() {
    Cli::command().debug_assert();
    let help = Cli::command().term_width(100).render_help().to_string();
    assert_eq!(
        help,
        "\
Routes SIP calls by WebAssembly plugins

Usage: jackfield <COMMAND>

Commands:
  run            Run the proxy
  check          Say all that is wrong with a configuration file and its plugins
  status         Show what a running proxy is doing
  registrations  Show what is registered at providers through a running proxy
  trunks         Show the trunks of a running proxy, and how they are
  media          Show the media relays of a running proxy, and how they are
  explain        Show what happened to a call, event by event
  record         Record what plugins are given and decide, for `replay`
  replay         Say which recorded calls a new version of a plugin would decide otherwise
  doctor         Say what is wrong on the way to a provider, and what to do
  simulate       Show what would become of messages and captures, and send nothing
  rotate-key     Put a new key before those of the tokens in Record-Route, Path and Contact
  hash-password  Print the lines of a user for a users file
  plugin         Make and build plugins, and show those of a running proxy

Options:
  -h, --help     Print help
  -V, --version  Print version

Examples:
  jackfield check jackfield.toml             say all that is wrong with a file
  jackfield run jackfield.toml               run the proxy
  jackfield status --config jackfield.toml   see what it is doing
  jackfield trunks --config jackfield.toml   see how its providers are
  jackfield doctor TRUNK                     see what is wrong with a provider
  jackfield plugin status --socket PATH      see its plugins

Exit status:
  0  all is well
  1  something in the configuration is wrong
  2  the arguments are wrong, or the file cannot be read
  3  the proxy could not start, none answers, or a plugin could not be built
"
    );
}

#[test]
fn every_help_fits_a_terminal_of_80_columns() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["status", "--help"],
        &["registrations", "--help"],
        &["trunks", "--help"],
        &["doctor", "--help"],
        &["rotate-key", "--help"],
        &["hash-password", "--help"],
        &["plugin", "--help"],
        &["plugin", "new", "--help"],
        &["plugin", "build", "--help"],
        &["plugin", "test", "--help"],
        &["plugin", "inspect", "--help"],
        &["plugin", "bench", "--help"],
        &["plugin", "status", "--help"],
    ] {
        let mut command = Cli::command().term_width(80);
        let help = command.try_get_matches_from_mut(["jackfield"].iter().chain(arguments)).unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        // A line of ours that is too long would have been broken, and its rest would stand at the margin.
        let starts = ["Examples:", "Exit status:", "Signals:", "Usage:", "Options:", "Commands:", "Arguments:"];
        for line in help.to_string().lines() {
            let prose = line.is_empty() || line.starts_with(' ') || starts.iter().any(|start| line.starts_with(start));
            assert!(line.chars().count() <= 80 && (prose || line.starts_with(|c: char| c.is_uppercase())), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn version_is_printed_and_wrong_arguments_are_refused() {
    let fault = |arguments: &[&str]| Cli::try_parse_from(["jackfield"].iter().chain(arguments)).unwrap_err();
    let version = fault(&["--version"]);
    assert_eq!((version.to_string(), version.use_stderr()), (format!("jackfield {}\n", env!("CARGO_PKG_VERSION")), false));
    for (arguments, kind) in [
        (&["run"][..], ErrorKind::MissingRequiredArgument),
        (&["rum", "f"], ErrorKind::InvalidSubcommand),
        (&["run", "f", "g"], ErrorKind::UnknownArgument),
        (&["status", "--config", "f", "--socket", "s"], ErrorKind::ArgumentConflict),
    ] {
        assert_eq!(fault(arguments).kind(), kind, "{arguments:?}");
    }
}

/// A Consul that answers one question and is gone.
fn consul_once(answer: &'static str) -> std::net::SocketAddr {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        while !question.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            question.extend(octet);
        }
        let head = format!("HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).unwrap();
    });
    address
}

#[test]
fn check_tells_where_each_trunk_stands_and_what_it_overrides() {
    let directory = tempfile::tempdir().unwrap();
    let (file, document) = (directory.path().join("jackfield.toml"), directory.path().join("sipproxy.json"));
    let name = file.to_str().unwrap();
    let text = |consul: std::net::SocketAddr| {
        format!(
            "state-directory = \"s\"\n[listen.a]\naddress = \"127.0.0.1\"\n[trunk.telekom]\nprovider = \"tel.t-online.de\"\nproxy = \"p1\"\n\
             [sipproxy]\nfile = \"sipproxy.json\"\nconsul = {{ url = \"http://{consul}\", key = \"k\" }}\n"
        )
    };
    fs::write(&document, "{ \"tel.t-online.de\": { \"proxy\": \"p2\" },\n\"b.de\": { \"proxy\": \"p2\", \"options\": \"egress=wan\" } }")
        .unwrap();
    let consul =
        consul_once("{ \"tel.t-online.de\": { \"proxy\": \"p3\" }, \"b.de\": { \"proxy\": \"p3\" },\n \"c.de\": { \"proxy\": \"p3\" } }");
    fs::write(&file, text(consul)).unwrap();
    let (out, err, exit) = executed(&["check", name], HOOKS);
    assert_eq!(exit, Exit::Good, "{err}");
    let shown = document.display();
    let warning = "warning: b.de: options: egress: there is no listener `wan`; there are: a";
    assert_eq!(err, format!("{shown}:2:1: {warning}\n{shown}: 0 errors, 1 warning\n"));
    let table = "\
TRUNK    PROVIDER         FROM              VIA                 INSTEAD OF
telekom  tel.t-online.de  jackfield.toml:5  sip:p1;lr           sipproxy.json:1, Consul:1
b.de     b.de             sipproxy.json:2   sip:p2;lr from wan  Consul:1
c.de     c.de             Consul:2          sip:p3;lr
";
    assert_eq!(out, format!("{name}: good; listeners a; no plugins\n{table}"));

    // The port of a listener that is gone.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fs::write(&file, text(away)).unwrap();
    fs::remove_file(&document).unwrap();
    let (out, err, exit) = executed(&["check", name], HOOKS);
    assert_eq!(exit, Exit::Good, "{err}");
    assert!(err.contains(&format!("warning: sipproxy.file: there is no file {shown}; it is taken once it is there")), "{err}");
    let asked = format!("warning: sipproxy.consul: Consul at http://{away} could not be asked: cannot connect");
    assert!(err.contains(&asked) && err.contains("; nothing was kept of it"), "{err}");
    assert!(out.ends_with("telekom  tel.t-online.de  jackfield.toml:5  sip:p1;lr\n"), "{out}");

    fs::write(&document, "{ \"b.de\": {\n \"proxy\": \"p2\", \"options\": \"\\ntransprt=tcp\\n\" } }").unwrap();
    let (out, err, exit) = executed(&["check", name], HOOKS);
    assert_eq!(exit, Exit::Invalid);
    assert!(out.ends_with("telekom  tel.t-online.de  jackfield.toml:5  sip:p1;lr\n"), "what stands is shown all the same: {out}");
    let fault = format!("{shown}:2:31: b.de: options, line 2: unknown option `transprt`; did you mean `transport`?\n");
    assert!(err.contains(&fault), "{err}");

    fs::write(&document, "{}").unwrap();
    fs::write(&file, text(consul_once("{ \"b.de\": "))).unwrap();
    let (_, err, exit) = executed(&["check", name], HOOKS);
    assert_eq!(exit, Exit::Invalid);
    assert!(err.contains("Consul k:1:10: b.de: not valid JSON: EOF while parsing a value\n"), "{err}");
}

#[test]
fn check_names_all_faults_and_ends_with_their_number() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    let name = file.to_str().unwrap();
    for (text, out, err, exit) in [
        ("state-directory = \"s\"\n[listen.a]\naddress = \"127.0.0.1\"\n", "{f}: good; listeners a; no plugins\n", "", Exit::Good),
        (
            "state-directory = \"s\"\n[listen.a]\naddress = \"127.0.0.1\"\n[plugins]\ndirectory = \".\"\nchain = [\"x\"]\n",
            "{f}: good; listeners a; plugins x\n",
            "{f}:6:10: warning: plugins.chain[0]: there is no file {d}/./x.wasm; until it is there, on-error answers for this plugin\n\
             {f}: 0 errors, 1 warning\n",
            Exit::Good,
        ),
        (
            "state-directory = \"s\"\ntoken-key-file = \"absent\"\n[listen.a]\naddress = \"127.0.0.1\"\n[plugins]\ndirectory = \"p\"\n",
            "",
            "{f}:2:18: token-key-file: cannot read the key {d}/absent: No such file or directory (os error 2)\n\
             {f}:6:13: warning: plugins.directory: there is no directory {d}/p; plugins are loaded once it is there\n\
             {f}: 1 error, 1 warning\n",
            Exit::Invalid,
        ),
        (
            "drian = \"1s\"\nworkers = \"two\"\n",
            "",
            "{f}:1:1: drian: unknown key; did you mean `drain`?\n\
             {f}:1:1: listen: there is no listener; add a table [listen.NAME] with address = \"192.0.2.1:5060\"\n\
             {f}:2:11: workers: is a string; write a whole number\n\
             {f}: 3 errors, 0 warnings\n",
            Exit::Invalid,
        ),
    ] {
        fs::write(&file, text).unwrap();
        let filled = |text: &str| text.replace("{f}", name).replace("{d}", directory.path().to_str().unwrap());
        let (printed, faults, ended) = executed(&["check", name], HOOKS);
        assert_eq!((printed, faults, ended), (filled(out), filled(err), exit), "{text}");
    }
}

#[test]
fn rotate_key_says_what_to_do_next() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    let key = directory.path().join("s/token.key");
    let rotate = ["rotate-key", "--config", file.to_str().unwrap()];
    let text = "state-directory = \"s\"\n[listen.a]\naddress = \"127.0.0.1\"\n";
    fs::write(&file, text).unwrap();
    for kept in ["the key before it is", "the 2 keys before it are"] {
        let (out, err, exit) = executed(&rotate, HOOKS);
        let path = fs::canonicalize(&key).unwrap();
        let expected = format!("{}: a new key is first, {kept} kept; a running proxy takes it up on SIGHUP\n", path.display());
        assert_eq!((out, err, exit), (expected, String::new(), Exit::Good));
    }
    fs::write(&key, "spoilt").unwrap();
    let (_, err, exit) = executed(&rotate, HOOKS);
    assert!(exit == Exit::Failed && err.contains("holds no key"), "{err}");
    fs::write(&file, "workers = 0").unwrap();
    assert_eq!(executed(&rotate, HOOKS).2, Exit::Invalid);
}

#[test]
fn check_and_run_tell_a_file_that_cannot_be_read_from_a_bad_one() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent.toml");
    for command in ["check", "run"] {
        let (_, err, exit) = executed(&[command, absent.to_str().unwrap()], HOOKS);
        assert_eq!(exit, Exit::Usage);
        assert_eq!(err, format!("jackfield: cannot read {}: No such file or directory (os error 2)\n", absent.display()));
    }
    let bad = directory.path().join("bad.toml");
    fs::write(&bad, "x = 1\n").unwrap();
    let (_, err, exit) = executed(&["run", bad.to_str().unwrap()], HOOKS);
    assert_eq!(exit, Exit::Invalid);
    assert!(err.contains(":1:1: x: unknown key"), "{err}");
}

/// PATH is there wherever tests run, and holds no key.
#[test]
fn keys_in_the_environment_are_checked_and_not_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    fs::write(&file, "state-directory = \"s\"\ntoken-key-env = \"PATH\"\n[listen.a]\naddress = \"127.0.0.1\"\n").unwrap();
    let (out, err, exit) = executed(&["check", file.to_str().unwrap()], HOOKS);
    assert_eq!((out.as_str(), exit), ("", Exit::Invalid));
    assert!(err.contains(":2:17: token-key-env: the environment variable PATH holds no key"), "{err}");
    let (_, err, exit) = executed(&["rotate-key", "--config", file.to_str().unwrap()], HOOKS);
    assert!(err.starts_with("jackfield: the keys are in the environment variable PATH (token-key-env)"), "{err}");
    assert_eq!(exit, Exit::Failed);
}

#[test]
fn check_tells_what_is_wrong_with_plugin_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    fs::write(directory.path().join("x.wasm"), "garbage").unwrap();
    let text = "state-directory = \"s\"\n[listen.a]\naddress = \"127.0.0.1\"\n[plugins]\ndirectory = \".\"\nchain = [\"x\"]\n[plugins.x]\n";
    fs::write(&file, text).unwrap();
    let hooks = Hooks {
        check_plugins: |config| {
            vec![config.problem(Severity::Error, "plugins.x.config.header", "is missing; the plugin wants a header".to_owned())]
        },
        ..HOOKS
    };
    let (out, err, exit) = executed(&["check", file.to_str().unwrap()], hooks);
    assert_eq!((out.as_str(), exit), ("", Exit::Invalid));
    let name = file.display();
    assert_eq!(err, format!("{name}:7:1: plugins.x.config.header: is missing; the plugin wants a header\n{name}: 1 error, 0 warnings\n"));
}

#[test]
fn a_plugin_crate_is_made_once_and_what_is_none_is_not_built() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path().to_str().unwrap();
    let (out, err, exit) = executed(&["plugin", "new", "my-router", "--to", parent], HOOKS);
    assert!(out.starts_with(&format!("made {parent}/my-router: ")), "{out}{err}");
    assert_eq!(exit, Exit::Good);
    assert!(directory.path().join("my-router/src/lib.rs").is_file());
    let (_, err, exit) = executed(&["plugin", "new", "my-router", "--to", parent], HOOKS);
    assert!(err.starts_with("jackfield: cannot make the directory"), "{err}");
    assert_eq!(exit, Exit::Failed);
    let (_, err, exit) = executed(&["plugin", "build", parent], HOOKS);
    assert!(err.starts_with("jackfield: there is no plugin in"), "{err}");
    assert_eq!(exit, Exit::Failed);
}

struct Fixed;

impl Snapshot for Fixed {
    fn status(&self) -> Status {
        Status { version: "9.9".into(), pid: 7, ..Status::default() }
    }

    fn plugins(&self) -> Vec<PluginStatus> {
        vec![PluginStatus { name: "x".into(), ..PluginStatus::default() }]
    }

    fn change_plugin(&self, change: PluginChange, name: &str) -> Result<String, String> {
        if name == "x" { Ok(format!("x: done {change:?}")) } else { Err(format!("the chain has no plugin `{name}`; it has x")) }
    }

    fn plugin_differences(&self, name: &str) -> Result<Vec<Difference>, String> {
        Ok(vec![Difference { call_id: name.to_owned(), message: "INVITE sip:a SIP/2.0\r\n\r\n".into(), ..Difference::default() }])
    }

    fn registrations(&self) -> Overview {
        let binding = BindingView { trunk: "telekom".into(), aor: "sip:1@p.test".into(), ..BindingView::default() };
        Overview { bindings: vec![binding], ..Overview::default() }
    }

    fn trunks(&self) -> Vec<TrunkStatus> {
        vec![TrunkStatus { name: "telekom".into(), ways: vec![WayStatus::default()], ..TrunkStatus::default() }]
    }

    fn media(&self) -> MediaStatus {
        let relay = RelayStatus { name: "one".into(), ..RelayStatus::default() };
        MediaStatus { relays: vec![relay], ..MediaStatus::default() }
    }
}

#[tokio::test]
async fn status_finds_the_proxy_by_its_configuration_or_by_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jackfield.toml");
    fs::write(&file, "state-directory = \".\"\n[listen.a]\naddress = \"127.0.0.1\"\n").unwrap();
    let socket = directory.path().join("control.sock");
    tokio::spawn(ControlSocket::bind(&socket).unwrap().serve(Arc::new(Fixed)));
    let executed = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        tokio::task::spawn_blocking(move || executed(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), HOOKS))
    };
    let (file, socket) = (file.to_str().unwrap(), socket.to_str().unwrap());
    let (out, err, exit) = executed(&["status", "--config", file]).await.unwrap();
    assert!(out.starts_with("jackfield 9.9, process 7, serving, up 0 s\n"), "{out}");
    assert_eq!((err.as_str(), exit), ("", Exit::Good));
    let (out, ..) = executed(&["status", "--socket", socket, "--json"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Status>(&out).unwrap(), Fixed.status());
    let (out, ..) = executed(&["plugin", "status", "--socket", socket]).await.unwrap();
    assert!(out.contains("\nx       serving"), "{out}");
    let (out, ..) = executed(&["plugin", "status", "x", "--socket", socket]).await.unwrap();
    assert!(out.starts_with("x serves\n"), "{out}");
    let (out, ..) = executed(&["plugin", "status", "x", "--differences", "--socket", socket]).await.unwrap();
    assert!(out.contains("Call-ID x") && out.contains("\n  INVITE sip:a SIP/2.0\n"), "{out}");
    let (_, err, exit) = executed(&["plugin", "status", "y", "--socket", socket]).await.unwrap();
    assert_eq!((err.as_str(), exit), ("jackfield: the proxy has no plugin `y`; it has x\n", Exit::Failed));
    let (out, _, exit) = executed(&["plugin", "promote", "x", "--socket", socket]).await.unwrap();
    assert_eq!((out.as_str(), exit), ("x: done Promote\n", Exit::Good));
    let (out, ..) = executed(&["plugin", "rollback", "x", "--json", "--socket", socket]).await.unwrap();
    assert_eq!(out, "\"x: done RollBack\"\n");
    let (_, err, exit) = executed(&["plugin", "rollback", "y", "--socket", socket]).await.unwrap();
    assert_eq!((err.as_str(), exit), ("jackfield: the proxy says: the chain has no plugin `y`; it has x\n", Exit::Failed));
    let (out, ..) = executed(&["registrations", "--socket", socket]).await.unwrap();
    assert!(out.contains("\ntelekom  sip:1@p.test "), "{out}");
    let (out, ..) = executed(&["registrations", "--config", file, "--json"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Overview>(&out).unwrap(), Fixed.registrations());
    let (out, ..) = executed(&["trunks", "--socket", socket]).await.unwrap();
    assert!(out.contains("\ntelekom "), "{out}");
    let (out, ..) = executed(&["media", "--socket", socket]).await.unwrap();
    assert!(out.contains("\none "), "{out}");
    let (out, err, exit) = executed(&["status", "--socket", "/nowhere/control.sock"]).await.unwrap();
    assert_eq!((out.as_str(), exit), ("", Exit::Failed));
    assert_eq!(err, "jackfield: no proxy answers at /nowhere/control.sock: is it running, with this configuration?\n");
}
