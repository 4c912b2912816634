//! The messages of whole calls through a core, stage by stage: what benchmarks and the memory test have in common.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name, respond};
use jackfield_proto::net::{Flow, Listener, ListenerId, ListenerState, Transport};
use jackfield_proto::proxy::{Core, Output, Plan, RequestKind, Settings, Target, Timers, Verdict, Watch};
use jackfield_proto::time::Timestamp;

const SDP: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.97\r\ns=-\r\nc=IN IP4 192.0.2.97\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 101\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/// A core between one caller and one callee.
pub(crate) struct Traffic {
    pub(crate) core: Core<Arc<u32>>,
    pub(crate) now: Timestamp,
    plan: Plan,
    state: Arc<u32>,
    out: Vec<Output<Arc<u32>>>,
    more: Vec<Output<Arc<u32>>>,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            listeners: vec![Listener {
                name: "lan".into(),
                transport: Transport::Udp,
                address: ([192, 0, 2, 1], 5060).into(),
                sent_by: "192.0.2.1:5060".into(),
                state: ListenerState::Open,
            }],
            domains: vec!["proxy.test".into()],
            timers: Timers::default(),
            limits: jackfield_proto::proxy::Limits::default(),
            udp_request_max: 1300,
            token_keys: [7; 16].into(),
            path: jackfield_proto::proxy::PathPolicy::default(),
            borders: Vec::new(),
            media: jackfield_proto::proxy::MediaPolicy::Never,
        };
        let target = Target { uri: Some("sip:bob@192.0.2.98:5060".into()), tag: "callee".into(), ..Target::default() };
        Self {
            core: Core::new(Arc::new(settings), 0, 42),
            now: Timestamp::ZERO,
            plan: Plan::to(target),
            state: Arc::new(0),
            out: Vec::new(),
            more: Vec::new(),
        }
    }

    /// A datagram comes in and is worked on to the end; what leaves comes back: from the caller's side and from the callee's.
    // Not inlined: a profiler can collect between its ends (`valgrind --tool=callgrind --toggle-collect='*Traffic*receive*'`).
    #[inline(never)]
    pub(crate) fn receive(&mut self, datagram: Bytes, from_caller: bool, sent: &mut Vec<Bytes>) {
        let peer = if from_caller { 97 } else { 98 };
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: ([192, 0, 2, peer], 5060).into(), connection: None };
        let Ok(message) = Message::parse(datagram, Framing::Datagram, &Limits::default()) else { return };
        self.core.receive(self.now, message, flow, &mut self.out);
        self.carry_out(sent);
    }

    /// Time passes.
    #[inline(never)]
    pub(crate) fn pass(&mut self, time: Duration, sent: &mut Vec<Bytes>) {
        self.now = self.now + time;
        self.core.handle_timeout(self.now, &mut self.out);
        self.carry_out(sent);
    }

    fn carry_out(&mut self, sent: &mut Vec<Bytes>) {
        while !self.out.is_empty() {
            for output in self.out.drain(..) {
                match output {
                    Output::Send(transmit) => sent.push(transmit.bytes),
                    Output::SelectTargets { context, kind, .. } => {
                        let verdict = match kind {
                            RequestKind::Initial => {
                                let (plan, state) = (self.plan.clone(), Arc::clone(&self.state));
                                Verdict::Forward { plan, state, watch: Watch::default() }
                            }
                            RequestKind::InDialog => Verdict::follow(Vec::new()),
                        };
                        self.core.decided(self.now, context, verdict, &mut self.more);
                    }
                    Output::Resolve { .. }
                    | Output::ReviewResponse { .. }
                    | Output::BranchFailed { .. }
                    | Output::Media { .. }
                    | Output::MediaOver { .. }
                    | Output::AddressFailed { .. }
                    | Output::Admit { .. }
                    | Output::Challenged { .. }
                    | Output::Completed { .. } => {}
                }
            }
            std::mem::swap(&mut self.out, &mut self.more);
        }
    }
}

/// The INVITE of call `number`, of the size that telephones write.
pub(crate) fn invite(number: usize) -> Bytes {
    format!(
        "INVITE sip:+4930123456@proxy.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK-invite-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@caller.test>;tag=from-{number}\r\nTo: <sip:+4930123456@proxy.test>\r\n\
         Call-ID: {number}-84b4c76e66710@192.0.2.97\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@192.0.2.97:5060>\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO\r\nSupported: replaces, timer\r\nUser-Agent: telephone/1.0\r\n\
         X-My-Account-Number: 12345678\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into()
}

/// The callee's response to a request that it got.
pub(crate) fn response(request: &Bytes, status: u16) -> Bytes {
    let request = parsed(request);
    let mut response = respond(&request, status, None).to_tag(b"callee-tag");
    if request.method().is_invite() && status > 100 {
        response = response.header("Contact", "<sip:bob@192.0.2.98:5060>");
        for route in request.values(&Name::RecordRoute) {
            response = response.header("Record-Route", Bytes::copy_from_slice(route.bytes));
        }
        if status == 200 {
            response = response.body("application/sdp", SDP);
        }
    }
    response.finish()
}

/// A request of the caller in the dialog that `answer`, as the caller got it, has set up.
pub(crate) fn in_dialog(method: &str, number: usize, answer: &Bytes) -> Bytes {
    let answer = parsed(answer);
    let text = |name: Name<'static>| String::from_utf8_lossy(answer.field(&name).unwrap_or_default()).into_owned();
    let cseq = if method == "ACK" { 1 } else { 2 };
    format!(
        "{method} sip:bob@192.0.2.98:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.97:5060;branch=z9hG4bK-{method}-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nRoute: {}\r\nContent-Length: 0\r\n\r\n",
        text(Name::From),
        text(Name::To),
        text(Name::CallId),
        text(Name::RecordRoute)
    )
    .into()
}

fn parsed(message: &Bytes) -> Message {
    Message::parse(message.clone(), Framing::Datagram, &Limits::default()).expect("what the core writes is a message")
}
