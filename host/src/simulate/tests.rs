//! Captures of a router that was set up as the simulated one, and made up other branches, tags, tokens and nonces.

use std::path::Path;

use bytes::Bytes;
use jackfield_auth::{Account, Challenged, Hash, answer, line};
use jackfield_desk::capture::{Capture, Captured, What};
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Flow, ListenerId, Transport};
use jackfield_proto::proxy::Edit;
use jackfield_proto::time::Timestamp;

use super::mapping::Mapping;
use super::own::{self, Fields, halves, lines, pieces};
use super::*;
use crate::config::Environment;
use crate::engine::Told;

const CALLER: &str = "192.0.2.7:5060";
const CALLEE: &str = "192.0.2.8:5060";

fn config(more: &str) -> Config {
    let environment = Environment { root: true, cores: 1, ..Environment::default() };
    let text = format!("[listen.lan]\naddress = \"192.0.2.1\"\n{more}\n[relay]\nto = [\"192.0.2.0/24\"]\n");
    Config::parse(Path::new("/nonexistent/f"), &text, &environment).unwrap()
}

fn stage_of(config: &Config, begin: UnixTime) -> Stage {
    let options = StageOptions { addresses: Vec::new(), records: Records::default().source(), begin };
    stage::set(config.clone(), options).unwrap()
}

/// The same message with every value that a router has made up written backwards.
fn disguised(message: &[u8], mapping: &mut Mapping) -> Bytes {
    let mut fields = Fields::new(own::Message::of(message));
    let mut text = String::from_utf8(message.to_vec()).unwrap();
    for line in lines(halves(message).0) {
        let field = fields.next(line);
        for place in pieces(line) {
            if own::made(field, line, &place).is_none() {
                continue;
            }
            let ours = str::from_utf8(&line[place]).unwrap();
            let head = ["z9hG4bKjf", "z9hG4bKjs", "jf-", "jf"].into_iter().find(|head| ours.starts_with(head)).unwrap_or_default();
            let theirs = format!("{head}{}", ours[head.len()..].chars().rev().collect::<String>());
            mapping.learn(theirs.as_bytes(), ours.as_bytes()).unwrap();
            text = text.replace(ours, &theirs);
        }
    }
    text.into()
}

/// The router that is captured.
struct Router {
    stage: Stage,
    mapping: Mapping,
    captured: Vec<Captured>,
}

const BEGIN: UnixTime = UnixTime(1_700_000_000_000);

impl Router {
    fn new(config: &Config) -> Self {
        Self { stage: stage_of(config, BEGIN), mapping: Mapping::default(), captured: Vec::new() }
    }

    /// Something comes from somewhere a second after what was before; what the router sends then.
    fn takes(&mut self, from: &str, message: &str) -> Vec<String> {
        let simulation = &self.stage.simulation;
        let now = simulation.now() + std::time::Duration::from_secs(1);
        simulation.advance(now);
        let listener = simulation.listeners()[0].address;
        let remote = from.parse().unwrap();
        let message = Bytes::from(message.to_owned());
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        simulation.receive(self.mapping.translate(&message), flow);
        self.note(now, remote, listener, message);
        let mut sent = Vec::new();
        for (at, told) in self.stage.simulation.told() {
            if let Told::Sent { outgoing, .. } = told {
                let bytes = disguised(&outgoing.bytes, &mut self.mapping);
                sent.push(String::from_utf8(bytes.to_vec()).unwrap());
                self.note(at, listener, outgoing.path.remote, bytes);
            }
        }
        sent
    }

    fn note(&mut self, at: Timestamp, source: SocketAddr, destination: SocketAddr, message: Bytes) {
        let at = BEGIN.0 * 1000 + at.as_micros();
        self.captured.push(Captured { at, transport: Transport::Udp, source, destination, stream: None, what: What::Message(message) });
    }

    /// What a simulation of what was captured makes of it, once something in what the router has sent was changed.
    fn compared(&self, config: &Config, change: impl Fn(&mut Captured, &str) -> Option<String>) -> (Outcome, String) {
        let mut captured = self.captured.clone();
        for captured in &mut captured {
            let What::Message(bytes) = &captured.what else { continue };
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let is_sent = captured.source.ip().to_string() == "192.0.2.1";
            if let Some(changed) = is_sent.then(|| change(captured, &text)).flatten() {
                captured.what = What::Message(changed.into());
            }
        }
        let stage = stage_of(config, BEGIN);
        let options = Options { comparison: Comparison::Wanted, ..Options::default() };
        let mut out = Vec::new();
        let report = Report::new(&mut out, Format::Text, stage.simulation.listeners(), BEGIN);
        let capture = Capture { captured, ..Capture::default() };
        let outcome = replayed::replay(&stage, &options, report, &capture, BEGIN).unwrap();
        (outcome, String::from_utf8(out).unwrap())
    }

