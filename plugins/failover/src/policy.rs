//! Which failures lead to the next target.

use std::rc::Rc;

use jackfield::prelude::*;
use jackfield::targets::{Route, check_status_list};

/// The words of `next-on`.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    statuses: Vec<u16>,
    /// 3 to 6.
    classes: Vec<u16>,
    timeout: bool,
    unreachable: bool,
}

impl Policy {
    /// Reads `408 5xx timeout unreachable`; `key` is where it was written.
    pub(crate) fn parse(text: &str, key: &str) -> Result<Self> {
        let mut policy = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "timeout" => policy.timeout = true,
                "unreachable" => policy.unreachable = true,
                _ if word.parse::<u16>().is_err() && !word.ends_with("xx") => {
                    bail!(
                        "{key}: expected statuses, classes, timeout and unreachable, like \"408 5xx timeout\"; \"{word}\" is none of them"
                    )
                }
                _ => policy.status(word, key)?,
            }
        }
        Ok(policy)
    }

    fn status(&mut self, word: &str, key: &str) -> Result<()> {
        check_status_list(word, key)?;
        match word.strip_suffix("xx") {
            Some(class) => self.classes.push(class.parse()?),
            None => self.statuses.push(word.parse()?),
        }
        Ok(())
    }

    /// Whether the next target is to be tried.
    pub(crate) fn goes_on(&self, cause: Cause, status: Option<u16>) -> bool {
        match (cause, status) {
            (Cause::Status, Some(status)) => self.statuses.contains(&status) || self.classes.contains(&(status / 100)),
            (Cause::Timeout, _) => self.timeout,
            (Cause::Transport | Cause::Dns | Cause::RefusedByHost | Cause::Status, _) => self.unreachable,
        }
    }

    /// The route, with a plan that leaves the choice to `on_failure`: that hook is asked whatever the status. `set` is its name.
    pub(crate) fn widen(route: &Route, set: &str) -> Result<Rc<Route>> {
        let Route::Plan { plan, ends_chain } = route else { return Ok(Rc::new(route.clone())) };
        if plan.option_value("next-on").is_some() {
            bail!("targets.{set}.next-on: with this plugin, next-on stands at the top of its table or in a rule");
        }
        if plan.groups.iter().any(|group| group.mode == Mode::Parallel) {
            bail!("targets.{set}.mode: failover tries one target after the other: use serial or weighted");
        }
        Ok(Rc::new(Route::Plan { plan: plan.clone().next_on("3xx 4xx 5xx"), ends_chain: *ends_chain }))
    }
}
