//! `jackfield simulate`: what a configuration would do, compared with what it has done, and tried by hand.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::services;
use crate::support::capture::Capture;
use crate::support::config::Config;
use crate::support::dialog::ack_of_failure;
use crate::support::digest::{Login, user};
use crate::support::draft::unique;
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::port::Port;
use crate::support::proxy::{Proxy, program};
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::{full, wait, wasm};

/// How a run of `jackfield simulate` ended, and what it wrote.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(config: &Path, arguments: &[&str]) -> Self {
        let output = Command::new(program()).arg("simulate").arg(config).args(arguments).env("NO_COLOR", "1").output();
        let output = output.expect("the program starts");
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What its lines of JSON say, of one kind of event.
    fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["event"] == kind).collect()
    }

    fn summary(&self) -> String {
        let events = self.events("summary");
        events.first().and_then(|event| event["text"].as_str()).expect("a summary").to_owned()
    }

    /// Which numbers were called where, as the plugins of this test have chosen.
    fn sent_to_numbers(&self) -> BTreeSet<(u64, String)> {
        let sent = self.events("sent");
        let invites = sent.iter().filter_map(|event| {
            let number = event["message"].as_str()?.strip_prefix("INVITE sip:")?.split('@').next()?.parse().ok()?;
            Some((number, event["to"].as_str()?.to_owned()))
        });
        invites.collect()
    }

    fn end(&self) -> String {
        format!("exit {:?}\n{}\n{}", self.code, self.err, crate::support::proxy::tail(&self.out, 40))
    }
}

/// The machines that calls go to.
struct Machines {
    refusing: AnsweringMachine,
    one: AnsweringMachine,
    other: AnsweringMachine,
}

impl Machines {
    fn start() -> Self {
        let start = AnsweringMachine::start;
        Self { refusing: AnsweringMachine::refusing(503), one: start(), other: start() }
    }

    /// Accounts that begin with this go to the first machine with a header field of their own; all others to one of three by weight, of which
    /// one always refuses, and then to the next one.
    fn config(&self, prefix: &str) -> Config {
        let rules = format!(
            "[[plugins.header-match.config.rule]]\nheader = \"X-Account\"\nprefix = {prefix:?}\nto = \"own\"\n\
             [plugins.header-match.config.targets.own]\nnext-hop = \"sip:{}\"\nset-headers = {{ X-Trunk = \"own\" }}\n\
             remove-headers = [\"X-Account\"]",
            self.one.address
        );
        let hop = |machine: &AnsweringMachine, weight: u32, name: &str| {
            format!("{{ next-hop = \"sip:{}\", weight = {weight}, set-headers = {{ X-Trunk = {name:?} }} }}", machine.address)
        };
        let failover = format!(
            "next-on = \"503\"\ndefault = \"all\"\n[plugins.failover.config.targets.all]\nmode = \"weighted\"\n\
             target = [{}, {}, {}]\n",
            hop(&self.refusing, 3, "refusing"),
            hop(&self.one, 2, "one"),
            hop(&self.other, 1, "other")
        );
        Config::new().plugin("header-match", rules).plugin("failover", failover)
    }
}

/// Of so many calls, every fourth has an account that begins with 1, and as many one with 2.
fn order(number: u64) -> Order {
    let account = format!("{}{number:05}", number % 4);
    Order { uri: format!("sip:{number}@example.test"), headers: vec![("X-Account", account)], class: "call" }
}

/// Named so that it has the machine for itself: a router that is held up sends at other times than it would.
#[test]
fn what_a_router_under_load_has_sent_leaves_a_simulation_too_and_a_changed_rule_shows() {
    let (calls, rate) = if full() { (1000, 100) } else { (50, 50) };
    let machines = Machines::start();
    let proxy = Proxy::start(&machines.config("1"), &["header-match", "failover"]);
    let file = proxy.file("calls.pcap");
    let capture = Capture::start(proxy.address().port(), &file);
    let load = Load::start(proxy.address(), rate, order);
    wait::within(Duration::from_secs(60), "calls", || (load.placed() >= calls).then_some(()));
    let tallies = load.finish();
    capture.finish();
    let completed = usize::try_from(tallies["call"].completed).expect("a number of calls");
    assert_eq!(tallies["call"].failed(), 0, "{tallies:?}");
    let file = file.to_str().expect("a path in UTF-8");
    let arguments = [file, "--compare", "--json"];

    let same = Run::of(&proxy.file("proxy.toml"), &arguments);
    assert_eq!(same.code, Some(0), "{}", same.end());
    let received = same.events("received");
    let refusals = received.iter().filter(|event| event["line"].as_str().is_some_and(|line| line.starts_with("SIP/2.0 503")));
    let refused: BTreeSet<&str> = refusals.filter_map(|event| event["call-id"].as_str()).collect();
    assert!(!refused.is_empty() && refused.len() < completed && machines.other.invites() > 0, "every machine has its share");
    // INVITE, 180, 200, ACK, BYE and 200 of each call, and INVITE and ACK at the machine that refuses.
    let expected = completed * 6 + refused.len() * 2;
    let summary = same.summary();
    println!("{completed} calls, {} of them refused once: {summary}", refused.len());
    assert!(summary.contains(&format!("; {expected} left as captured, 0 differ, 0 are missing, 0 are too many;")), "{summary}");

    proxy.write_config(&machines.config("2"));
    let changed = Run::of(&proxy.file("proxy.toml"), &arguments);
    assert_eq!(changed.code, Some(1), "{}", changed.end());
    let different: BTreeSet<u64> = changed.sent_to_numbers().difference(&same.sent_to_numbers()).map(|(number, _)| *number).collect();
    assert!(!different.is_empty() && different.iter().all(|number| matches!(number % 4, 1 | 2)), "{different:?}");

    let elsewhere = Run::of(&proxy.file("proxy.toml"), &[file, "--compare", "--address", "main=127.0.0.1:9"]);
    assert_eq!(elsewhere.code, Some(2), "what compares nothing is no success: {}", elsewhere.end());
    assert!(elsewhere.err.contains(&proxy.address().to_string()) && elsewhere.err.contains("--address"), "{}", elsewhere.err);
    let octets = std::fs::read(file).expect("the capture");
    std::fs::write(file, octets.get(..octets.len() - 40).unwrap_or_default()).expect("a file of the test");
    proxy.write_config(&machines.config("1"));
    let cut = Run::of(&proxy.file("proxy.toml"), &arguments);
    assert_eq!(cut.code, Some(1), "{}", cut.end());
    assert!(cut.err.contains("the capture is not whole"), "{}", cut.err);
}

