//! A server that says what it is told to say, to whatever it is asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jackfield_services::settings::Server;

pub(crate) struct Scripted {
    pub(crate) server: Server,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// For each question `answer` says what comes back: it is given the connection's number and the question. None: the connection is closed.
    pub(crate) fn start(answer: impl Fn(usize, &str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (answer, connections) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        let Some(said) = answer(number, &String::from_utf8_lossy(&buffer[..length])) else { return };
                        if stream.write_all(&said).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { server: Server { host: "127.0.0.1".into(), port }, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
