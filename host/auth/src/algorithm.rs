//! The algorithms of RFC 7616 6.1, which RFC 8760 2.1 takes over for SIP.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::Digest;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// MD5: what nearly every phone can, and the weakest.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
}

/// What the secret that goes into the response is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// User name, realm and password.
    Password,
    /// These, and the nonces of a session: `-sess`.
    Session,
}

/// A value of the `algorithm` parameter. Of two, the greater is the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// What the secret is made of.
    pub scope: Scope,
}

impl Hash {
    /// All, the strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512_256, Self::Sha256, Self::Md5];

    /// Octets of a value.
    pub fn octets(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 | Self::Sha512_256 => 32,
        }
    }

    /// The name, as in `algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The hash of these with colons between them, as hexadecimal digits: H of RFC 7616 3.3.
    pub(crate) fn of(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hexadecimal::<md5::Md5>(parts),
            Self::Sha256 => hexadecimal::<sha2::Sha256>(parts),
            Self::Sha512_256 => hexadecimal::<sha2::Sha512_256>(parts),
        }
    }
}

fn hexadecimal<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hash = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    HEXLOWER.encode(hash.finalize().as_slice())
}

impl Algorithm {
    /// `MD5`: also what a challenge without the parameter means.
    pub const MD5: Self = Self { hash: Hash::Md5, scope: Scope::Password };
    /// `MD5-sess`.
    pub const MD5_SESS: Self = Self { hash: Hash::Md5, scope: Scope::Session };
    /// `SHA-256`.
    pub const SHA256: Self = Self { hash: Hash::Sha256, scope: Scope::Password };
    /// `SHA-256-sess`.
    pub const SHA256_SESS: Self = Self { hash: Hash::Sha256, scope: Scope::Session };
    /// `SHA-512-256`.
    pub const SHA512_256: Self = Self { hash: Hash::Sha512_256, scope: Scope::Password };
    /// `SHA-512-256-sess`.
    pub const SHA512_256_SESS: Self = Self { hash: Hash::Sha512_256, scope: Scope::Session };

    /// All, the strongest first.
    pub const ALL: [Self; 6] = [Self::SHA512_256_SESS, Self::SHA512_256, Self::SHA256_SESS, Self::SHA256, Self::MD5_SESS, Self::MD5];

    /// The value of the parameter.
    pub fn name(self) -> &'static str {
        match (self.hash, self.scope) {
            (hash, Scope::Password) => hash.name(),
            (Hash::Md5, Scope::Session) => "MD5-sess",
            (Hash::Sha256, Scope::Session) => "SHA-256-sess",
            (Hash::Sha512_256, Scope::Session) => "SHA-512-256-sess",
        }
    }

    /// The algorithm of this name, in any case; none for one that we do not have.
    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// It is no name of an algorithm that we have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no algorithm; it is one of MD5, SHA-256, SHA-512-256 and these with -sess")]
pub struct UnknownAlgorithm(String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::from_bytes(name.as_bytes()).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_written_as_registered() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().to_ascii_lowercase().parse(), Ok(algorithm));
            assert_eq!(algorithm.to_string(), algorithm.name());
        }
        assert_eq!("sha-1".parse::<Algorithm>(), Err(UnknownAlgorithm("sha-1".into())));
    }

    #[test]
    fn all_are_listed_from_the_strongest_on() {
        assert!(Algorithm::ALL.is_sorted_by(|a, b| a > b) && Hash::ALL.is_sorted_by(|a, b| a > b));
    }
}
