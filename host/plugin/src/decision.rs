//! Decisions of plugins turned into what the core carries out. A decision that breaks one rule is invalid as a whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Method, Name, Uri};
use jackfield_proto::net::{Listener, Transport};
use jackfield_proto::proxy::{Edit, Group, Mode, Numbering, Plan, RecordRoute, Reply, StatusSet, Target, TrunkId, TrunkSide};

use super::bindings::types;
use super::edit::{Invalid, bounded, checked, header_name, request_edits};
use super::random::{Chance, Random};

/// Targets of one decision. The core tries fewer of them (its limit on branches), but a list to choose from may be longer.
const TARGETS_MAX: usize = 256;
/// Octets of all texts of one decision: it is kept for as long as the request is in work.
const OCTETS_MAX: usize = 64 << 10;
/// URIs in the route set of one target.
const ROUTES_MAX: usize = 16;
/// Header fields of a reply.
const HEADERS_MAX: usize = 64;
/// Octets of a reply's body.
const BODY_MAX: usize = 60_000;
/// Names of trunks or profiles that are told to a plugin which named another.
const KNOWN_TOLD: usize = 20;
/// Octets of a name that is told back.
const NAME_TOLD: usize = 80;
/// Octets of a tag.
const TAG_MAX: usize = 128;

/// What a decision may name, and where chance comes from.
pub(super) struct Rules<'a> {
    pub(super) listeners: &'a [Listener],
    pub(super) trunks: &'a [Arc<str>],
    pub(super) profiles: &'a [Arc<str>],
    pub(super) chance: Chance<'a>,
}

impl Rules<'_> {
    /// A plan.
    pub(super) fn plan(&mut self, plan: types::Plan) -> Result<Plan, Invalid> {
        let length = edits_octets(&plan.edits) + plan.groups.iter().map(group_octets).sum::<usize>();
        if length > OCTETS_MAX {
            return Err(Invalid::TooLong { what: "a plan", length, max: OCTETS_MAX });
        }
        let mut next_on = StatusSet::default();
        for option in plan.options {
            match option.name.as_str() {
                "next-on" => {
                    let expected = "write statuses and classes from 300 to 699, like \"408 5xx\"";
                    let refused = |value| Invalid::OptionValue { key: "next-on", value, expected };
                    next_on = StatusSet::parse(&option.value).ok_or_else(|| refused(option.value))?;
                }
                _ => return Err(Invalid::Option(option.name)),
            }
        }
        let record_route = if plan.record_route { RecordRoute::Dialogs } else { RecordRoute::Never };
        Ok(Plan { groups: self.groups(plan.groups)?, edits: request_edits(plan.edits)?, record_route, next_on })
    }

    /// Groups of targets, at least one target in all.
    pub(super) fn groups(&mut self, groups: Vec<types::Group>) -> Result<Vec<Group>, Invalid> {
        let targets = groups.iter().map(|group| group.targets.len()).sum();
        bounded("targets", targets, TARGETS_MAX)?;
        if targets == 0 {
            return Err(Invalid::NoTarget);
        }
        groups.into_iter().filter(|group| !group.targets.is_empty()).map(|group| self.group(group)).collect()
    }

    fn group(&mut self, group: types::Group) -> Result<Group, Invalid> {
        let (mode, targets) = match group.mode {
            types::Mode::Serial => (Mode::Serial, group.targets),
            types::Mode::Parallel => (Mode::Parallel, group.targets),
            types::Mode::Weighted => (Mode::Serial, drawn(group.targets, self.chance.random())),
        };
        Ok(Group { mode, targets: targets.into_iter().map(|target| self.target(target)).collect::<Result<_, _>>()? })
    }

    fn target(&self, target: types::Target) -> Result<Target, Invalid> {
        bounded("routes", target.route.len(), ROUTES_MAX)?;
        let mut made = Target {
            uri: target.uri.map(|text| uri("a target's uri", text)).transpose()?,
            route: target.route.into_iter().map(|text| sip_uri("a route", text)).collect::<Result<_, _>>()?,
            egress: target.egress.map(|name| self.egress(name)).transpose()?,
            response_timeout: target.timeout_ms.map(timeout).transpose()?,
            edits: request_edits(target.edits)?,
            tag: tag(target.tag)?,
            ..Target::default()
        };
        target.options.into_iter().try_for_each(|option| self.target_option(&mut made, option))?;
        match beside_trunk(&made) {
            Some(what) => Err(Invalid::BesideTrunk(what)),
            None => Ok(made),
        }
    }

    fn target_option(&self, target: &mut Target, option: types::NameValue) -> Result<(), Invalid> {
        let refused = |key, expected| Invalid::OptionValue { key, value: option.value.clone(), expected };
        match option.name.as_str() {
            "trunk" => target.trunk = Some(self.trunk(&option.value)?),
            "media" => target.media = Some(self.media(&option.value)?),
            "transport" => {
                let transport = Transport::from_name(option.value.as_bytes());
                target.transport = Some(transport.ok_or_else(|| refused("transport", "write udp, tcp, tls, ws or wss"))?);
            }
            "next-hop" => target.next_hop = Some(sip_uri("the option next-hop", option.value)?),
            "answer-timeout-ms" => {
                let milliseconds = option.value.parse().ok();
                target.answer_timeout =
                    Some(timeout(milliseconds.ok_or_else(|| refused("answer-timeout-ms", "write a number of milliseconds"))?)?);
            }
            _ => return Err(Invalid::Option(option.name)),
        }
        Ok(())
    }

    /// A trunk by its name. How its requests are numbered depends on who holds its credentials, which is none of a plugin's business.
    fn trunk(&self, name: &str) -> Result<TrunkSide, Invalid> {
        if self.trunks.iter().any(|known| **known == *name) {
            return Ok(TrunkSide { id: TrunkId::of(name), numbering: Numbering::Kept });
        }
        Err(Invalid::Trunk { name: name.chars().take(NAME_TOLD).collect(), known: told(self.trunks) })
    }

    /// What becomes of the media: `direct`, `relay`, or the profile that the target's side gets.
    fn media(&self, name: &str) -> Result<Arc<str>, Invalid> {
        if let Some(profile) = self.profiles.iter().find(|known| ***known == *name) {
            return Ok(Arc::clone(profile));
        }
        match name {
            "direct" | "relay" => Ok(name.into()),
            _ => Err(Invalid::Media { name: name.chars().take(NAME_TOLD).collect(), known: told(self.profiles) }),
        }
    }

    fn egress(&self, name: String) -> Result<Arc<str>, Invalid> {
        let open = || self.listeners.iter().filter(|listener| listener.is_open());
        match open().find(|listener| *listener.name == *name) {
            Some(listener) => Ok(Arc::clone(&listener.name)),
            None => {
                let mut known: Vec<&str> = open().map(|listener| &*listener.name).collect();
                known.dedup();
                Err(Invalid::Egress { name, known: known.join(", ") })
            }
        }
    }
}

