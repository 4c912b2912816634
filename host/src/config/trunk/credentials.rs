//! What a provider's challenges are answered with. The secret itself stands in a file or in an environment variable, so that a
//! configuration can be shown to others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_auth::Account;
use jackfield_trunk::TrunkSettings;

use super::super::reader::Section;
use super::super::{Config, Problem, Severity};

/// `username`, `realm`, and where the password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `username`.
    pub username: String,
    /// `realm`: the one that may ask; none: any.
    pub realm: Option<String>,
    /// `password-file` or `password-env`.
    pub secret: Secret,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// Octets of a password file that are read.
const SECRET_MAX: usize = 4096;

pub(super) fn read(section: &Section<'_, '_>, base: &Path) -> Option<Credentials> {
    let (file, variable) = (section.item("password-file"), section.item("password-env"));
    let Some(username) = section.item("username") else {
        let idle = [file, variable, section.item("realm")];
        idle.iter().flatten().for_each(|item| item.error("there is no username; add username = \"...\""));
        return None;
    };
    let secret = match (file, variable) {
        (Some(_), Some(item)) => {
            item.error("there is a password-file already; keep one of them");
            return None;
        }
        (Some(file), None) => Secret::File(file.path(base)?),
        (None, Some(variable)) => Secret::Variable(variable.string()?.to_owned()),
        (None, None) => {
            section
                .missing("password-file", "is missing; add password-file = \"telekom.password\", or password-env = \"TELEKOM_PASSWORD\"");
            return None;
        }
    };
    let realm = section.item("realm").and_then(|item| item.string().map(str::to_owned));
    Some(Credentials { username: username.string()?.to_owned(), realm, secret })
}

impl Config {
    /// The trunks with their accounts, whose passwords are read now.
    ///
    /// # Errors
    /// Each password that cannot be had, at the key that names it.
    pub fn trunks_with_accounts(&self) -> Result<Vec<TrunkSettings>, Vec<Problem>> {
        let (mut trunks, mut problems) = (Vec::new(), Vec::new());
        for trunk in &self.trunks {
            let mut settings = trunk.settings.clone();
            if let Some(Credentials { username, realm, secret }) = &trunk.credentials {
                match secret.read() {
                    Ok(password) => {
                        let account = Account { username: username.clone(), password, realm: realm.clone() };
                        settings.account = Some(Arc::new(account));
                    }
                    Err(message) => problems.push(self.problem(Severity::Error, &trunk.key(secret.key()), message)),
                }
            }
            trunks.push(settings);
        }
        if problems.is_empty() { Ok(trunks) } else { Err(problems) }
    }
}

impl Secret {
    /// The key of the file that says where the keys of our tokens are.
    pub fn token_key(&self) -> &'static str {
        match self {
            Self::File(_) => "token-key-file",
            Self::Variable(_) => "token-key-env",
        }
    }

    pub(in crate::config) fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "password-file",
            Self::Variable(_) => "password-env",
        }
    }

    pub(in crate::config) fn read(&self) -> Result<String, String> {
        let password = match self {
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            Self::Variable(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?,
        };
        if password.is_empty() || password.len() > SECRET_MAX {
            return Err(format!("there is no password of 1 to {SECRET_MAX} octets in it"));
        }
        Ok(password)
    }
}
