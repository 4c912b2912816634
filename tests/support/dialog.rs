//! A dialog as one of its ends sees it (RFC 3261 12).

use super::draft::{Draft, unique};
use super::link::Link;
use super::peer::{Peer, Received};

/// What an end keeps of a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    local: String,
    remote: String,
    call_id: String,
    sequence: u32,
    /// The route set, the first to visit first.
    pub(crate) route: Vec<String>,
    /// The remote target.
    pub(crate) target: String,
}

impl Dialog {
    /// The caller's view, from the request it sent and the 2xx it took (12.1.2: the route set is the Record-Route reversed).
    pub(crate) fn of_caller(answer: &Received) -> Self {
        let mut route = record_route(answer);
        route.reverse();
        Self {
            local: answer.value("From"),
            remote: answer.value("To"),
            call_id: answer.value("Call-ID"),
            sequence: answer.message.cseq().map_or(1, |(number, _)| number),
            route,
            target: uri_of(&answer.value("Contact")),
        }
    }

    /// The callee's view, from the request it took (12.1.1: the route set is the Record-Route in its order).
    pub(crate) fn of_callee(request: &Received, callee: &Peer) -> Self {
        Self {
            local: format!("{};tag={}", request.value("To"), callee.tag),
            remote: request.value("From"),
            call_id: request.value("Call-ID"),
            sequence: 100,
            route: record_route(request),
            target: uri_of(&request.value("Contact")),
        }
    }

    /// The next request in this dialog.
    pub(crate) fn request(&mut self, peer: &Peer, method: &str, link: &Link) -> Draft {
        if method != "ACK" {
            self.sequence += 1;
        }
        let mut draft = Draft::new(format!("{method} {} SIP/2.0", self.target))
            .header("Via", peer.via(link))
            .header("Max-Forwards", "70")
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{} {method}", self.sequence));
        for hop in &self.route {
            draft = draft.header("Route", hop);
        }
        draft.header("Contact", peer.contact(link))
    }
}

fn record_route(message: &Received) -> Vec<String> {
    let values = message.values("Record-Route");
    values.iter().flat_map(|value| value.split(',')).map(|hop| hop.trim().to_owned()).collect()
}

/// The URI of a name-addr.
pub(crate) fn uri_of(name_addr: &str) -> String {
    let inner = name_addr.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(name_addr, |(uri, _)| uri).to_owned()
}

/// The ACK of a final response that is not a 2xx: the INVITE's own branch, no Route of the dialog (17.1.1.3).
pub(crate) fn ack_of_failure(invite: &Draft, answer: &Received) -> Draft {
    let uri = invite.start.split(' ').nth(1).unwrap_or_default();
    Draft::new(format!("ACK {uri} SIP/2.0"))
        .header("Via", invite.value("Via"))
        .header("Max-Forwards", "70")
        .header("From", invite.value("From"))
        .header("To", answer.value("To"))
        .header("Call-ID", invite.value("Call-ID"))
        .header("CSeq", invite.value("CSeq").replace("INVITE", "ACK"))
}

/// The CANCEL of an INVITE (9.1: same Request-URI, top Via, Call-ID, From, To and CSeq number).
pub(crate) fn cancel_of(invite: &Draft) -> Draft {
    let uri = invite.start.split(' ').nth(1).unwrap_or_default();
    Draft::new(format!("CANCEL {uri} SIP/2.0"))
        .header("Via", invite.value("Via"))
        .header("Max-Forwards", "70")
        .header("From", invite.value("From"))
        .header("To", invite.value("To"))
        .header("Call-ID", invite.value("Call-ID"))
        .header("CSeq", invite.value("CSeq").replace("INVITE", "CANCEL"))
}

/// A tag that a callee made up, for requests that only pretend to be in a dialog.
pub(crate) fn with_to_tag(draft: Draft) -> Draft {
    let to = format!("{};tag={}", draft.value("To"), unique());
    draft.with("To", to)
}
