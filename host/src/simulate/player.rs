//! Messages from files: each goes through the router, and those that it is sent on to answer as the script says.

use std::collections::HashMap;
use std::time::Duration;

use jackfield_proto::message::{Framing, Limits, Message, Method, respond};
use jackfield_proto::net::{Flow, Listener, ListenerId, Transport};
use jackfield_proto::time::Timestamp;

use super::letters::Letter;
use super::outgoing::Sent;
use super::report::{Arrived, Report};
use super::script::Failure;
use super::{Options, Outcome, SimulateError, told};
use crate::engine::Told;
use crate::run::stage::Stage;

/// How long is waited for what a silent attempt leads to: longer than timer C of any configuration that is in use.
const PATIENCE: Duration = Duration::from_secs(900);

/// Requests that one message may become; beyond, nobody answers any more.
const ATTEMPTS: u32 = 1000;

/// Plays messages.
pub(super) struct Player<'a, 'o> {
    stage: &'a Stage,
    options: &'a Options,
    report: Report<'o>,
    /// Messages that were not left out.
    taken: usize,
    /// What became of one message.
    course: Course,
}

/// What became of one message.
#[derive(Default)]
struct Course {
    /// Requests that left, by branch and method, with the times that they left again.
    seen: HashMap<Vec<u8>, u32>,
    attempts: u32,
    /// Silent attempts that nothing has come after.
    silent: Vec<u32>,
    repeated: u32,
    outcome: Option<Outcome>,
}

impl<'a, 'o> Player<'a, 'o> {
    pub(super) fn new(stage: &'a Stage, options: &'a Options, report: Report<'o>) -> Self {
        Self { stage, options, report, taken: 0, course: Course::default() }
    }

    /// Plays them one after the other.
    pub(super) fn play(mut self, letters: Vec<Letter>) -> Result<Outcome, SimulateError> {
        let mut outcome = Outcome::Good;
        for letter in letters {
            if self.play_one(&letter)? == Outcome::Bad {
                outcome = Outcome::Bad;
            }
        }
        match &self.options.only {
            Some(only) if self.taken == 0 => Err(SimulateError::Usage(format!("--only: no message is of a call `{only}`"))),
            _ => Ok(outcome),
        }
    }

    fn play_one(&mut self, letter: &Letter) -> Result<Outcome, SimulateError> {
        let failed = |why: &str| SimulateError::Input { path: letter.name.clone().into(), why: why.to_owned() };
        let message = Message::parse(letter.bytes.clone(), Framing::Datagram, &Limits::default());
        let message = message.map_err(|_| failed("is no SIP message: its first line is neither a request's nor a response's"))?;
        if self.options.only.as_ref().is_some_and(|only| only.as_bytes() != message.call_id()) {
            return Ok(Outcome::Good);
        }
        self.taken += 1;
        let flow = self.flow(&message)?;
        self.course = Course::default();
        let simulation = &self.stage.simulation;
        let now = simulation.now();
        let arrived = Arrived { at: now, name: Some(&letter.name), flow: &flow, bytes: &letter.bytes, call_id: message.call_id() };
        self.report.arrived(&arrived)?;
        simulation.receive(letter.bytes.clone(), flow);
        self.carry_on()?;
        let limit = simulation.now() + PATIENCE;
        while !self.course.silent.is_empty() && simulation.running() > 0 && simulation.step(limit) {
            self.carry_on()?;
        }
        if self.course.repeated > 0 {
            let words = format!("(left again unchanged, as nothing came back: {} times)", self.course.repeated);
            self.report.happened(simulation.now(), &words)?;
        }
        self.report.end()?;
        Ok(self.course.outcome.unwrap_or(Outcome::Good))
    }

