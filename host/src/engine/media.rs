//! Whose media is relayed, what each side gets of it, and what the relays are asked.
//!
//! Who has a say: a plugin (the target option `media`), then the trunk that the call goes to, then the one that it comes from, then the
//! listeners of both sides. A dialog keeps what it began with: its token holds the note.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use jackfield_proto::message::{Message, Name};
use jackfield_proto::net::{Listener, ListenerId};
use jackfield_proto::proxy::{BranchId, MediaAnswer, MediaNote, MediaQuestion, Reply, RequestKind, SideId, TrunkId};
use jackfield_relay::{Ask, AskError, Call, Client, Note, ProfileId, RelayId, Role, Treatment, Unavailable, exchange, withheld};
use jackfield_trunk::{Relaying, SideMedia, Table};

use super::Shared;
use super::decider::Decider;
use super::kept::RelayedCall;
use super::shard::Shard;
use super::told::Told;
use super::waiting::worker_ends;
use super::worker::{State, Work, Worker};
use crate::config::Config;

/// What the listeners say about media, by [`ListenerId`].
#[derive(Debug)]
pub(super) struct ListenerMedia(Vec<(SideId, SideMedia)>);

impl ListenerMedia {
    pub(super) fn new(config: &Config, listeners: &[Listener]) -> Self {
        let said = |name: &str| config.listen.iter().find(|listen| listen.name == name).map(|listen| listen.media.clone());
        let of = |listener: &Listener| (SideId::of_listener(&listener.name), said(&listener.name).unwrap_or_default());
        Self(listeners.iter().map(of).collect())
    }

    fn end(&self, listener: ListenerId, trunk: Option<TrunkId>, table: &Table) -> End {
        let (side, listener) = self.0.get(usize::from(listener.0)).cloned().unwrap_or_default();
        match trunk.and_then(|id| table.by_id(id)) {
            Some(trunk) => {
                End { side: SideId::of_trunk(&trunk.settings.name), before: side, trunk: Some(trunk.settings.media.clone()), listener }
            }
            None => End { side, before: side, trunk: None, listener },
        }
    }
}

/// One end of what a message crosses.
#[derive(Clone, Debug)]
struct End {
    side: SideId,
    /// The listener before it: a list that names it means all that is behind it.
    before: SideId,
    /// What its trunk says, if it is one.
    trunk: Option<SideMedia>,
    listener: SideMedia,
}

impl End {
    fn profile(&self) -> Option<&str> {
        self.trunk.as_ref().and_then(|media| media.profile.as_deref()).or(self.listener.profile.as_deref())
    }
}

/// Where nobody else has decided: whether media between two ends is relayed.
fn relays(to: &End, from: &End) -> bool {
    let says = |relaying: &Relaying, other: &End| match relaying {
        Relaying::Direct => false,
        Relaying::Always => true,
        Relaying::Crossing(towards) => to.side != from.side && (towards.covers(other.side) || towards.covers(other.before)),
    };
    let trunk = |end: &End, other: &End| Some(says(end.trunk.as_ref()?.relay.as_ref()?, other));
    let listener = |end: &End, other: &End| end.listener.relay.as_ref().is_some_and(|relaying| says(relaying, other));
    trunk(to, from).or_else(|| trunk(from, to)).unwrap_or_else(|| listener(to, from) || listener(from, to))
}

/// What a question comes to.
enum Course {
    /// Nobody has to be asked.
    Answered(MediaAnswer),
    /// A relay is to be asked.
    Ask(Box<Errand>),
}

/// A question to the relays.
struct Errand {
    question: Box<MediaQuestion>,
    note: Option<Note>,
    /// The profile that a plugin has chosen for the callee.
    chosen: Option<ProfileId>,
    sender: Arc<Treatment>,
    receiver: Arc<Treatment>,
}

/// The answer that the core waits for. It is given when this goes, so that a request waits for nothing that will never come.
struct Awaited<D: Decider> {
    worker: Arc<Worker<D>>,
    shard: u8,
    branch: BranchId,
    response: Option<Arc<Message>>,
    /// None: nobody could be asked.
    answer: Option<MediaAnswer>,
}

