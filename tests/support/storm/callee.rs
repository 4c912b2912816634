//! The callees of a storm: one for each address, all on one thread.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jackfield_proto::message::{Message, Name};

use super::clock::Clock;
use super::{Answer, End, Script, Scripts, number};
use crate::support::draft::{Draft, unique};
use crate::support::load::{answer, take, text};

/// Callees, until they go.
pub(crate) struct Callee {
    pub(crate) addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed, and fails the test by what is missing.
            let _ = thread.join();
        }
    }
}

impl Callee {
    pub(crate) fn start(count: usize, scripts: Scripts) -> Self {
        let sockets: Vec<UdpSocket> = (0..count).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket")).collect();
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).expect("a socket can be asked without waiting"));
        let addresses = sockets.iter().map(|socket| socket.local_addr().expect("a bound socket")).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || Town { sockets, scripts, legs: HashMap::new(), clock: Clock::new() }.run(&stopped));
        Self { addresses, stop, thread: Some(thread) }
    }
}

/// A call at one of the callees.
type Place = (usize, String);

struct Leg {
    script: Script,
    invite: Message,
    from: SocketAddr,
    /// What was said last, for INVITEs that come again.
    said: Option<Vec<u8>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Rings,
    Answered,
    Acknowledged,
    Over,
}

enum Action {
    /// The final answer is due.
    Answer(Place),
    /// The 2xx has had no ACK yet; so many more times.
    Again(Place, u32),
    Bye(Place),
    /// So many more times.
    ByeAgain(Place, Vec<u8>, u32),
    Forget(Place),
}

/// RFC 3261 13.3.1.4, with a T1 that makes a storm short.
const T1: Duration = Duration::from_millis(100);

struct Town {
    sockets: Vec<UdpSocket>,
    scripts: Scripts,
    legs: HashMap<Place, Leg>,
    clock: Clock<Action>,
}

impl Town {
    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let mut quiet = true;
            for index in 0..self.sockets.len() {
                while let Some((message, from)) = take(&self.sockets[index], &mut buffer) {
                    quiet = false;
                    self.took(index, message, from);
                }
            }
            while let Some(action) = self.clock.due() {
                self.act(action);
            }
            if quiet {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    fn send(&self, index: usize, octets: &[u8], to: SocketAddr) {
        self.sockets[index].send_to(octets, to).expect("the proxy's address is sound");
    }

    fn us(&self, index: usize) -> SocketAddr {
        self.sockets[index].local_addr().expect("a bound socket")
    }

    fn took(&mut self, index: usize, message: Message, from: SocketAddr) {
        let place = (index, text(message.call_id()));
        if !message.is_request() {
            // The only request of ours is BYE.
            if message.from_tag() == Some(b"callee") {
                self.legs.entry(place).and_modify(|leg| leg.state = State::Over);
            }
            return;
        }
        match message.method().as_bytes() {
            b"INVITE" if message.to_tag().is_none() => self.invited(index, place, message, from),
            b"ACK" => self.acknowledged(&place),
            b"CANCEL" => self.cancelled(&place, &message, from),
            b"OPTIONS" => self.send(index, &answer(&message, 200, "way", self.us(index)).bytes(), from),
            _ => self.asked(&place, &message, from),
        }
    }

    fn invited(&mut self, index: usize, place: Place, invite: Message, from: SocketAddr) {
        if let Some(leg) = self.legs.get(&place) {
            if let Some(said) = leg.said.clone() {
                self.send(index, &said, from);
            }
            return;
        }
        // What belongs to no storm rings until it is cancelled.
        let waits = Script {
            callee: Answer::NeverUnlessCancelled,
            caller: super::Patience::Stays,
            end: End::CallerSendsBye,
            ring: Duration::ZERO,
            later: Duration::ZERO,
        };
        let script = number(invite.request_uri()).map_or(waits, |number| self.scripts.of(number));
        let leg = Leg { script, invite, from, said: None, state: State::Rings };
        self.legs.insert(place.clone(), leg);
        self.clock.after(Duration::from_secs(40), Action::Forget(place.clone()));
        match script.callee {
            Answer::Silence => return,
            Answer::Trying => self.say(&place, 100, "callee"),
            Answer::AtOnce => {}
            _ => self.say(&place, 180, "callee"),
        }
        match script.callee {
            Answer::Rings | Answer::AtOnce | Answer::Twice | Answer::Refuses(_) => self.clock.after(script.ring, Action::Answer(place)),
            // It comes in any case, so that it may cross a CANCEL.
            Answer::InSpiteOfCancel => self.clock.after(script.ring, Action::Answer(place)),
            Answer::NeverUnlessCancelled | Answer::Never | Answer::Trying | Answer::Silence => {}
        }
    }

    fn say(&mut self, place: &Place, status: u16, tag: &str) {
        let us = self.us(place.0);
        let Some(leg) = self.legs.get_mut(place) else { return };
        let mut draft = answer(&leg.invite, status, tag, us);
        if (200..300).contains(&status) {
            // Where both are gone, this is what ends it.
            draft = self.scripts.media.said_in(draft.header("Session-Expires", "1;refresher=uac"));
        }
        let (octets, to) = (draft.bytes(), leg.from);
        leg.said = Some(octets.clone());
        self.send(place.0, &octets, to);
    }

    fn answers(&mut self, place: &Place) {
        let Some(leg) = self.legs.get_mut(place).filter(|leg| leg.state == State::Rings) else { return };
        if let Answer::Refuses(status) = leg.script.callee {
            leg.state = State::Over;
            return self.say(place, status, "callee");
        }
        leg.state = State::Answered;
        if leg.script.callee == Answer::Twice {
            self.say(place, 200, "another");
        }
        self.say(place, 200, "callee");
        self.clock.after(T1, Action::Again(place.clone(), 4));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Answer(place) => self.answers(&place),
            Action::Again(place, left) => self.no_ack_yet(place, left),
            Action::Bye(place) => self.bye(place),
            Action::ByeAgain(place, octets, left) => {
                let Some(leg) = self.legs.get(&place).filter(|leg| leg.state != State::Over) else { return };
                self.send(place.0, &octets, leg.from);
                if left > 0 {
                    self.clock.after(T1 * 5, Action::ByeAgain(place, octets, left - 1));
                }
            }
            Action::Forget(place) => drop(self.legs.remove(&place)),
        }
    }

