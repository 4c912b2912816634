//! From a trunk to the targets of a request: its ways, then those of its fallbacks, those that are down last.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_proto::message::{Message, Method, Uri};
use jackfield_proto::proxy::{Admission, Target};
use smallvec::{SmallVec, smallvec};

use crate::health::{Health, WayId};
use crate::settings::Way;
use crate::table::{Table, Trunk};

/// Trunks that one request may be tried with.
const TRUNKS_MAX: usize = 16;

/// A target of a request with the way that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The target.
    pub target: Target,
    /// The trunk.
    pub trunk: Arc<Trunk>,
    /// The way.
    pub way: WayId,
}

impl Table {
    /// The targets of a request that goes to a trunk, in the order to try them. What `base` says of the Request-URI, edits and tag holds,
    /// and what the trunk forces comes after it. What is not up comes last.
    pub fn plan(&self, first: &Arc<Trunk>, base: &Target, request: &Message, health: &Health) -> Vec<Planned> {
        let mut planned = Vec::new();
        // A registration belongs to one provider.
        let trunks = if request.method() == Method::REGISTER { smallvec![Arc::clone(first)] } else { self.with_fallbacks(first) };
        for trunk in trunks {
            for watched in &trunk.watched {
                let target = target(&trunk, &watched.way, base, uri_at(&trunk, first, base, request));
                planned.push(Planned { target, trunk: Arc::clone(&trunk), way: watched.id });
            }
        }
        health.order(&mut planned, |planned| planned.way);
        planned
    }

    /// A trunk, its fallbacks in their order, and theirs; each once.
    fn with_fallbacks(&self, first: &Arc<Trunk>) -> SmallVec<[Arc<Trunk>; 4]> {
        let mut found: SmallVec<[Arc<Trunk>; 4]> = SmallVec::new();
        found.push(Arc::clone(first));
        let mut next = 0;
        while let Some(trunk) = found.get(next).cloned() {
            for fallback in trunk.settings.fallback.iter().filter_map(|name| self.by_name(name).or_else(|| self.by_host(name.as_bytes()))) {
                if found.len() < TRUNKS_MAX && !found.iter().any(|known| known.id == fallback.id) {
                    found.push(Arc::clone(fallback));
                }
            }
            next += 1;
        }
        found
    }
}

fn target(trunk: &Trunk, way: &Way, base: &Target, uri: Option<Bytes>) -> Target {
    let settings = &trunk.settings;
    let tag = if base.tag.is_empty() { Arc::clone(&settings.name) } else { Arc::clone(&base.tag) };
    Target {
        uri,
        route: way.route.clone(),
        next_hop: way.next_hop.clone(),
        transport: way.transport,
        egress: way.egress.clone(),
        response_timeout: base.response_timeout.or(settings.response_timeout),
        answer_timeout: base.answer_timeout.or(settings.answer_timeout),
        edits: base.edits.iter().chain(&settings.forced.edits).cloned().collect(),
        tag,
        trunk: Some(trunk.side()),
        admission: Admission::Asked,
        contact: settings.contact,
        media: base.media.clone(),
        border: settings.border.clone(),
        ..Target::default()
    }
}

/// The Request-URI at a trunk: as it is at the first one; at a fallback the host of the first one's provider becomes that of its own.
fn uri_at(trunk: &Trunk, first: &Trunk, base: &Target, request: &Message) -> Option<Bytes> {
    let own = trunk.settings.providers.first().filter(|_| trunk.id != first.id);
    let rewritten = own.and_then(|host| {
        let uri = Uri::parse(base.uri.as_deref().unwrap_or(request.request_uri()))?;
        let is_firsts = first.settings.providers.iter().any(|provider| provider.as_bytes().eq_ignore_ascii_case(uri.host()));
        is_firsts.then(|| with_host(&uri, host))
    });
    rewritten.or_else(|| base.uri.clone())
}

/// The same URI at another host, where it has no port of its own.
fn with_host(uri: &Uri<'_>, host: &str) -> Bytes {
    let octets = uri.as_bytes();
    let mut out = Vec::with_capacity(octets.len() + host.len());
    out.extend_from_slice(uri.scheme());
    out.push(b':');
    if let Some(user) = uri.user() {
        out.extend_from_slice(user);
        if let Some(password) = uri.password() {
            out.push(b':');
            out.extend_from_slice(password);
        }
        out.push(b'@');
    }
    out.extend_from_slice(host.as_bytes());
    for param in uri.params() {
        out.push(b';');
        out.extend_from_slice(param.name);
        if let Some(value) = param.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    Bytes::from(out)
}
