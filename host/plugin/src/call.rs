//! One transaction as plugins see it: the request in hand while a hook runs, and what is kept of it until the last one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_proto::message::Message;
use jackfield_proto::net::{Flow, Listener};
use jackfield_proto::proxy::Edit;

use super::bindings::types;
use super::chain::Chain;
use super::view::{Edits, View};

/// Notes that one plugin may keep for one transaction.
pub(super) const NOTES_MAX: usize = 32;
/// Octets of their keys and values together.
pub(super) const NOTE_OCTETS_MAX: usize = 4096;

/// Names a transaction in hooks and in log lines. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId(pub(super) u64);

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What stays the same in all hooks of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) flow: Flow,
    /// For what a decision may name, and for `arrived-on`.
    pub(super) listeners: Arc<[Listener]>,
    /// For what a decision may name.
    pub(super) trunks: Arc<[Arc<str>]>,
    /// For what a decision may name.
    pub(super) profiles: Arc<[Arc<str>]>,
    /// The trunk that the request has come from.
    pub(super) from_trunk: Option<Arc<str>>,
    /// Whose credentials have been verified.
    pub(super) user: Option<Arc<str>>,
    pub(super) initial: bool,
}

/// What is kept with a response context for later hooks: the generation of the chain that the transaction began with, and the notes.
#[derive(Debug)]
pub struct CallState {
    pub(super) chain: Arc<Chain>,
    pub(super) origin: Origin,
    notes: Mutex<Notes>,
    /// The request, until plugins have been told of its end; none if none of them wants to be.
    pub(super) ending: Mutex<Option<Arc<Message>>>,
}

impl CallState {
    pub(super) fn new(chain: Arc<Chain>, origin: Origin, notes: Notes, ending: Option<Arc<Message>>) -> Self {
        Self { chain, origin, notes: Mutex::new(notes), ending: Mutex::new(ending) }
    }

    /// The transaction's name in the log lines of plugins.
    pub fn transaction(&self) -> TransactionId {
        TransactionId(self.origin.id)
    }

    /// The generation of the chain that the transaction began with: its later hooks are to be called on this one.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes of all plugins about one transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Vec<Note>);

#[derive(Clone, Debug)]
struct Note {
    /// The plugin's place in the chain.
    plugin: usize,
    key: String,
    value: String,
}

impl Notes {
    pub(super) fn find(&self, plugin: usize, key: &str) -> Option<&str> {
        self.0.iter().find(|note| note.plugin == plugin && note.key == key).map(|note| note.value.as_str())
    }

    /// Sets a note; false if that would be more than a plugin may keep.
    pub(super) fn set(&mut self, plugin: usize, key: String, value: String) -> bool {
        let others = || self.0.iter().filter(|note| note.plugin == plugin && note.key != key);
        let octets: usize = others().map(|note| note.key.len() + note.value.len()).sum();
        if others().count() >= NOTES_MAX || octets + key.len() + value.len() > NOTE_OCTETS_MAX {
            return false;
        }
        match self.0.iter_mut().find(|note| note.plugin == plugin && note.key == key) {
            Some(note) => note.value = value,
            None => self.0.push(Note { plugin, key, value }),
        }
        true
    }

    /// Takes over what a hook has changed; other notes may have changed meanwhile, by hooks about other branches too, and stay. What would
    /// be more than a plugin may keep, together with what those have added, is left out.
    pub(super) fn adopt(&mut self, changed: Notes) {
        for Note { plugin, key, value } in changed.0 {
            let _ = self.set(plugin, key, value);
        }
    }

    /// What is new or different here.
    fn since(&self, before: &Notes) -> Notes {
        let is_new = |note: &&Note| before.find(note.plugin, &note.key) != Some(&note.value);
        Notes(self.0.iter().filter(is_new).cloned().collect())
    }
}

/// A response in hand.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) message: Arc<Message>,
    /// Where it came from; none where the proxy made it.
    pub(super) source: Option<SocketAddr>,
    /// Edits of earlier plugins.
    pub(super) edits: Vec<Edit>,
}

/// The message in hand, handed from plugin to plugin along the chain.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) origin: Origin,
    pub(super) request: Arc<Message>,
    pub(super) answer: Option<Answer>,
    /// The place in the chain of the plugin that is running.
    pub(super) plugin: usize,
    /// What earlier plugins have routed, as the last of them said it.
    pub(super) plan: Option<types::Plan>,
    /// Edits of earlier plugins, in order: those before the plan, the plan's own, those after it.
    pub(super) edits: [Vec<Edit>; 3],
    /// The Request-URI with the edits, where these touch it.
    edited_uri: Option<Bytes>,
    /// Notes as they were before the running hook.
    pub(super) notes: Notes,
    /// Notes as the running hook has left them so far: it counts only if the hook succeeds.
    draft: Option<Notes>,
}

