//! Which messages a plugin wants to see. The host looks at each message before it calls anybody, so that a plugin costs nothing for
//! the messages that it did not ask for.

use jackfield_proto::message::{Name, NameAddr};

use super::bindings::types;
use super::view::{View, uri_param};

/// Subscriptions that one plugin may make.
const SUBSCRIPTIONS_MAX: usize = 64;

/// Why subscriptions are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it subscribes to {0}, which it does not export")]
    NotExported(&'static str),
    #[error("it subscribes to the status `{0}`; write a class like \"5xx\" or a code from 100 to 699")]
    Status(String),
    #[error("it makes {0} subscriptions, {SUBSCRIPTIONS_MAX} are possible")]
    TooMany(usize),
}

/// The hooks that a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exports {
    pub(super) request: bool,
    pub(super) response: bool,
    pub(super) failure: bool,
    pub(super) registration: bool,
    pub(super) timer: bool,
    pub(super) complete: bool,
}

/// The subscriptions of a plugin by hook.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    pub(super) request: Filters,
    pub(super) response: Filters,
    pub(super) failure: Filters,
    /// By methods, statuses of the answers, and place in a dialog.
    pub(super) complete: Filters,
    /// All of them: nothing narrows these.
    pub(super) registration: bool,
    /// The same.
    pub(super) timer: bool,
}

/// Alternatives: one that holds is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters(Vec<Filter>);

/// Conditions that must hold together; an empty list is none.
#[derive(Clone, Debug)]
struct Filter {
    methods: Vec<String>,
    statuses: Option<Statuses>,
    headers: Vec<String>,
    uri_param: Option<String>,
    initial_only: bool,
}

/// The request that a hook would be about.
pub(super) struct Subject<'a> {
    pub(super) method: &'a [u8],
    pub(super) uri: &'a [u8],
    pub(super) request: View<'a>,
    pub(super) initial: bool,
}

/// The response, where the hook has one, and its status; a failure without a response has the status that stands for it.
pub(super) struct Outcome<'a> {
    pub(super) status: u16,
    pub(super) response: Option<View<'a>>,
}

impl Subscriptions {
    /// Checks and sorts what `init` has returned.
    pub(super) fn read(made: Vec<types::Subscription>, exports: Exports) -> Result<Self, Refused> {
        if made.len() > SUBSCRIPTIONS_MAX {
            return Err(Refused::TooMany(made.len()));
        }
        let mut all = Self::default();
        for subscription in made {
            let hooks = subscription.hooks;
            for (hook, name, exported, wanted) in [
                (types::Hooks::REGISTRATION, "on-registration", exports.registration, &mut all.registration),
                (types::Hooks::TIMER, "on-timer", exports.timer, &mut all.timer),
            ] {
                if hooks.contains(hook) && !exported {
                    return Err(Refused::NotExported(name));
                }
                *wanted |= hooks.contains(hook);
            }
            let filter = Filter::read(subscription)?;
            for (hook, name, exported, filters) in [
                (types::Hooks::REQUEST, "on-request", exports.request, &mut all.request),
                (types::Hooks::RESPONSE, "on-response", exports.response, &mut all.response),
                (types::Hooks::FAILURE, "on-failure", exports.failure, &mut all.failure),
                (types::Hooks::COMPLETE, "on-complete", exports.complete, &mut all.complete),
            ] {
                match (hooks.contains(hook), exported) {
                    (true, true) => filters.0.push(filter.clone()),
                    (true, false) => return Err(Refused::NotExported(name)),
                    (false, _) => {}
                }
            }
        }
        Ok(all)
    }
}

impl Filters {
    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether requests in a dialog can be among them.
    pub(super) fn reach_dialogs(&self) -> bool {
        self.0.iter().any(|filter| !filter.initial_only)
    }

    /// Whether the hook for requests wants this one.
    pub(super) fn want_request(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().any(|filter| filter.is_about(subject) && filter.has_header(&subject.request))
    }

    /// Whether a hook for responses or failures might want some outcome of this request.
    pub(super) fn may_want_outcome(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().any(|filter| filter.is_about(subject))
    }

    /// Whether the hook for ends might want that of this request.
    pub(super) fn may_want_end(&self, method: &[u8], initial: bool) -> bool {
        self.0.iter().any(|filter| filter.is_about_end(method, initial))
    }

    /// Whether the hook for ends wants this one.
    pub(super) fn want_end(&self, method: &[u8], initial: bool, status: Option<u16>) -> bool {
        let has_status = |filter: &Filter| status.map_or(filter.statuses.is_none(), |status| filter.has_status(status));
        self.0.iter().any(|filter| filter.is_about_end(method, initial) && has_status(filter))
    }

    /// Whether the hook wants this outcome of the request.
    pub(super) fn want_outcome(&self, subject: &Subject<'_>, outcome: &Outcome<'_>) -> bool {
        let header_in = outcome.response.as_ref().unwrap_or(&subject.request);
        self.0.iter().any(|filter| filter.has_status(outcome.status) && filter.is_about(subject) && filter.has_header(header_in))
    }
}

impl Filter {
    fn read(made: types::Subscription) -> Result<Self, Refused> {
        let statuses = if made.statuses.is_empty() { None } else { Some(Statuses::read(&made.statuses)?) };
        Ok(Self { methods: made.methods, statuses, headers: made.if_header, uri_param: made.if_uri_param, initial_only: made.initial_only })
    }

    fn is_about_end(&self, method: &[u8], initial: bool) -> bool {
        (!self.initial_only || initial) && (self.methods.is_empty() || self.methods.iter().any(|wanted| wanted.as_bytes() == method))
    }

    fn is_about(&self, subject: &Subject<'_>) -> bool {
        self.is_about_end(subject.method, subject.initial) && self.uri_param.as_ref().is_none_or(|name| has_uri_param(subject, name))
    }

    fn has_header(&self, view: &View<'_>) -> bool {
        self.headers.is_empty() || self.headers.iter().any(|name| view.has(Name::from_bytes(name.as_bytes())))
    }

    fn has_status(&self, status: u16) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.contains(status))
    }
}

/// In the Request-URI or in the URI in To.
fn has_uri_param(subject: &Subject<'_>, name: &str) -> bool {
    let to = || subject.request.header(Name::To).and_then(NameAddr::parse).map(|to| to.uri());
    uri_param(subject.uri, name).is_some() || to().is_some_and(|uri| uri_param(uri, name).is_some())
}

/// A set of statuses from 100 to 699.
#[derive(Clone, Debug)]
struct Statuses([u64; 10]);

impl Statuses {
    fn read(words: &[String]) -> Result<Self, Refused> {
        let mut set = Self([0; 10]);
        for word in words {
            let refused = || Refused::Status(word.chars().take(40).collect());
            let range = match word.strip_suffix("xx") {
                Some(class) => {
                    let class = class.parse::<u16>().ok().filter(|class| (1..=6).contains(class)).ok_or_else(refused)?;
                    class * 100..class * 100 + 100
                }
                None => {
                    let code = word.parse::<u16>().ok().filter(|code| (100..700).contains(code)).ok_or_else(refused)?;
                    code..code + 1
                }
            };
            range.for_each(|status| set.insert(status));
        }
        Ok(set)
    }

    fn insert(&mut self, status: u16) {
        let index = usize::from(status.saturating_sub(100));
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn contains(&self, status: u16) -> bool {
        let index = usize::from(status.saturating_sub(100));
        status >= 100 && self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
