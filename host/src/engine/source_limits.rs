//! Limits per source address, from the configuration to the transports, and what a request over them gets.

use jackfield_proto::message::{Message, Method};
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::Reply;
use jackfield_transport::{Answer, Ban, RequestClass, SourceLimits, Verdict};

use super::decider::Decider;
use super::shard::Shard;
use super::worker::{State, Work, Worker};
use crate::config::{self, Config, SourceAnswer};

/// What the transports are told of `[limits.source]`.
pub(super) fn source_limits(config: &Config) -> SourceLimits {
    let config::SourceLimits { ban_after, ban_window, ban_time, .. } = config.limits.source;
    let source = &config.limits.source;
    SourceLimits {
        connections: source.connections,
        handshakes: source.handshakes_per_second,
        requests: source.requests_per_second,
        burst: source.burst,
        answer: match source.answer {
            SourceAnswer::Refuse => Answer::Refuse,
            SourceAnswer::Silence => Answer::Silence,
        },
        retry_after: config.limits.core.retry_after,
        ban: (ban_after > 0).then_some(Ban { after: ban_after, within: ban_window, time: ban_time }),
        exempt: source.exempt.iter().map(config::Network::addresses).collect(),
    }
}

/// What a request is to the limits. A To tag is a mere claim, but all that it buys is a few bursts more. A BYE without one ends nothing.
fn class(request: &Message) -> RequestClass {
    match request.method() {
        Method::ACK | Method::CANCEL => RequestClass::Closing,
        method => match request.to_tag() {
            Some(_) if method == Method::BYE => RequestClass::Closing,
            Some(_) => RequestClass::InDialog,
            None => RequestClass::Initial,
        },
    }
}

impl<D: Decider> Worker<D> {
    /// Whether a message may pass; if not, it has been answered or dropped. Nothing is kept for it, and no plugin sees it.
    pub(super) fn admits(&self, shard: &Shard<State<D>>, message: &Message, flow: &Flow, work: &mut Work<D>) -> bool {
        if !message.is_request() {
            return true;
        }
        match self.transport.request_by(flow, || class(message)) {
            Verdict::Pass => true,
            Verdict::Silence => false,
            Verdict::Answer503 { retry_after } => {
                let busy = Reply::status(503).header("Retry-After", retry_after.to_string());
                self.step(shard, work, |core, now, out| core.refuse(now, message, flow, &busy, out));
                false
            }
        }
    }
}
