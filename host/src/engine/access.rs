//! The lists of a listener: who may begin something there. They come before everything that is said about a request, so that those who are
//! to hear nothing hear nothing.

use jackfield_proto::message::Message;
use jackfield_proto::net::Flow;
use jackfield_proto::proxy::Reply;

use super::decider::Decider;
use super::expansion::Denial;
use super::rules::Rules;
use super::shard::Shard;
use super::worker::{State, Work, Worker};

impl<D: Decider> Worker<D> {
    /// Hands a message to the core, which knows what belongs to something that has begun already.
    pub(super) fn hand_over(&self, shard: &Shard<State<D>>, message: Message, flow: Flow, work: &mut Work<D>) {
        match self.shared.rules.load().refusal(&message, &flow) {
            None => self.step(shard, work, |core, now, out| core.receive(now, message, flow, out)),
            Some(heard) => self.step(shard, work, |core, now, out| core.receive_unwelcome(now, message, flow, heard.as_ref(), out)),
        }
    }
}

impl Rules {
    /// What the sender of a request hears who may begin none at its listener; none if he may.
    fn refusal(&self, message: &Message, flow: &Flow) -> Option<Option<Reply>> {
        if self.access.is_empty() || !message.is_request() {
            return None;
        }
        let listener = self.listeners.get(usize::from(flow.listener.0))?;
        let lists = self.access.get(&listener.name).filter(|lists| !lists.permits(flow.remote.ip()))?;
        Some(Denial::from(lists.refusal).reply())
    }
}
