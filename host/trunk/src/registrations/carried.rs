//! What becomes of the table when a REGISTER has passed and its response has come, or none has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jackfield_auth::Challenge;
use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::{Cause, TrunkId};
use smallvec::SmallVec;

use super::Registrations;
use super::binding::{Binding, BindingState, NamedFlow, Words};
use super::challenges::Repeated;
use super::event::{Event, EventKind, Outcome};
use super::index::Keys;
use super::register::{Asked, Contact, Grants, Unfit, Wish};
use super::shard::{self, AOR_BINDINGS_MAX, Shard, Surroundings};
use super::slots::Slot;
use super::unix_time::UnixTime;
use super::uri::{line, same_contact, same_value, sip_uri};

/// A REGISTER that a provider has answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// As it was received.
    pub request: &'a Message,
    /// Its response; provisional ones are passed over.
    pub response: &'a Message,
    /// The trunk that it went through.
    pub trunk: &'a Arc<str>,
    /// How the request came.
    pub flow: &'a NamedFlow,
    /// Where the response came from.
    pub registrar: SocketAddr,
    /// Whose credentials a challenge is for.
    pub credentials: Credentials,
}

/// A REGISTER that no final response has come for.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered<'a> {
    /// As it was received.
    pub request: &'a Message,
    /// The trunk that it went through.
    pub trunk: &'a Arc<str>,
    /// How the request came.
    pub flow: &'a NamedFlow,
    /// Why.
    pub cause: Cause,
}

/// Whose credentials a trunk is registered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// The sender's: it answers a challenge itself.
    #[default]
    Senders,
    /// Ours: a challenge that reaches the sender is one that we could not answer.
    Ours,
}

/// What can happen to the bindings of one REGISTER; nearly always one thing to one.
type Events = SmallVec<[Event; 1]>;

/// A REGISTER on its way into the table.
struct Carried<'a> {
    asked: Asked<'a>,
    trunk: &'a Arc<str>,
    trunk_id: TrunkId,
    flow: &'a NamedFlow,
}

impl Registrations {
    /// Takes in what a provider answered to a REGISTER (RFC 3261 10.2, 10.3).
    pub fn answered(&self, now: UnixTime, answered: &Answered<'_>) -> SmallVec<[Event; 1]> {
        let Answered { request, response, trunk, flow, registrar, credentials } = *answered;
        let status = response.status();
        // 423 is no failure: the user agent tries again with the time that it names (10.2.8).
        if status < 200 || status == 423 {
            return Events::new();
        }
        let Some(carried) = self.read(request, trunk, flow) else { return Events::new() };
        if status < 300 {
            return self.granted(now, &carried, &Grants::read(response), registrar, status);
        }
        if matches!(status, 401 | 407) && credentials == Credentials::Senders && !self.refused(&carried, request, response) {
            return Events::new();
        }
        self.failed(now, &carried, Outcome::Status(status))
    }

    /// Takes in that a REGISTER got no final response.
    pub fn unanswered(&self, now: UnixTime, unanswered: &Unanswered<'_>) -> SmallVec<[Event; 1]> {
        let Unanswered { request, trunk, flow, cause } = *unanswered;
        match self.read(request, trunk, flow) {
            Some(carried) => self.failed(now, &carried, cause.into()),
            None => Events::new(),
        }
    }

