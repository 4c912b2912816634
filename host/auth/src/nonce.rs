//! Nonces that need no table (RFC 7616 5.4): each holds when it was made and a digest with a key that nobody else has.
//!
//! ```text
//! base64url of TTTTTT RRRRRR DDDDDDDD      milliseconds, randomness, SipHash-2-4 over both, role, realm and source
//! ```
//!
//! The source is in it since a datagram's can be forged: with a nonce that was given to somebody else, anybody could send wrong passwords in
//! the name of an office, and its phones would have to wait for them. So a nonce is proof that its holder can receive where he says he is.
//! A phone that has moved is told `stale=true`, and asks its user nothing.
//!
//! The digest has 64 bits, of which nobody can try more than the proxy answers; and a right guess is only a nonce, for which a password is
//! still needed.

use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jackfield_proto::time::Timestamp;
use siphasher::sip::SipHasher24;

/// Octets of a number in a nonce: as milliseconds, thousands of years.
const NUMBER: usize = 6;

const DIGEST: usize = 8;

/// The key that nonces are made with. Random at the start of a process, and the same until its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NonceKey(pub [u8; 16]);

/// Keys are shown to nobody.
impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey")
    }
}

/// A nonce that we have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// Stands for it in tables.
    pub(crate) id: u64,
    /// When it was made, in milliseconds.
    pub(crate) made: u64,
}

/// Makes a nonce for one domain: a realm, a role and a source.
pub(crate) fn make(key: &NonceKey, domain: &[&[u8]], now: Timestamp, random: u64) -> String {
    let mut octets = Vec::with_capacity(2 * NUMBER + DIGEST);
    octets.extend(milliseconds(now).to_be_bytes().into_iter().skip(8 - NUMBER));
    octets.extend(random.to_be_bytes().into_iter().skip(8 - NUMBER));
    let digest = digest(key, domain, &octets);
    octets.extend(digest.to_be_bytes());
    BASE64URL_NOPAD.encode(&octets)
}

/// Reads a nonce; none if it is none of ours, or one for something else.
pub(crate) fn read(key: &NonceKey, domain: &[&[u8]], text: &[u8]) -> Option<Nonce> {
    // A hostile one may be of any length.
    let octets = (text.len() < 64).then(|| BASE64URL_NOPAD.decode(text).ok())??;
    let (signed, written) = octets.split_at_checked(2 * NUMBER)?;
    let (made, _) = signed.split_at_checked(NUMBER)?;
    let id = u64::from_be_bytes(written.try_into().ok()?);
    (digest(key, domain, signed) == id).then(|| Nonce { id, made: made.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)) })
}

impl Nonce {
    /// Whether it may still be used.
    pub(crate) fn is_fresh(&self, now: Timestamp, life: Duration) -> bool {
        u128::from(milliseconds(now).saturating_sub(self.made)) <= life.as_millis()
    }
}

pub(crate) fn milliseconds(now: Timestamp) -> u64 {
    now.as_micros() / 1000
}

fn digest(key: &NonceKey, domain: &[&[u8]], octets: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&key.0);
    hasher.write(b"nonce");
    for part in domain {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.write(octets);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NonceKey = NonceKey([7; 16]);
    const NOW: Timestamp = Timestamp::ZERO;

    #[test]
    fn a_nonce_is_known_by_its_key_realm_and_role_and_by_nothing_else() {
        let nonce = make(&KEY, &[b"proxy", b"realm"], NOW, 1);
        assert!(read(&KEY, &[b"proxy", b"realm"], nonce.as_bytes()).is_some());
        assert_eq!(read(&KEY, &[b"registrar", b"realm"], nonce.as_bytes()), None);
        assert_eq!(read(&KEY, &[b"proxyr", b"ealm"], nonce.as_bytes()), None);
        assert_eq!(read(&NonceKey([8; 16]), &[b"proxy", b"realm"], nonce.as_bytes()), None);
        for index in 0..nonce.len() {
            let mut forged = nonce.clone().into_bytes();
            forged[index] ^= 1;
            assert_eq!(read(&KEY, &[b"proxy", b"realm"], &forged), None, "{index}");
        }
        for forged in [&b""[..], b"AAAA", &[b'A'; 27], &[b'A'; 10_000], b"\xff"] {
            assert_eq!(read(&KEY, &[b"proxy", b"realm"], forged), None);
        }
        assert_ne!(nonce, make(&KEY, &[b"proxy", b"realm"], NOW, 2));
    }

    #[test]
    fn a_nonce_ages() {
        let made = NOW + Duration::from_secs(1_000_000);
        let nonce = read(&KEY, &[], make(&KEY, &[], made, u64::MAX).as_bytes()).unwrap();
        assert_eq!(nonce.made, 1_000_000_000);
        let life = Duration::from_secs(60);
        assert!(nonce.is_fresh(made, life) && nonce.is_fresh(made + life, life) && nonce.is_fresh(NOW, life));
        assert!(!nonce.is_fresh(made + Duration::from_millis(60_001), life));
    }
}
