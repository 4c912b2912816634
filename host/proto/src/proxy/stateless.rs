//! What is sent without a transaction: answers to what is not worth one (RFC 3261 8.2.7), and those to a CANCEL that matches nothing (16.11).

use super::branch_parameter;
use super::context::{Context, Phase};
use super::core::Core;
use super::environment::Environment;
use super::io::{Output, Transmit};
use super::own::EgressChoice;
use super::plan::Reply;
use super::{reply, via};
use crate::message::{Message, Method, Name};
use crate::net::{Flow, Over, Path, Transport};

impl<S: Clone> Core<S> {
    /// 16.11: the answer to a CANCEL that was forwarded without state.
    pub(super) fn forward_statelessly(&self, response: &Message, digest: u64, flow: &Flow, out: &mut Vec<Output<S>>) {
        let Some(next) = response.vias().nth(1) else { return };
        let (Some(branch), Some(remote)) = (next.branch(), via::stateless_reply_address(&next)) else { return };
        let Some(transport) = Transport::from_name(next.transport_name()) else { return };
        let genuine =
            branch_parameter::stateless_digest(response.call_id(), branch, remote, self.env.settings.token_keys.newest()) == digest;
        let Some(top) = response.values(&Name::Via).next().filter(|_| genuine) else { return };
        let choice = EgressChoice { named: None, preferred: None, source: None, ingress: flow.listener };
        let Some(listener) = self.env.own.egress(transport, remote, &choice) else { return };
        let mut splice = response.splice();
        splice.remove_value(&top);
        let path = Path { transport, listener, remote, over: Over::Any };
        out.push(Output::Send(Transmit { bytes: splice.finish(), path, branch: None, peer: None }));
    }

    /// 8.2.7: an answer that is made again for each retransmission, so that nothing is kept for a bad request. An ACK has none.
    pub(super) fn answer_statelessly(&self, request: &Message, flow: &Flow, refusal: &Reply, out: &mut Vec<Output<S>>) {
        if request.method() == Method::ACK {
            return;
        }
        let tag = reply::to_tag(request, self.env.secret);
        let bytes = reply::build(request, flow, refusal, Some(&tag));
        out.push(Output::Send(Transmit { bytes, path: via::reply_path(request, flow), branch: None, peer: None }));
    }
}

impl<S: Clone> Context<S> {
    /// The verdict answers a request that is held without a transaction: a CANCEL; an ACK is just dropped.
    pub(super) fn reply_statelessly(&mut self, reply: &Reply, env: &Environment, out: &mut Vec<Output<S>>) {
        if let Some(request) = self.request.take().filter(|request| request.method() != Method::ACK) {
            let bytes = reply::build(&request, &self.flow, reply, Some(&reply::to_tag(&request, env.secret)));
            let bytes = self.as_its_sender_knows(bytes);
            out.push(Output::Send(Transmit { bytes, path: self.reply_path, branch: None, peer: None }));
        }
        self.phase = Phase::Finished;
    }
}
