//! The error of a hook, and how an author makes one.

use std::fmt;

/// What a hook, `new` or `validate` returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a hook gave no decision. The text goes to the operator's log; the call then takes the way of the plugin's `on-error`.
///
/// Every [`std::error::Error`] becomes one with `?`; [`Error::new`] and [`bail!`](crate::bail) make one from a text.
pub struct Error(String);

impl Error {
    /// An error that says `text`.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// The same error, with where it happened before it: `context: text`.
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self(format!("{context}: {}", self.0))
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Leaves the hook with an [`Error`] of that text (written as for [`format!`]).
#[macro_export]
macro_rules! bail {
    ($($text:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new(::core::format_args!($($text)+)))
    };
}
