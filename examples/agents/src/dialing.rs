//! What an agent begins itself: calls that are hung up once they are answered, and registrations.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use jackfield_proto::message::{Message, Name};

use crate::agent::{Agent, Binding, Taken};
use crate::ladder::PROXY;
use crate::wire::{parse, session, text, uri_in};

/// How long the others have for each step.
const PATIENCE: Duration = Duration::from_secs(8);

/// A call to place.
#[derive(Clone, Debug, Default)]
pub struct Invitation {
    /// The Request-URI.
    pub uri: String,
    /// The URI of To, if it is another.
    pub to: Option<String>,
    /// Header fields to add.
    pub headers: Vec<(String, String)>,
    /// The route set, and where it begins; none: the agent's own.
    pub way: Option<(Vec<String>, SocketAddr)>,
}

impl Invitation {
    /// A call to a URI.
    pub fn to(uri: &str) -> Self {
        Self { uri: uri.to_owned(), ..Self::default() }
    }

    /// A call to who has registered: to the contact and along the Path (RFC 3327 5.3), or along no Path.
    pub fn to_binding(binding: &Binding) -> Self {
        let (uri, to) = (binding.contact.clone(), Some(binding.aor.clone()));
        Self { uri, to, headers: Vec::new(), way: Some((binding.path.clone(), binding.source)) }
    }

    /// With a further header field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a call or a registration ended.
#[derive(Debug)]
pub struct Ended {
    /// Its Call-ID: the record has what happened under it.
    pub call_id: String,
    /// From the first request to the final response.
    pub took: Duration,
    /// The status of that response, or why there was none.
    pub status: Result<u16>,
}

impl Ended {
    /// An error unless it ended with a 2xx.
    pub fn succeeded(&self) -> Result<()> {
        match &self.status {
            Ok(200..=299) => Ok(()),
            Ok(status) => bail!("it was answered with {status}"),
            Err(error) => bail!("{error:#}"),
        }
    }
}

/// Who hangs up a call that has been talked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The caller.
    Caller,
    /// Nobody any more: the callee has done it.
    Done,
}

/// What all requests of a dialog, or of a registration, have alike.
struct Talk {
    call_id: String,
    uri: String,
    from: String,
    to: String,
    routes: Vec<String>,
    send_to: SocketAddr,
    transactions: u32,
}

impl Agent {
    /// Calls, and hangs up once it is answered.
    pub fn call(&self, invitation: &Invitation) -> Ended {
        self.call_during(invitation, |_| Ok(HangUp::Caller))
    }

    /// Calls, does something once it is answered, which gets the answer, and lets that say who hangs up.
    pub fn call_during(&self, invitation: &Invitation, work: impl FnOnce(&Message) -> Result<HangUp>) -> Ended {
        let to = invitation.to.as_ref().unwrap_or(&invitation.uri);
        let mut talk = self.talk(&invitation.uri, to);
        if let Some((routes, send_to)) = &invitation.way {
            (talk.routes, talk.send_to) = (routes.clone(), *send_to);
        }
        let headers: String = invitation.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (begun, body) = (Instant::now(), session(self.us));
        let contact = format!("Contact: <sip:{}@{}>\r\n", self.profile.name, self.us);
        let content = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = self.proven(&mut talk, "INVITE", &format!("{contact}{headers}"), &content);
        let took = begun.elapsed();
        let status = answer.and_then(|(answer, sequence)| {
            self.acknowledge(&mut talk, &answer, sequence)?;
            if answer.status() < 300 && work(&answer)? == HangUp::Caller {
                self.hang_up(&mut talk, sequence + 1)?;
            }
            Ok(answer.status())
        });
        Ended { call_id: talk.call_id, took, status }
    }

    /// Hangs up a call that it has taken.
    pub fn hang_up_taken(&self, taken: &Taken) -> Result<()> {
        let request = &taken.request;
        let value = |name: &Name<'_>| request.field(name).map(text).unwrap_or_default();
        let mut talk = Talk {
            call_id: text(request.call_id()),
            uri: uri_in(&value(&Name::Contact)),
            from: format!("{};tag={}", value(&Name::To), self.profile.name),
            to: value(&Name::From),
            // RFC 3261 12.1.1: the callee's route set is the Record-Route as it stands.
            routes: request.values(&Name::RecordRoute).map(|hop| uri_in(&text(hop.bytes))).collect(),
            send_to: taken.source,
            transactions: 0,
        };
        self.hang_up(&mut talk, 1)
    }

    /// Registers an address of record with a registrar. `parameters` go into the URI of its Contact, like `;line=a1b2c3`.
    pub fn register(&self, registrar: &str, aor: &str, parameters: &str) -> Ended {
        let mut talk = self.talk(registrar, aor);
        let contact = format!("Contact: <sip:{}@{}{parameters}>\r\n", self.profile.name, self.us);
        let headers = format!("{contact}Supported: path\r\nExpires: 60\r\n");
        let begun = Instant::now();
        let answer = self.proven(&mut talk, "REGISTER", &headers, "Content-Length: 0\r\n\r\n");
        Ended { call_id: talk.call_id, took: begun.elapsed(), status: answer.map(|(answer, _)| answer.status()) }
    }

