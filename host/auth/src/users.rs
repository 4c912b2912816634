//! Users and what stands for their passwords: `H(name:realm:password)`, which is good for one realm only.
//!
//! A file of users has one line for each user and hash function: `name:realm:SHA-256:hexadecimal`, and for MD5 also the form that
//! `htdigest` writes, `name:realm:hexadecimal`. Lines that are empty or begin with `#` say nothing; lines for other realms are passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::algorithm::Hash;
use crate::digest;

/// Users of one realm.
pub const MAX_USERS: usize = 1_000_000;

/// The users of a realm.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users {
    users: BTreeMap<Box<str>, Secrets>,
    common: Option<Common>,
}

/// A password that holds for every name without a hash.
#[derive(Clone, PartialEq, Eq)]
struct Common {
    realm: Box<str>,
    password: Box<str>,
}

/// What a user has: a hash of each function, hexadecimal.
type Secrets = SmallVec<[(Hash, Box<str>); 1]>;

/// What is wrong with a file of users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct Fault {
    /// Where, counted from 1.
    pub line: usize,
    /// What.
    pub kind: FaultKind,
}

/// What is wrong with a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// Too few colons.
    #[error("is not `name:realm:ALGORITHM:hash`; `jackfield hash-password` writes such lines")]
    Form,
    /// No name.
    #[error("the user name is empty")]
    NoName,
    /// A hash that is of no algorithm.
    #[error("the hash of `{name}` is not {digits} hexadecimal digits, as {hash} has them", hash = hash.name())]
    Hash {
        /// Whose.
        name: String,
        /// Of which function it should be.
        hash: Hash,
        /// How long it should be.
        digits: usize,
    },
    /// An algorithm that we do not have.
    #[error("`{0}` is no hash function; it is one of MD5, SHA-256, SHA-512-256")]
    UnknownHash(String),
    /// Two of the same function.
    #[error("`{name}` has a hash of {hash} already", hash = hash.name())]
    Twice {
        /// Whose.
        name: String,
        /// Of which function.
        hash: Hash,
    },
    /// Too many users.
    #[error("more than {MAX_USERS} users")]
    TooMany,
}

