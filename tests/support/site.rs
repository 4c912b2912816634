//! A server for HTTP requests of plugins.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::PATIENCE;

/// Answers every request with its path, after so much time, until the process ends.
pub(crate) fn start(after: Duration) -> SocketAddr {
    serving(move || thread::sleep(after))
}

/// A server that answers when the test lets it.
pub(crate) struct Held {
    pub(crate) address: SocketAddr,
    asked: Receiver<Question>,
}

/// A request that has come; it is answered when this goes.
pub(crate) struct Question {
    _held: Sender<()>,
}

impl Held {
    pub(crate) fn start() -> Self {
        let (ask, asked) = channel();
        let address = serving(move || {
            let (held, released) = channel();
            // Once the test has ended nobody holds it: it is answered at once.
            let _ = ask.send(Question { _held: held });
            let _ = released.recv();
        });
        Self { address, asked }
    }

    /// The next request.
    pub(crate) fn next(&self) -> Question {
        self.asked.recv_timeout(PATIENCE).expect("a request in time")
    }
}

/// Answers every request with its path when this has come back.
fn serving(wait: impl Fn() + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let wait = wait.clone();
            // An error is that the client has gone.
            thread::spawn(move || drop(serve(stream, wait)));
        }
    });
    address
}

fn serve(mut stream: TcpStream, wait: impl Fn()) -> std::io::Result<()> {
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    wait();
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{path}", path.len())
}