    fn is_the_same(&self, config: &Config) -> String {
        let (outcome, text) = self.compared(config, |_, _| None);
        assert_eq!(outcome, Outcome::Good, "{text}");
        text.lines().last().unwrap().to_owned()
    }

    /// The lines of the difference that this change makes.
    fn differs(&self, config: &Config, change: impl Fn(&mut Captured, &str) -> Option<String>) -> Vec<String> {
        let (outcome, text) = self.compared(config, change);
        assert_eq!(outcome, Outcome::Bad, "{text}");
        let lines: Vec<String> =
            text.lines().skip_while(|line| !line.starts_with("DIFFERENT")).map(|line| line.trim().to_owned()).collect();
        assert!(!lines.is_empty(), "{text}");
        lines
    }
}

const SDP: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

fn request(method: &str, number: u32, to: &str, more: &str, body: &str) -> String {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:bob@192.0.2.8 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.test>;tag=1\r\nTo: <sip:bob@192.0.2.8>{to}\r\nCall-ID: call\r\nCSeq: {number} {method}\r\n{more}\
         Contact: <sip:alice@{CALLER}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The callee's response to what the router has sent to it.
fn response(sent: &str, status: &str, body: &str) -> String {
    let field = |name: &str| sent.lines().filter(|line| line.starts_with(name)).map(|line| format!("{line}\r\n")).collect::<String>();
    let to = field("To: ").replace("\r\n", ";tag=callee\r\n");
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{}{}{to}{}{}{}Contact: <sip:bob@{CALLEE}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
        field("Via: "),
        field("From: "),
        field("Call-ID: "),
        field("CSeq: "),
        field("Record-Route: "),
        body.len()
    )
}

fn sent<'s>(all: &'s [String], head: &str) -> &'s str {
    all.iter().find(|message| message.starts_with(head)).unwrap_or_else(|| panic!("no {head}: {all:#?}"))
}

fn parse(message: &str) -> Message {
    Message::parse(message.to_owned().into(), Framing::Datagram, &Limits::default()).unwrap()
}

/// A call that rings, and is given up.
fn given_up(config: &Config) -> Router {
    let mut router = Router::new(config);
    let outgoing = router.takes(CALLER, &request("INVITE", 1, "", "", ""));
    let invite = sent(&outgoing, "INVITE ");
    router.takes(CALLEE, &response(invite, "180 Ringing", ""));
    let outgoing = router.takes(CALLER, &request("CANCEL", 1, "", "", ""));
    router.takes(CALLEE, &response(sent(&outgoing, "CANCEL "), "200 OK", ""));
    router.takes(CALLEE, &response(invite, "487 Request Terminated", ""));
    router.takes(CALLER, &request("ACK", 1, ";tag=callee", "", ""));
    router
}

#[test]
fn what_another_router_has_called_otherwise_is_the_same() {
    let config = config("");
    let summary = given_up(&config).is_the_same(&config);
    assert!(summary.starts_with("6 messages in;") && summary.contains(" 0 differ, 0 are missing, 0 are too many"), "{summary}");
}

/// RFC 3261 9.1: a CANCEL has the branch of its INVITE.
#[test]
fn a_branch_that_is_another_one_than_before_is_a_difference() {
    let config = config("");
    let lines = given_up(&config).differs(&config, |_, text| {
        let (before, branch) = text.starts_with("CANCEL ").then(|| text.split_once("branch=z9hG4bKjf")).flatten()?;
        let other = if branch.starts_with('f') { "e" } else { "f" };
        Some(format!("{before}branch=z9hG4bKjf{other}{}", &branch[1..]))
    });
    assert!(lines[0].contains("CANCEL") && lines[1].starts_with("! z9hG4bKjf") && lines[1].contains("which stood for"), "{lines:#?}");
}

#[test]
fn the_callees_tag_is_compared_in_what_is_passed_on() {
    let config = config("");
    let lines =
        given_up(&config).differs(&config, |_, text| text.starts_with("SIP/2.0 180").then(|| text.replace("tag=callee", "tag=other")));
    assert!(lines[1].starts_with("- To:") && lines[2].starts_with("+ To:"), "{lines:#?}");
}

#[test]
fn where_a_message_leaves_from_is_compared() {
    let config = config("[listen.wan]\naddress = \"192.0.2.1:5080\"");
    let router = given_up(&config);
    router.is_the_same(&config);
    let lines = router.differs(&config, |captured, text| {
        captured.source.set_port(if text.starts_with("INVITE ") { 5080 } else { 5060 });
        None
    });
    assert_eq!(lines[1..3], ["- from listener wan at 192.0.2.1:5080", "+ from listener lan at 192.0.2.1:5060"], "{lines:#?}");
}

