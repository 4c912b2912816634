//! Addresses of 127.0.0.0/8 that nobody else uses: servers keep their usual ports there, and have them again when they are started again.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new one. Processes differ in their id, tests of a process in a number.
pub(crate) fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 64 + u8::try_from(number % 128).expect("below 128"), high, low)
}