/// RFC 3261 22.3: who calls has signed the nonce of the router that ran, and here another one is given out.
#[test]
fn who_has_logged_in_to_the_router_of_a_capture_is_let_in_by_a_simulation_and_who_has_guessed_is_not() {
    let scene = Scene::new();
    let (alice, bob) = (scene.peer("alice"), scene.peer("bob"));
    let config = Config::new()
        .asking("phones")
        .table("[auth.phones]\nrealm = \"example.test\"\nusers-file = \"phones.users\"")
        .file("phones.users", user("alice", "example.test", "secret"))
        .relay_to("127.0.0.0/8");
    let (proxy, link) = start(&config, &[], &alice);
    let file = proxy.file("calls.pcap");
    let capture = Capture::start(proxy.address().port(), &file);
    let challenged = |password: &'static str| {
        let first = invite(&alice, &bob.uri("bob"), &link);
        alice.send(&first, &link);
        let challenge = alice.expect_status(407);
        alice.send(&ack_of_failure(&first, &challenge), &link);
        Login { name: "alice", password }.answer(&first, &challenge, &unique())
    };
    whole_call(&alice, &bob, &challenged("secret"), &link);
    let guess = challenged("guess");
    alice.send(&guess, &link);
    let refusal = alice.expect_status(407);
    alice.send(&ack_of_failure(&guess, &refusal), &link);
    capture.finish();
    let run = Run::of(&proxy.file("proxy.toml"), &[file.to_str().expect("a path in UTF-8"), "--compare", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.end());
    let summary = run.summary();
    assert!(summary.contains(" left as captured, 0 differ, 0 are missing, 0 are too many;"), "{summary}");
    assert_eq!(run.events("sent").iter().filter(|event| is_challenge(event)).count(), 3, "{}", run.end());
}

fn is_challenge(event: &Value) -> bool {
    event["message"].as_str().is_some_and(|message| message.starts_with("SIP/2.0 407"))
}

/// A message in a file of its own in the directory of a proxy's configuration, which nobody runs.
struct Desk {
    directory: tempfile::TempDir,
    config: PathBuf,
}

impl Desk {
    fn new(plugins: &[&str], config: &Config) -> Self {
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let shelf = directory.path().join("plugins");
        std::fs::create_dir(&shelf).expect("a plugin directory");
        for name in plugins {
            std::fs::copy(wasm::component(name), shelf.join(format!("{name}.wasm"))).expect("a copy of a built plugin");
        }
        for (name, text) in config.files() {
            std::fs::write(directory.path().join(name), text).expect("a file of the test");
        }
        let path = directory.path().join("proxy.toml");
        std::fs::write(&path, config.text(&Port::reserve(), directory.path())).expect("a configuration file");
        Self { directory, config: path }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("a file of the test");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.config, arguments)
    }
}

/// As an editor leaves it.
const INVITE: &str = "INVITE sip:7@example.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n\
                      From: <sip:a@example.test>;tag=1\nTo: <sip:7@example.test>\nCall-ID: by-hand\nCSeq: 1 INVITE\n\
                      Contact: <sip:a@192.0.2.1>\n\n";

fn two_targets() -> Config {
    let targets = "default = \"both\"\nnext-on = \"503\"\n[plugins.failover.config.targets.both]\n\
                   target = [{ next-hop = \"sip:192.0.2.8\" }, { next-hop = \"sip:second.test\" }]";
    Config::new().plugin("failover", targets)
}

