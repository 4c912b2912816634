//! A relay that does what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// A question that came in: its cookie, and the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) cookie: String,
    pub(crate) text: String,
}

impl Question {
    /// The answer to it with this dictionary.
    pub(crate) fn answered(&self, dictionary: &str) -> Vec<Reply> {
        vec![Reply::Own(format!("{} {dictionary}", self.cookie).into())]
    }

    pub(crate) fn is(&self, command: &str) -> bool {
        self.text.starts_with(&format!("d7:command{}:{command}", command.len()))
    }
}

/// What is sent for a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// From the socket that was asked.
    Own(Vec<u8>),
    /// From another socket at the same address.
    Other(Vec<u8>),
}

/// A dictionary that takes an offer or answer, with this SDP.
pub(crate) fn taken(sdp: &str) -> String {
    format!("d3:sdp{}:{sdp}6:result2:oke", sdp.len())
}

/// The relay: where it is asked, and what it was asked.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Scripted {
    /// A relay for which a function says what is sent for a question, of which so many with this command came before.
    pub(crate) async fn start(script: impl FnMut(&Question, usize) -> Vec<Reply> + Send + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    /// One at this address.
    pub(crate) async fn start_at(address: &str, mut script: impl FnMut(&Question, usize) -> Vec<Reply> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { address: socket.local_addr().unwrap(), questions: Arc::default() };
        let questions = relay.questions.clone();
        tokio::spawn(async move {
            let mut octets = vec![0; 65_535];
            while let Ok((length, client)) = socket.recv_from(&mut octets).await {
                let text = String::from_utf8(octets[..length].to_vec()).unwrap();
                let (cookie, text) = text.split_once(' ').unwrap();
                let question = Question { cookie: cookie.to_owned(), text: text.to_owned() };
                let before = {
                    let mut questions = questions.lock().unwrap();
                    let command = |question: &Question| question.text.split(':').nth(2).map(str::to_owned);
                    let before = questions.iter().filter(|other| command(other) == command(&question)).count();
                    questions.push(question.clone());
                    before
                };
                for reply in script(&question, before) {
                    match reply {
                        Reply::Own(octets) => socket.send_to(&octets, client).await.unwrap(),
                        Reply::Other(octets) => other.send_to(&octets, client).await.unwrap(),
                    };
                }
            }
        });
        relay
    }

    /// One that takes everything.
    pub(crate) async fn willing(sdp: &'static str) -> Self {
        Self::start(move |question, _| match question {
            question if question.is("ping") => question.answered("d6:result4:ponge"),
            question if question.is("delete") => question.answered("d6:result2:oke"),
            question => question.answered(&taken(sdp)),
        })
        .await
    }

    /// One that never answers.
    pub(crate) async fn silent() -> Self {
        Self::start(|_, _| Vec::new()).await
    }

    /// What it was asked with this command.
    pub(crate) fn asked(&self, command: &str) -> Vec<Question> {
        self.questions.lock().unwrap().iter().filter(|question| question.is(command)).cloned().collect()
    }
}
