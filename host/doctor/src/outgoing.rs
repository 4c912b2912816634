//! Requests as they would leave the proxy: the core itself is asked where they go, and writes them.
//!
//! A request of the doctor's is handed to a core of its own, as if it had come in at a listener, with the trunk's way as the decision. So the
//! route set, forced parameters and header fields, the transport and the listener to send from are not a second opinion of what a call would
//! get, but that.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::message::{Framing, Limits, Message, Name};
use jackfield_proto::net::{Flow, Listener, ListenerId, Transport};
use jackfield_proto::proxy::{self, Core, Edit, Located, Output, Plan, Query, Settings, Target, Transmit, Verdict, Watch};
use jackfield_proto::time::Timestamp;

use crate::subject::{Egress, Subject, Way};

/// What the doctor asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand<'a> {
    /// OPTIONS to the provider.
    Options,
    /// REGISTER.
    Register(&'a Registering<'a>),
}

/// One REGISTER.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registering<'a> {
    /// Whose binding it is about.
    pub(crate) binding: &'a Binding,
    /// What is wanted.
    pub(crate) wish: Wish,
    /// The number in CSeq.
    pub(crate) cseq: u32,
    /// What answers the challenges so far.
    pub(crate) edits: &'a [Edit],
}

/// What a REGISTER is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To learn which bindings there are (RFC 3261 10.2.3: no Contact); nothing is changed.
    List,
    /// A binding for so many seconds.
    Bind(u32),
    /// The end of it (10.2.2).
    Remove,
}

/// A binding of the doctor's own, and the call that makes it (RFC 3261 10.2.4: one Call-ID for all of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) user: String,
    call_id: String,
}

impl Binding {
    pub(crate) fn new() -> Self {
        Self { user: format!("jackfield-doctor-{:08x}", fastrand::u32(..)), call_id: token() }
    }
}

/// Where a way leads.
#[derive(Debug)]
pub(crate) enum Leads {
    /// To a name that has to be looked up, or to an address whose listener depends on the system's routes.
    Look(Query),
    /// There.
    Directly(Box<Transmit>),
    /// Nowhere.
    Nowhere,
}

/// The copy of a request for one address.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) bytes: Bytes,
    /// The branch of its Via, by which the answer is known.
    pub(crate) branch: Bytes,
    /// The host that a secure connection has to prove.
    pub(crate) peer: Option<Arc<str>>,
    /// Which listener it leaves from.
    pub(crate) listener: ListenerId,
    pub(crate) remote: SocketAddr,
    pub(crate) transport: Transport,
}

/// Writes requests for one way.
pub(crate) struct Writer<'s> {
    subject: &'s Subject,
    target: Target,
    listeners: Vec<Listener>,
    /// The listener that the doctor's socket stands for.
    chosen: ListenerId,
}

impl<'s> Writer<'s> {
    pub(crate) fn new(subject: &'s Subject, way: &Way) -> Self {
        let target = Target {
            route: way.route.clone(),
            next_hop: way.next_hop.clone(),
            transport: way.transport,
            egress: way.egress.clone(),
            edits: subject.edits.clone(),
            ..Target::default()
        };
        let listeners = subject.listeners.iter().map(|egress| egress.listener.clone()).collect();
        Self { subject, target, listeners, chosen: ListenerId(0) }
    }

