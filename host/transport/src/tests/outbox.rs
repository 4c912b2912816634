//! What waits for a peer that does not read, against times that the tests choose.

use jackfield_proto::net::ConnectionId;

use super::super::outbox::{Connection, Content, Refusal};
use super::super::table::Opener;
use super::super::wire::Wire;
use super::*;

/// More than the kernel takes for a peer that does not read.
const LARGE: usize = 16 << 20;

/// What may wait.
const LIMIT: usize = 6 * LARGE;

/// A connection over which messages may go, and its far end.
struct Pair {
    connection: Connection,
    stream: Arc<TcpStream>,
    peer: TcpStream,
}

impl Pair {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let peer = soon(TcpStream::connect(listener.local_addr().expect("bound"))).await.expect("accepted");
        let (stream, remote) = soon(listener.accept()).await.expect("a connection");
        let (connection, stream) = (Connection::new(ConnectionId(1), Opener::Peer, remote, 0), Arc::new(stream));
        connection.connected(Wire::new(stream.clone(), None));
        connection.ready(0);
        Self { connection, stream, peer }
    }

    fn push(&self, octets: usize, content: Content, uptime: u64) -> Result<(), Refusal> {
        self.connection.push(&vec![b'x'; octets].into(), content, LIMIT, uptime)
    }

    /// Lets the peer read, and what waits follow at this time, until it is so.
    async fn deliver_until(&mut self, uptime: u64, holds: impl Fn(&Connection) -> bool) {
        let mut buffer = vec![0; 1 << 18];
        soon(async {
            while !holds(&self.connection) {
                tokio::select! {
                    _ = self.peer.read(&mut buffer) => {}
                    _ = self.stream.writable() => {}
                }
                self.connection.flush(uptime).expect("the peer is there");
            }
        })
        .await;
    }
}

const MESSAGE: Content = Content::Message(None);

#[tokio::test]
async fn the_time_of_a_message_runs_from_when_it_was_queued_however_it_drips_out() {
    let mut pair = Pair::new().await;
    assert_eq!(pair.connection.stuck_since(0), None);
    pair.push(4 * LARGE, MESSAGE, 1_000).expect("taken");
    pair.push(1 << 20, MESSAGE, 5_000).expect("taken");
    for uptime in [20_000, 39_000, 58_000] {
        // Some of it moves.
        pair.deliver_until(uptime, |connection| connection.last_active() == uptime).await;
        assert_eq!(pair.connection.stuck_since(uptime), Some(1_000));
    }
    pair.deliver_until(60_000, |connection| connection.stuck_since(60_000) != Some(1_000)).await;
    pair.deliver_until(61_000, |connection| !connection.is_waiting()).await;
    assert_eq!(pair.connection.stuck_since(61_000), None);
    pair.push(LARGE, MESSAGE, 70_000).expect("taken");
    assert_eq!(pair.connection.stuck_since(90_000), Some(70_000));
}

#[tokio::test]
async fn small_messages_count_for_more_than_their_octets() {
    let pair = Pair::new().await;
    pair.push(LARGE, MESSAGE, 0).expect("taken");
    let taken = (0..LIMIT).take_while(|_| pair.push(1, MESSAGE, 0).is_ok()).count();
    assert!(taken > 1_000 && taken < LIMIT / 64, "{taken}");
}

#[tokio::test]
async fn who_does_not_read_gets_no_answers_to_keepalives() {
    let mut pair = Pair::new().await;
    pair.push(2, Content::Pong, 0).expect("nothing waits");
    pair.push(2, Content::FramedPong, 0).expect("nothing waits");
    expect(&mut pair.peer, b"xxxx").await;
    pair.push(LARGE, MESSAGE, 0).expect("taken");
    for pong in [Content::Pong, Content::FramedPong] {
        assert_eq!(pair.push(2, pong, 0), Err(Refusal::Full));
    }
    pair.deliver_until(1, |connection| !connection.is_waiting()).await;
    pair.push(2, Content::Pong, 2).expect("nothing waits any more");
}
