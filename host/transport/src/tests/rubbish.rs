//! Octets that nobody would send: nothing panics, nothing grows beyond its bound, whatever they are and however they are cut.

use crate::table::Opener;
use crate::upgrade::{self, Answer};
use crate::websocket::{Arrival, WebSocket};

/// Numbers that look random and are the same each time (an xorshift generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("small")
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("an octet")
    }
}

const LIMIT: usize = 1_000;

/// Reads everything that is there; the octets that were in messages.
fn drain(websocket: &mut WebSocket, output: &mut Vec<u8>) -> Option<usize> {
    let mut received = 0;
    loop {
        match websocket.next(output) {
            Ok(Arrival::Message(bytes)) => {
                assert!(bytes.len() <= LIMIT);
                received += bytes.len();
            }
            Ok(Arrival::Ping | Arrival::Pong) => {}
            Ok(Arrival::Nothing) => return Some(received),
            Ok(Arrival::Close) | Err(_) => return None,
        }
    }
}

#[test]
fn frames_of_any_octets_are_taken_or_refused() {
    for seed in 1..2_000 {
        let mut numbers = Numbers(seed);
        let mut websocket = WebSocket::new(if seed % 2 == 0 { Opener::Peer } else { Opener::Us }, LIMIT);
        let mut output = Vec::new();
        for _ in 0..20 {
            // Mostly a header that makes sense, with lengths of all three forms.
            let opcode = [0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x88, numbers.octet()][numbers.below(9)];
            let masked = if seed % 2 == 0 { 0x80 } else { 0 };
            let length = [numbers.octet() & 0x7f, 5, 126, 127][numbers.below(4)];
            let mut octets = vec![opcode, masked | length];
            octets.extend((0..numbers.below(1_200)).map(|_| numbers.octet()));
            let split = numbers.below(octets.len());
            websocket.feed(&octets[..split]);
            if drain(&mut websocket, &mut output).is_none() {
                break;
            }
            websocket.feed(&octets[split..]);
            if drain(&mut websocket, &mut output).is_none() {
                break;
            }
            websocket.tidy();
        }
        assert!(output.len() < 40 * 131, "no answer is longer than a control frame: seed {seed}");
    }
}

#[test]
fn requests_of_any_octets_are_answered_or_waited_for() {
    for seed in 1..5_000 {
        let mut numbers = Numbers(seed);
        let mut octets = super::websocket_handshake::REQUEST.to_vec();
        for _ in 0..numbers.below(6) {
            let at = numbers.below(octets.len());
            match numbers.below(3) {
                0 => octets[at] = numbers.octet(),
                1 => drop(octets.remove(at)),
                _ => octets.insert(at, b"\r\n :,\0x"[numbers.below(7)]),
            }
        }
        match upgrade::answer(&octets, &["https://phone.test".into()]) {
            Answer::More => {}
            Answer::Accepted { used, response } => {
                assert!(used <= octets.len() && response.starts_with(b"HTTP/1.1 101 ") && response.ends_with(b"\r\n\r\n"), "seed {seed}");
            }
            Answer::Refused { response, .. } => assert!(response.starts_with(b"HTTP/1.1 4"), "seed {seed}"),
        }
        // The other side of it: an answer that is damaged in the same way.
        let _ = upgrade::agreed(&octets, "dGhlIHNhbXBsZSBub25jZQ==");
    }
}
