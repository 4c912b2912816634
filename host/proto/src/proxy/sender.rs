//! Where a request has come from, as its targets say: the same for all of them.

use std::sync::Arc;

use super::border::Border;
use super::plan::{Group, Target, TrunkSide};

/// What the targets of a plan say of the sender, for those that take their place after a failure: who chooses these knows nothing of it.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    from: Option<TrunkSide>,
    border: Option<Arc<Border>>,
    user: Option<Arc<str>>,
}

impl Sender {
    /// None where nothing is said.
    pub(super) fn of(groups: &[Group]) -> Option<Box<Self>> {
        let Target { from, from_border, user, .. } = groups.iter().flat_map(|group| &group.targets).next()?;
        let says_something = from.is_some() || from_border.is_some() || user.is_some();
        says_something.then(|| Box::new(Self { from: *from, border: from_border.clone(), user: user.clone() }))
    }

    /// Says it of targets that do not.
    pub(super) fn tell(&self, groups: &mut [Group]) {
        for target in groups.iter_mut().flat_map(|group| &mut group.targets) {
            target.from = target.from.or(self.from);
            target.from_border = target.from_border.take().or_else(|| self.border.clone());
            target.user = target.user.take().or_else(|| self.user.clone());
        }
    }
}