    fn read<'a>(&self, request: &'a Message, trunk: &'a Arc<str>, flow: &'a NamedFlow) -> Option<Carried<'a>> {
        let read = Asked::read(request);
        let unfit = match &read {
            Ok((_, None)) => 0,
            Ok((_, Some(Unfit::Contacts(count)))) => *count as u64,
            Ok((_, Some(Unfit::Request))) | Err(_) => 1,
        };
        self.not_remembered.unfit.fetch_add(unfit, Relaxed);
        let (asked, _) = read.ok()?;
        Some(Carried { asked, trunk, trunk_id: TrunkId::of(trunk), flow })
    }

    /// Whether a challenge says that credentials are wrong: there were some for it, the challenge before was answered with them, and the
    /// nonce was not merely stale (RFC 7616 3.3).
    fn refused(&self, carried: &Carried<'_>, request: &Message, response: &Message) -> bool {
        let (answer, challenge) = match response.status() {
            401 => (Name::Authorization, Name::WwwAuthenticate),
            _ => (Name::ProxyAuthorization, Name::ProxyAuthenticate),
        };
        let number = self.challenge_number(carried, response.status());
        let Some(mut shard) = self.shard(carried.trunk_id, &carried.asked.aor) else { return false };
        let repeated = shard.challenges.note(number) == Repeated::Again;
        let is_stale = || Challenge::all_of(response).iter().any(|one| one.header == challenge && one.stale);
        repeated && request.has(&answer) && !is_stale()
    }

    fn challenge_number(&self, carried: &Carried<'_>, status: u16) -> u64 {
        let number = self.keys.number(|hasher| {
            hasher.write_u16(status);
            hasher.write(carried.asked.call_id.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(carried.asked.aor.as_bytes());
        });
        number.max(1)
    }

    fn granted(&self, now: UnixTime, carried: &Carried<'_>, grants: &Grants<'_>, registrar: SocketAddr, status: u16) -> Events {
        let around = self.around(now);
        let asked = &carried.asked;
        let Some(mut shard) = self.shard(carried.trunk_id, &asked.aor) else { return Events::new() };
        for challenge in [401, 407] {
            shard.challenges.forget(self.challenge_number(carried, challenge));
        }
        let mut events = Events::new();
        match &asked.wish {
            Wish::RemoveAll => {
                let all: SmallVec<[Slot; 4]> = shard.of_aor(&self.keys, carried.trunk_id, &asked.aor).map(|(slot, _)| slot).collect();
                events.extend(all.into_iter().filter_map(|slot| shard.remove(&around, slot)));
            }
            Wish::Contacts(contacts) => {
                for contact in contacts {
                    let seconds = if contact.expires == 0 { 0 } else { grants.of(contact, contacts.len()) };
                    let slot = carried.binding_of(&shard, &self.keys, contact);
                    let grant = Grant { contact: *contact, registrar, seconds, status };
                    match (slot, seconds) {
                        (Some(slot), 0) => events.extend(shard.remove(&around, slot)),
                        (None, 0) => {}
                        (Some(slot), _) => events.extend(carried.refresh(&mut shard, &around, slot, &grant)),
                        (None, _) => match carried.bind(&mut shard, &around, &grant) {
                            Ok(bound) => events.extend(bound),
                            Err(Full) => self.count_over_limit(),
                        },
                    }
                }
            }
        }
        events.iter().for_each(|event| self.changes.count(event));
        events
    }

    /// Notes for each contact that a REGISTER has failed. What it wanted to end lasts until it expires, which is no failure of a
    /// registration.
    fn failed(&self, now: UnixTime, carried: &Carried<'_>, outcome: Outcome) -> Events {
        let around = self.around(now);
        let mut events = Events::new();
        let Wish::Contacts(contacts) = &carried.asked.wish else { return events };
        let Some(mut shard) = self.shard(carried.trunk_id, &carried.asked.aor) else { return events };
        for contact in contacts.iter().filter(|contact| contact.expires > 0) {
            match carried.fail(&mut shard, &around, contact, outcome) {
                Ok(event) => events.extend(event),
                Err(Full) => self.count_over_limit(),
            }
        }
        events.iter().for_each(|event| self.changes.count(event));
        events
    }

    fn count_over_limit(&self) {
        self.not_remembered.over_limit.fetch_add(1, Relaxed);
    }
}

/// The table, or what it keeps for one address-of-record, is full.
struct Full;

/// What a 2xx says of one contact.
struct Grant<'a> {
    contact: Contact<'a>,
    registrar: SocketAddr,
    seconds: u32,
    status: u16,
}

