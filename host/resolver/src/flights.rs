//! Questions under way: one for all who want to know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::record::{Failure, Question};

/// Ends with the question.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// When it was asked.
    pub(crate) asked: Instant,
    end: watch::Receiver<()>,
}

/// Questions under way.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Question, Arrival>>);

/// A question that somebody wants to know about.
pub(crate) enum Boarding {
    /// It is under way already.
    Joined(Arrival),
    /// It is for the caller to ask; whoever waits is told when the [`Flight`] is dropped.
    First(Arrival, Flight),
}

/// A question that is being asked.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    question: Question,
    _waiting: watch::Sender<()>,
}

impl Flight {
    pub(crate) fn question(&self) -> &Question {
        &self.question
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.question);
    }
}

impl Flights {
    /// Joins those who want to know, or becomes the first; not if there are too many questions.
    pub(crate) fn board(self: &Arc<Self>, question: &Question, limit: usize) -> Result<Boarding, Failure> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = under_way.get(question) {
            return Ok(Boarding::Joined(arrival.clone()));
        }
        if under_way.len() >= limit {
            return Err(Failure::Busy);
        }
        let (waiting, end) = watch::channel(());
        let arrival = Arrival { asked: Instant::now(), end };
        under_way.insert(question.clone(), arrival.clone());
        Ok(Boarding::First(arrival, Flight { flights: Arc::clone(self), question: question.clone(), _waiting: waiting }))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Waits until a question has been answered, or given up.
pub(crate) async fn landed(mut arrival: Arrival) {
    // Nothing is ever sent: it ends when the sender does.
    while arrival.end.changed().await.is_ok() {}
}
