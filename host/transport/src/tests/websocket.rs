//! RFC 7118: one SIP message in each message of WebSocket.

use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

use super::websocket_handshake::{REQUEST, read_head};
use super::*;

fn bed(settings: Settings) -> Bed {
    Bed::with(&[endpoint(Transport::Ws, (Ipv4Addr::LOCALHOST, 0).into())], 2, settings)
}

/// A client with its handshake behind it.
async fn client(bed: &Bed) -> TcpStream {
    let mut peer = bed.connect_to(0).await;
    write(&mut peer, REQUEST).await;
    assert!(read_head(&mut peer).await.starts_with("HTTP/1.1 101 "));
    peer
}

fn masked(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { opcode, is_final, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
    encoded(Frame::from_payload(header, Bytes::copy_from_slice(payload)))
}

fn encoded(frame: Frame) -> Vec<u8> {
    let mut octets = Vec::new();
    frame.format(&mut octets).expect("memory");
    octets
}

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);
const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A frame of the server, which is not masked.
async fn expect_frame(peer: &mut TcpStream, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    expect(peer, &encoded(Frame::from_payload(header, Bytes::copy_from_slice(payload)))).await;
}

async fn expect_close(peer: &mut TcpStream, code: CloseCode) {
    let payload = Frame::close(Some(CloseFrame { code, reason: "".into() })).into_payload();
    expect_frame(peer, CLOSE, &payload).await;
    assert_eq!(read_to_end(peer).await, b"");
}

/// Without Content-Length: the frame says where it ends.
const BARE: &str = "MESSAGE sip:a.test SIP/2.0\r\nCall-ID: 1\r\n\r\nhello";

#[tokio::test]
async fn each_frame_is_a_message_and_answers_are_text_where_they_can_be() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    for opcode in [TEXT, BINARY] {
        write(&mut peer, masked(opcode, true, BARE.as_bytes())).await;
        let (bytes, flow) = bed.next().await;
        assert_eq!(bytes, BARE);
        for worker in 0..2 {
            bed.send(worker, "SIP/2.0 200 OK\r\n\r\n", back(flow)).expect("taken");
            expect_frame(&mut peer, TEXT, b"SIP/2.0 200 OK\r\n\r\n").await;
            bed.send(worker, &b"SIP/2.0 200 \xff\r\n\r\n"[..], back(flow)).expect("taken");
            expect_frame(&mut peer, BINARY, b"SIP/2.0 200 \xff\r\n\r\n").await;
        }
    }
}

#[tokio::test]
async fn frames_may_be_split_anywhere_and_come_together() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    peer.set_nodelay(true).expect("a socket option");
    let mut frames = masked(TEXT, true, BARE.as_bytes());
    for split in 1..frames.len() {
        let (first, second) = frames.split_at(split);
        write(&mut peer, first).await;
        tokio::task::yield_now().await;
        write(&mut peer, second).await;
        assert_eq!(bed.next().await.0, BARE);
    }
    frames.extend_from_slice(&masked(PING, true, b""));
    write(&mut peer, frames.repeat(10)).await;
    for _ in 0..10 {
        assert_eq!(bed.next().await.0, BARE);
    }
}

#[tokio::test]
async fn fragments_become_one_message_with_pings_between_them() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    let (first, rest) = BARE.split_at(10);
    let (second, third) = rest.split_at(10);
    write(&mut peer, masked(TEXT, false, first.as_bytes())).await;
    write(&mut peer, masked(PING, true, b"there?")).await;
    expect_frame(&mut peer, PONG, b"there?").await;
    write(&mut peer, masked(CONTINUE, false, second.as_bytes())).await;
    write(&mut peer, masked(CONTINUE, true, third.as_bytes())).await;
    assert_eq!(bed.next().await.0, BARE);
    assert_eq!(bed.monitor.totals().stream_pings, 1);
}

#[tokio::test]
async fn the_largest_message_passes_and_one_octet_more_ends_the_connection() {
    let limit = 3_000;
    let settings = Settings { message: jackfield_proto::message::Limits { message: limit, headers: 64 }, ..Settings::default() };
    let bed = bed(settings);
    let exactly = |length: usize| format!("{BARE}{}", "x".repeat(length - BARE.len()));
    let whole = |length: usize| masked(TEXT, true, exactly(length).as_bytes());
    let halves = |length: usize| {
        let text = exactly(length);
        [masked(TEXT, false, &text.as_bytes()[..1500]), masked(CONTINUE, true, &text.as_bytes()[1500..])].concat()
    };
    let mut peer = client(&bed).await;
    for frames in [whole(limit), halves(limit)] {
        write(&mut peer, frames).await;
        assert_eq!(bed.next().await.0.len(), limit);
    }
    for frames in [whole(limit + 1), halves(limit + 1), [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0].to_vec()] {
        let mut peer = client(&bed).await;
        write(&mut peer, frames).await;
        expect_close(&mut peer, CloseCode::Size).await;
    }
    until(|| bed.monitor.totals().stream_framing_errors == 3).await;
}

