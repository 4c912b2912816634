//! The signals that an operator, or the service manager, sends.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What is asked of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: take no new calls, let running transactions finish, end. Asked again: end now.
    Drain,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals of the process. Once this exists they no longer end it by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Starts to listen; inside of a tokio runtime.
    ///
    /// # Errors
    /// The system allows no handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next request. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Drain,
            _ = self.interrupt.recv() => Request::Drain,
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn signals_become_requests() {
        let mut signals = Signals::listen().unwrap();
        for (signal, request) in [(Signal::HUP, Request::Reload), (Signal::TERM, Request::Drain), (Signal::INT, Request::Drain)] {
            kill_process(getpid(), signal).unwrap();
            assert_eq!(signals.next().await, request, "{signal:?}");
        }
    }
}
