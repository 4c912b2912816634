//! The web server of the page: a handful of files over HTTPS, and a bell rope.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The files of the page, and what they are.
const PAGE: [(&str, &str); 7] = [
    ("index.html", "text/html; charset=utf-8"),
    ("phone.css", "text/css"),
    ("icon.svg", "image/svg+xml"),
    ("phone.js", "text/javascript"),
    ("line.js", "text/javascript"),
    ("meters.js", "text/javascript"),
    ("ringer.js", "text/javascript"),
];

/// How long a browser may take for a request, or keep a connection that it does not use.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of a request that is read.
const LONGEST_HEAD: u64 = 16 * 1024;

/// What is served.
pub(crate) struct Site {
    files: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// What a POST to `/ring` does.
    ring: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Site {
    /// The files of a folder, JsSIP, and what the page is told of this place.
    pub(crate) fn new(
        folder: &Path,
        jssip: &Path,
        settings: String,
        ring: impl Fn() -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut files = BTreeMap::new();
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        for (name, kind) in PAGE {
            files.insert(format!("/{name}"), (kind, read(&folder.join(name))?));
        }
        files.insert("/jssip.js".to_owned(), ("text/javascript", read(jssip)?));
        files.insert("/settings.json".to_owned(), ("application/json", settings.into_bytes()));
        Ok(Self { files, ring: Box::new(ring) })
    }

    /// Serves it from threads that live as long as the process.
    pub(crate) fn serve(self, address: SocketAddr, tls: Arc<ServerConfig>) -> Result<()> {
        let listener = TcpListener::bind(address).with_context(|| format!("the page cannot be served at {address}"))?;
        let site = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (site, tls) = (Arc::clone(&site), Arc::clone(&tls));
                // A browser may leave in the middle of anything.
                std::thread::spawn(move || drop(site.answer(stream, tls)));
            }
        });
        Ok(())
    }

    /// One request of a connection after the other (RFC 9112), as far as a page without forms needs it.
    fn answer(&self, stream: TcpStream, tls: Arc<ServerConfig>) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(StreamOwned::new(ServerConnection::new(tls)?, stream));
        loop {
            let mut lines = (&mut reader).take(LONGEST_HEAD).lines();
            let Some(request) = lines.next().transpose()? else { return Ok(()) };
            for field in lines {
                if field?.is_empty() {
                    break;
                }
            }
            let mut words = request.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let path = target.split('?').next().unwrap_or_default();
            let (status, kind, body) = self.resource(method, path);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
                 X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nPermissions-Policy: microphone=(self)\r\n\
                 Content-Security-Policy: default-src 'self'; connect-src 'self' wss:; frame-ancestors 'none'\r\n\r\n",
                body.len()
            );
            let stream = reader.get_mut();
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)?;
            stream.flush()?;
        }
    }

    fn resource(&self, method: &str, path: &str) -> (&'static str, &'static str, Vec<u8>) {
        let path = if path == "/" { "/index.html" } else { path };
        match (method, path) {
            ("POST", "/ring") => match (self.ring)() {
                Ok(()) => ("204 No Content", "text/plain", Vec::new()),
                Err(error) => ("502 Bad Gateway", "text/plain", format!("{error:#}").into_bytes()),
            },
            ("GET", path) => match self.files.get(path) {
                Some((kind, content)) => ("200 OK", kind, content.clone()),
                None => ("404 Not Found", "text/plain", b"There is no such page.".to_vec()),
            },
            _ => ("405 Method Not Allowed", "text/plain", Vec::new()),
        }
    }
}
