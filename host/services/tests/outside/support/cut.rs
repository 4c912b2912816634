//! A line that can be cut: TCP passes through it until nothing does any more, without anybody being told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackfield_services::settings::Server;

/// How long a thread waits before it looks whether the line was cut.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) struct Line {
    cut: Arc<AtomicBool>,
    pub(crate) address: SocketAddr,
}

impl Line {
    /// A line to a server. Its threads end with the process.
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (cut, to) = (Arc::new(AtomicBool::new(false)), server.to_string());
        let of_thread = Arc::clone(&cut);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let (cut, to) = (Arc::clone(&of_thread), to.clone());
                std::thread::spawn(move || carry(near, &to, &cut));
            }
        });
        Self { cut, address }
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    pub(crate) fn server(&self) -> Server {
        Server { host: self.address.ip().to_string(), port: self.address.port() }
    }
}

fn carry(near: TcpStream, to: &str, cut: &Arc<AtomicBool>) {
    while cut.load(Ordering::SeqCst) {
        std::thread::park_timeout(LOOK);
    }
    let Ok(far) = TcpStream::connect(to) else { return };
    let (near_in, far_out) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
    let back = Arc::clone(cut);
    let thread = std::thread::spawn(move || one_way(far, near, &back));
    one_way(near_in, far_out, cut);
    let _ = thread.join();
}

fn one_way(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    from.set_read_timeout(Some(LOOK)).expect("a timeout");
    let mut buffer = [0; 4096];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while cut.load(Ordering::SeqCst) {
            std::thread::park_timeout(LOOK);
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