impl Call {
    pub(super) fn new(origin: Origin, request: Arc<Message>, notes: Notes) -> Self {
        let edits = [Vec::new(), Vec::new(), Vec::new()];
        Self { origin, request, answer: None, plugin: 0, plan: None, edits, edited_uri: None, notes, draft: None }
    }

    /// The notes of the plugin in hand.
    pub(super) fn own_notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let notes = self.draft.as_ref().unwrap_or(&self.notes);
        notes.0.iter().filter(|note| note.plugin == self.plugin).map(|note| (note.key.as_str(), note.value.as_str()))
    }

    /// The same as it was before the running hook.
    pub(super) fn before_hook(&self) -> Self {
        Self {
            origin: self.origin.clone(),
            request: Arc::clone(&self.request),
            answer: self.answer.clone(),
            plugin: self.plugin,
            plan: self.plan.clone(),
            edits: self.edits.clone(),
            edited_uri: self.edited_uri.clone(),
            notes: self.notes.clone(),
            draft: None,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.origin.id
    }

    /// The request with the edits of earlier plugins.
    pub(super) fn view(&self) -> View<'_> {
        View::new(&self.request, Edits::Three(&self.edits))
    }

    /// The response with the edits of earlier plugins.
    pub(super) fn answer_view(&self) -> Option<View<'_>> {
        self.answer.as_ref().map(|answer| View::new(&answer.message, Edits::One(&answer.edits)))
    }

    /// The Request-URI with the edits of earlier plugins.
    pub(super) fn uri(&self) -> &[u8] {
        self.edited_uri.as_deref().unwrap_or_else(|| self.request.request_uri())
    }

    /// To be called when `edits` have changed.
    pub(super) fn refresh_uri(&mut self) {
        self.edited_uri = super::view::edited_uri(self.request.request_uri(), self.edits.iter().flatten());
    }

    pub(super) fn note(&self, key: &str) -> Option<&str> {
        self.draft.as_ref().unwrap_or(&self.notes).find(self.plugin, key)
    }

    /// Sets a note of the running plugin; false if it has too many.
    pub(super) fn set_note(&mut self, key: String, value: String) -> bool {
        let plugin = self.plugin;
        self.draft.get_or_insert_with(|| self.notes.clone()).set(plugin, key, value)
    }

    /// The running hook has succeeded: its notes count. What it has changed, if it has set any.
    pub(super) fn keep_notes(&mut self) -> Option<Notes> {
        let draft = self.draft.take()?;
        let changed = draft.since(&self.notes);
        self.notes = draft;
        Some(changed)
    }

    /// The running hook has failed: nothing of its work counts.
    pub(super) fn forget_notes(&mut self) {
        self.draft = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_belong_to_one_plugin_and_are_bounded() {
        let mut notes = Notes::default();
        assert!(notes.set(0, "k".into(), "zero".into()));
        assert!(notes.set(1, "k".into(), "one".into()));
        assert!(notes.set(0, "k".into(), "changed".into()));
        assert_eq!((notes.find(0, "k"), notes.find(1, "k"), notes.find(2, "k")), (Some("changed"), Some("one"), None));
        assert!(!notes.set(0, "long".into(), "x".repeat(NOTE_OCTETS_MAX)));
        assert!((1..NOTES_MAX).all(|n| notes.set(0, n.to_string(), String::new())));
        assert!(!notes.set(0, "one too many".into(), String::new()));
        assert!(notes.set(0, "k".into(), "still".into()), "a note that is there can be changed");
        assert!(notes.set(1, "other".into(), String::new()), "the bound is each plugin's own");
    }

    #[test]
    fn adopted_notes_are_those_that_a_hook_has_changed() {
        let mut kept = Notes::default();
        assert!(kept.set(0, "a".into(), "0".into()) && kept.set(1, "a".into(), "0".into()));
        // Two hooks begin with the same notes; the other one ends first.
        let (mut first, mut second) = (kept.clone(), kept.clone());
        assert!(second.set(1, "a".into(), "by the second".into()) && second.set(1, "b".into(), "2".into()));
        assert!(first.set(1, "c".into(), "1".into()));
        let before = kept.clone();
        kept.adopt(second.since(&before));
        kept.adopt(first.since(&before));
        assert_eq!(["a", "b", "c"].map(|key| kept.find(1, key)), [Some("by the second"), Some("2"), Some("1")]);
        assert_eq!(kept.find(0, "a"), Some("0"));
    }
}
