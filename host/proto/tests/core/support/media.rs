//! Who is asked about media, and a relay that takes all of it.

use jackfield_proto::proxy::{BranchId, MediaAnswer, MediaNote, MediaQuestion, Output};

use super::bench::{Bench, State};

/// What was asked.
#[derive(Debug)]
pub(crate) struct MediaAsked {
    pub(crate) branch: BranchId,
    pub(crate) question: Box<MediaQuestion>,
}

pub(crate) type MediaAnswerer = Box<dyn FnMut(&MediaQuestion) -> Option<MediaAnswer>>;

impl MediaAsked {
    /// `INVITE`, `200`.
    pub(crate) fn about(&self) -> String {
        match &self.question.response {
            Some(response) => response.status().to_string(),
            None => self.question.request.method().to_string(),
        }
    }
}

pub(crate) fn note(number: u8) -> MediaNote {
    MediaNote::new(&[b'n', number]).unwrap()
}

/// The answer of a relay: a body says that it has been there.
pub(crate) fn relayed(note: MediaNote, question: &MediaQuestion) -> MediaAnswer {
    let body = question.response.as_ref().unwrap_or(&question.request).body();
    MediaAnswer::Relayed { note, body: (!body.is_empty()).then(|| [b"relayed ", body].concat().into()) }
}

impl Bench {
    /// What is said about media; none leaves the question open, for [`Bench::media_answered`].
    pub(crate) fn on_media(&mut self, answer: impl FnMut(&MediaQuestion) -> Option<MediaAnswer> + 'static) {
        self.answer_media = Box::new(answer);
    }

    /// All media is relayed: each INVITE outside of dialogs gets the next note.
    pub(crate) fn relay_media(&mut self) {
        let mut given = 0;
        self.on_media(move |question| {
            let note = question.note.unwrap_or_else(|| {
                given += 1;
                note(given)
            });
            Some(relayed(note, question))
        });
    }

    pub(super) fn asked_about_media(&mut self, asked: MediaAsked, more: &mut Vec<Output<State>>) {
        if let Some(answer) = (self.answer_media)(&asked.question) {
            self.core.media_answered(self.now, asked.branch, asked.question.response.clone(), answer, more);
        }
        self.media.push(asked);
    }

    /// Answers the question of this number.
    pub(crate) fn media_answered(&mut self, number: usize, answer: MediaAnswer) {
        let asked = &self.media[number];
        let mut out = Vec::new();
        self.core.media_answered(self.now, asked.branch, asked.question.response.clone(), answer, &mut out);
        self.carry_out(out);
    }

    /// As a relay answers, with this note.
    pub(crate) fn relayed(&mut self, number: usize, note: MediaNote) {
        let answer = relayed(note, &self.media[number].question);
        self.media_answered(number, answer);
    }

    /// What was asked about since the beginning.
    pub(crate) fn asked_about(&self) -> Vec<String> {
        self.media.iter().map(|asked| asked.about()).collect()
    }

    /// The numbers of the notes that have been given back.
    pub(crate) fn given_back(&self) -> Vec<u8> {
        self.media_over.iter().map(|(note, _)| note.as_bytes()[1]).collect()
    }
}
