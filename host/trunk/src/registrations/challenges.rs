//! Which REGISTERs have been challenged, to tell a challenge that is to be answered from credentials that were refused.
//!
//! A user agent that refreshes with credentials for an old nonce is challenged anew, and nothing is wrong; one that is challenged again
//! although it has just answered has the wrong password. So one number for each Call-ID is enough to remember, in a table of fixed size: where
//! two share a place, the failure of one of them is noticed at its next try.

/// Places for each shard.
const PLACES: usize = 1024;

/// The Call-IDs whose last final response was a challenge.
pub(super) struct Challenges(Box<[u64]>);

impl Default for Challenges {
    fn default() -> Self {
        Self(vec![0; PLACES].into_boxed_slice())
    }
}

impl Challenges {
    /// Notes a challenge of the request that has this number, and says whether it is a further one.
    pub(super) fn note(&mut self, number: u64) -> Repeated {
        let before = self.place(number).map(|place| std::mem::replace(place, number));
        if before == Some(number) { Repeated::Again } else { Repeated::First }
    }

    /// It has succeeded.
    pub(super) fn forget(&mut self, number: u64) {
        if let Some(place) = self.place(number).filter(|place| **place == number) {
            *place = 0;
        }
    }

    fn place(&mut self, number: u64) -> Option<&mut u64> {
        let at = usize::try_from(number % PLACES as u64).ok()?;
        self.0.get_mut(at)
    }
}

/// Whether a challenge is the first since the last success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    First,
    Again,
}