    /// The listener of that number.
    pub(crate) fn egress(&self, id: ListenerId) -> Option<&'s Egress> {
        self.subject.listeners.get(usize::from(id.0))
    }

    /// From now on the doctor's socket stands for the listener: answers come to its port. The host in Via stays.
    pub(crate) fn send_from(&mut self, id: ListenerId, local: SocketAddr) {
        let Some(listener) = self.listeners.get_mut(usize::from(id.0)) else { return };
        listener.sent_by = format!("{}:{}", advertised_host(&listener.sent_by), local.port()).into();
        listener.address.set_port(local.port());
        self.chosen = id;
    }

    /// Where the way leads.
    pub(crate) fn leads(&self) -> Leads {
        self.run(&Errand::Options, None)
    }

    /// The request as it goes to an address; none if no listener can send there.
    pub(crate) fn write(&self, errand: &Errand<'_>, located: &Located) -> Option<Copy> {
        let Leads::Directly(transmit) = self.run(errand, Some(located)) else { return None };
        let Transmit { bytes, path, peer, .. } = *transmit;
        let bytes = as_client(bytes)?;
        let branch = Message::parse(bytes.clone(), Framing::Datagram, &Limits::default()).ok()?;
        let branch = Bytes::copy_from_slice(branch.top_via()?.branch()?);
        Some(Copy { bytes, branch, peer, listener: path.listener, remote: path.remote, transport: path.transport })
    }

    /// Hands the request to a core and answers its questions.
    fn run(&self, errand: &Errand<'_>, located: Option<&Located>) -> Leads {
        let sending = self.subject.sending;
        let settings = Settings {
            listeners: self.listeners.clone(),
            domains: Vec::new(),
            timers: sending.timers,
            limits: proxy::Limits::default(),
            udp_request_max: sending.udp_request_max,
            token_keys: fastrand::u128(..).to_be_bytes().into(),
            path: sending.path,
            borders: Vec::new(),
            media: proxy::MediaPolicy::Never,
        };
        let mut core = Core::new(Arc::new(settings), 0, fastrand::u128(..));
        let Ok(request) = Message::parse(self.draft(errand).into(), Framing::Datagram, &Limits::default()) else { return Leads::Nowhere };
        let came = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9),
            connection: None,
        };
        let (now, mut out, mut next) = (Timestamp::ZERO, Vec::new(), Vec::new());
        core.receive(now, request, came, &mut out);
        // Decision, look-up, sending: more turns it does not take.
        for _ in 0..4 {
            for output in out.drain(..) {
                match output {
                    Output::SelectTargets { context, .. } => {
                        let mut target = self.target.clone();
                        if let Errand::Register(registering) = errand {
                            target.edits.extend_from_slice(registering.edits);
                        }
                        let verdict = Verdict::Forward { plan: Plan::to(target), state: (), watch: Watch::default() };
                        core.decided(now, context, verdict, &mut next);
                    }
                    Output::Resolve { branch, query } => match located {
                        None => return Leads::Look(query),
                        Some(located) => core.resolved(now, branch, vec![located.clone()], &mut next),
                    },
                    Output::Send(transmit) if transmit.branch.is_some() => return Leads::Directly(Box::new(transmit)),
                    _ => {}
                }
            }
            std::mem::swap(&mut out, &mut next);
        }
        Leads::Nowhere
    }

    /// The request as a client would hand it to the proxy.
    fn draft(&self, errand: &Errand<'_>) -> String {
        let (provider, aor, host) = (&self.subject.provider, address_of_record(self.subject), self.contact_host());
        let (method, call_id, cseq, more) = match errand {
            Errand::Options => {
                let more = format!("To: <sip:{provider}>\r\nContact: <sip:jackfield-doctor@{host}>\r\nAccept: application/sdp\r\n");
                ("OPTIONS", token(), 1, more)
            }
            Errand::Register(Registering { binding, wish, cseq, .. }) => {
                let contact = |seconds: u32| format!("Contact: <sip:{}@{host}>;expires={seconds}\r\nExpires: {seconds}\r\n", binding.user);
                let contact = match wish {
                    Wish::List => String::new(),
                    Wish::Bind(seconds) => contact(*seconds),
                    Wish::Remove => contact(0),
                };
                ("REGISTER", binding.call_id.clone(), *cseq, format!("To: <{aor}>\r\n{contact}"))
            }
        };
        format!(
            "{method} sip:{provider} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{}\r\nMax-Forwards: 71\r\n\
             From: <{aor}>;tag={}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{more}User-Agent: Jackfield doctor\r\n\
             Content-Length: 0\r\n\r\n",
            token(),
            token(),
        )
    }

    /// Where the doctor can be reached.
    fn contact_host(&self) -> String {
        self.listeners.get(usize::from(self.chosen.0)).map_or_else(String::new, |listener| match listener.transport {
            Transport::Udp => listener.sent_by.to_string(),
            transport => format!("{};transport={transport}", listener.sent_by),
        })
    }
}

/// The address of record that the trunk registers: what is configured, or else the account's user at the provider.
pub(crate) fn address_of_record(subject: &Subject) -> String {
    match (&subject.aor, &subject.account) {
        (Some(aor), _) => String::from_utf8_lossy(aor).into_owned(),
        // Some providers want a whole URI as the user name of the credentials.
        (None, Some(account)) => {
            let user = account.username.strip_prefix("sip:").unwrap_or(&account.username);
            let user = user.split('@').next().unwrap_or_default();
            format!("sip:{}@{}", escaped(user), subject.provider)
        }
        (None, None) => format!("sip:jackfield-doctor@{}", subject.provider),
    }
}

/// RFC 3261 25.1: what may stand in a user part, and the rest as escapes.
fn escaped(user: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&octet);
    user.bytes().map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }).collect()
}

/// The host of `host[:port]`.
pub(crate) fn advertised_host(sent_by: &str) -> &str {
    match sent_by.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => sent_by,
    }
}

/// The request without the Via of who handed it to the core, and with `rport` (RFC 3581): the answer has to come back to the doctor's socket,
/// and to say who the provider has seen.
fn as_client(bytes: Bytes) -> Option<Bytes> {
    let message = Message::parse(bytes, Framing::Datagram, &Limits::default()).ok()?;
    let mut splice = message.splice();
    let mut vias = message.values(&Name::Via);
    let top = vias.next()?;
    splice.replace_value(&top, [top.bytes, b";rport"].concat());
    vias.for_each(|below| splice.remove_value(&below));
    splice.require_content_length();
    Some(splice.finish())
}

/// A word that nobody else has.
pub(crate) fn token() -> String {
    format!("jd{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_becomes_an_address_of_record() {
        assert_eq!(escaped("49301234"), "49301234");
        assert_eq!(escaped("a b@c"), "a%20b%40c");
    }

    #[test]
    fn the_host_of_sent_by() {
        for (sent_by, host) in [("a.test:5060", "a.test"), ("a.test", "a.test"), ("[::1]:5060", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(advertised_host(sent_by), host);
        }
    }
}
