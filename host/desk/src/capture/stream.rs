//! TCP connections: in each direction the segments in order, and the SIP messages that they make up.

use std::collections::BTreeMap;

use bytes::Bytes;
use jackfield_proto::message::{Defect, Frame, Framing, Limits, Message, StreamFramer};

use super::packet::Segment;

/// Octets that wait for a segment that is missing; beyond, it is given up, as the capture has lost it.
const WAITING: usize = 1 << 20;

/// Segments that wait for one; each is looked at when another comes.
const SEGMENTS: usize = 1024;

/// A connection: both of its directions.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Counted from 1; 0 before anything has come.
    pub(super) number: u64,
    /// From the end with the lower address, and from the other.
    directions: [Direction; 2],
    ended: [bool; 2],
}

impl Connection {
    /// Takes a segment; the messages that are complete with it.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> Vec<Bytes> {
        let from = usize::from(segment.source > segment.destination);
        let (Some(direction), Some(ended)) = (self.directions.get_mut(from), self.ended.get_mut(from)) else { return Vec::new() };
        let messages = direction.take(segment);
        // The acknowledgement of the other's end comes behind one's own.
        *ended = segment.ends || (*ended && !segment.begins && segment.content.is_empty());
        if segment.ends {
            *direction = Direction::default();
        }
        messages
    }

    /// Whether one end has said that nothing more comes, or has broken off.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.contains(&true)
    }
}

/// What has come in one direction.
#[derive(Debug)]
pub(super) struct Direction {
    /// The number of the next octet, once it is known.
    next: Option<u32>,
    /// Segments that came before their time, by their distance to the next octet when they came.
    waiting: BTreeMap<u32, Vec<u8>>,
    waiting_octets: usize,
    framer: StreamFramer,
}

impl Default for Direction {
    fn default() -> Self {
        Self { next: None, waiting: BTreeMap::new(), waiting_octets: 0, framer: StreamFramer::new(Limits::default()) }
    }
}

/// Whether a number is before another: they go round (RFC 9293 3.4).
fn is_before(number: u32, other: u32) -> bool {
    let distance = other.wrapping_sub(number);
    distance != 0 && distance < 1 << 31
}

impl Direction {
    /// Takes a segment; the messages that are complete with it.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> Vec<Bytes> {
        if segment.begins {
            *self = Self { next: Some(segment.number.wrapping_add(1)), ..Self::default() };
            return Vec::new();
        }
        if segment.content.is_empty() {
            return Vec::new();
        }
        let next = match self.next {
            Some(next) => next,
            // The capture began later than the connection: a message may begin here, or at a later segment.
            None if begins_message(segment.content) => segment.number,
            None => return Vec::new(),
        };
        self.next = Some(next);
        if is_before(next, segment.number) {
            self.keep(segment);
        } else {
            self.feed(segment.number, segment.content);
        }
        self.feed_waiting();
        self.messages()
    }

    fn keep(&mut self, segment: &Segment<'_>) {
        if self.waiting_octets + segment.content.len() > WAITING || self.waiting.len() >= SEGMENTS {
            // What is missing will not come: go on with what is there, from where a message may begin.
            *self = Self::default();
            return;
        }
        if self.waiting.insert(segment.number, segment.content.to_vec()).is_none() {
            self.waiting_octets += segment.content.len();
        }
    }

    /// Feeds octets from this number on, without those that were there before.
    fn feed(&mut self, number: u32, content: &[u8]) {
        let Some(next) = self.next else { return };
        let known = usize::try_from(next.wrapping_sub(number)).unwrap_or(usize::MAX);
        let Some(fresh) = content.get(known..).filter(|fresh| !fresh.is_empty()) else { return };
        self.framer.feed(fresh);
        self.next = Some(next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(u32::MAX)));
    }

    fn feed_waiting(&mut self) {
        while let Some(next) = self.next {
            let ready = self.waiting.keys().copied().find(|number| !is_before(next, *number));
            let Some(content) = ready.and_then(|number| self.waiting.remove(&number).map(|content| (number, content))) else { return };
            self.waiting_octets = self.waiting_octets.saturating_sub(content.1.len());
            self.feed(content.0, &content.1);
        }
    }

    fn messages(&mut self) -> Vec<Bytes> {
        let mut messages = Vec::new();
        loop {
            match self.framer.next() {
                Ok(Some(Frame::Message(message))) => messages.push(message),
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => return messages,
                // No SIP, or no longer.
                Err(_) => {
                    *self = Self::default();
                    return messages;
                }
            }
        }
    }
}

/// Whether a segment begins as a message does, at least as far as it goes.
fn begins_message(content: &[u8]) -> bool {
    let line = content.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = [line, b"\n\r\n"].concat();
    // Any two words could be a request with a defect; only the version tells SIP from the middle of a body.
    Message::parse(line.into(), Framing::Datagram, &Limits::default()).is_ok_and(|message| message.defect() != Some(Defect::StartLine))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &str = "ACK sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";

    fn segment(number: u32, content: &[u8]) -> Segment<'_> {
        let (source, destination) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
        Segment { source, destination, number, begins: false, acknowledges: true, ends: false, content }
    }

    /// Each order of three parts, sent twice and overlapping, across the end of the numbers.
    #[test]
    fn rfc9293_3_4_segments_make_messages_in_whatever_order_they_come() {
        let start = u32::MAX - 10;
        let at = |from: usize, to: usize| segment(start.wrapping_add(from as u32), &ACK.as_bytes()[from..to]);
        let parts = [at(0, 20), at(15, 40), at(40, ACK.len())];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut direction = Direction::default();
            direction.take(&Segment { begins: true, ..segment(start.wrapping_sub(1), b"") });
            let found: Vec<_> =
                order.iter().flat_map(|part| [direction.take(&parts[*part]), direction.take(&parts[*part])].concat()).collect();
            assert_eq!(found, [Bytes::from(ACK)], "{order:?}");
        }
    }

    #[test]
    fn a_stream_that_began_before_the_capture_is_read_from_its_next_message_on() {
        let mut direction = Direction::default();
        assert!(direction.take(&segment(1000, b"the rest of something\r\n")).is_empty());
        assert_eq!(direction.take(&segment(2000, ACK.as_bytes())), [Bytes::from(ACK)]);
        assert_eq!(direction.take(&segment(2000 + ACK.len() as u32, ACK.as_bytes())), [Bytes::from(ACK)]);
    }

    #[test]
    fn what_is_no_sip_and_what_never_comes_costs_no_more_than_its_bound() {
        let mut direction = Direction::default();
        direction.take(&segment(0, ACK.as_bytes()));
        let chunk = vec![b'x'; 60_000];
        (1..40u32).for_each(|index| drop(direction.take(&segment(100_000 * index, &chunk))));
        assert!(direction.waiting_octets <= WAITING);
        let mut direction = Direction::default();
        direction.take(&segment(0, ACK.as_bytes()));
        (1000..4000u32).for_each(|number| drop(direction.take(&segment(number, b"x"))));
        assert!(direction.waiting.len() <= SEGMENTS);
    }
}
