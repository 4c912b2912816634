//! What an answer to OPTIONS tells, and what silence does.

use std::io;

use jackfield_proto::message::{Message, Name};
use jackfield_proto::net::Transport;
use rustls::Error;

use crate::finding::{Kind, Report};
use crate::link::Answer;
use crate::tls::{alert_text, refuses_us, tls_error};
use crate::visit::Place;
use crate::wording;

/// Tells what a final response to OPTIONS means. Whether requests get through to somebody who serves them.
pub(crate) fn judge(answer: &Answer, place: &Place<'_>, report: &mut Report<'_>) -> Service {
    let response = &answer.response;
    let (status, trunk) = (response.status(), &place.subject.trunk);
    let said = wording::status(response);
    let from = place.from();
    let (kind, what, remedy) = match status {
        200..300 => {
            report.good(Kind::Answers, format!("OPTIONS is answered {said} in {}", wording::time(answer.elapsed)));
            return Service::There;
        }
        401 | 407 => {
            let what = format!("OPTIONS is answered {said} in {}: credentials are wanted even for that", wording::time(answer.elapsed));
            report.note(Kind::Challenged, what);
            return Service::There;
        }
        405 | 501 => {
            report.note(
                Kind::AnswersOtherwise,
                format!("OPTIONS is answered {said}: somebody is there who does not know it; a probe counts that as up"),
            );
            return Service::There;
        }
        404 | 410 | 480 | 484 | 485 | 604 => {
            let what = format!("OPTIONS is answered {said}: somebody is there, and does not know sip:{}", place.subject.provider);
            let remedy =
                format!("nothing, if calls get through; if they are answered so as well, correct trunk.{trunk}.provider and the route");
            report.advise(Kind::AnswersOtherwise, what, remedy);
            return Service::There;
        }
        300..400 => {
            let contact = response.field(&Name::Contact).map_or_else(String::new, |contact| format!(": {}", wording::printable(contact)));
            let remedy = format!("if calls are redirected as well, name that as trunk.{trunk}.proxy");
            report.advise(Kind::AnswersOtherwise, format!("OPTIONS is answered {said}{contact}"), remedy);
            return Service::There;
        }
        403 | 603 | 606 | 607 => {
            let remedy = format!(
                "ask the provider to admit {from}; or send from the address that it knows: trunk.{trunk}.egress; \
                 some admit nobody who is not registered, so that REGISTER comes first"
            );
            (Kind::Forbidden, format!("OPTIONS is answered {said}: the provider does not want us, as seen from {from}"), remedy)
        }
        482 | 483 => {
            let remedy = format!("see that trunk.{trunk}.proxy names the provider's proxy, and not one that sends back here");
            (Kind::Loop, format!("OPTIONS is answered {said}: it was sent in a circle"), remedy)
        }
        408 | 500 | 502..=504 => {
            let remedy = format!("ask the provider; until then a second way or a fallback carries calls: trunk.{trunk}.fallback");
            (Kind::Unavailable, format!("OPTIONS is answered {said}: who is there cannot serve"), remedy)
        }
        400 | 416 | 420 | 421 | 493 | 505 | 513 => {
            let remedy =
                format!("look at what trunk.{trunk}.set-headers and options put into requests; else ask the provider, with this answer");
            (Kind::Misunderstood, format!("OPTIONS is answered {said}: it is not understood"), remedy)
        }
        _ => {
            report.note(Kind::AnswersOtherwise, format!("OPTIONS is answered {said} in {}", wording::time(answer.elapsed)));
            return Service::There;
        }
    };
    report.bad(kind, what, remedy);
    Service::Refused
}

/// Whether somebody is there who serves requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    There,
    Refused,
}

/// Says why there may be no answer.
pub(crate) fn silent(provisional: Option<u16>, sent: u32, place: &Place<'_>, report: &mut Report<'_>) {
    let (remote, transport, trunk) = (place.remote, place.transport, &place.subject.trunk);
    let patience = wording::time(place.subject.times.answer);
    if let Some(status) = provisional {
        let what = format!("{remote} answers OPTIONS with {status}, and with nothing final in {patience}");
        report.bad(Kind::Silent, what, "who is there waits for somebody behind it that is silent: ask the provider");
    } else if transport == Transport::Udp {
        let what = format!(
            "{remote} is silent: OPTIONS sent over UDP {} in {patience}, and nothing came back to {}",
            wording::times(sent),
            place.from()
        );
        let remedy = format!(
            "let UDP to and from {remote} pass firewall and NAT (`tcpdump -ni any host {}` shows what leaves and comes); see that port and transport \
             are the provider's (options = {{ transport = \"tcp\" }} in [trunk.{trunk}]); some are silent to addresses that they do not know",
            remote.ip()
        );
        report.bad(Kind::Silent, what, remedy);
    } else {
        let what = format!("{remote} takes the connection over {transport}, and does not answer OPTIONS in {patience}");
        let remedy =
            "see that this is the provider's SIP port, and not another service; some are silent to addresses that they do not know";
        report.bad(Kind::Silent, what, remedy);
    }
}