/// The names that there are, or the first of them.
fn told(names: &[Arc<str>]) -> String {
    let mut known: Vec<&str> = names.iter().take(KNOWN_TOLD).map(|known| &**known).collect();
    match names.len() {
        0 => known.push("none"),
        count if count > known.len() => known.push("and more"),
        _ => {}
    }
    known.join(", ")
}

fn group_octets(group: &types::Group) -> usize {
    let target = |target: &types::Target| {
        let routes: usize = target.route.iter().map(String::len).sum();
        edits_octets(&target.edits) + routes + target.uri.as_ref().map_or(0, String::len) + target.tag.len()
    };
    group.targets.iter().map(target).sum()
}

fn edits_octets(edits: &[types::Edit]) -> usize {
    let edit = |edit: &types::Edit| match edit {
        types::Edit::Add(field) | types::Edit::Set(field) => field.name.len() + field.value.len(),
        types::Edit::Remove(name) => name.len(),
        types::Edit::UriParam((name, value)) => name.len() + value.as_ref().map_or(0, String::len),
    };
    edits.iter().map(edit).sum()
}

/// What a target that names a trunk says of its way; the ways are the trunk's.
fn beside_trunk(target: &Target) -> Option<&'static str> {
    let said = [
        ("a next hop", target.next_hop.is_some()),
        ("a route", !target.route.is_empty()),
        ("an egress", target.egress.is_some()),
        ("a transport", target.transport.is_some()),
    ];
    target.trunk.and_then(|_| said.into_iter().find_map(|(what, said)| said.then_some(what)))
}

fn timeout(milliseconds: u32) -> Result<Duration, Invalid> {
    if milliseconds == 0 { Err(Invalid::NoTime) } else { Ok(Duration::from_millis(milliseconds.into())) }
}

