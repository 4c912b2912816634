//! A Consul that can be told to behave badly: one key, blocking queries, an index, a token.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::DEADLINE;

/// How it treats a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// 500, as without a leader.
    NoLeader,
    /// No answer at all.
    Stalls,
    /// The connection ends without an answer.
    HangsUp,
    /// The answer ends in its middle.
    CutsShort,
    /// 200 without an index, as of something that is no Consul.
    Stranger,
}

/// What it knows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) index: u64,
    pub(crate) mood: Mood,
    pub(crate) token: Option<String>,
}

/// A question that it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) token: Option<String>,
}

impl Question {
    pub(crate) fn index(&self) -> Option<u64> {
        self.query.get("index").and_then(|index| index.parse().ok())
    }
}

/// The server, for as long as this lives.
pub(crate) struct FakeConsul {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    questions: Arc<watch::Sender<Vec<Question>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl FakeConsul {
    pub(crate) async fn start(value: Option<&str>) -> Self {
        Self::start_with(value, None).await
    }

    pub(crate) async fn start_with(value: Option<&str>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let value = value.map(|value| value.as_bytes().to_vec());
        let state = Arc::new(watch::Sender::new(State { value, index: 100, mood: Mood::Good, token: None }));
        let questions = Arc::new(watch::Sender::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let server = (Arc::clone(&state), Arc::clone(&questions), Arc::clone(&connections));
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (state, questions, connections) = server.clone();
                let tls = tls.clone();
                serving.spawn(async move {
                    connections.fetch_add(1, Ordering::SeqCst);
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &state, &questions).await,
                            Err(_) => None,
                        },
                        None => serve(stream, &state, &questions).await,
                    };
                    connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state, questions, connections, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes or deletes the key.
    pub(crate) fn put(&self, value: Option<&str>) {
        self.change(|state| {
            state.value = value.map(|value| value.as_bytes().to_vec());
            state.index += 1;
        });
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.change(|state| state.mood = mood);
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions.borrow().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until it was asked as it should be; the questions up to then.
    pub(crate) async fn asked(&self, what: &str, wanted: impl Fn(&[Question]) -> bool) -> Vec<Question> {
        let mut questions = self.questions.subscribe();
        match tokio::time::timeout(DEADLINE, questions.wait_for(|questions| wanted(questions))).await {
            Ok(found) => found.expect("the server lives").clone(),
            Err(_) => panic!("never asked: {what}; but {:?}", self.questions()),
        }
    }
}

/// Answers the questions of one connection; none when it has ended.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    state: &watch::Sender<State>,
    questions: &watch::Sender<Vec<Question>>,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let question = question(&mut stream, &mut buffer).await?;
        questions.send_modify(|questions| questions.push(question.clone()));
        let answer = tokio::select! {
            answer = answer(&question, state) => answer?,
            // Who asked has gone.
            _ = stream.read_u8() => return None,
        };
        stream.write_all(&answer).await.ok()?;
        stream.flush().await.ok()?;
        if state.borrow().mood == Mood::CutsShort {
            return None;
        }
    }
}

async fn question<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Question> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).ok()?;
    let (path, query) = head.split(' ').nth(1)?.split_once('?')?;
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let header = |line: &str| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("x-consul-token")).map(|(_, token)| token.to_owned())
    };
    Some(Question { path: path.to_owned(), query: query.split('&').filter_map(pair).collect(), token: head.lines().find_map(header) })
}

async fn answer(question: &Question, state: &watch::Sender<State>) -> Option<Vec<u8>> {
    let mut watched = state.subscribe();
    let now = watched.borrow_and_update().clone();
    if now.mood == Mood::Good && (now.token.is_none() || now.token == question.token) {
        hold(question, &mut watched).await;
    }
    let now = watched.borrow().clone();
    let whole = |status: &str, index: Option<u64>, body: &[u8]| {
        let index = index.map(|index| format!("X-Consul-Index: {index}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status}\r\n{index}Content-Length: {}\r\n\r\n", body.len());
        Some([head.as_bytes(), body].concat())
    };
    match now.mood {
        Mood::NoLeader => whole("500 Internal Server Error", None, b"No cluster leader"),
        Mood::Stalls => std::future::pending().await,
        Mood::HangsUp => None,
        Mood::Stranger => whole("200 OK", None, b"<html>"),
        Mood::CutsShort => {
            let mut answer = whole("200 OK", Some(now.index), &now.value.unwrap_or_default())?;
            answer.truncate(answer.len() - 3);
            Some(answer)
        }
        Mood::Good if now.token.is_some() && now.token != question.token => whole("403 Forbidden", None, b"Permission denied"),
        Mood::Good => match now.value {
            Some(value) => whole("200 OK", Some(now.index), &value),
            None => whole("404 Not Found", Some(now.index), b""),
        },
    }
}

/// A blocking query ends when the index is another or the server is in another mood, and after its time.
async fn hold(question: &Question, watched: &mut watch::Receiver<State>) {
    let Some(index) = question.index() else { return };
    let wait = question.query.get("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).map_or(DEADLINE, Duration::from_millis);
    let moved = watched.wait_for(|state| state.index > index || state.mood != Mood::Good || state.index < index / 2);
    _ = tokio::time::timeout(wait, moved).await;
}