/// Says why the link to an address has failed while it was to carry a request.
pub(crate) fn broken(error: &io::Error, place: &Place<'_>, report: &mut Report<'_>) {
    let (remote, transport) = (place.remote, place.transport);
    match (tls_error(error), error.kind()) {
        (Some(Error::AlertReceived(alert)), _) if refuses_us(*alert) => {
            let what = format!("the provider does not accept our certificate: {}", alert_text(*alert));
            let name = &place.listener.name;
            report.bad(
                Kind::TlsFailed,
                what,
                format!("show it one that it knows: listen.{name}.tls.certificate and listen.{name}.tls.key"),
            );
        }
        (Some(error), _) => {
            let what = format!("{remote} ends TLS instead of an answer: {error}");
            report.bad(Kind::TlsFailed, what, "ask the provider, with this message");
        }
        (_, io::ErrorKind::ConnectionRefused) => refused(place, report),
        (_, io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => unreachable(error, place, report),
        (_, io::ErrorKind::InvalidData) => {
            let what = format!("{remote} answers over {transport} with what is no SIP: {error}");
            report.bad(Kind::Broken, what, "see that this is the provider's SIP port, and not another service");
        }
        _ => {
            let what = format!("{remote} has closed the connection over {transport} instead of an answer: {error}");
            report.bad(Kind::Broken, what, "ask the provider whether it wants another port or transport, or knows this address at all");
        }
    }
}

/// Says that nobody listens.
pub(crate) fn refused(place: &Place<'_>, report: &mut Report<'_>) {
    let (remote, transport, trunk) = (place.remote, place.transport, &place.subject.trunk);
    let what = format!("{remote} refuses {transport}: nobody listens at that port, or a firewall says so");
    report.bad(Kind::Refused, what, format!("see that port and transport are the provider's: trunk.{trunk}.proxy, trunk.{trunk}.options"));
}

/// Says that there is no way.
pub(crate) fn unreachable(error: &io::Error, place: &Place<'_>, report: &mut Report<'_>) {
    let (remote, local) = (place.remote, place.listener.address.ip());
    let what = format!("{remote} cannot be reached from {local}: {error}");
    report.bad(Kind::Unreachable, what, format!("look at `ip route get {} from {local}` and at the routers on the way", remote.ip()));
}

/// Says what the network did to an attempt to connect.
pub(crate) fn not_connected(error: &io::Error, place: &Place<'_>, report: &mut Report<'_>) {
    let (remote, transport) = (place.remote, place.transport);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => refused(place, report),
        io::ErrorKind::TimedOut => {
            let what = format!(
                "{remote} does not answer the attempt to connect over {transport} in {}",
                wording::time(place.subject.times.connect)
            );
            let remedy =
                format!("let TCP to {remote} pass the firewall; see that port and transport are the provider's; perhaps it is down");
            report.bad(Kind::TimedOut, what, remedy);
        }
        _ => unreachable(error, place, report),
    }
}

/// What the Via of a response tells about the way between us and the provider (RFC 3261 18.2.1, RFC 3581).
pub(crate) fn seen_as(response: &Message, place: &Place<'_>, report: &mut Report<'_>) {
    let Some(via) = response.top_via() else { return };
    let (received, port) = (via.received(), via.rport().flatten());
    let (name, advertised) = (&place.listener.name, crate::outgoing::advertised_host(&place.listener.sent_by));
    let Some(seen) = received.or(port.and(via.host_ip())) else {
        report.note(Kind::SeenAs, "the provider does not say which address it sees (no received, no rport in its Via)");
        return;
    };
    let shown = port.map_or_else(|| seen.to_string(), |port| std::net::SocketAddr::new(seen, port).to_string());
    let Some(written) = jackfield_proto::message::host_address(advertised.as_bytes()) else {
        report.note(Kind::SeenAs, format!("the provider sees us as {shown}, and the listener `{name}` writes {advertised} into messages"));
        return;
    };
    if seen == written {
        report.good(Kind::SeenAs, format!("the provider sees us as {shown}, as the listener `{name}` advertises"));
    } else if jackfield_proto::net::is_private(written) {
        let what = format!("NAT: the provider sees us as {shown}, the listener `{name}` advertises {advertised}");
        let remedy = format!(
            "if {seen} does not change and is forwarded here, write listen.{name}.advertise = \"{seen}\"; else the provider has to send calls to where \
             registrations come from"
        );
        report.advise(Kind::Nat, what, remedy);
    } else {
        let what =
            format!("the provider sees us as {shown}, and the listener `{name}` advertises {advertised}: requests in calls would go there");
        report.bad(
            Kind::Nat,
            what,
            format!("correct listen.{name}.advertise (\"{seen}\"), or leave from the listener that has {advertised}"),
        );
    }
}