fn tag(tag: String) -> Result<Arc<str>, Invalid> {
    if tag.len() > TAG_MAX {
        return Err(Invalid::TooLong { what: "a tag", length: tag.len(), max: TAG_MAX });
    }
    match tag.chars().any(char::is_control) {
        true => Err(Invalid::Control { what: "a tag", value: tag }),
        false => Ok(tag.into()),
    }
}

/// A URI of any scheme.
fn uri(what: &'static str, text: String) -> Result<Bytes, Invalid> {
    let text = checked(what, text)?;
    match Uri::parse(&text) {
        Some(_) => Ok(text),
        None => Err(Invalid::Uri { what, value: String::from_utf8_lossy(&text).into_owned() }),
    }
}

/// A SIP URI, in angle brackets or without.
fn sip_uri(what: &'static str, text: String) -> Result<Bytes, Invalid> {
    let text = match text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        Some(inside) => inside.to_owned(),
        None => text,
    };
    let text = uri(what, text)?;
    match Uri::parse(&text).is_some_and(|uri| uri.is_sip() || uri.is_sips()) {
        true => Ok(text),
        false => Err(Invalid::NotSip { what, value: String::from_utf8_lossy(&text).into_owned() }),
    }
}

/// Puts targets into an order drawn by weight: each place goes to one of those left, with the probability of its share. Targets of
/// weight 0 have no share and come last, as they were given.
fn drawn(targets: Vec<types::Target>, random: &mut Random) -> Vec<types::Target> {
    let (mut left, last): (Vec<_>, Vec<_>) = targets.into_iter().partition(|target| target.weight > 0);
    let mut order = Vec::with_capacity(left.len() + last.len());
    while !left.is_empty() {
        let total: u64 = left.iter().map(|target| u64::from(target.weight)).sum();
        let mut point = random.below(total);
        let share = |target: &types::Target| {
            let weight = u64::from(target.weight);
            let hit = point < weight;
            point = point.saturating_sub(weight);
            hit
        };
        let at = left.iter().position(share).unwrap_or(0);
        order.push(left.remove(at));
    }
    order.extend(last);
    order
}

/// A reply to a request of this method.
pub(super) fn reply(reply: types::Reply, method: Method<'_>) -> Result<Reply, Invalid> {
    if method == Method::ACK || method == Method::CANCEL {
        return Err(Invalid::Unanswerable(String::from_utf8_lossy(method.as_bytes()).into_owned()));
    }
    match reply.status {
        200..=299 if method.is_invite() => return Err(Invalid::SuccessToInvite(reply.status)),
        200..=699 => {}
        status => return Err(Invalid::Status(status)),
    }
    bounded("headers", reply.headers.len(), HEADERS_MAX)?;
    let header = |field: types::NameValue| Ok((header_name(field.name)?, checked("a header value", field.value)?));
    let body = |(kind, octets): (String, Vec<u8>)| match octets.len() {
        0..=BODY_MAX => Ok((checked("a content type", kind)?, Bytes::from(octets))),
        length => Err(Invalid::TooLong { what: "the body of a reply", length, max: BODY_MAX }),
    };
    Ok(Reply {
        status: reply.status,
        reason: reply.reason.map(|reason| checked("a reason phrase", reason)).transpose()?,
        headers: reply.headers.into_iter().map(header).collect::<Result<_, _>>()?,
        body: reply.body.map(body).transpose()?,
    })
}

/// Lets the edits of a later plugin win over those that earlier ones made for single targets: these apply last, so what they say of
/// the same header field or parameter is taken out.
pub(super) fn override_targets(plan: &mut Plan, later: &[Edit]) {
    let overrides = |of: &Edit| later.iter().filter_map(subject).any(|settled| settled == subject_of_any(of));
    for target in plan.groups.iter_mut().flat_map(|group| &mut group.targets) {
        target.edits.retain(|edit| !overrides(edit));
    }
}

#[derive(PartialEq)]
enum Subject<'a> {
    Header(Name<'a>),
    UriParam(Vec<u8>),
}

/// What an edit settles; an added field settles nothing.
fn subject(edit: &Edit) -> Option<Subject<'_>> {
    if matches!(edit, Edit::Add(..)) { None } else { Some(subject_of_any(edit)) }
}

fn subject_of_any(edit: &Edit) -> Subject<'_> {
    match edit {
        Edit::Add(name, _) | Edit::Set(name, _) | Edit::Remove(name) => Subject::Header(Name::from_bytes(name)),
        Edit::SetUriParam(name, _) | Edit::RemoveUriParam(name) => Subject::UriParam(name.to_ascii_lowercase()),
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
