//! The users of an `[auth.NAME]` table: those in the table and those in its file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use jackfield_auth::{Fault, Users};

use super::Auth;
use crate::config::{Config, Problem, Secret, Severity};

/// Users by the NAME of their table.
pub type UserLists = BTreeMap<String, Users>;

/// Octets of a file of users that are read.
const FILE_MAX: u64 = 128 << 20;

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any list of users.
    #[error("{} is larger than {FILE_MAX} octets", file.display())]
    TooLarge {
        /// Which.
        file: PathBuf,
    },
    /// A line is wrong.
    #[error("{}:{}: {}", file.display(), fault.line, fault.kind)]
    Line {
        /// Of which file.
        file: PathBuf,
        /// What.
        fault: Fault,
    },
    /// The password for all cannot be had.
    #[error("{0}")]
    Common(String),
    /// Nobody could log in.
    #[error("there is no user of the realm {realm:?}")]
    Nobody {
        /// Which.
        realm: String,
    },
    /// There is nothing to offer.
    #[error("no hash function is common to all users; give each a hash of the same one, or say which to offer by algorithms = [...]")]
    NothingInCommon,
}

impl Auth {
    /// The users, with those that the file has now.
    ///
    /// # Errors
    /// The file cannot be used, or there is nobody.
    pub fn read_users(&self) -> Result<Users, UsersError> {
        let mut users = self.users.clone();
        if let Some(file) = &self.users_file {
            let unreadable = |source| UsersError::Unreadable { file: file.clone(), source };
            if fs::metadata(file).map_err(unreadable)?.len() > FILE_MAX {
                return Err(UsersError::TooLarge { file: file.clone() });
            }
            let text = fs::read_to_string(file).map_err(unreadable)?;
            let parsed = Users::parse(&text, &self.settings.realm);
            users.merge(parsed.map_err(|fault| UsersError::Line { file: file.clone(), fault })?);
        }
        if let Some(common) = &self.common {
            users.admit_all(&self.settings.realm, &common.read().map_err(UsersError::Common)?);
        }
        if users.is_empty() {
            return Err(UsersError::Nobody { realm: self.settings.realm.clone() });
        }
        if self.settings.algorithms.is_empty() && users.common_hashes().is_empty() {
            return Err(UsersError::NothingInCommon);
        }
        Ok(users)
    }

    /// What of these users is probably not meant: a phone takes the first algorithm that it can (RFC 8760 2.4), and who has no hash for
    /// that cannot log in with it.
    pub fn doubts(&self, users: &Users) -> Vec<String> {
        let doubt = |algorithm: &jackfield_auth::Algorithm| {
            let name = users.first_without(algorithm.hash)?;
            Some(format!("{algorithm} is offered, but `{name}` has no hash of {}, and may be refused", algorithm.hash.name()))
        };
        self.settings.algorithms.iter().filter_map(doubt).collect()
    }

    /// The files that users come from.
    pub fn files(&self) -> Vec<PathBuf> {
        let common = match &self.common {
            Some(Secret::File(file)) => Some(file),
            Some(Secret::Variable(_)) | None => None,
        };
        self.users_file.iter().chain(common).cloned().collect()
    }

    /// The key that names what an error is about.
    fn key_of(&self, error: &UsersError) -> String {
        self.key(match (error, &self.common, &self.users_file) {
            (UsersError::Common(_), Some(Secret::Variable(_)), _) => "common-password-env",
            (UsersError::Common(_), _, _) => "common-password-file",
            (_, _, Some(_)) => "users-file",
            (_, _, None) => "users",
        })
    }
}

impl Config {
    /// The users of all tables, whose files are read now.
    ///
    /// # Errors
    /// Each list that cannot be used, at the key that names it.
    pub fn user_lists(&self) -> Result<UserLists, Vec<Problem>> {
        let (mut lists, mut problems) = (UserLists::new(), Vec::new());
        for auth in &self.auth {
            match auth.read_users() {
                Ok(users) => drop(lists.insert(auth.name.clone(), users)),
                Err(error) => problems.push(self.problem(Severity::Error, &auth.key_of(&error), error.to_string())),
            }
        }
        if problems.is_empty() { Ok(lists) } else { Err(problems) }
    }

    /// What of these lists is wrong or probably not meant.
    pub fn check_users(&self) -> Vec<Problem> {
        match self.user_lists() {
            Err(problems) => problems,
            Ok(lists) => self.user_doubts(&lists),
        }
    }

    /// What of these lists is probably not meant.
    pub fn user_doubts(&self, lists: &UserLists) -> Vec<Problem> {
        let with_users = self.auth.iter().filter_map(|auth| Some((auth, lists.get(&auth.name)?)));
        let doubts = with_users.flat_map(|(auth, users)| auth.doubts(users).into_iter().map(|doubt| (auth.key("algorithms"), doubt)));
        doubts.map(|(key, doubt)| self.problem(Severity::Warning, &key, doubt)).collect()
    }
}