impl Users {
    /// The users of one realm in a file.
    pub fn parse(text: &str, realm: &str) -> Result<Self, Fault> {
        let mut users = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                users.take(line, realm).map_err(|kind| Fault { line: index + 1, kind })?;
            }
        }
        Ok(users)
    }

    fn take(&mut self, line: &str, realm: &str) -> Result<(), FaultKind> {
        let (name, rest) = line.split_once(':').ok_or(FaultKind::Form)?;
        let (place, hash) = rest.rsplit_once(':').ok_or(FaultKind::Form)?;
        // A realm may hold colons. One that ends like an algorithm's name cannot be told from one with that algorithm.
        let known = place.rsplit_once(':').and_then(|(realm, algorithm)| Some((realm, function(algorithm)?)));
        match (known, place.rsplit_once(':')) {
            (Some((of, function)), _) if of == realm => self.add(name, function, hash),
            (None, _) if place == realm => self.add(name, Hash::Md5, hash),
            (None, Some((of, algorithm))) if of == realm => Err(FaultKind::UnknownHash(algorithm.to_owned())),
            _ => Ok(()),
        }
    }

    /// Adds a user as a configuration has it: `ALGORITHM:hexadecimal`, without an algorithm MD5.
    pub fn add_entry(&mut self, name: &str, entry: &str) -> Result<(), FaultKind> {
        match entry.split_once(':') {
            None => self.add(name, Hash::Md5, entry),
            Some((algorithm, hash)) => {
                self.add(name, function(algorithm).ok_or_else(|| FaultKind::UnknownHash(algorithm.to_owned()))?, hash)
            }
        }
    }

    fn add(&mut self, name: &str, hash: Hash, secret: &str) -> Result<(), FaultKind> {
        let digits = 2 * hash.octets();
        if name.is_empty() {
            return Err(FaultKind::NoName);
        }
        if secret.len() != digits || !secret.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(FaultKind::Hash { name: name.to_owned(), hash, digits });
        }
        if self.users.len() >= MAX_USERS && !self.users.contains_key(name) {
            return Err(FaultKind::TooMany);
        }
        let secrets = self.users.entry(name.into()).or_default();
        if secrets.iter().any(|(known, _)| *known == hash) {
            return Err(FaultKind::Twice { name: name.to_owned(), hash });
        }
        secrets.push((hash, secret.to_ascii_lowercase().into()));
        Ok(())
    }

    /// Adds those of another list. A hash that is in both counts as it is here.
    pub fn merge(&mut self, other: Self) {
        for (name, secrets) in other.users {
            let known = self.users.entry(name).or_default();
            for secret in secrets {
                if !known.iter().any(|(hash, _)| *hash == secret.0) {
                    known.push(secret);
                }
            }
        }
    }

    /// Lets everybody else of this realm in by one password, under whatever name.
    pub fn admit_all(&mut self, realm: &str, password: &str) {
        self.common = Some(Common { realm: realm.into(), password: password.into() });
    }

    /// How many there are, beside those of [`Self::admit_all`].
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.common.is_none()
    }

    /// The hash functions that every user has a hash of, the strongest first: those that can be offered to whoever comes.
    pub fn common_hashes(&self) -> Vec<Hash> {
        Hash::ALL.into_iter().filter(|hash| !self.is_empty() && self.first_without(*hash).is_none()).collect()
    }

    /// A user without a hash of this function, if there is one.
    pub fn first_without(&self, hash: Hash) -> Option<&str> {
        self.users.iter().find(|(_, secrets)| !secrets.iter().any(|(known, _)| *known == hash)).map(|(name, _)| &**name)
    }

    /// The secret of who has this name.
    pub(crate) fn find(&self, name: &[u8], hash: Hash) -> Option<Cow<'_, str>> {
        let name = str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        match (self.users.get(name), &self.common) {
            (Some(secrets), _) => secrets.iter().find(|(known, _)| *known == hash).map(|(_, secret)| Cow::Borrowed(&**secret)),
            (None, Some(Common { realm, password })) => {
                Some(digest::secret(hash, name.as_bytes(), realm.as_bytes(), password.as_bytes()).into())
            }
            (None, None) => None,
        }
    }
}

/// Secrets are shown to nobody: with them one can log in.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.len())
    }
}

fn function(name: &str) -> Option<Hash> {
    Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))
}

