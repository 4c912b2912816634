//! Answers that may have to wait for a plugin that waits.

use std::fmt;
use std::pin::Pin;

/// An answer that is still to come. Whoever asked polls it on a worker: plugins that do not wait run there when it is their turn again.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What somebody says who may have to wait for it.
pub enum Said<T> {
    /// At once.
    Now(T),
    /// When a plugin has heard what it waits for.
    Later(Later<T>),
}

impl<T> Said<T> {
    /// Waits if there is something to wait for.
    pub async fn settled(self) -> T {
        match self {
            Self::Now(told) => told,
            Self::Later(later) => later.await,
        }
    }

    /// The same in other words.
    pub fn map<U>(self, words: impl FnOnce(T) -> U + Send + 'static) -> Said<U>
    where
        T: 'static,
    {
        match self {
            Self::Now(told) => Said::Now(words(told)),
            Self::Later(later) => Said::Later(Box::pin(async move { words(later.await) })),
        }
    }

    /// What has been said at once.
    ///
    /// # Errors
    /// What is still to come.
    pub fn at_once(self) -> Result<T, Later<T>> {
        match self {
            Self::Now(told) => Ok(told),
            Self::Later(later) => Err(later),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Said<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(told) => f.debug_tuple("Now").field(told).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