impl Carried<'_> {
    /// The binding that a contact refreshes: of the same URI; or else the one with the same `line`; or else that of the same Call-ID, for a
    /// user agent keeps it (10.2.4), unless lines or `reg-id` (RFC 5626 4.2) say that these are several.
    fn binding_of(&self, shard: &Shard, keys: &Keys, contact: &Contact<'_>) -> Option<Slot> {
        let alone = matches!(&self.asked.wish, Wish::Contacts(contacts) if contacts.len() == 1);
        let (mut by_line, mut by_call_id) = (None, None);
        for (slot, binding) in shard.of_aor(keys, self.trunk_id, &self.asked.aor) {
            let words = &binding.words;
            if words.contact() == contact.text || sip_uri(words.contact().as_bytes()).is_some_and(|uri| same_contact(&uri, &contact.uri)) {
                return Some(slot);
            }
            match (words.line(), line(&contact.uri)) {
                (Some(a), Some(b)) if same_value(a.as_bytes(), b) => by_line = by_line.or(Some(slot)),
                (Some(_), Some(_)) => {}
                (Some(_) | None, None) | (None, Some(_)) => {
                    let same = alone && !contact.has_reg_id && !words.call_id().is_empty() && words.call_id() == self.asked.call_id;
                    by_call_id = by_call_id.or(same.then_some(slot));
                }
            }
        }
        by_line.or(by_call_id)
    }

    /// A binding is granted again.
    fn refresh(&self, shard: &mut Shard, around: &Surroundings<'_>, slot: Slot, grant: &Grant<'_>) -> Option<Event> {
        let binding = &mut shard.slots.entry_mut(slot)?.binding;
        let mut kind = if binding.is_live(around.now) { EventKind::Refreshed } else { EventKind::Registered };
        let mut words = shard::Words::Kept;
        if binding.words.contact() != grant.contact.text || binding.words.call_id() != self.asked.call_id {
            words = shard::Words::Changed;
            if binding.words.contact() != grant.contact.text && kind == EventKind::Refreshed {
                kind = EventKind::Changed;
            }
            binding.words = Words::new(&self.asked.aor, grant.contact.text, self.asked.call_id)?;
        }
        if binding.flow != *self.flow {
            let same_place = NamedFlow { connection: self.flow.connection, ..binding.flow.clone() } == *self.flow;
            if !same_place && kind == EventKind::Refreshed {
                kind = EventKind::Changed;
            }
            binding.flow = self.flow.clone();
        }
        binding.registrar = Some(grant.registrar);
        binding.claims_path = self.asked.claims_path;
        binding.granted(around.now, grant.seconds, grant.status);
        let event = binding.event(around.now, kind);
        shard.settle(around, slot, words);
        Some(event)
    }

    /// A binding is granted for the first time. The address-of-record makes room for it.
    fn bind(&self, shard: &mut Shard, around: &Surroundings<'_>, grant: &Grant<'_>) -> Result<Events, Full> {
        let mut events = Events::new();
        if shard.of_aor(around.keys, self.trunk_id, &self.asked.aor).count() >= AOR_BINDINGS_MAX {
            let all = || shard.of_aor(around.keys, self.trunk_id, &self.asked.aor);
            let ended = all().filter(|(_, binding)| !binding.is_live(around.now)).last();
            let oldest = ended.or_else(|| all().min_by_key(|(_, binding)| binding.refreshed)).map(|(slot, _)| slot);
            events.extend(oldest.and_then(|slot| shard.remove(around, slot)));
        }
        let mut binding = self.new_binding(&grant.contact).ok_or(Full)?;
        binding.registrar = Some(grant.registrar);
        binding.granted(around.now, grant.seconds, grant.status);
        let event = binding.event(around.now, EventKind::Registered);
        shard.insert(around, binding).ok_or(Full)?;
        events.push(event);
        Ok(events)
    }

    fn fail(&self, shard: &mut Shard, around: &Surroundings<'_>, contact: &Contact<'_>, outcome: Outcome) -> Result<Option<Event>, Full> {
        let Some(slot) = self.binding_of(shard, around.keys, contact) else {
            // What fails must not push out what works.
            if shard.of_aor(around.keys, self.trunk_id, &self.asked.aor).count() >= AOR_BINDINGS_MAX {
                return Err(Full);
            }
            let mut binding = self.new_binding(contact).ok_or(Full)?;
            binding.failed(around.now, outcome);
            let event = binding.event(around.now, EventKind::Failed);
            return shard.insert(around, binding).map(|_| Some(event)).ok_or(Full);
        };
        let Some(entry) = shard.slots.entry_mut(slot) else { return Ok(None) };
        entry.binding.failed(around.now, outcome);
        let event = entry.binding.event(around.now, EventKind::Failed);
        shard.settle(around, slot, shard::Words::Kept);
        Ok(Some(event))
    }

    /// A binding of which nothing has been granted yet.
    fn new_binding(&self, contact: &Contact<'_>) -> Option<Binding> {
        Some(Binding {
            words: Words::new(&self.asked.aor, contact.text, self.asked.call_id)?,
            trunk: Arc::clone(self.trunk),
            trunk_id: self.trunk_id,
            flow: self.flow.clone(),
            registrar: None,
            claims_path: self.asked.claims_path,
            state: BindingState::Registered,
            expires: UnixTime::ZERO,
            refreshed: UnixTime::ZERO,
            since: UnixTime::ZERO,
            refreshes: 0,
            usual: 0,
            outcome: Outcome::Status(0),
            outcome_at: UnixTime::ZERO,
            failures: 0,
        })
    }
}