/// The line of a user; none where the name or the realm cannot stand in one: a name with a colon or a hash sign at its beginning, either
/// with a line end or blanks around it, or empty.
pub fn line(name: &str, realm: &str, hash: Hash, password: &str) -> Option<String> {
    let stands = |text: &str| !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
    let stand = stands(name) && stands(realm) && !name.contains(':') && !name.starts_with('#');
    let secret = || digest::secret(hash, name.as_bytes(), realm.as_bytes(), password.as_bytes());
    stand.then(|| format!("{name}:{realm}:{}:{}", hash.name(), secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn lines_of_both_forms_are_read_and_those_of_other_realms_passed_over() {
        let sha = line("alice", "a:b", Hash::Sha256, "secret").unwrap();
        let text = format!("# who may\n\n  alice:a:b:{MD5}\r\n{sha}\nbob:a:b:md5:{MD5}\ncarol:c:{MD5}\ncarol:x:SHA-1:00\n");
        let users = Users::parse(&text, "a:b").unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users.find(b"alice", Hash::Md5).unwrap(), MD5.to_ascii_lowercase());
        assert_eq!(users.find(b"alice", Hash::Sha256).unwrap(), sha.rsplit_once(':').unwrap().1);
        assert_eq!((users.find(b"carol", Hash::Md5), users.find(b"Alice", Hash::Md5), users.find(b"\xff", Hash::Md5)), (None, None, None));
        assert_eq!((users.common_hashes(), users.first_without(Hash::Sha256)), (vec![Hash::Md5], Some("bob")));
        assert_eq!(Users::parse(&text, "c").unwrap().len(), 1);
        assert!(Users::parse(&text, "y").unwrap().is_empty());
    }

    #[test]
    fn one_password_holds_for_every_name_that_has_none_of_its_own() {
        let mut users = Users::default();
        users.add_entry("alice", MD5).unwrap();
        users.admit_all("r", "secret");
        assert_eq!(users.find(b"bob", Hash::Sha256).unwrap(), digest::secret(Hash::Sha256, b"bob", b"r", b"secret"));
        assert_eq!(users.find(b"alice", Hash::Md5).unwrap(), MD5.to_ascii_lowercase());
        assert_eq!((users.find(b"alice", Hash::Sha256), users.find(b"", Hash::Md5), users.find(b"\xff", Hash::Md5)), (None, None, None));
        assert_eq!((users.is_empty(), users.common_hashes()), (false, vec![Hash::Md5]));
    }

    #[test]
    fn faults_name_their_line() {
        for (text, fault) in [
            ("alice", "line 1: is not `name:realm:ALGORITHM:hash`; `jackfield hash-password` writes such lines"),
            ("#\nalice:r", "line 2: is not `name:realm:ALGORITHM:hash`; `jackfield hash-password` writes such lines"),
            (":r:00", "line 1: the user name is empty"),
            ("alice:r:00", "line 1: the hash of `alice` is not 32 hexadecimal digits, as MD5 has them"),
            ("alice:r:SHA-256:00", "line 1: the hash of `alice` is not 64 hexadecimal digits, as SHA-256 has them"),
            ("alice:r:SHA-1:00", "line 1: `SHA-1` is no hash function; it is one of MD5, SHA-256, SHA-512-256"),
        ] {
            assert_eq!(Users::parse(text, "r").unwrap_err().to_string(), fault, "{text}");
        }
        let twice = format!("alice:r:{MD5}\nalice:r:MD5:{MD5}");
        assert_eq!(Users::parse(&twice, "r").unwrap_err().to_string(), "line 2: `alice` has a hash of MD5 already");
    }

    #[test]
    fn entries_of_a_configuration_are_joined_with_a_file() {
        let mut users = Users::default();
        users.add_entry("alice", MD5).unwrap();
        users.add_entry("bob", &format!("md5:{MD5}")).unwrap();
        assert_eq!(users.add_entry("bob", "SHA-1:00"), Err(FaultKind::UnknownHash("SHA-1".into())));
        let file = format!("alice:r:{}\n{}\n", "f".repeat(32), line("alice", "r", Hash::Sha256, "p").unwrap());
        users.merge(Users::parse(&file, "r").unwrap());
        assert_eq!(users.find(b"alice", Hash::Md5).unwrap(), MD5.to_ascii_lowercase());
        assert!(users.find(b"alice", Hash::Sha256).is_some() && users.len() == 2);
    }

    #[test]
    fn a_line_is_written_only_where_it_is_read_again() {
        let written = line("J\u{e4}s\u{f8}n", "example.test", Hash::Sha512_256, "a:b").unwrap();
        assert_eq!(Users::parse(&written, "example.test").unwrap().len(), 1);
        for (name, realm) in [("a:b", "r"), ("", "r"), ("#a", "r"), (" a", "r"), ("a", ""), ("a", "r\nb:r"), ("a\r", "r")] {
            assert_eq!(line(name, realm, Hash::Md5, "p"), None, "{name:?} {realm:?}");
        }
        assert!(!format!("{:?}", Users::parse(&written, "example.test").unwrap()).contains("example"));
    }
}
