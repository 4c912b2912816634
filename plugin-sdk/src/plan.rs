//! Groups of targets, tried in order.

use serde::Deserialize;

use crate::target::{option_value, set_option};
use crate::{Edit, Target};

/// How the targets of a group are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One after the other.
    #[default]
    Serial,
    /// All at once; the first 2xx wins.
    Parallel,
    /// One after the other, in an order drawn by weight for every request.
    Weighted,
}

/// Targets that are used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How.
    pub mode: Mode,
    /// Which.
    pub targets: Vec<Target>,
}

impl Group {
    /// Targets that are tried one after the other.
    pub fn serial(targets: impl IntoIterator<Item = Target>) -> Self {
        Self { mode: Mode::Serial, targets: targets.into_iter().collect() }
    }

    /// Targets that are tried at the same time.
    pub fn parallel(targets: impl IntoIterator<Item = Target>) -> Self {
        Self { mode: Mode::Parallel, targets: targets.into_iter().collect() }
    }

    /// Targets that are tried one after the other, in an order drawn by their weight.
    pub fn weighted(targets: impl IntoIterator<Item = Target>) -> Self {
        Self { mode: Mode::Weighted, targets: targets.into_iter().collect() }
    }
}

impl From<Target> for Group {
    fn from(target: Target) -> Self {
        Self::serial([target])
    }
}

/// Where a request goes: groups of targets, each tried when the one before has failed.
///
/// ```
/// use jackfield::prelude::*;
///
/// let plan = Plan::weighted([Target::to("sip:a.example").weight(3), Target::to("sip:b.example")])
///     .then(Target::to("sip:last-resort.example"))
///     .next_on("408 5xx");
/// assert_eq!(plan.groups.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tried in order.
    pub groups: Vec<Group>,
    /// Edits common to all targets; those of a target come after them.
    pub edits: Vec<Edit>,
    /// Whether the proxy stays in the path of the dialog that the request may form.
    pub record_route: bool,
    /// What else the host understands: `next-on`.
    pub options: Vec<(String, String)>,
}

impl Plan {
    /// A plan of one group.
    pub fn new(group: impl Into<Group>) -> Self {
        Self { groups: vec![group.into()], edits: Vec::new(), record_route: true, options: Vec::new() }
    }

    /// Targets that are tried one after the other.
    pub fn serial(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::new(Group::serial(targets))
    }

    /// Targets that are tried at the same time.
    pub fn parallel(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::new(Group::parallel(targets))
    }

    /// Targets that are tried one after the other, in an order drawn by their weight.
    pub fn weighted(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::new(Group::weighted(targets))
    }

    /// Adds a group (or a single target) that is tried when all before it have failed.
    pub fn then(mut self, group: impl Into<Group>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// The final statuses after which the next target is tried, like `408 5xx`; any other final answer ends the search. Unless set,
    /// every 3xx, 4xx and 5xx leads to the next target.
    pub fn next_on(self, statuses: impl Into<String>) -> Self {
        self.option("next-on", statuses)
    }

    /// Edits the message for all targets.
    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Adds a header field for all targets.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.edit(Edit::add(name, value))
    }

    /// Lets the dialog that the request may form pass the proxy by.
    pub fn without_record_route(mut self) -> Self {
        self.record_route = false;
        self
    }

    /// Sets an option; one of the same name that was set before is replaced.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        set_option(&mut self.options, name.into(), value.into());
        self
    }

    /// The value of an option.
    pub fn option_value(&self, name: &str) -> Option<&str> {
        option_value(&self.options, name)
    }

    /// The targets of all groups in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.groups.iter().flat_map(|group| &group.targets)
    }

    /// The targets of all groups in order, to be changed.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.groups.iter_mut().flat_map(|group| &mut group.targets)
    }
}

impl From<Target> for Plan {
    fn from(target: Target) -> Self {
        Self::new(target)
    }
}

impl From<Group> for Plan {
    fn from(group: Group) -> Self {
        Self::new(group)
    }
}

/// Targets that are tried one after the other.
impl From<Vec<Target>> for Plan {
    fn from(targets: Vec<Target>) -> Self {
        Self::serial(targets)
    }
}

/// Targets that are tried one after the other.
impl<const N: usize> From<[Target; N]> for Plan {
    fn from(targets: [Target; N]) -> Self {
        Self::serial(targets)
    }
}
