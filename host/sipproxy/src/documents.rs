//! What all sources say at one moment.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use crate::document::{Document, Entry, Faults};

/// Where a document comes from. Where two of them name the same provider, the first of these wins: who writes a file on this machine
/// means this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file.
    File,
    /// Consul's key.
    Consul,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Consul => "Consul",
        })
    }
}

/// Why a source does not say anything new; what it said last stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such file, or no such key in Consul (or none that the token may read).
    Missing,
    /// The file is there and cannot be read.
    Unreadable(Arc<str>),
    /// What is there cannot be used.
    Refused(Arc<Faults>),
    /// Consul does not answer, or not with a document.
    Away {
        /// Why, as it was at the last try.
        why: Arc<str>,
        /// Since when.
        since: SystemTime,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::Unreadable(why) | Self::Away { why, .. } => f.write_str(why),
            Self::Refused(faults) => write!(f, "{faults}"),
        }
    }
}

/// What one source said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The last good document; none if there was none yet.
    pub document: Option<Arc<Document>>,
    /// What is wrong with the source now.
    pub trouble: Option<Trouble>,
    /// When the document was written to this machine's disk, if it was read from there and has not been confirmed by Consul since.
    pub from_disk: Option<SystemTime>,
}

/// What the sources said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The file; none if none is configured.
    pub file: Option<Said>,
    /// Consul; none if none is configured.
    pub consul: Option<Said>,
}

impl Documents {
    /// All entries, those of the file first. A provider that both name is there twice.
    pub fn entries(&self) -> impl Iterator<Item = (Origin, &Entry)> {
        let file = entries(&self.file).iter().map(|entry| (Origin::File, entry));
        file.chain(entries(&self.consul).iter().map(|entry| (Origin::Consul, entry)))
    }

    /// What is wrong with the sources now.
    pub fn troubles(&self) -> impl Iterator<Item = (Origin, &Trouble)> {
        let sources = [(Origin::File, &self.file), (Origin::Consul, &self.consul)];
        sources.into_iter().filter_map(|(origin, said)| Some((origin, said.as_ref()?.trouble.as_ref()?)))
    }

    fn of(&mut self, origin: Origin) -> &mut Said {
        match origin {
            Origin::File => self.file.get_or_insert_default(),
            Origin::Consul => self.consul.get_or_insert_default(),
        }
    }
}

fn entries(said: &Option<Said>) -> &[Entry] {
    said.as_ref().and_then(|said| said.document.as_ref()).map_or(&[], |document| &document.entries)
}

/// Where one source writes what it has to say.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    board: Arc<watch::Sender<Documents>>,
    origin: Origin,
}

impl Voice {
    pub(crate) fn new(board: Arc<watch::Sender<Documents>>, origin: Origin) -> Self {
        board.send_modify(|documents| _ = documents.of(origin));
        Self { board, origin }
    }

    /// A good document; one that says what was said before wakes nobody up, unless something was wrong.
    pub(crate) fn say(&self, document: Document, from_disk: Option<SystemTime>) {
        self.change(|said| {
            if said.document.as_deref() != Some(&document) {
                said.document = Some(Arc::new(document));
            }
            said.from_disk = from_disk;
            said.trouble = None;
        });
    }

    /// Nothing is wrong any more, and nothing is new.
    pub(crate) fn confirm(&self) {
        self.change(|said| (said.trouble, said.from_disk) = (None, None));
    }

    pub(crate) fn complain(&self, trouble: Trouble) {
        self.change(|said| said.trouble = Some(trouble));
    }

    /// How many providers the document in force names; none if there is no document.
    pub(crate) fn providers(&self) -> Option<usize> {
        let said = self.said();
        said.document.map(|document| document.entries.len())
    }

    pub(crate) fn said(&self) -> Said {
        self.board.borrow().clone().of(self.origin).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        self.board.send_if_modified(|documents| {
            let said = documents.of(self.origin);
            let before = said.clone();
            change(said);
            *said != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<Said> {
        Some(Said { document: Some(Arc::new(Document::parse(text.as_bytes()).unwrap())), ..Said::default() })
    }

    #[test]
    fn entries_of_the_file_come_first() {
        let documents = Documents {
            file: said(r#"{"b.de":{"proxy":"file"}}"#),
            consul: said(r#"{"a.de":{"proxy":"consul"},"b.de":{"proxy":"consul"}}"#),
        };
        let found: Vec<_> = documents.entries().map(|(origin, entry)| (origin, &*entry.provider)).collect();
        assert_eq!(found, [(Origin::File, "b.de"), (Origin::Consul, "a.de"), (Origin::Consul, "b.de")]);
        assert_eq!(Documents::default().entries().count(), 0);
    }

    #[test]
    fn nobody_is_woken_up_by_what_is_known() {
        let (board, mut watched) = watch::channel(Documents::default());
        let voice = Voice::new(Arc::new(board), Origin::File);
        let parse = |text: &str| Document::parse(text.as_bytes()).unwrap();
        voice.say(parse(r#"{"a.de":{"proxy":"p"}}"#), None);
        assert!(watched.has_changed().unwrap());
        let first = watched.borrow_and_update().file.clone().unwrap().document.unwrap();
        voice.say(parse(r#" {"a.de":{"proxy":"p"} }"#), None);
        voice.confirm();
        assert!(!watched.has_changed().unwrap());
        voice.complain(Trouble::Missing);
        assert!(watched.has_changed().unwrap());
        let after = watched.borrow_and_update().file.clone().unwrap();
        assert!(Arc::ptr_eq(&first, after.document.as_ref().unwrap()), "the document stays");
        assert_eq!(after.trouble, Some(Trouble::Missing));
        assert_eq!(voice.providers(), Some(1));
    }
}
