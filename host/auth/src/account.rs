//! Who we are at somebody else's.

use std::fmt;

/// A user name and its secret at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name of the credentials.
    pub username: String,
    /// The password. Never printed.
    pub password: String,
    /// The realm that may ask for it; none: any. A challenge for another realm is not answered.
    pub realm: Option<String>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("username", &self.username).field("realm", &self.realm).finish_non_exhaustive()
    }
}
