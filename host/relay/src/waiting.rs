//! Questions that are open: who waits for which cookie, and from which address the answer has to come.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

/// The open questions of one client.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<u64, Waiter>>);

#[derive(Debug)]
struct Waiter {
    asked: SocketAddr,
    answer: oneshot::Sender<Bytes>,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It was waited for.
    Taken,
    /// Nobody waits for it any more.
    Late,
    /// It is waited for from another address.
    Foreign,
}

/// A place among those who wait. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    number: u64,
    /// Where the answer comes.
    pub(crate) answer: oneshot::Receiver<Bytes>,
}

impl Waiting {
    /// A place for a question; none if as many as this are taken.
    pub(crate) fn place(&self, number: u64, asked: SocketAddr, most: usize) -> Option<Place<'_>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters();
        (waiters.len() < most).then_some(())?;
        waiters.insert(number, Waiter { asked, answer: sender });
        Some(Place { waiting: self, number, answer: receiver })
    }

    /// Hands an answer to who waits for it.
    pub(crate) fn deliver(&self, number: u64, source: SocketAddr, answer: impl FnOnce() -> Bytes) -> Delivered {
        let mut waiters = self.waiters();
        match waiters.get(&number) {
            None => return Delivered::Late,
            Some(waiter) if waiter.asked != source => return Delivered::Foreign,
            Some(_) => {}
        }
        let waiter = waiters.remove(&number);
        drop(waiters);
        // Who has stopped to wait in this moment does not miss it.
        waiter.map_or(Delivered::Late, |waiter| waiter.answer.send(answer()).map_or(Delivered::Late, |()| Delivered::Taken))
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<u64, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.waiters().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
    const OTHER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);

    #[test]
    fn an_answer_is_taken_once_and_from_who_was_asked() {
        let waiting = Waiting::default();
        let mut place = waiting.place(7, ASKED, 1).unwrap();
        assert_eq!(waiting.deliver(8, ASKED, Bytes::new), Delivered::Late);
        assert_eq!(waiting.deliver(7, OTHER, Bytes::new), Delivered::Foreign);
        assert_eq!(waiting.deliver(7, ASKED, || Bytes::from_static(b"x")), Delivered::Taken);
        assert_eq!(waiting.deliver(7, ASKED, Bytes::new), Delivered::Late);
        assert_eq!(place.answer.try_recv().unwrap(), "x");
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Waiting::default();
        let place = waiting.place(1, ASKED, 1);
        assert!(waiting.place(2, ASKED, 1).is_none());
        drop(place);
        assert!(waiting.place(2, ASKED, 1).is_some());
        assert_eq!(waiting.deliver(2, ASKED, Bytes::new), Delivered::Late);
    }
}
