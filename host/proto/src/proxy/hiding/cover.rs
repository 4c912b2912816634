//! Which copies of a request cross a border that hides, and which of them cannot.

use std::sync::Arc;

use super::super::border::{Border, Extent, SideId};
use super::super::context::{Context, Server};
use super::super::environment::Environment;
use super::super::io::RequestKind;
use super::super::plan::{Reply, Target};
use super::contact::without_headers;
use super::kept::Kept;
use super::seal::VALUE_MAX;
use super::{CALL_ID_MAX, CONTACT_MAX, PATHS_MAX, ROUTES_MAX, VALUES_MAX};
use crate::message::{Message, Method, Name, NameAddr};
use crate::net::ListenerId;

/// What is hidden of the two sides of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Cover {
    pub(in crate::proxy) extent: Extent,
    /// What stands in the place of hosts; none: that of the listener which the message leaves from.
    pub(super) host: Option<Arc<str>>,
}

impl<S: Clone> Context<S> {
    /// What is hidden in the copy for a target that leaves from a listener; none where nothing is. In a dialog its token's word holds.
    #[inline]
    pub(in crate::proxy) fn cover(&self, target: &Target, egress: ListenerId, env: &Environment) -> Option<Cover> {
        let is_configured = !env.settings.borders.is_empty() || target.border.is_some() || target.from_border.is_some();
        if is_configured || self.crossing.is_some() { self.find_cover(target, egress, env) } else { None }
    }

    #[cold]
    fn find_cover(&self, target: &Target, egress: ListenerId, env: &Environment) -> Option<Cover> {
        let from = border_of(target.from_border.as_ref(), self.flow.listener, env);
        let to = border_of(target.border.as_ref(), egress, env);
        let hiding = from.hiding_between(&to);
        let host = hiding.and_then(|hiding| hiding.host.cloned());
        match self.kind {
            RequestKind::InDialog => self.crossing.map(|noted| Cover { extent: noted.extent, host }),
            RequestKind::Initial => hiding.map(|hidden| Cover { extent: hidden.extent, host }),
        }
    }

    /// Whether a copy that was to leave from the one listener may leave from the other, as far as the sides go: they are of one, or of two between
    /// which this copy makes no difference.
    #[inline]
    pub(in crate::proxy) fn is_same_side(&self, one: ListenerId, other: ListenerId, target: &Target, env: &Environment) -> bool {
        let is_configured = !env.settings.borders.is_empty() || target.border.is_some() || target.from_border.is_some();
        one == other || !(is_configured || self.crossing.is_some()) || self.makes_no_difference([one, other], target, env)
    }

    #[cold]
    fn makes_no_difference(&self, listeners: [ListenerId; 2], target: &Target, env: &Environment) -> bool {
        let [one, other] = listeners.map(|id| env.own.listener(id).map(|listener| &listener.name));
        let is_open = listeners.iter().all(|listener| self.find_cover(target, *listener, env).is_none());
        let [here, there] = listeners.map(|listener| border_of(target.border.as_ref(), listener, env));
        one == other || (is_open && here.identity == there.identity)
    }

    /// Keeps what a copy hides, for the responses to it. False if it cannot cross: then the reason is kept.
    pub(in crate::proxy) fn may_be_hidden(&mut self, index: u16, request: &Message, cover: Cover) -> bool {
        let is_stateless = matches!(self.server, Server::Stateless);
        let refusal = match too_long(request, cover.extent) {
            Some(what) => Some(Reply::with_reason(400, format!("{what} Too Long To Be Hidden"))),
            None => (is_stateless && request.method() == Method::CANCEL).then(|| Reply::status(481)),
        };
        let hidden = self.hidden.get_or_insert_default();
        hidden.refusal = refusal;
        if hidden.refusal.is_some() {
            return false;
        }
        if !is_stateless {
            let as_received = hidden.call_id.as_ref();
            hidden.kept.get_or_insert_with(|| Kept::of(request, &self.flow, as_received));
            hidden.copies.retain(|(other, _)| *other != index);
            hidden.copies.push((index, cover));
        }
        true
    }

    /// Why the copy that was tried last could not cross.
    pub(in crate::proxy) fn refused_hiding(&mut self) -> Option<Reply> {
        self.hidden.as_mut()?.refusal.take()
    }
}

fn border_of(of_trunk: Option<&Arc<Border>>, listener: ListenerId, env: &Environment) -> Arc<Border> {
    let of_listener = || env.settings.borders.get(usize::from(listener.0));
    of_trunk.or_else(of_listener).cloned().unwrap_or_else(|| {
        let name = env.own.listener(listener).map_or("", |listener| &listener.name);
        Arc::new(Border { side: SideId::of_listener(name), ..Border::default() })
    })
}

/// What of a request is longer than can be hidden.
fn too_long(request: &Message, extent: Extent) -> Option<&'static str> {
    let octets = |name| request.values(&name).map(|value| value.bytes.len() + 1).sum::<usize>();
    if octets(Name::RecordRoute) > ROUTES_MAX {
        return Some("Record-Route");
    }
    if request.method() == Method::REGISTER && octets(Name::Path) > PATHS_MAX {
        return Some("Path");
    }
    if request.values(&Name::Contact).nth(VALUES_MAX).is_some() {
        return Some("Contact");
    }
    let is_long = |value: &[u8]| NameAddr::parse(value).is_some_and(|contact| contact.uri().len() > CONTACT_MAX);
    if request.values(&Name::Contact).any(|value| is_long(value.bytes)) {
        return Some("Contact");
    }
    let refer_to = request.values(&Name::ReferTo).next().and_then(|value| NameAddr::parse(value.bytes)?.uri_parsed());
    if refer_to.is_some_and(|uri| without_headers(&uri).len() > VALUE_MAX) {
        return Some("Refer-To");
    }
    (extent.call_id && request.call_id().len() > CALL_ID_MAX).then_some("Call-ID")
}
