//! What plugins may ask about the router itself.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jackfield_proto::net::Reach;
use jackfield_resolver::{AnyNaptr, Kind, LookUpError, NextHopError, Records, Resolver, Srv};
use jackfield_services::ask::{self, Answer, RecordKind, ServiceError};
use jackfield_trunk::health::State;
use tokio::runtime::Handle;

use super::decider::Decider;
use super::shared::Shared;
use super::{Engine, Simulation};
use crate::plugin::Router;

impl<D: Decider> Engine<D> {
    /// Who answers plugins about this router, for as long as it is there.
    pub fn router(&self) -> Arc<dyn Router> {
        Arc::new(Known(Arc::downgrade(&self.shared)))
    }
}

impl<D: Decider> Simulation<D> {
    /// Who answers plugins about this router, for as long as it is there.
    pub fn router(&self) -> Arc<dyn Router> {
        Arc::new(Known(Arc::downgrade(self.shared())))
    }
}

/// The router as plugins know it. It does not keep it: the router has the plugins.
struct Known<D: Decider>(Weak<Shared<D>>);

impl<D: Decider> std::fmt::Debug for Known<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl<D: Decider> Known<D> {
    fn shared(&self) -> Result<Arc<Shared<D>>, ServiceError> {
        self.0.upgrade().ok_or_else(|| ServiceError::Unavailable("the router has ended".to_owned()))
    }
}

impl<D: Decider> Router for Known<D> {
    fn contacts(&self, aor: &str) -> Vec<ask::Contact> {
        let Ok(shared) = self.shared() else { return Vec::new() };
        let table = shared.trunks.table();
        let trunks = table.trunks().iter().map(|trunk| trunk.id);
        let contacts = shared.trunks.registrations.contacts(shared.clock.unix(), aor.as_bytes(), trunks);
        let contact = |contact: jackfield_trunk::registrations::Contact| ask::Contact {
            uri: contact.uri,
            line: contact.line,
            trunk: Some(contact.trunk.to_string()),
            expires_in_s: contact.expires_in,
        };
        contacts.into_iter().map(contact).collect()
    }

    /// One that has failed, but not often enough to be down, is up: calls still go there.
    fn trunk_up(&self, trunk: &str) -> Option<bool> {
        let shared = self.shared().ok()?;
        let table = shared.trunks.table();
        let ways = &table.by_name(trunk)?.watched;
        Some(ways.is_empty() || ways.iter().any(|way| shared.trunks.health.state(way.id) != State::Down))
    }

    fn trunk_calls(&self, trunk: &str) -> Option<u32> {
        let shared = self.shared().ok()?;
        let known = shared.trunks.table().by_name(trunk)?.id;
        shared.trunks.admission.trunk_calls(known)
    }

    fn active_calls(&self, tag: &str) -> u32 {
        self.shared().map_or(0, |shared| shared.trunks.admission.tag_calls(tag))
    }

    fn locate(&self, uri: &str, within: Duration) -> Result<Vec<(String, u16, String)>, ServiceError> {
        let shared = self.shared()?;
        let mut reach = Reach::default();
        for listener in shared.rules.load().listeners.iter().filter(|listener| listener.is_open()) {
            reach.insert(listener.transport, listener.address.ip());
        }
        let located = blocking(&shared.resolver, shared.resolver.locate_uri(uri, reach, within))?;
        let located = located.map_err(|error| match error {
            NextHopError::NoUri(_) => ServiceError::Invalid(error.to_string()),
            NextHopError::Timeout(_) => ServiceError::Timeout,
        })?;
        let endpoint = |address: SocketAddr, transport: String| (address.ip().to_string(), address.port(), transport);
        Ok(located
            .into_iter()
            .map(|located| endpoint(located.hop.address, located.hop.transport.uri_name().to_ascii_lowercase()))
            .collect())
    }

    fn records(&self, kind: RecordKind, name: &str, within: Duration) -> Result<Answer, ServiceError> {
        let shared = self.shared()?;
        let resolver = &shared.resolver;
        let records = |kind| blocking(resolver, resolver.records(kind, name, within))?.map_err(no_records);
        Ok(match kind {
            RecordKind::Addresses => {
                let addresses = blocking(resolver, resolver.addresses(name, within))?.map_err(no_records)?;
                Answer::Texts(addresses.iter().map(ToString::to_string).collect())
            }
            RecordKind::Srv => Answer::Srv(srv(records(Kind::Srv)?)),
            RecordKind::Naptr => Answer::Naptr(naptr(records(Kind::AnyNaptr)?)),
            RecordKind::Txt => Answer::Texts(txt(records(Kind::Txt)?)),
        })
    }
}

/// Waits, where that holds nobody else up: plugins that may ask such things run on threads of their own.
fn blocking<F: Future>(resolver: &Resolver, answer: F) -> Result<F::Output, ServiceError> {
    match Handle::try_current() {
        Err(_) => Ok(resolver.wait(answer)),
        Ok(_) => Err(ServiceError::Unavailable("name servers cannot be asked from here".to_owned())),
    }
}

fn no_records(error: LookUpError) -> ServiceError {
    match error {
        LookUpError::NoName(_) => ServiceError::Invalid(error.to_string()),
        LookUpError::Unanswered(_) => ServiceError::Unavailable(error.to_string()),
    }
}

fn srv(records: Records) -> Vec<(u16, u16, u16, String)> {
    let Records::Srv(records) = records else { return Vec::new() };
    records.into_iter().map(|Srv { priority, weight, port, target }| (priority, weight, port, target.to_string())).collect()
}

fn naptr(records: Records) -> Vec<ask::Naptr> {
    let Records::AnyNaptr(records) = records else { return Vec::new() };
    let naptr = |record: AnyNaptr| ask::Naptr {
        order: record.order,
        preference: record.preference,
        flags: record.flags.into(),
        service: record.service.into(),
        regexp: record.regexp.into(),
        replacement: record.replacement.into(),
    };
    records.into_iter().map(naptr).collect()
}

fn txt(records: Records) -> Vec<String> {
    let Records::Txt(records) = records else { return Vec::new() };
    records.into_iter().map(|text| text.to_string()).collect()
}
