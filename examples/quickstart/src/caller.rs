//! The calling user agent: places one call and hangs up when it is answered.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};

use crate::agent::{receive, session, text};
use crate::ladder::{CALLER, PROXY, Record};

/// How long the proxy and the callee have for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// A calling user agent on a port of its own.
#[derive(Debug)]
pub(crate) struct Caller {
    socket: UdpSocket,
    us: SocketAddr,
    proxy: SocketAddr,
    record: Record,
}

impl Caller {
    /// A caller that sends everything to the proxy.
    pub(crate) fn new(proxy: SocketAddr, record: Record) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("the caller has no port")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let us = socket.local_addr()?;
        Ok(Self { socket, us, proxy, record })
    }

    /// Calls a URI and hangs up. Gives the Call-ID, under which the record has what happened, and how it ended.
    pub(crate) fn call(&self, uri: &str, headers: &[(&str, &str)]) -> (String, Result<()>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let call_id = format!("{:x}@quickstart", now.as_nanos());
        let ended = self.converse(uri, headers, &call_id);
        (call_id, ended)
    }

    fn converse(&self, uri: &str, headers: &[(&str, &str)], call_id: &str) -> Result<()> {
        let own = format!("From: <sip:caller@example.test>;tag=c{}\r\nCall-ID: {call_id}\r\nMax-Forwards: 70\r\n", self.us.port());
        let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = session(40_000);
        let contact = format!("Contact: <sip:caller@{}>\r\n", self.us);
        let via = self.via(call_id, 1);
        let rest = format!("{contact}{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.send(format!("INVITE {uri} SIP/2.0\r\n{via}{own}To: <{uri}>\r\nCSeq: 1 INVITE\r\n{rest}"))?;
        let answer = self.final_response("INVITE", call_id)?;
        let to = text(answer.field(&Name::To).unwrap_or_default());
        if answer.status() >= 300 {
            // RFC 3261 17.1.1.3: the ACK of a failure belongs to the INVITE's own transaction.
            self.send(format!("ACK {uri} SIP/2.0\r\n{via}{own}To: {to}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"))?;
            bail!("the call was answered with {} {}", answer.status(), text(answer.reason()));
        }
        // RFC 3261 12.1.2: the caller's route set is the Record-Route in reverse.
        let mut route: Vec<String> = answer.values(&Name::RecordRoute).map(|hop| format!("Route: {}\r\n", text(hop.bytes))).collect();
        route.reverse();
        let contact = answer.field(&Name::Contact).map(text).unwrap_or_default();
        let target = contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
        for (sequence, method) in [(1, "ACK"), (2, "BYE")] {
            let via = self.via(call_id, sequence + 1);
            let route = route.concat();
            let rest = format!("To: {to}\r\nCSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n");
            self.send(format!("{method} {target} SIP/2.0\r\n{via}{route}{own}{rest}"))?;
        }
        let goodbye = self.final_response("BYE", call_id)?;
        if goodbye.status() != 200 {
            bail!("the BYE was answered with {}", goodbye.status());
        }
        Ok(())
    }

    fn via(&self, call_id: &str, transaction: u32) -> String {
        format!("Via: SIP/2.0/UDP {};branch=z9hG4bK{}{transaction}\r\n", self.us, call_id.replace('@', ""))
    }

    fn send(&self, message: String) -> Result<()> {
        let bytes = Bytes::from(message);
        if let Ok(parsed) = Message::parse(bytes.clone(), Framing::Datagram, &Limits::default()) {
            self.record.note(CALLER, PROXY, &parsed);
        }
        self.socket.send_to(&bytes, self.proxy).with_context(|| format!("cannot send to {}", self.proxy))?;
        Ok(())
    }

    fn final_response(&self, method: &str, call_id: &str) -> Result<Message> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some((message, _)) = receive(&self.socket) else { continue };
            if message.call_id() != call_id.as_bytes() {
                continue;
            }
            self.record.note(PROXY, CALLER, &message);
            if message.status() >= 200 && message.method().as_bytes() == method.as_bytes() {
                return Ok(message);
            }
        }
        bail!("no final response to {method} in {} s", PATIENCE.as_secs())
    }
}
