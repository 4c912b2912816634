//! What a context keeps of a request that crosses a border that hides, for the responses to it: also for those that come when the request itself
//! has gone.

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::context::Context;
use super::super::plan::Reply;
use super::super::via;
use super::cover::Cover;
use crate::message::{Framing, Limits, Message, Name};
use crate::net::Flow;

/// What is hidden of a request. It is allocated where anything is.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Hidden {
    /// Call-ID as its sender wrote it, where that is a token of ours: inside there is the one that it stands for.
    pub(super) call_id: Option<Bytes>,
    pub(super) kept: Option<Kept>,
    /// The branches whose copies are hidden.
    pub(super) copies: SmallVec<[(u16, Cover); 1]>,
    /// Why a copy could not cross.
    pub(super) refusal: Option<Reply>,
}

/// What the sender of a request gets back in responses.
#[derive(Debug)]
pub(super) struct Kept {
    /// All Via values, each but the first behind the name of its field.
    pub(super) vias: Bytes,
    /// The same of Record-Route; empty where there are none.
    pub(super) record_routes: Bytes,
    /// The same of Path.
    pub(super) paths: Bytes,
    pub(super) from: Bytes,
    pub(super) to: Bytes,
    /// Call-ID as its sender wrote it.
    pub(super) call_id: Bytes,
    /// Call-ID as it is inside.
    pub(super) inside: Bytes,
}

impl Kept {
    pub(super) fn of(request: &Message, flow: &Flow, as_received: Option<&Bytes>) -> Self {
        let annotated = via::annotated(request, flow).map(|(_, via)| via);
        let first = request.values(&Name::Via).next().map(|value| annotated.unwrap_or_else(|| Bytes::copy_from_slice(value.bytes)));
        let vias = lines(b"\r\nVia: ", first.as_deref().into_iter().chain(request.values(&Name::Via).skip(1).map(|via| via.bytes)));
        let field = |name| Bytes::copy_from_slice(request.field(&name).unwrap_or_default());
        let inside = Bytes::copy_from_slice(request.call_id());
        Self {
            vias,
            record_routes: lines(b"\r\nRecord-Route: ", request.values(&Name::RecordRoute).map(|value| value.bytes)),
            paths: lines(b"\r\nPath: ", request.values(&Name::Path).map(|value| value.bytes)),
            from: field(Name::From),
            to: field(Name::To),
            call_id: as_received.cloned().unwrap_or_else(|| inside.clone()),
            inside,
        }
    }
}

fn lines<'v>(between: &[u8], values: impl Iterator<Item = &'v [u8]>) -> Bytes {
    Bytes::from(values.collect::<Vec<_>>().join(between))
}

impl Hidden {
    /// For a request whose sender wrote a Call-ID that stands for another.
    pub(in crate::proxy) fn received_with(call_id: Bytes) -> Box<Self> {
        Box::new(Self { call_id: Some(call_id), ..Self::default() })
    }

    /// Whether the copy of a branch is hidden.
    pub(in crate::proxy) fn has_copy(&self, index: u16) -> bool {
        self.cover(index).is_some()
    }

    pub(super) fn cover(&self, index: u16) -> Option<&Cover> {
        self.copies.iter().find(|(other, _)| *other == index).map(|(_, cover)| cover)
    }

    /// A response that has come, with the Call-ID that the request has inside; none if it has that.
    pub(in crate::proxy) fn taken_inside(&self, response: &Message) -> Option<Message> {
        let kept = self.kept.as_ref().filter(|kept| response.call_id() != kept.inside)?;
        rewritten_call_id(response, &kept.inside)
    }

    /// A message for the sender of the request, with the Call-ID that he wrote.
    pub(in crate::proxy) fn with_call_id_as_received(&self, written: Bytes) -> Bytes {
        let Some(call_id) = &self.call_id else { return written };
        let rewritten = parsed(written.clone()).and_then(|message| rewritten_call_id(&message, call_id));
        rewritten.map_or(written, |message| message.bytes().clone())
    }

    /// The request with the Call-ID that its sender wrote.
    pub(in crate::proxy) fn as_received(&self, request: &Message) -> Option<Message> {
        rewritten_call_id(request, self.call_id.as_ref()?)
    }
}

impl<S: Clone> Context<S> {
    /// A response of our own, with the Call-ID that the sender of the request wrote.
    pub(in crate::proxy) fn as_its_sender_knows(&self, built: Bytes) -> Bytes {
        match &self.hidden {
            Some(hidden) => hidden.with_call_id_as_received(built),
            None => built,
        }
    }
}

pub(super) fn rewritten_call_id(message: &Message, call_id: &[u8]) -> Option<Message> {
    let mut splice = message.splice();
    splice.set(b"Call-ID", Bytes::copy_from_slice(call_id));
    parsed(splice.finish())
}

/// A message that we have written ourselves, of whatever size.
pub(super) fn parsed(written: Bytes) -> Option<Message> {
    Message::parse(written, Framing::Datagram, &Limits { message: usize::MAX, headers: usize::MAX }).ok()
}