    /// How a message comes: over its Via's transport, to the listener that is named, or else the first one for that.
    fn flow(&self, message: &Message) -> Result<Flow, SimulateError> {
        let listeners = self.stage.simulation.listeners();
        let said = message.top_via().and_then(|via| Transport::from_name(via.transport_name()));
        let named = |listener: &&(u16, &Listener)| self.options.to.as_ref().is_none_or(|name| **name == *listener.1.name);
        let speaks = |listener: &&(u16, &Listener)| said.is_none_or(|transport| listener.1.transport == transport);
        let all: Vec<(u16, &Listener)> = (0..).zip(listeners.iter()).collect();
        let mut candidates = all.iter().filter(named);
        let found = candidates.clone().find(speaks).or_else(|| candidates.next());
        let Some((index, listener)) = found else {
            let name = self.options.to.clone().unwrap_or_default();
            return Err(SimulateError::Usage(format!("--to: there is no listener `{name}`")));
        };
        let remote = self.options.from.unwrap_or_else(|| match listener.address.is_ipv4() {
            true => ([192, 0, 2, 1], 5060).into(),
            false => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 5060).into(),
        });
        let transport = listener.transport;
        let connection = (transport != Transport::Udp).then(|| self.stage.simulation.open(transport, remote));
        Ok(Flow { transport, listener: ListenerId(*index), remote, connection })
    }

    /// Tells what has happened, and lets those answer who got something, until nothing more happens.
    fn carry_on(&mut self) -> Result<(), SimulateError> {
        loop {
            for line in self.stage.world.take_heard() {
                self.report.happened(self.stage.simulation.now(), &line)?;
            }
            let told = self.stage.simulation.told();
            if told.is_empty() {
                return Ok(());
            }
            for (at, told) in told {
                for line in told::words(&told) {
                    self.report.happened(at, &line)?;
                }
                if let Told::Sent { outgoing, connection } = told
                    && let Some(sent) = Sent::of(outgoing, connection)
                {
                    self.sent(at, &sent)?;
                }
            }
        }
    }

    fn sent(&mut self, at: Timestamp, sent: &Sent) -> Result<(), SimulateError> {
        let message = &sent.message;
        if !message.is_request() {
            return Ok(self.report.sent(at, sent)?);
        }
        let branch = message.top_via().and_then(|via| via.branch().map(<[u8]>::to_vec)).unwrap_or_default();
        let key = [&branch, message.method().as_bytes()].concat();
        let times = self.course.seen.entry(key).or_default();
        *times += 1;
        if *times > 1 {
            self.course.repeated += 1;
            return Ok(());
        }
        self.report.sent(at, sent)?;
        match message.method() {
            Method::ACK => Ok(()),
            // Who is told to end something says that it has; its INVITE is ended by that.
            Method::CANCEL => {
                self.answer(sent, 200);
                Ok(())
            }
            _ => {
                self.course.attempts += 1;
                self.attempt(sent);
                Ok(())
            }
        }
    }

    fn attempt(&mut self, sent: &Sent) {
        let attempt = self.course.attempts;
        self.course.silent.clear();
        if attempt > ATTEMPTS {
            return;
        }
        match self.options.failures.of(attempt) {
            None => {}
            Some(Failure::Status(status)) => self.answer(sent, status),
            Some(Failure::Timeout) => self.course.silent.push(attempt),
            Some(Failure::Transport) => sent.origin.into_iter().for_each(|origin| self.stage.simulation.fail(origin)),
        }
    }

    fn answer(&self, sent: &Sent, status: u16) {
        let path = sent.path;
        let mut response = respond(&sent.message, status, None).to_tag(format!("simulated-{}", self.course.attempts).as_bytes());
        if sent.message.method().is_invite() && (200..300).contains(&status) {
            response = response.header("Contact", format!("<sip:{};transport={}>", path.remote, path.transport));
        }
        let flow = Flow { transport: path.transport, listener: path.listener, remote: path.remote, connection: sent.connection };
        self.stage.simulation.receive(response.finish(), flow);
    }
}
