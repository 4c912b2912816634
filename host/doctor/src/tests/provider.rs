//! A provider that does what a test says.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jackfield_proto::message::{Frame, Framing, Limits, Message, StreamFramer, respond};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// A response: status and header fields; none is silence.
pub(super) type Reply = Option<(u16, Vec<(&'static str, String)>)>;

type Script = Arc<Mutex<dyn FnMut(&Message) -> Reply + Send>>;

/// The provider, with the requests that it has got.
pub(super) struct Provider {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
}

pub(super) fn status(status: u16) -> Reply {
    Some((status, Vec::new()))
}

#[derive(Clone)]
struct Counter {
    script: Script,
    requests: Arc<Mutex<Vec<Message>>>,
    /// As whom it says to have seen the sender, if not as who it is.
    seen: Option<SocketAddr>,
}

impl Provider {
    pub(super) async fn udp(script: impl FnMut(&Message) -> Reply + Send + 'static) -> Self {
        Self::seeing(None, script).await
    }

    /// One that is behind a NAT from us.
    pub(super) async fn seeing(seen: Option<SocketAddr>, script: impl FnMut(&Message) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let (counter, provider) = Self::new(socket.local_addr().expect("bound"), seen, script);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, remote)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = counter.answer(Bytes::copy_from_slice(&buffer[..length]), Framing::Datagram, remote) {
                    let _ = socket.send_to(&answer, remote).await;
                }
            }
        });
        provider
    }

    pub(super) async fn tcp(script: impl FnMut(&Message) -> Reply + Send + 'static) -> Self {
        Self::stream(None, script).await
    }

    /// Over TLS if there is an acceptor.
    pub(super) async fn stream(tls: Option<TlsAcceptor>, script: impl FnMut(&Message) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let (counter, provider) = Self::new(listener.local_addr().expect("bound"), None, script);
        tokio::spawn(async move {
            while let Ok((stream, remote)) = listener.accept().await {
                let (counter, tls) = (counter.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => counter.serve(stream, remote).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                counter.serve(stream, remote).await;
                            }
                        }
                    }
                });
            }
        });
        provider
    }

    fn new(address: SocketAddr, seen: Option<SocketAddr>, script: impl FnMut(&Message) -> Reply + Send + 'static) -> (Counter, Self) {
        let requests = Arc::<Mutex<Vec<Message>>>::default();
        let counter = Counter { script: Arc::new(Mutex::new(script)), requests: Arc::clone(&requests), seen };
        (counter, Self { address, requests })
    }

    /// The requests of a method.
    pub(super) fn requests(&self, method: &str) -> Vec<Message> {
        let all = self.requests.lock().unwrap();
        all.iter().filter(|request| request.method().to_string() == method).cloned().collect()
    }

    /// A route to it.
    pub(super) fn route(&self) -> String {
        format!("sip:{};lr", self.address)
    }
}

impl Counter {
    fn answer(&self, octets: Bytes, framing: Framing, remote: SocketAddr) -> Option<Bytes> {
        let request = Message::parse(octets, framing, &Limits::default()).expect("the doctor sends SIP");
        assert_eq!(request.defect(), None, "{request:?}");
        self.requests.lock().unwrap().push(request.clone());
        let (status, fields) = (self.script.lock().unwrap())(&request)?;
        let seen = self.seen.unwrap_or(remote);
        let via = request.top_via().expect("a Via").stamped(Some(seen.ip()), Some(seen.port()));
        let builder = respond(&request, status, None).to_tag(b"provider").top_via(via);
        Some(fields.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value)).finish())
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, remote: SocketAddr) {
        let mut framer = StreamFramer::new(Limits::default());
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            framer.feed(&buffer[..length]);
            while let Some(Frame::Message(octets)) = framer.next().expect("the doctor sends SIP") {
                if let Some(answer) = self.answer(octets, Framing::Stream, remote) {
                    let _ = stream.write_all(&answer).await;
                }
            }
        }
    }
}