impl<D: Decider> Drop for Awaited<D> {
    fn drop(&mut self) {
        if worker_ends(&self.worker, "a media relay's answer") {
            return;
        }
        let (branch, response) = (self.branch, self.response.take());
        let answer = self.answer.take().unwrap_or_else(|| match response {
            Some(_) => MediaAnswer::Direct,
            None => self.worker.unavailable(&AskError::NoRelay),
        });
        self.worker.guard("a media relay's answer", |work| {
            if self.worker.is_heard() {
                self.worker.say_media(self.shard, branch, answer_words(&answer), work);
            }
            if let Some(shard) = self.worker.shared.shard(self.shard) {
                self.worker.step(shard, work, |core, now, out| core.media_answered(now, branch, response, answer, out));
                self.worker.carry_out(shard, work);
            }
        });
    }
}

impl<D: Decider> Worker<D> {
    /// Answers the core's question about a message, at once or when a relay has.
    pub(super) fn ask_about_media(
        self: &Arc<Self>,
        shard: &Shard<State<D>>,
        branch: BranchId,
        question: Box<MediaQuestion>,
        work: &mut Work<D>,
    ) {
        let response = question.response.clone();
        let errand = match self.course(question) {
            Course::Answered(answer) => {
                self.step(shard, work, |core, now, out| core.media_answered(now, branch, response, answer, out));
                return;
            }
            Course::Ask(errand) => errand,
        };
        if self.is_heard() {
            let what = if response.is_some() { "a relay is asked about the answer" } else { "a relay is asked about the offer" };
            self.say_media(shard.index, branch, what.to_owned(), work);
        }
        if self.transport.notebook().is_some() {
            let what = if response.is_some() { "answer" } else { "offer" };
            self.transport.tell(|| Told::Media { question: what, tags: tags(response.as_deref().unwrap_or(&errand.question.request)) });
            let answer = unchanged(&errand.question);
            self.step(shard, work, |core, now, out| core.media_answered(now, branch, response, answer, out));
            return;
        }
        let awaited = Awaited { worker: Arc::clone(self), shard: shard.index, branch, response, answer: None };
        tokio::spawn(async move {
            let mut awaited = awaited;
            let worker = Arc::clone(&awaited.worker);
            if let Some(client) = worker.relays() {
                awaited.answer = Some(worker.run(&client, *errand).await);
            }
        });
    }

    fn course(&self, question: Box<MediaQuestion>) -> Course {
        let Shared { rules, trunks, pool, .. } = &*self.shared;
        let (rules, table) = (rules.load(), trunks.table());
        let MediaQuestion { ingress, egress, to, from, ref choice, .. } = *question;
        let (to, from) = (rules.media.end(egress, to, &table), rules.media.end(ingress, from, &table));
        let note = question.note.and_then(|note| Note::from_bytes(note.as_bytes()));
        // Its dialog is none of ours: it gets no Record-Route, and nobody would say when it ends.
        if question.kind == RequestKind::Initial && question.request.to_tag().is_some() {
            return Course::Answered(MediaAnswer::Direct);
        }
        let chosen = choice.as_deref().filter(|choice| !matches!(*choice, "relay" | "direct"));
        if note.is_none() && (choice.as_deref() == Some("direct") || (choice.is_none() && !relays(&to, &from))) {
            return Course::Answered(MediaAnswer::Direct);
        }
        // A dialog keeps what it began with.
        let chosen = note.map_or_else(|| chosen.map(ProfileId::of), |note| note.profile);
        let callee = |end: &End| chosen.and_then(|chosen| pool.noted_treatment(chosen)).unwrap_or_else(|| pool.treatment(end.profile()));
        let caller_sends = note.is_none_or(|note| note.is_callers(question.request.from_tag().unwrap_or_default()));
        let (to, from) = match caller_sends {
            true => (callee(&to), pool.treatment(from.profile())),
            false => (pool.treatment(to.profile()), callee(&from)),
        };
        let (sender, receiver) = if question.response.is_none() { (from, to) } else { (to, from) };
        if exchange(&question.request, question.response.as_deref(), note.as_ref()).is_some() {
            return Course::Ask(Box::new(Errand { question, note, chosen, sender, receiver }));
        }
        Course::Answered(match note {
            Some(_) => unchanged(&question),
            // What is said there cannot be read, and so cannot be relayed (RFC 3261 21.4.13).
            None if is_sdp(&question.request) => {
                MediaAnswer::Refused(Reply::status(415).header("Accept", "application/sdp").header("Accept-Encoding", "identity"))
            }
            None => self.begin_without_offer(&question.request, chosen),
        })
    }