/// The request with what its challenge asks for.
fn login(request: &str, challenge: &str, password: &str) -> String {
    let (asked, challenge) = (parse(request), parse(challenge));
    let account = Account { username: "alice".into(), password: password.into(), realm: None };
    let challenged = Challenged { request: &asked, uri: asked.request_uri(), response: &challenge, answered: 0, previous: &[] };
    let edits = answer(&account, challenged, "c").unwrap();
    let Some(Edit::Add(name, value)) = edits.first() else { panic!("{edits:?}") };
    let field = format!("{}: {}\r\n", str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap());
    request.replace("z9hG4bK1\r\n", "z9hG4bK2\r\n").replace("CSeq: 1 ", "CSeq: 2 ").replace("Contact: ", &format!("{field}Contact: "))
}

/// RFC 3261 22.3: the caller has signed the nonce of the router that was captured.
#[test]
fn who_has_logged_in_to_the_captured_router_is_let_in_and_who_was_refused_is_not() {
    let hash = line("alice", "r", Hash::Md5, "secret").unwrap();
    let hash = hash.rsplit(':').next().unwrap();
    let config = config(&format!("authenticate = \"phones\"\n[auth.phones]\nrealm = \"r\"\nusers.alice = \"MD5:{hash}\"\n"));
    for (password, outcome) in [("secret", "INVITE "), ("guess", "SIP/2.0 407")] {
        let mut router = Router::new(&config);
        let invite = request("INVITE", 1, "", "", "");
        let outgoing = router.takes(CALLER, &invite);
        let challenge = sent(&outgoing, "SIP/2.0 407").to_owned();
        let tag = challenge.split(";tag=").nth(2).and_then(|rest| rest.lines().next()).unwrap();
        router.takes(CALLER, &request("ACK", 1, &format!(";tag={tag}"), "", ""));
        let signed = login(&invite, &challenge, password);
        let outgoing = router.takes(CALLER, &signed);
        sent(&outgoing, outcome);
        let summary = router.is_the_same(&config);
        assert!(summary.starts_with("3 messages in;"), "{summary}");
    }
}

/// What rtpengine makes of an offer or an answer.
fn relayed(message: &str) -> Option<String> {
    let (head, body) = message.split_once("\r\n\r\n").filter(|(_, body)| body.contains("m=audio"))?;
    let rewritten = body.replace("192.0.2.7", "198.51.100.9").replace("4000", "30000") + "a=sendrecv\r\na=rtcp:30001\r\n";
    let head = head.replace(&format!("Content-Length: {}", body.len()), &format!("Content-Length: {}", rewritten.len()));
    Some(format!("{head}\r\n\r\n{rewritten}"))
}

#[test]
fn what_a_relay_rewrites_is_forgiven_where_the_configuration_relays_and_nowhere_else() {
    let call = |config: &Config| {
        let mut router = Router::new(config);
        let outgoing = router.takes(CALLER, &request("INVITE", 1, "", "", SDP));
        router.takes(CALLEE, &response(sent(&outgoing, "INVITE "), "200 OK", &SDP.replace("192.0.2.7", "192.0.2.8")));
        router
    };
    let relaying = config("media = \"always\"\n[media.relay.one]\naddress = \"127.0.0.9:22222\"\n");
    let router = call(&relaying);
    let (outcome, text) = router.compared(&relaying, |_, text| relayed(text));
    assert_eq!(outcome, Outcome::Good, "{text}");
    let summary = text.lines().last().unwrap();
    assert!(summary.ends_with("; in 2 of those as captured, what a media relay rewrites is not compared"), "{summary}");
    let codec = router.differs(&relaying, |_, text| relayed(text).map(|text| text.replace("RTP/AVP 8", "RTP/AVP 0")));
    assert!(codec.iter().any(|line| line == "- m=audio 30000 RTP/AVP 0"), "{codec:#?}");
    let direct = config("");
    let bodies = call(&direct).differs(&direct, |_, text| relayed(text));
    assert!(bodies.iter().any(|line| line == "- c=IN IP4 198.51.100.9"), "{bodies:#?}");
}

/// Of millions of messages the output would not fit into memory.
#[test]
fn what_has_happened_is_printed_before_all_has() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let inputs = vec![file("1.sip", &request("INVITE", 1, "", "", "")), file("2.sip", "hello\n")];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let options = Options { inputs, ..Options::default() };
    let ended = simulate(config(""), &options, &mut out, &mut err);
    assert!(matches!(ended, Err(SimulateError::Input { ref path, .. }) if path.ends_with("2.sip")), "{ended:?}");
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("| INVITE sip:bob@192.0.2.8 SIP/2.0"), "{text}");
    let expected = file("expected", &text);
    let options = Options { inputs: vec![directory.path().join("1.sip")], expected: Some(expected), ..Options::default() };
    let mut again = Vec::new();
    assert_eq!(simulate(config(""), &options, &mut again, &mut err).unwrap(), Outcome::Good, "{}", String::from_utf8_lossy(&err));
    assert_eq!(String::from_utf8(again).unwrap(), text, "what is compared is printed all the same");
}
