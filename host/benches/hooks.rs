//! What a hook costs: `cargo bench -p jackfield --bench hooks`. Prints the median of many batches, in nanoseconds for a call of the chain,
//! for a chain of one plugin that wants nothing of the message, one that does nothing, and one that reads the Request-URI and three header
//! fields of an INVITE and answers with one target. Beside them stands the same decision in native code, without a plugin.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use jackfield_metrics::Metrics;
use jackfield_plugin_host::settings::{Plugin, Plugins};
use jackfield_plugin_host::{Machine, PluginHost, PluginSettings, RequestView};
use jackfield_proto::message::{Framing, Limits, Message, Name};
use jackfield_proto::net::{Flow, Listener, ListenerId, ListenerState, Transport};
use jackfield_proto::proxy::{Edit, Plan, Target};

#[path = "../plugin/tests/plugin/guests.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod guests;

const BATCHES: usize = 201;
const CALLS: u32 = 500;

fn main() {
    let report = |name: &str, (median, p95): (f64, f64)| {
        println!("{name:32} {median:8.0} ns  (p95 of batches {p95:.0})");
        median
    };
    report("not subscribed", measure(r#"{"methods":"OPTIONS","always":"nothing"}"#));
    let no_op = report("no-op", measure(r#"{"always":"nothing"}"#));
    let three = report("URI, three headers, one target", measure(r#"{"always":"three-headers"}"#));
    let native = report("the same in native code", batches(|| native_decision(&invite())));
    println!("three headers to no-op: {:.1} (the bar is 15); to native code: {:.1}", three / no_op, three / native);
}

fn invite() -> Arc<Message> {
    static REQUEST: LazyLock<Arc<Message>> =
        LazyLock::new(|| Arc::new(Message::parse(INVITE.as_bytes().into(), Framing::Datagram, &Limits::default()).unwrap()));
    Arc::clone(&REQUEST)
}

/// What the guest decides, by the host's own types.
fn native_decision(request: &Message) -> Plan {
    let text = |name: &[u8]| request.field(&Name::from_bytes(name)).map(|value| String::from_utf8_lossy(value).into_owned());
    let (uri, headers) = (String::from_utf8_lossy(request.request_uri()).into_owned(), [text(b"From"), text(b"X-A"), text(b"Contact")]);
    let uri = if uri.contains("line=") { "sip:100@trunk.test" } else { "sip:elsewhere.test" };
    let seen = Edit::Set("X-Seen".into(), headers[1].clone().unwrap_or_default().into());
    Plan::to(Target { uri: Some(uri.into()), edits: vec![seen], ..Target::default() })
}

/// Median and 95th percentile of the batches, in nanoseconds for a call.
fn batches<T>(mut call: impl FnMut() -> T) -> (f64, f64) {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| drop(std::hint::black_box(call())));
            begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    (batches[BATCHES / 2], batches[BATCHES * 95 / 100])
}

fn measure(config: &str) -> (f64, f64) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.wasm"), &*guests::BEHAVE).unwrap();
    let plugin = Plugin { config: serde_json::from_str(config).unwrap(), ..Plugin::default() };
    let plugins = Plugins {
        directory: Some(directory.path().to_owned()),
        chain: vec!["one".into()],
        table: [("one".to_owned(), plugin)].into(),
        ..Plugins::default()
    };
    let metrics = Arc::new(Metrics::new(1));
    let settings = PluginSettings {
        workers: 1,
        state_directory: Some(directory.path().join("state")),
        metrics: Arc::clone(&metrics),
        tracer: Arc::default(),
        services: Arc::new(Machine),
    };
    let host = PluginHost::start(plugins, settings).unwrap();
    let chain = host.chain();
    let request = invite();
    let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: ([198, 51, 100, 7], 5060).into(), connection: None };
    let listener = Listener {
        name: "lan".into(),
        transport: Transport::Udp,
        address: ([192, 0, 2, 1], 5060).into(),
        sent_by: "192.0.2.1".into(),
        state: ListenerState::Open,
    };
    let listeners: Arc<[Listener]> = Arc::new([listener]);
    let trunks: Arc<[Arc<str>]> = Arc::new(["telekom".into()]);
    let profiles: Arc<[Arc<str>]> = Arc::new([]);
    let measured = batches(|| {
        let view = RequestView {
            request: &request,
            flow: &flow,
            listeners: &listeners,
            trunks: &trunks,
            profiles: &profiles,
            from_trunk: None,
            user: None,
            initial: true,
        };
        chain.on_request(0, view).at_once().ok().expect("no plugin waits")
    });
    assert_eq!(metrics.plugin("one").failures(), 0);
    measured
}

const INVITE: &str = "INVITE sip:100@pbx.example.test;line=abcdef SIP/2.0\r\n\
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK74bf9;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Alice Example\" <sip:alice@example.test>;tag=9fxced76sl\r\n\
To: <sip:100@pbx.example.test;line=abcdef>\r\n\
Call-ID: 3848276298220188511@198.51.100.7\r\n\
CSeq: 1 INVITE\r\n\
Contact: <sip:alice@198.51.100.7:5060;transport=udp>\r\n\
X-A: 12345678901234567890123456789012345678\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 133\r\n\
\r\n\
v=0\r\no=alice 2890844526 2890844526 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\n";
