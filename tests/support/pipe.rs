//! The octets of a connection, in the clear or under TLS, for readers that wait and for those that do not.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

/// A connection as a stream of octets. While it waits, a read takes from the socket; later a thread reads the socket and feeds it,
/// so that nobody waits for octets while others want to write.
pub(crate) struct Pipe {
    socket: TcpStream,
    tls: Option<Connection>,
    arrived: VecDeque<u8>,
    ended: bool,
    pub(crate) waits: bool,
}

impl Pipe {
    /// Octets in the clear.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None, arrived: VecDeque::new(), ended: false, waits: true }
    }

    /// TLS from the client's side, its handshake done; `name` is asked for (SNI) and has to be proved.
    pub(crate) fn tls_client(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a host name or an address");
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::under(tls.into(), socket)
    }

    /// TLS from the server's side, its handshake done.
    pub(crate) fn tls_server(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Self::under(tls.into(), socket)
    }

    fn under(tls: Connection, socket: TcpStream) -> io::Result<Self> {
        let mut pipe = Self { tls: Some(tls), ..Self::plain(socket) };
        pipe.flush()?;
        while pipe.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            pipe.wait_for_octets()?;
            if pipe.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(pipe)
    }

    fn wait_for_octets(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        match self.socket.read(&mut buffer)? {
            0 => self.ended = true,
            count => self.feed(buffer.get(..count).unwrap_or_default())?,
        }
        Ok(())
    }

    /// Takes octets that came from the socket.
    pub(crate) fn feed(&mut self, mut octets: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.arrived.extend(octets);
            return Ok(());
        };
        while !octets.is_empty() {
            tls.read_tls(&mut octets)?;
            let processed = tls.process_new_packets();
            // An alert about what went wrong leaves before this end gives up.
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
            processed.map_err(io::Error::other)?;
            let mut clear = Vec::new();
            match tls.reader().read_to_end(&mut clear) {
                Ok(_) => self.ended = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.arrived.extend(clear);
        }
        Ok(())
    }

    /// Whether the other end said that nothing more comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended && self.arrived.is_empty()
    }

    /// The TLS session, where there is one.
    pub(crate) fn session(&self) -> Option<&Connection> {
        self.tls.as_ref()
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.arrived.is_empty() && !self.ended {
            if !self.waits {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.wait_for_octets()?;
        }
        self.arrived.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(octets) };
        let count = tls.writer().write(octets)?;
        self.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
        self.socket.flush()
    }
}
