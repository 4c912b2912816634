//! The Prometheus listener: `GET /metrics` over HTTP/1.1, and nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Connections at the same time; one more is closed at once.
const CONNECTIONS: usize = 16;

/// How long a connection may be open between two requests, or take over a request's head. Longer than the usual interval of a
/// scrape, one minute, so that Prometheus can keep its connection.
const PATIENCE: Duration = Duration::from_secs(90);

/// The format that prometheus-client writes.
const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// A listener that is bound but does not answer yet.
#[derive(Debug)]
pub struct MetricsListener {
    listener: TcpListener,
}

impl MetricsListener {
    /// Binds the address, inside of a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// The bound address, with the real port.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self, metrics: Arc<Metrics>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: a pause, so that the loop does not spin until there are some.
                    tracing::warn!(%error, "the metrics listener cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let metrics = Arc::clone(&metrics);
            tokio::spawn(async move {
                // What a client does wrong has been answered, and what breaks is its own affair.
                let _ = serve_connection(stream, metrics).await;
                drop(place);
            });
        }
    }
}

async fn serve_connection(stream: TcpStream, metrics: Arc<Metrics>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = respond(request.method(), request.uri().path(), &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn respond(method: &Method, path: &str, metrics: &Arc<Metrics>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if path != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Full::from("Metrics are at /metrics.\n");
    } else if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    } else {
        response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
        *response.body_mut() = Full::from(metrics.exposition());
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use jackfield_proto::net::Transport;

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn started() -> (SocketAddr, Arc<Metrics>) {
        let listener = MetricsListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address().unwrap();
        let metrics = Arc::new(Metrics::new(1));
        tokio::spawn(listener.serve(Arc::clone(&metrics)));
        (address, metrics)
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let (address, metrics) = started().await;
        metrics.worker(0).send_failed(Transport::Udp);
        for (request, status, content) in [
            ("GET /metrics", "HTTP/1.1 200 OK", "jackfield_send_failures_total{transport=\"udp\"} 1\n"),
            ("HEAD /metrics", "HTTP/1.1 200 OK", "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            ("GET /", "HTTP/1.1 404 Not Found", "/metrics"),
            ("POST /metrics", "HTTP/1.1 405 Method Not Allowed", "allow: GET, HEAD\r\n"),
        ] {
            let answer = exchange(address, &format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
            assert!(answer.starts_with(status) && answer.contains(content), "{request}: {answer}");
        }
        assert!(exchange(address, "\x16\x03\x01\x02\x00\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed_and_the_others_are_served() {
        let (address, _) = started().await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert_ne!(stream.read(&mut [0; 64]).await.unwrap(), 0);
            held.push(stream);
        }
        let mut refused = TcpStream::connect(address).await.unwrap();
        // Closed before it asked: an end, or a reset.
        assert!(matches!(refused.read(&mut [0; 64]).await, Ok(0) | Err(_)));
        drop(held);
    }
}
