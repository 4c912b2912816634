//! An HTTP server that answers, stalls, closes early or sends too much, as the path says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Stalled answers go on when this is gone.
    _stalled: mpsc::Sender<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// With TLS.
    pub(crate) fn start_secure(authority: &Authority) -> Self {
        let (certificate, key) = authority.sign("127.0.0.1");
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self::with(Some(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())))
    }

    fn with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (sender, receiver) = mpsc::channel();
        let stall = Arc::new(Mutex::new(receiver));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, requests, stall) = (tls.clone(), Arc::clone(&kept), Arc::clone(&stall));
                std::thread::spawn(move || match tls {
                    None => serve(stream, &requests, &stall),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).unwrap();
                        serve(rustls::StreamOwned::new(session, stream), &requests, &stall);
                    }
                });
            }
        });
        Self { address, scheme, connections, requests, _stalled: sender }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: impl Read + Write, requests: &Mutex<Vec<Request>>, stall: &Mutex<mpsc::Receiver<()>>) {
    let stalled = || _ = stall.lock().unwrap().recv();
    while let Some(request) = read(&mut stream) {
        let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
        requests.lock().unwrap().push(request.clone());
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\nX-Mixed-Case: Yes\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: {length}\r\n\r\n")
        };
        let said: Vec<u8> = match path.split('?').next().unwrap_or_default() {
            "/ok/echo" => [head("200 OK", request.body.len()).into_bytes(), request.body].concat(),
            "/ok/missing" => head("404 Not Found", 0).into_bytes(),
            "/ok/broken" => head("500 Internal Server Error", 0).into_bytes(),
            "/ok/elsewhere" => b"HTTP/1.1 302 Found\r\nLocation: /secret\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/ok/stall" => {
                stalled();
                return;
            }
            "/ok/stall-in-body" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
                let _ = stream.flush();
                stalled();
                return;
            }
            "/ok/close" => return,
            "/ok/close-in-body" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
                let _ = stream.flush();
                return;
            }
            "/ok/announce-too-much" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_vec(),
            "/ok/send-too-much" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                while stream.write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes()).is_ok() {}
                return;
            }
            "/ok/many-headers" => {
                let many: String = (0..100).map(|number| format!("X-{number}: x\r\n")).collect();
                format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n").into_bytes()
            }
            "/ok/long-headers" => format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(40_000)).into_bytes(),
            "/ok/endless-headers" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while stream.write_all(format!("X: {}\r\n", "x".repeat(1000)).as_bytes()).is_ok() {}
                return;
            }
            "/ok/no-http" => b"220 mail.test ESMTP\r\n".to_vec(),
            _ => head("200 OK", 0).into_bytes(),
        };
        if stream.write_all(&said).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

fn read(stream: &mut impl Read) -> Option<Request> {
    let mut octets = Vec::new();
    let mut one = [0; 1];
    while !octets.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        octets.push(one[0]);
    }
    let head = String::from_utf8(octets).ok()?;
    let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
    let line = lines.next()?;
    let headers: Vec<_> = lines.collect();
    let length = headers.iter().find_map(|header| header.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body })
}

/// A port that takes connections and never says a word, not even of TLS.
pub(crate) fn mute() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// A port that nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    // Taken by a connection of this process that is open, and so given to nobody else.
    let (address, listener) = mute();
    drop(TcpStream::connect(address));
    drop(listener);
    address
}
