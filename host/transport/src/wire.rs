//! The octets of a connection on their way to and from the kernel: as they are, or through TLS. No task of its own: whoever writes
//! encrypts, whoever reads decrypts.

use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::sync::Arc;

use rustls::Connection as Session;
use tokio::net::TcpStream;

use super::tls::Identities;

/// Octets encrypted at once: a record of TLS holds no more (RFC 8446 5.1).
const RECORD: usize = 16_384;

/// A TCP connection, with a TLS session on it or not.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Arc<TcpStream>,
    tls: Option<Box<Session>>,
}

/// What reading through TLS came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// The two sides are still getting to know each other.
    Handshaking,
    /// The session is established.
    Open,
    /// The peer will send nothing more.
    Ended,
}

impl Wire {
    pub(super) fn new(stream: Arc<TcpStream>, tls: Option<Box<Session>>) -> Self {
        Self { stream, tls }
    }

    /// Writes as much as the kernel takes, and says how much that was. What TLS has encrypted counts as taken, and is written by
    /// [`Wire::flush`]: never more than one record.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return write_all(&self.stream, octets) };
        let mut taken = 0;
        loop {
            match flush(tls, &self.stream) {
                Ok(_) if tls.wants_write() => break,
                Ok(_) => {}
                // What is taken is taken; the next flush sees the error.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            }
            let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) else { break };
            taken += tls.writer().write(rest.get(..RECORD).unwrap_or(rest))?;
        }
        Ok(taken)
    }

    /// Writes what TLS has encrypted and the kernel did not take before; says how many octets it took.
    pub(super) fn flush(&mut self) -> io::Result<usize> {
        self.tls.as_mut().map_or(Ok(0), |tls| flush(tls, &self.stream))
    }

    /// Whether encrypted octets wait.
    pub(super) fn is_pending(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Decrypts what was read from the connection, and hands on what was in it. Answers of TLS itself are sent at once; what the kernel
    /// does not take of them is pending. After an error the session is of no use any more; the peer has been told why.
    pub(super) fn unseal(&mut self, mut sealed: &[u8], mut take: impl FnMut(&[u8])) -> Result<Unsealed, rustls::Error> {
        let Some(tls) = &mut self.tls else {
            take(sealed);
            return Ok(Unsealed::Open);
        };
        let mut ended = false;
        while !sealed.is_empty() && !ended {
            if tls.read_tls(&mut sealed).is_err() {
                return Err(rustls::Error::General("a message of TLS that is too long".to_owned()));
            }
            let processed = tls.process_new_packets();
            if let Err(error) = processed {
                // Best effort: the alert.
                let _ = flush(tls, &self.stream);
                return Err(error);
            }
            ended = drain(tls, &mut take);
        }
        // An error shows again when the next octet is written.
        let _ = flush(tls, &self.stream);
        match (tls.is_handshaking(), ended) {
            (true, true) => Err(rustls::Error::General("the peer ends what has not begun".to_owned())),
            (true, false) => Ok(Unsealed::Handshaking),
            (false, true) => Ok(Unsealed::Ended),
            (false, false) => Ok(Unsealed::Open),
        }
    }

    /// Whom the peer's certificate, which has been verified, speaks for; none if it has shown none.
    pub(super) fn peer(&self) -> Option<Identities> {
        let leaf = self.tls.as_ref()?.peer_certificates()?.first()?;
        Identities::of(leaf).ok()
    }

    /// Tells the peer that nothing more will come (RFC 8446 6.1).
    pub(super) fn say_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Best effort: the end of the TCP connection says it too.
            let _ = flush(tls, &self.stream);
        }
    }

    /// Gives back room that a quiet connection does not need.
    pub(super) fn tidy(&mut self) {
        struct Nothing;
        impl io::Read for Nothing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::WouldBlock.into())
            }
        }
        if let Some(tls) = &mut self.tls {
            // rustls fits its buffer before it reads; there is no other way to make it.
            let _ = tls.read_tls(&mut Nothing);
        }
    }
}

/// Hands on what has been decrypted; true if the peer has said that nothing follows.
fn drain(tls: &mut Session, take: &mut impl FnMut(&[u8])) -> bool {
    let mut reader = tls.reader();
    loop {
        let length = match reader.fill_buf() {
            Ok([]) => return true,
            Ok(octets) => {
                take(octets);
                octets.len()
            }
            Err(_) => return false,
        };
        reader.consume(length);
    }
}

fn flush(tls: &mut Session, stream: &TcpStream) -> io::Result<usize> {
    let mut written = 0;
    while tls.wants_write() {
        match tls.write_tls(&mut Kernel(stream)) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Writes until the kernel takes no more; says how much it took.
fn write_all(stream: &TcpStream, octets: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = octets.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.try_write(rest) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A message that is partly written stays in the queue; the task will see the error when it writes the rest.
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// A socket that never waits, for rustls to write to.
struct Kernel<'a>(&'a TcpStream);

impl Write for Kernel<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, octets: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
