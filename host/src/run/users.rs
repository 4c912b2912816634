//! Users of `[auth.NAME]`: read at the start, and again when their file changes or SIGHUP comes. A file that cannot be used changes
//! nothing but the log.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use super::file_watch::{FileWatch, Files, Groups};
use crate::config::{Auth, Config, LoadError, UserLists};
use crate::engine::Authentication;

/// The thread that keeps users up to date. It ends when this is gone.
pub(super) struct UserWatch(FileWatch<Auth>);

impl Files for Auth {
    fn paths(&self) -> Vec<PathBuf> {
        self.files()
    }
}

impl UserWatch {
    /// Watches the files of a configuration whose users are in use.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(config: &Config, authentication: Arc<Authentication>) -> Result<Self> {
        FileWatch::start("users", files(config), move |name, auth| renew(&authentication, name, auth)).map(Self)
    }

    /// SIGHUP: reads everything again.
    pub(super) fn reload(&self, config: &Config) {
        self.0.read(files(config));
    }
}

/// The users of all tables.
///
/// # Errors
/// One of the lists cannot be used.
pub(super) fn load(config: &Config) -> Result<UserLists, LoadError> {
    let lists = config.user_lists().map_err(|problems| LoadError::Invalid { file: config.path.clone(), problems })?;
    config.user_doubts(&lists).iter().for_each(|doubt| tracing::warn!("{}", doubt.display(&config.path)));
    Ok(lists)
}

fn files(config: &Config) -> Groups<Auth> {
    config.auth.iter().filter(|auth| !auth.files().is_empty()).map(|auth| (auth.name.clone(), auth.clone())).collect()
}

/// Takes up a file as it is now, or says why not.
fn renew(authentication: &Authentication, name: &str, auth: &Auth) {
    match auth.read_users() {
        Ok(users) => {
            auth.doubts(&users).iter().for_each(|doubt| tracing::warn!(auth = name, "{doubt}"));
            tracing::info!(auth = name, users = users.len(), "users have been read again");
            authentication.replace_users(name, users);
        }
        Err(error) => tracing::error!(auth = name, "the users stay as they were: {error}"),
    }
}
