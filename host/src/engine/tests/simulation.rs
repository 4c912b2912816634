//! The engine without sockets: what it would have sent, and when.

use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Flow, Listener, ListenerId, ListenerState};
use jackfield_proto::time::Timestamp;
use jackfield_resolver::{Answer, Asked, Failure, Kind, Question, Records, Source};
use jackfield_transport::Outgoing;
use jackfield_trunk::registrations::UnixTime;

use super::*;
use crate::engine::{Fixed, Next, Simulation, Told};

/// A name server that knows one name.
struct Zone;

impl Source for Zone {
    fn ask(&self, question: Question) -> std::pin::Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let records = match (&*question.name, question.kind) {
            ("two.test", Kind::A) => Records::Addresses(vec!["198.51.100.1".parse().unwrap(), "198.51.100.2".parse().unwrap()]),
            (_, Kind::Naptr) => Records::Naptr(Vec::new()),
            (_, Kind::Srv) => Records::Srv(Vec::new()),
            (_, Kind::AnyNaptr) => Records::AnyNaptr(Vec::new()),
            (_, Kind::Txt) => Records::Txt(Vec::new()),
            (_, Kind::A | Kind::Aaaa) => Records::Addresses(Vec::new()),
        };
        Box::pin(async { Ok(Answer { records, ttl: Duration::from_secs(60) }) })
    }

    fn asked(&self, _: &str) -> Arc<Asked> {
        Arc::new(Asked::new("test".to_owned()))
    }
}

fn listener() -> Listener {
    let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let sent_by = "192.0.2.1:5060".into();
    Listener { name: "test".into(), transport: Transport::Udp, address, sent_by, state: ListenerState::Open }
}

fn simulation(script: Script) -> Simulation<Script> {
    let config = config("");
    let setup = Setup {
        config: &config,
        token_keys: [7; 16].into(),
        authentication: Arc::new(Authentication::simulated(&config, config.user_lists().unwrap(), 1, 1)),
        trunks: Table::default(),
        registrations: Registrations::default(),
        metrics: Arc::new(Metrics::new(1)),
        tracer: Arc::default(),
    };
    let fixed = Fixed {
        unix: UnixTime(1_700_000_000_000),
        seed: 1,
        listeners: [listener()].into(),
        records: Box::new(Zone),
        routes: Arc::new(|_| Some("192.0.2.1".parse().unwrap())),
    };
    Simulation::start(Arc::new(script), setup, fixed).unwrap()
}

fn flow() -> Flow {
    let remote = "192.0.2.99:5060".parse().unwrap();
    Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None }
}

fn invite() -> Bytes {
    "INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\n\
     To: <sip:bob@example.test>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        .into()
}

/// What has left: when, where to, and how it begins.
fn sent(told: &[(Timestamp, Told)]) -> Vec<(u64, String, String)> {
    let message = |(at, told): &(Timestamp, Told)| {
        let Told::Sent { outgoing: Outgoing { bytes, path, .. }, .. } = told else { return None };
        let line = String::from_utf8_lossy(bytes.split(|octet| *octet == b'\r').next().unwrap_or_default()).into_owned();
        Some((at.as_micros() / 1000, path.remote.to_string(), line))
    };
    told.iter().filter_map(message).collect()
}

#[test]
fn a_request_leaves_for_the_address_of_the_given_answers_and_no_time_passes() {
    let simulation = simulation(Script::to(&["sip:two.test".to_owned()]));
    simulation.receive(invite(), flow());
    let told = simulation.told();
    let first = sent(&told);
    let requests: Vec<_> = first.iter().filter(|(_, _, line)| line.starts_with("INVITE")).collect();
    let [(0, to, line)] = requests[..] else { panic!("{first:?}") };
    // Which of a name's addresses comes first is drawn, and drawn the same each time.
    let found = told.iter().find_map(|(_, told)| match told {
        Told::Resolved { found, .. } => Some(found.iter().map(|located| located.hop.address.to_string()).collect::<Vec<_>>()),
        _ => None,
    });
    let mut found = found.unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!((found.first(), line.as_str()), (Some(to), "INVITE sip:bob@example.test SIP/2.0"));
    found.sort();
    assert_eq!(found, ["198.51.100.1:5060", "198.51.100.2:5060"]);
    assert_eq!((simulation.now(), simulation.panics()), (Timestamp::ZERO, 0));
}

/// RFC 3261 17.1.1.2: timer A, then timer B at 64*T1; the time that this takes is nobody's.
#[test]
fn silence_leads_on_when_virtual_time_says_so() {
    let script = Script {
        on_failure: Box::new(|_, _| Said::Now(FailureOutcome::Next)),
        ..Script::to(&["sip:198.51.100.7".to_owned(), "sip:198.51.100.8".to_owned()])
    };
    let script = Script {
        on_request: Box::new(|_| {
            Said::Now(forward(
                &["sip:198.51.100.7".to_owned(), "sip:198.51.100.8".to_owned()],
                Watch { failures: true, ..Watch::default() },
            ))
        }),
        ..script
    };
    let simulation = simulation(script);
    let begun = std::time::Instant::now();
    simulation.receive(invite(), flow());
    simulation.advance(Timestamp::from_duration(Duration::from_secs(40)));
    let told = simulation.told();
    let invites: Vec<_> = sent(&told).into_iter().filter(|(_, _, line)| line.starts_with("INVITE")).collect();
    let to_first: Vec<u64> = invites.iter().filter(|(_, to, _)| to == "198.51.100.7:5060").map(|(at, ..)| *at).collect();
    assert_eq!(to_first, [0, 500, 1500, 3500, 7500, 15500, 31500]);
    assert!(invites.iter().any(|(at, to, _)| to == "198.51.100.8:5060" && *at >= 32_000), "{invites:?}");
    let failed = |(_, told): &(Timestamp, Told)| matches!(told, Told::Failed { attempt: 1, next: Next::Target, .. });
    assert!(told.iter().any(failed), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it was not waited for");
    assert_eq!(simulation.unix(), UnixTime(1_700_000_040_000));
}

#[test]
fn the_same_goes_the_same_way_each_time() {
    let run = || {
        let simulation = simulation(Script::undecided());
        simulation.receive(invite(), flow());
        let told = simulation.told().into_iter().filter_map(|(_, told)| match told {
            Told::Sent { outgoing, .. } => Some(outgoing.bytes),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let first = run();
    let parsed = Message::parse(first[0].clone(), Framing::Datagram, &Limits::default()).unwrap();
    assert_eq!(parsed.status(), 403, "nobody decides, and this is no open relay");
    assert_eq!(first, run());
}