    /// The callee will offer: the relay that will be asked then is noted now.
    fn begin_without_offer(&self, invite: &Message, chosen: Option<ProfileId>) -> MediaAnswer {
        if self.transport.notebook().is_some() {
            self.transport.tell(|| Told::Media { question: "offer", tags: tags(invite) });
            return MediaAnswer::Direct;
        }
        match self.relays().ok_or(AskError::NoRelay).and_then(|client| client.begin_without_offer(invite, chosen)) {
            Ok(note) => MediaAnswer::Relayed { note: note.into(), body: None },
            Err(error) => self.unavailable(&error),
        }
    }

    /// The client of the relays, which is made when it is first wanted; none if the system gives it no socket.
    fn relays(&self) -> Option<Client> {
        if self.transport.notebook().is_some() {
            return None;
        }
        let mut known = self.relay_client.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            match Client::bind(Arc::clone(&self.shared.pool)) {
                Ok(client) => {
                    let serving = client.clone();
                    tokio::spawn(async move { serving.serve().await });
                    *known = Some(client);
                }
                Err(error) => self.shared.trunks.say("media", || tracing::error!(%error, "media relays cannot be asked: no socket")),
            }
        }
        known.clone()
    }

    async fn run(&self, client: &Client, errand: Errand) -> MediaAnswer {
        let Errand { question, note, chosen, sender, receiver } = errand;
        let Some(exchange) = exchange(&question.request, question.response.as_deref(), note.as_ref()) else { return unchanged(&question) };
        let pool = &self.shared.pool;
        // The dialog's token names its first relay for ever; so where that is gone is found out anew each time, and costs no time.
        let note = note.map(|note| pool.standing_in(&note));
        let call = note.map_or(Call::New(chosen), Call::Known);
        let mut ask = Ask { exchange: &exchange, call_id: question.request.call_id(), sender: &sender, receiver: &receiver, call };
        let mut result = client.ask(&ask).await;
        if let (Err(AskError::Timeout { .. } | AskError::Unsent { .. }), Some(note)) = (&result, note) {
            let elsewhere = pool.standing_in(&note);
            if elsewhere != note {
                ask.call = Call::Known(elsewhere);
                result = client.ask(&ask).await;
            }
        }
        match result {
            Ok(answered) => {
                let body = Some(exchange.found.with(&answered.sdp));
                MediaAnswer::Relayed { note: answered.note.into(), body }
            }
            Err(error) if question.response.is_some() || (exchange.role == Role::Answer && note.is_some()) => {
                self.complain(&error);
                match (pool.unavailable(), question.note) {
                    (Unavailable::Reply(_), Some(note)) => {
                        MediaAnswer::Relayed { note, body: Some(exchange.found.with(&withheld(exchange.found.sdp()))) }
                    }
                    _ => unchanged(&question),
                }
            }
            Err(error) => self.unavailable(&error),
        }
    }

    /// What an offer becomes that no relay takes.
    fn unavailable(&self, error: &AskError) -> MediaAnswer {
        self.complain(error);
        match (error, self.shared.pool.unavailable()) {
            // What the relay cannot read, no callee would either: RFC 3261 21.4.26.
            (AskError::Refused { reason, .. }, _) if reason.contains("SDP") => MediaAnswer::RefusedForAll(Reply::status(488)),
            (_, Unavailable::Reply(status)) => MediaAnswer::Refused(Reply::status(status)),
            (_, Unavailable::Direct) => MediaAnswer::Direct,
        }
    }

    fn complain(&self, error: &AskError) {
        self.shared.trunks.say("media", || tracing::warn!(%error, "media of a call is not relayed"));
    }

    /// A branch has ended that media was to be relayed for.
    pub(super) fn media_over(&self, note: MediaNote, call_id: &[u8]) {
        let (Some(note), Some(client)) = (Note::from_bytes(note.as_bytes()), self.relays()) else { return };
        client.delete(&note, call_id);
    }

    /// A call has ended whose media is relayed. Where its relay has been down, another may have taken it over.
    pub(super) fn release_media(&self, call: &RelayedCall) {
        self.media_over(call.note, &call.call_id);
        let (Some(note), pool) = (Note::from_bytes(call.note.as_bytes()), &self.shared.pool) else { return };
        if pool.has_been_down(note.relay)
            && let Some(client) = self.relays()
        {
            let others = pool.snapshot().into_iter().map(|relay| RelayId::of(&relay.name)).filter(|relay| *relay != note.relay);
            others.for_each(|relay| client.delete(&Note { relay, ..note }, &call.call_id));
        }
    }
}

