//! Port numbers that stay ours until the test ends.
//!
//! The proxy opens its UDP sockets for sharing among its workers, so two proxies on one port would split the datagrams between them
//! and neither would notice. Port 0 would avoid that, but a test has to know the port before the proxy runs, because plugins' tables
//! name it. So ports come from below the range that the kernel gives out, and a locked file reserves each among the processes of a run.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 15_100;
const COUNT: u32 = 16_000;

/// A port of 127.0.0.1 and \[::1\], for UDP and TCP, that no other test uses while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _reserved: File,
}

impl Port {
    /// Reserves one that nobody listens on.
    pub(crate) fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = std::env::temp_dir().join("jackfield-test-ports");
        std::fs::create_dir_all(&directory).expect("a directory for port reservations");
        let start = std::process::id().wrapping_mul(97);
        let next = || u16::try_from(FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT).expect("below 65536");
        let found = (0..COUNT).find_map(|_| Self::reserve_number(next(), &directory));
        found.unwrap_or_else(|| panic!("no free port in {FIRST}..{}", FIRST + COUNT))
    }

    /// Reserves two that follow each other, for programs that take the next one too.
    pub(crate) fn reserve_two() -> (Self, Self) {
        loop {
            let one = Self::reserve();
            let directory = std::env::temp_dir().join("jackfield-test-ports");
            if let Some(two) = Self::reserve_number(one.number + 1, &directory) {
                return (one, two);
            }
        }
    }

    fn reserve_number(number: u16, directory: &Path) -> Option<Self> {
        let file = File::options().create(true).append(true).open(directory.join(number.to_string())).expect("a reservation file");
        match file.try_lock() {
            Ok(()) => is_free(number).then_some(Self { number, _reserved: file }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => panic!("cannot reserve port {number}: {error}"),
        }
    }
}

/// Whether nobody has it. An address family that this machine does not have takes no port.
fn is_free(port: u16) -> bool {
    let taken = |error: std::io::Error| error.kind() == ErrorKind::AddrInUse;
    let of = |host: IpAddr| UdpSocket::bind((host, port)).is_err_and(taken) || TcpListener::bind((host, port)).is_err_and(taken);
    !of(Ipv4Addr::LOCALHOST.into()) && !of(Ipv6Addr::LOCALHOST.into())
}
