//! What holds where nobody has decided: dialogs go their way, what is configured as a relay's destination passes, and nothing else, so
//! that the proxy is no open relay.

use std::sync::Arc;

use jackfield_proto::message::{Message, Method, Uri, host_address};
use jackfield_proto::net::{Flow, Listener, Path};
use jackfield_proto::proxy::{Edit, Plan, Reply, RequestKind, Settings, Target, Verdict, Watch, next_hop_uri};

use crate::config::{Config, OutboundProxy, Relay};

/// A request that no plugin has decided about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undecided<'a> {
    pub(super) request: &'a Message,
    /// How it came.
    pub(super) flow: &'a Flow,
    pub(super) kind: RequestKind,
    /// The flow that a flow token in its Route leads it to.
    pub(super) over: Option<Path>,
}

/// The rules by which requests are judged that no plugin has decided about.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    relay: Relay,
    outbound: OutboundProxy,
    settings: Arc<Settings>,
}

impl Policy {
    pub(super) fn new(config: &Config, settings: Arc<Settings>) -> Self {
        Self { relay: config.relay.clone(), outbound: config.outbound_proxy.clone(), settings }
    }

    /// The verdict about a request without a decision. Who has a flow token of ours may send to its flow (RFC 5626 5.3): there the core sends
    /// a target that says nothing else.
    pub(super) fn verdict<S>(&self, asked: Undecided<'_>, edits: Vec<Edit>, kept: Option<(S, Watch)>) -> Verdict<S> {
        let Undecided { request, flow, kind, over } = asked;
        let mut target = Target { edits, ..Target::default() };
        if kind == RequestKind::Initial && over.is_none() {
            if let Some(rule) = self.outbound.rule_for(flow.remote, flow.transport) {
                target.next_hop = Some(rule.to.clone().into());
                target.egress = rule.egress.as_deref().map(Arc::from);
            } else if let Some(reply) = self.refusal(request) {
                return refused(request, reply);
            }
        }
        match kept {
            None => Verdict::Follow(target),
            // The same way, with somebody to tell what becomes of it.
            Some((state, watch)) => Verdict::Forward { plan: Plan::to(target), state, watch },
        }
    }

    /// Why the request may not go where it wants to go; none if it may. That is its topmost Route, or else its Request-URI (16.6 item
    /// 7); a `maddr` there overrules the host (19.1.1), and so it is what has to be allowed.
    fn refusal(&self, request: &Message) -> Option<Reply> {
        let Some(uri) = Uri::parse(next_hop_uri(request)).filter(|uri| uri.is_sip() || uri.is_sips()) else {
            return Some(Reply::status(404));
        };
        let host = uri.param(b"maddr").flatten().unwrap_or(uri.host());
        if self.is_ours(host, uri.port()) {
            return Some(Reply::status(404));
        }
        let permitted = str::from_utf8(host).is_ok_and(|host| self.relay.permits(host));
        (!permitted).then(|| Reply::status(403))
    }

    fn is_ours(&self, host: &[u8], port: Option<u16>) -> bool {
        let address = host_address(host);
        let listens_at = |listener: &Listener| port.unwrap_or(listener.transport.default_port()) == listener.address.port();
        self.settings.domains.iter().any(|domain| domain.as_bytes().eq_ignore_ascii_case(host))
            || self
                .settings
                .listeners
                .iter()
                .filter(|listener| listener.is_open())
                .any(|listener| address == Some(listener.address.ip()) && listens_at(listener))
    }
}

/// The verdict about a request that goes no further: an ACK has no answer (RFC 3261 17), and a CANCEL that comes here matches nothing (9.2).
pub(super) fn refused<S>(request: &Message, reply: Reply) -> Verdict<S> {
    match request.method() {
        Method::ACK => Verdict::Drop,
        Method::CANCEL => Verdict::Reply(Reply::status(481)),
        _ => Verdict::Reply(reply),
    }
}