/// Whether the whole body of a request says that it is a session description.
fn is_sdp(request: &Message) -> bool {
    let content_type = request.field(&Name::ContentType).unwrap_or_default();
    let media_type = content_type.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    !request.body().is_empty() && media_type.eq_ignore_ascii_case(b"application/sdp")
}

/// The tags of those two whose call a message is of, as far as they are known.
fn tags(message: &Message) -> Vec<Bytes> {
    [message.from_tag(), message.to_tag()].into_iter().flatten().map(Bytes::copy_from_slice).collect()
}

/// What has come of asking the relays.
fn answer_words(answer: &MediaAnswer) -> String {
    match answer {
        MediaAnswer::Direct => "it goes directly: no relay takes it".to_owned(),
        MediaAnswer::Relayed { body: Some(_), .. } => "it is relayed".to_owned(),
        MediaAnswer::Relayed { body: None, .. } => "the message goes as it is; a relay is noted for the call".to_owned(),
        MediaAnswer::Refused(reply) => format!("no relay takes it: the target fails with {}", reply.status),
        MediaAnswer::RefusedForAll(reply) => format!("no relay takes it: the answer is {}", reply.status),
    }
}

/// The message goes as it is, and what is noted stays.
fn unchanged(question: &MediaQuestion) -> MediaAnswer {
    question.note.map_or(MediaAnswer::Direct, |note| MediaAnswer::Relayed { note, body: None })
}

/// Asks the relays whether they are there, from when there are any.
pub(super) async fn drive_pings<D: Decider>(worker: Arc<Worker<D>>) {
    while !worker.shared.pool.has_relays() {
        worker.shared.relays_changed.notified().await;
    }
    if let Some(client) = worker.relays() {
        client.ping().await;
    }
}

#[cfg(test)]
mod tests {
    use jackfield_proto::proxy::Towards;

    use super::*;

    fn end(listener: &str, said: Option<Relaying>) -> End {
        let before = SideId::of_listener(listener);
        End { side: before, before, trunk: None, listener: SideMedia { relay: said, profile: None } }
    }

    fn trunk(name: &str, said: Option<Relaying>, before: End) -> End {
        End { side: SideId::of_trunk(name), trunk: Some(SideMedia { relay: said, profile: None }), ..before }
    }

    fn towards(name: &str) -> Option<Relaying> {
        Some(Relaying::Crossing(Towards::Sides(vec![SideId::of_listener(name)])))
    }

    const OTHERS: Option<Relaying> = Some(Relaying::Crossing(Towards::Others));

    #[test]
    fn a_trunk_is_heard_before_the_listeners_and_these_together() {
        let (lan, wan) = (end("lan", None), end("wan", OTHERS));
        for (to, from, relayed) in [
            (lan.clone(), end("wan", None), false),
            (lan.clone(), wan.clone(), true),
            (wan.clone(), lan.clone(), true),
            (wan.clone(), wan.clone(), false),
            (end("wan", Some(Relaying::Always)), end("wan", Some(Relaying::Direct)), true),
            (trunk("a", Some(Relaying::Direct), wan.clone()), lan.clone(), false),
            (lan.clone(), trunk("a", Some(Relaying::Direct), wan.clone()), false),
            (trunk("a", None, wan.clone()), lan.clone(), true),
            (trunk("a", OTHERS, lan.clone()), trunk("b", Some(Relaying::Direct), lan.clone()), true),
        ] {
            assert_eq!(relays(&to, &from), relayed, "{to:?} {from:?}");
        }
    }

    #[test]
    fn a_listener_in_a_list_stands_for_the_trunks_behind_it() {
        let (lan, wan) = (end("lan", towards("wan")), end("wan", None));
        assert!(relays(&trunk("a", None, wan.clone()), &lan) && relays(&lan, &trunk("a", None, wan.clone())));
        assert!(!relays(&trunk("a", None, end("web", None)), &lan));
        let named = Some(Relaying::Crossing(Towards::Sides(vec![SideId::of_trunk("a")])));
        assert!(relays(&trunk("a", None, wan.clone()), &end("lan", named.clone())));
        assert!(!relays(&wan, &end("lan", named)));
    }
}
