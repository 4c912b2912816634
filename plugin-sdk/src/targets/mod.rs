#![doc = include_str!("README.md")]

mod check;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;

use crate::{Decision, Error, Group, Plan, Reply, Result};

use check::check_target_count;
pub use check::{check_edit_count, check_media, check_status_list, check_transport, host_matches};
use table::SetTable;

/// The table `targets`: sets by name, as read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct TargetSets(BTreeMap<String, SetTable>);

impl TargetSets {
    /// Checks every set and makes its plan; the error names the key.
    pub fn routes(&self) -> Result<Routes> {
        let mut routes = BTreeMap::new();
        for (name, set) in &self.0 {
            let route = self.route(name, set).map_err(|error| Error::new(format_args!("targets.{error}")))?;
            routes.insert(name.clone(), Rc::new(route));
        }
        Ok(Routes(routes))
    }

    fn route(&self, name: &str, set: &SetTable) -> Result<Route> {
        if let Some(reply) = set.reply(name)? {
            return Ok(Route::Reply(reply));
        }
        let mut plan = Plan::new(set.group(name)?);
        plan.record_route = set.record_route.unwrap_or(true);
        if let Some(next_on) = &set.next_on {
            check_status_list(next_on, format_args!("{name}.next-on"))?;
            plan = plan.next_on(next_on);
        }
        plan.groups.extend(self.groups_after(name, set)?);
        check_target_count(plan.targets().count(), name)?;
        Ok(Route::Plan { plan, ends_chain: set.ends_chain })
    }

    /// The groups of the sets that follow by `then`.
    fn groups_after(&self, name: &str, set: &SetTable) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        let mut seen = BTreeSet::from([name]);
        let (mut at, mut then) = (name, set.then.as_deref());
        while let Some(next) = then {
            let key = format!("{at}.then");
            let (next, set) = self.0.get_key_value(next).ok_or_else(|| unknown(next, self.0.keys()).context(&key))?;
            if !seen.insert(next) {
                return Err(Error::new(format_args!("{key}: the sets go round in a circle: {next} comes twice")));
            }
            if set.reply(next)?.is_some() {
                return Err(Error::new(format_args!("{key}: {next} is a reply; only a set of targets can follow")));
            }
            groups.push(set.group(next)?);
            (at, then) = (next, set.then.as_deref());
        }
        Ok(groups)
    }
}

/// The sets of a configuration, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct Routes(BTreeMap<String, Rc<Route>>);

impl Routes {
    /// The set of this name; the error says under which `key` a name was written that does not exist.
    pub fn named(&self, name: &str, key: impl fmt::Display) -> Result<Rc<Route>> {
        self.0.get(name).cloned().ok_or_else(|| unknown(name, self.0.keys()).context(key))
    }

    /// [`named`](Self::named) for a key that may be absent.
    pub fn named_if(&self, name: Option<&String>, key: impl fmt::Display) -> Result<Option<Rc<Route>>> {
        name.map(|name| self.named(name, key)).transpose()
    }
}

/// What a set comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Forward by this plan.
    Plan {
        /// The plan.
        plan: Plan,
        /// Whether later plugins of the chain are not asked.
        ends_chain: bool,
    },
    /// Answer so.
    Reply(Reply),
}

impl Route {
    /// The decision.
    pub fn decision(&self) -> Decision {
        match self {
            Self::Plan { plan, ends_chain: true } => Decision::Forward(plan.clone()),
            Self::Plan { plan, ends_chain: false } => Decision::Route(plan.clone()),
            Self::Reply(reply) => Decision::Reply(reply.clone()),
        }
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    match known.as_slice() {
        [] => Error::new(format_args!("there is no set \"{name}\": write a table [targets.{name}]")),
        known => Error::new(format_args!("there is no set \"{name}\"; the table targets has {}", known.join(", "))),
    }
}