#[tokio::test]
async fn who_breaks_a_rule_of_websocket_is_told_which_kind() {
    let bed = bed(Settings::default());
    let unmasked = encoded(Frame::from_payload(FrameHeader { opcode: TEXT, ..FrameHeader::default() }, Bytes::from_static(b"x")));
    for (octets, code) in [
        (unmasked, CloseCode::Protocol),
        (masked(CONTINUE, true, b"x"), CloseCode::Protocol),
        (masked(PING, false, b""), CloseCode::Protocol),
        (masked(PING, true, &[0; 126]), CloseCode::Protocol),
        (masked(TEXT, true, b"\xff\xfe"), CloseCode::Invalid),
        (vec![0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
        (vec![0xc1, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
    ] {
        let mut peer = client(&bed).await;
        write(&mut peer, &octets).await;
        expect_close(&mut peer, code).await;
    }
    until(|| bed.monitor.connections() == 0).await;
}

#[tokio::test]
async fn a_close_is_answered() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    write(&mut peer, masked(CLOSE, true, &[3, 233])).await;
    expect_close(&mut peer, CloseCode::Away).await;
    until(|| bed.monitor.connections() == 0).await;
    assert_eq!(bed.monitor.totals().stream_framing_errors, 0);
}

#[tokio::test]
async fn rfc5626_4_4_1_line_ends_in_a_frame_are_a_keepalive() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    for silent in [&b""[..], b"\r\n"] {
        write(&mut peer, masked(TEXT, true, silent)).await;
    }
    write(&mut peer, masked(TEXT, true, b"\r\n\r\n")).await;
    expect_frame(&mut peer, TEXT, b"\r\n").await;
    write(&mut peer, masked(TEXT, true, BARE.as_bytes())).await;
    assert_eq!(bed.next().await.0, BARE);
}

#[tokio::test]
async fn a_quiet_peer_is_pinged_and_lives_as_long_as_it_answers() {
    let settings = Settings {
        ping: Duration::from_millis(30),
        unfinished: Duration::from_millis(300),
        idle: Duration::from_millis(200),
        ..Settings::default()
    };
    let bed = bed(settings);
    let mut peer = client(&bed).await;
    for _ in 0..10 {
        expect_frame(&mut peer, PING, b"").await;
        write(&mut peer, masked(PONG, true, b"")).await;
    }
    assert_eq!(bed.monitor.connections(), 1, "it answers, and so it is not idle");
    assert_eq!(read_to_end(&mut peer).await, encoded(Frame::ping(Bytes::new())));
    let totals = bed.monitor.totals();
    assert_eq!(totals.stream_silent + totals.stream_idle, 1);
}

#[tokio::test]
async fn a_frame_that_drips_in_does_not_hold_the_connection() {
    let bed = bed(Settings { unfinished: Duration::from_millis(50), ..Settings::default() });
    for beginning in [&masked(TEXT, true, BARE.as_bytes())[..20], &masked(TEXT, false, b"MESSAGE ")] {
        let mut peer = client(&bed).await;
        write(&mut peer, beginning).await;
        assert_eq!(read_to_end(&mut peer).await, b"");
    }
    until(|| bed.monitor.totals().stream_stalled == 2).await;
}

#[tokio::test]
async fn we_are_a_client_too() {
    let (server, client) = (bed(Settings::default()), bed(Settings::default()));
    let there = path(Transport::Ws, server.addresses[0]);
    for number in 0..5 {
        client.send(0, format!("{BARE} {number}"), there).expect("taken");
    }
    for number in 0..5 {
        let (bytes, flow) = server.next().await;
        assert_eq!((bytes, flow.transport), (format!("{BARE} {number}").into(), Transport::Ws));
        server.send(1, "SIP/2.0 200 OK\r\n\r\n", back(flow)).expect("taken");
        let (bytes, flow) = client.next().await;
        assert_eq!((bytes, flow.remote), ("SIP/2.0 200 OK\r\n\r\n".into(), server.addresses[0]));
    }
    assert_eq!((client.monitor.totals().stream_connected, client.monitor.totals().websocket_handshakes), (1, 1));
}

#[tokio::test]
async fn rfc7118_5_no_connection_is_opened_for_an_answer() {
    let bed = bed(Settings::default());
    let mut peer = client(&bed).await;
    write(&mut peer, masked(TEXT, true, BARE.as_bytes())).await;
    let (_, flow) = bed.next().await;
    drop(peer);
    until(|| bed.monitor.connections() == 0).await;
    let refused = bed.send(0, "SIP/2.0 200 OK\r\n\r\n", back(flow));
    assert!(matches!(refused, Err(SendError::FlowGone)), "{refused:?}");
}
