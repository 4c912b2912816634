//! Randomness, as the host gives it.

use crate::backend::services as backend;

/// Random octets.
pub fn bytes(count: u32) -> Vec<u8> {
    backend::random_bytes(count)
}

/// A random number.
pub fn number() -> u64 {
    backend::random_number()
}