    /// Asks who has registered whether it is there: OPTIONS along the Path.
    pub fn qualify(&self, binding: &Binding) -> Ended {
        let mut talk = self.talk(&binding.contact, &binding.aor);
        (talk.routes, talk.send_to) = (binding.path.clone(), binding.source);
        let begun = Instant::now();
        let answer = self.proven(&mut talk, "OPTIONS", "", "Content-Length: 0\r\n\r\n");
        Ended { call_id: talk.call_id, took: begun.elapsed(), status: answer.map(|(answer, _)| answer.status()) }
    }

    fn talk(&self, uri: &str, to: &str) -> Talk {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Talk {
            call_id: format!("{:x}@{}", now.as_nanos(), self.profile.name),
            uri: uri.to_owned(),
            from: format!("<{}>;tag=f{}", self.profile.identity, self.us.port()),
            to: format!("<{to}>"),
            routes: self.profile.route.iter().cloned().collect(),
            send_to: self.profile.proxy,
            transactions: 0,
        }
    }

    /// Sends a request, and once more with credentials if it is challenged. Gives the final response and the CSeq number it belongs to.
    fn proven(&self, talk: &mut Talk, method: &str, headers: &str, content: &str) -> Result<(Message, u32)> {
        let answer = self.ask(talk, 1, method, headers, content)?;
        let (asked, answered) = match answer.status() {
            401 => (Name::WwwAuthenticate, "Authorization"),
            407 => (Name::ProxyAuthenticate, "Proxy-Authorization"),
            _ => return Ok((answer, 1)),
        };
        let (Some(account), Some(challenge)) = (&self.profile.account, answer.field(&asked).map(text)) else { return Ok((answer, 1)) };
        if method == "INVITE" {
            self.acknowledge_failure(talk, 1, &answer)?;
        }
        let credentials = account.answer(&challenge, method, &talk.uri);
        let again = self.ask(talk, 2, method, &format!("{headers}{answered}: {credentials}\r\n"), content)?;
        Ok((again, 2))
    }

    /// Acknowledges the final response of an INVITE, and notes what the dialog's further requests need if there is one.
    fn acknowledge(&self, talk: &mut Talk, answer: &Message, sequence: u32) -> Result<()> {
        if answer.status() >= 300 {
            return self.acknowledge_failure(talk, sequence, answer);
        }
        // RFC 3261 12.1.2: the caller's route set is the Record-Route in reverse.
        talk.routes = answer.values(&Name::RecordRoute).map(|hop| uri_in(&text(hop.bytes))).collect();
        talk.routes.reverse();
        talk.uri = uri_in(&answer.field(&Name::Contact).map(text).unwrap_or_default());
        talk.to = answer.field(&Name::To).map(text).unwrap_or_default();
        self.send(talk, sequence, "ACK", "", "Content-Length: 0\r\n\r\n")
    }

    fn hang_up(&self, talk: &mut Talk, sequence: u32) -> Result<()> {
        let goodbye = self.ask(talk, sequence, "BYE", "", "Content-Length: 0\r\n\r\n")?;
        if goodbye.status() != 200 {
            bail!("the BYE was answered with {}", goodbye.status());
        }
        Ok(())
    }

    /// RFC 3261 17.1.1.3: the ACK of a failure belongs to the INVITE's own transaction.
    fn acknowledge_failure(&self, talk: &mut Talk, sequence: u32, answer: &Message) -> Result<()> {
        let before = std::mem::replace(&mut talk.to, answer.field(&Name::To).map(text).unwrap_or_default());
        talk.transactions -= 1;
        let sent = self.send(talk, sequence, "ACK", "", "Content-Length: 0\r\n\r\n");
        talk.to = before;
        sent
    }

    fn ask(&self, talk: &mut Talk, sequence: u32, method: &str, headers: &str, content: &str) -> Result<Message> {
        self.send(talk, sequence, method, headers, content)?;
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(response) = self.responses.recv_timeout(left) else { continue };
            let is_ours = response.call_id() == talk.call_id.as_bytes() && response.cseq().is_some_and(|(number, _)| number == sequence);
            if is_ours && response.status() >= 200 && response.method().as_bytes() == method.as_bytes() {
                return Ok(response);
            }
        }
        bail!("no final response to {method} in {} s", PATIENCE.as_secs())
    }

    fn send(&self, talk: &mut Talk, sequence: u32, method: &str, headers: &str, content: &str) -> Result<()> {
        talk.transactions += 1;
        let branch = format!("z9hG4bK{}{}", talk.call_id.replace('@', ""), talk.transactions);
        let routes: String = talk.routes.iter().map(|uri| format!("Route: <{uri}>\r\n")).collect();
        let Talk { call_id, uri, from, to, send_to, .. } = talk;
        let us = self.us;
        let message = Bytes::from(format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch={branch};rport\r\nMax-Forwards: 70\r\n{routes}\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {method}\r\n{headers}{content}"
        ));
        if let Some(parsed) = parse(message.clone()) {
            self.record.note(&self.profile.name, PROXY, &parsed);
        }
        self.socket.send_to(&message, *send_to).with_context(|| format!("cannot send to {send_to}"))?;
        Ok(())
    }
}