#[test]
fn a_message_from_a_file_fails_over_as_the_arguments_say() {
    let desk = Desk::new(&["failover"], &two_targets());
    let message = desk.write("invite.sip", INVITE);
    let zone = desk.write("zone", "second.test A 192.0.2.9\n");
    let arguments = [message.as_str(), "--dns", &zone, "--fail", "503@1", "--answer", "200", "--json"];
    let run = desk.run(&arguments);
    assert_eq!(run.code, Some(0), "{}", run.end());
    let sent: Vec<(String, String)> = run
        .events("sent")
        .iter()
        .map(|event| (event["to"].as_str().unwrap_or_default(), event["message"].as_str().unwrap_or_default()))
        .map(|(to, message)| (to.to_owned(), message.split("\r\n").next().unwrap_or_default().to_owned()))
        .collect();
    let expected = [
        ("192.0.2.8:5060", "INVITE sip:7@example.test SIP/2.0"),
        ("192.0.2.8:5060", "ACK sip:7@example.test SIP/2.0"),
        ("192.0.2.9:5060", "INVITE sip:7@example.test SIP/2.0"),
        ("192.0.2.1:5060", "SIP/2.0 200 OK"),
    ];
    assert_eq!(sent, expected.map(|(to, line)| (to.to_owned(), line.to_owned())), "{}", run.end());
    assert_eq!(run.out, desk.run(&arguments).out, "the same again says the same");

    let expected = desk.write("expected", &run.out);
    let again = [&arguments[..], &["--expect", &expected]].concat();
    assert_eq!(desk.run(&again).code, Some(0));
    let other = desk.write("expected", &run.out.replace("200 OK", "202 Accepted"));
    assert_eq!(desk.run(&[&arguments[..], &["--expect", &other]].concat()).code, Some(1));
}

#[test]
fn what_cannot_be_simulated_says_why_and_ends_as_its_help_says() {
    let desk = Desk::new(&["failover"], &two_targets());
    let message = desk.write("invite.sip", INVITE);
    let nonsense = desk.write("nonsense.sip", "hello\n");
    std::fs::create_dir(desk.directory.path().join("empty")).expect("a directory of the test");
    let empty = desk.directory.path().join("empty").to_str().expect("a path in UTF-8").to_owned();
    for (arguments, status, words) in [
        (vec![nonsense.as_str()], 2, "is no SIP message"),
        (vec![empty.as_str()], 2, "has no file in it"),
        (vec![message.as_str(), "--only", "somebody-else"], 2, "--only"),
        (vec![message.as_str(), "--to", "nowhere"], 2, "there is no listener `nowhere`"),
        (vec![message.as_str(), "--fail", "503"], 2, "--fail"),
        (vec!["/nonexistent.sip"], 2, "/nonexistent.sip"),
    ] {
        let run = desk.run(&arguments);
        assert_eq!(run.code, Some(status), "{arguments:?}: {}", run.end());
        assert!(run.err.contains(words), "{arguments:?}: {}", run.end());
    }
    std::fs::remove_file(desk.directory.path().join("plugins/failover.wasm")).expect("a file of the test");
    let run = desk.run(&[&message]);
    assert!(matches!(run.code, Some(1 | 3)) && run.err.contains("failover"), "{}", run.end());
}

/// The fixture asks what the header fields of a message say, and puts the answers into its response.
#[test]
fn plugins_have_tables_buckets_and_names_in_a_simulation_and_what_they_have_not_is_said() {
    let config = services::settings().plugin_with("services", services::ALL, "");
    let desk = Desk::new(&["services"], &config);
    let questions = "X-Kv: increment limits calls 1\nX-Table: prefix rates 49301\nX-State: active-calls nobody\nX-Dns: addresses second.test\n\
                     X-Http: GET http://127.0.0.1/path\nX-Timer: after once 20\n";
    let message = |call_id: &str| {
        let head =
            INVITE.trim_end().replace("INVITE", "MESSAGE").replace("by-hand", call_id).replace("z9hG4bK1", &format!("z9hG4bK{call_id}"));
        format!("{head}\n{questions}\n")
    };
    let (first, second) = (desk.write("1.sip", &message("one")), desk.write("2.sip", &message("two")));
    let zone = desk.write("zone", "second.test A 192.0.2.9\n");
    let run = desk.run(&[&first, &second, "--dns", &zone]);
    assert_eq!(run.code, Some(0), "{}", run.end());
    for answer in [
        "X-Answer: kv increment limits calls 1 = 1",
        "X-Answer: kv increment limits calls 1 = 2",
        "X-Answer: table prefix rates 49301 = 4930|berlin",
        "X-Answer: state active-calls nobody = 0",
        "X-Answer: dns addresses second.test = 192.0.2.9",
        "X-Answer: http GET http://127.0.0.1/path ! unavailable",
        "X-Answer: timer after once 20 = done",
    ] {
        assert!(run.out.contains(answer), "{answer}: {}", run.end());
    }
    assert!(run.err.contains("plugin services: its timers do not run here"), "{}", run.err);
    assert!(run.err.contains("plugin services: no HTTP server is asked"), "{}", run.err);
}