    fn no_ack_yet(&mut self, place: Place, left: u32) {
        let Some(leg) = self.legs.get(&place).filter(|leg| leg.state == State::Answered) else { return };
        let end = leg.script.end;
        match (left, &leg.said) {
            (1.., Some(said)) => {
                self.send(place.0, said, leg.from);
                self.clock.after(T1 * (1 << (5 - left)), Action::Again(place, left - 1));
            }
            // RFC 3261 13.3.1.4: the session is ended with a BYE, by those who are still there.
            _ if end != End::BothAreGone => self.bye(place),
            _ => {}
        }
    }

    fn acknowledged(&mut self, place: &Place) {
        let Some(leg) = self.legs.get_mut(place).filter(|leg| leg.state == State::Answered) else { return };
        leg.state = State::Acknowledged;
        if matches!(leg.script.end, End::CalleeSendsBye | End::BothSendBye | End::CallerIsGone) {
            let later = leg.script.later;
            self.clock.after(later, Action::Bye(place.clone()));
        }
    }

    fn cancelled(&mut self, place: &Place, cancel: &Message, from: SocketAddr) {
        let Some(leg) = self.legs.get_mut(place).filter(|leg| leg.script.callee != Answer::Silence) else { return };
        let (state, callee) = (leg.state, leg.script.callee);
        self.send(place.0, &answer(cancel, 200, "callee", self.us(place.0)).bytes(), from);
        let obeys = !matches!(callee, Answer::Never | Answer::Trying | Answer::InSpiteOfCancel);
        if state == State::Rings && obeys {
            self.legs.entry(place.clone()).and_modify(|leg| leg.state = State::Over);
            self.say(place, 487, "callee");
        }
    }

    /// BYE, or a re-INVITE.
    fn asked(&mut self, place: &Place, request: &Message, from: SocketAddr) {
        let leg = self.legs.get_mut(place);
        let is_gone = |leg: &&mut Leg| matches!(leg.script.end, End::CalleeIsGone | End::BothAreGone) && leg.state != State::Over;
        if leg.as_ref().is_some_and(is_gone) {
            return;
        }
        let status = match leg {
            Some(leg) if request.method().as_bytes() == b"BYE" => {
                // The other one of two callees ends by itself.
                if request.to_tag() == Some(b"callee") {
                    leg.state = State::Over;
                }
                200
            }
            _ => 481,
        };
        self.send(place.0, &answer(request, status, "callee", self.us(place.0)).bytes(), from);
    }

    fn bye(&mut self, place: Place) {
        let us = self.us(place.0);
        let Some(leg) = self.legs.get(&place) else { return };
        let tags: &[&str] = if leg.script.callee == Answer::Twice { &["callee", "another"] } else { &["callee"] };
        let byes: Vec<Vec<u8>> = tags.iter().map(|tag| bye_of_callee(&leg.invite, tag, us).bytes()).collect();
        for octets in byes {
            self.clock.after(Duration::ZERO, Action::ByeAgain(place.clone(), octets, 3));
        }
    }
}

/// RFC 3261 12.1.1, 12.2.1.1: the route set is the Record-Route in its order, the target the Contact.
fn bye_of_callee(invite: &Message, tag: &str, us: SocketAddr) -> Draft {
    let of = |name: &Name<'_>| invite.field(name).map(text).unwrap_or_default();
    let contact = of(&Name::Contact);
    let mut draft = Draft::new(format!("BYE {} SIP/2.0", contact.trim_matches(['<', '>'])))
        .header("Via", format!("SIP/2.0/UDP {us};branch=z9hG4bK{}", unique()))
        .header("Max-Forwards", "70")
        .header("From", format!("{};tag={tag}", of(&Name::To)))
        .header("To", of(&Name::From))
        .header("Call-ID", text(invite.call_id()))
        .header("CSeq", "7 BYE");
    for hop in invite.values(&Name::RecordRoute) {
        draft = draft.header("Route", text(hop.bytes));
    }
    draft
}
