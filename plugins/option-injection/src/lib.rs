#![doc = include_str!("../README.md")]

mod uri;

use jackfield::prelude::*;
use jackfield::targets::{check_transport, host_matches};

/// `[plugins.option-injection.config]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// By host, or by `*.suffix`.
    host: BTreeMap<String, Forced>,
    /// The methods it is asked about; all, unless given.
    #[serde(default)]
    methods: Vec<String>,
}

/// What is forced on requests to one destination.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[derive(Default)]
struct Forced {
    uri_params: BTreeMap<String, String>,
    remove_uri_params: Vec<String>,
    set_headers: BTreeMap<String, String>,
    remove_headers: Vec<String>,
    transport: Option<String>,
}

/// The plugin, made from its configuration.
pub struct OptionInjection {
    /// Whole names first, then suffixes, the longest first: the first that matches is the most specific.
    rules: Vec<Rule>,
    methods: Vec<String>,
}

struct Rule {
    pattern: String,
    edits: Vec<Edit>,
    transport: Option<String>,
}

impl OptionInjection {
    fn rule_for(&self, host: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| host_matches(&rule.pattern, host))
    }

    /// The rule of a target's destination: by the host of its Request-URI, else of its first proxy, else of its next hop.
    fn rule_for_target(&self, target: &Target, received: &str) -> Option<&Rule> {
        let uri = target.uri.as_deref().map_or(received, uri::host);
        let route = target.route.first().map(|route| uri::host(route));
        let next_hop = target.option_value("next-hop").map(uri::host);
        [Some(uri), route, next_hop].into_iter().flatten().find_map(|host| self.rule_for(host))
    }

    fn force(&self, mut plan: Plan, received: &str) -> Option<Plan> {
        let mut forced = false;
        for target in plan.targets_mut() {
            let Some(rule) = self.rule_for_target(target, received) else { continue };
            forced = true;
            // Last of all edits, so that neither the sender nor an earlier plugin has the last word.
            target.edits.extend(rule.edits.iter().cloned());
            if let Some(transport) = &rule.transport {
                target.set_option("transport", transport);
            }
        }
        forced.then_some(plan)
    }
}

impl Rule {
    /// For a request that nobody has routed: the core follows the Request-URI, and so the transport has to stand in there.
    fn edits_of_request(&self) -> Vec<Edit> {
        let transport = self.transport.iter().map(|transport| Edit::set_uri_param("transport", transport));
        self.edits.iter().cloned().chain(transport).collect()
    }
}

impl Forced {
    fn rule(self, pattern: &str) -> Result<Rule> {
        let mut edits = Vec::new();
        let mut push = |key: &str, name: &str, edit: Edit| match edit.refusal() {
            Some(refusal) => Err(Error::new(refusal).context(format_args!("{key}.{name}"))),
            None => {
                edits.push(edit);
                Ok(())
            }
        };
        for name in &self.remove_uri_params {
            push("remove-uri-params", name, Edit::remove_uri_param(name))?;
        }
        for (name, value) in &self.uri_params {
            push("uri-params", name, Edit::set_uri_param(name, value))?;
        }
        for name in &self.remove_headers {
            push("remove-headers", name, Edit::remove(name))?;
        }
        for (name, value) in &self.set_headers {
            push("set-headers", name, Edit::set(name, value))?;
        }
        if let Some(transport) = &self.transport {
            check_transport(transport, "transport")?;
        }
        if edits.is_empty() && self.transport.is_none() {
            bail!("nothing is forced: give uri-params, remove-uri-params, set-headers, remove-headers or transport");
        }
        Ok(Rule { pattern: pattern.to_owned(), edits, transport: self.transport })
    }
}

#[jackfield::plugin]
impl Plugin for OptionInjection {
    fn new(config: Config) -> Result<Self> {
        if config.host.is_empty() {
            bail!("host: give at least one table, like [host.\"*.provider.example\"]");
        }
        let mut rules = Vec::new();
        for (pattern, forced) in config.host {
            let key = format!("host.\"{pattern}\"");
            if !uri::is_pattern(&pattern) {
                bail!("{key}: expected a host, or *. and the end of host names, without port");
            }
            rules.push(forced.rule(&pattern).map_err(|error| error.context(&key))?);
        }
        rules.sort_by_key(|rule| (rule.pattern.starts_with('*'), std::cmp::Reverse(rule.pattern.len())));
        Ok(Self { rules, methods: config.methods })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to([Hook::Request]).methods(self.methods.clone())]
    }

    fn on_request(&self, request: &Request) -> Result<Decision> {
        let received = request.uri_host();
        Ok(match request.plan() {
            Some(plan) => self.force(plan, &received).map_or_else(Decision::pass, Decision::Route),
            None => self.rule_for(&received).map_or_else(Decision::pass, |rule| Decision::edit(rule.edits_of_request())),
        })
    }
}

#[cfg(test)]
mod tests;
