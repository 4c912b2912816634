#![doc = include_str!("../README.md")]

mod policy;

use std::rc::Rc;

use jackfield::prelude::*;
use jackfield::targets::{Route, TargetSets, host_matches};

use policy::Policy;

/// `[plugins.failover.config]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Statuses, classes, `timeout` and `unreachable`.
    #[serde(default = "usual")]
    next_on: String,
    /// Sets by the host of the Request-URI, the first that matches wins.
    #[serde(default)]
    rule: Vec<RuleTable>,
    /// The set for all other hosts; without it they go on to the next plugin.
    default: Option<String>,
    /// The methods it is asked about; all, unless given.
    #[serde(default)]
    methods: Vec<String>,
    /// The sets.
    #[serde(default)]
    targets: TargetSets,
}

fn usual() -> String {
    "408 5xx timeout unreachable".to_owned()
}

/// `[[plugins.failover.config.rule]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleTable {
    host: String,
    next_on: Option<String>,
    to: String,
}

/// The plugin, made from its configuration.
pub struct Failover {
    rules: Vec<Rule>,
    default: Option<Rule>,
    methods: Vec<String>,
}

struct Rule {
    host: String,
    policy: Policy,
    route: Rc<Route>,
}

/// What `on_request` notes for `on_failure`: the place of the rule, or the word for the default.
const RULE: &str = "rule";
const DEFAULT: &str = "default";

impl Failover {
    fn rule_for(&self, host: &str) -> Option<(String, &Rule)> {
        let place = self.rules.iter().position(|rule| host_matches(&rule.host, host));
        let rule = place.and_then(|place| Some((place.to_string(), self.rules.get(place)?)));
        rule.or_else(|| Some((DEFAULT.to_owned(), self.default.as_ref()?)))
    }

    fn noted(&self, note: &str) -> Option<&Rule> {
        if note == DEFAULT { self.default.as_ref() } else { self.rules.get(note.parse::<usize>().ok()?) }
    }
}

#[jackfield::plugin]
impl Plugin for Failover {
    fn new(config: Config) -> Result<Self> {
        let routes = config.targets.routes()?;
        let common = Policy::parse(&config.next_on, "next-on")?;
        let mut rules = Vec::new();
        for (index, table) in config.rule.into_iter().enumerate() {
            let policy = match &table.next_on {
                Some(words) => Policy::parse(words, &format!("rule[{index}].next-on"))?,
                None => common.clone(),
            };
            let route = Policy::widen(&*routes.named(&table.to, format_args!("rule[{index}].to"))?, &table.to)?;
            rules.push(Rule { host: table.host, policy, route });
        }
        let default = match &config.default {
            Some(set) => {
                let route = Policy::widen(&*routes.named(set, "default")?, set)?;
                Some(Rule { host: "*".to_owned(), policy: common, route })
            }
            None => None,
        };
        if rules.is_empty() && default.is_none() {
            bail!("default: name a set of the table targets, or give at least one [[rule]]");
        }
        Ok(Self { rules, default, methods: config.methods })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to([Hook::Request, Hook::Failure]).methods(self.methods.clone())]
    }

    fn on_request(&self, request: &Request) -> Result<Decision> {
        let Some((note, rule)) = self.rule_for(&request.uri_host()) else { return Ok(Decision::pass()) };
        if request.plan().is_some() {
            // What an earlier plugin of the chain has routed stays so, and its failures are not ours.
            return Ok(Decision::pass());
        }
        request.set_note(RULE, &note);
        Ok(rule.route.decision())
    }

    fn on_failure(&self, request: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery> {
        let Some(rule) = request.note(RULE).and_then(|note| self.noted(&note)) else { return Ok(Recovery::Next) };
        let goes_on = rule.policy.goes_on(failure.cause, response.map(Response::status));
        if goes_on && failure.remaining > 0 {
            jackfield::info!("target {} failed ({:?}), {} left to try", failure.tag, failure.cause, failure.remaining);
        }
        Ok(if goes_on { Recovery::Next } else { Recovery::Stop })
    }
}

#[cfg(test)]
mod tests;
