#![doc = include_str!("../README.md")]

mod destination;
mod uri;

use jackfield::prelude::*;
use jackfield::targets::{check_edit_count, check_media, check_transport, host_matches};

use destination::Received;

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
    media: Option<String>,
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
    media: Option<String>,
}

impl OptionInjection {
    fn rule_for(&self, host: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| host_matches(&rule.pattern, host))
    }

    /// The rules of these hosts in their order, each once: the last one is applied last, and so it wins.
    fn rules_for(&self, hosts: &[String]) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = Vec::new();
        for rule in hosts.iter().filter_map(|host| self.rule_for(host)) {
            rules.retain(|earlier| !std::ptr::eq(*earlier, rule));
            rules.push(rule);
        }
        rules
    }

    fn force(&self, mut plan: Plan, received: &Received) -> Option<Plan> {
        let common = plan.edits.clone();
        let mut forced = false;
        for target in plan.targets_mut() {
            for rule in self.rules_for(&received.hosts_of_target(target, &common)) {
                forced = true;
                // Last of all edits, so that neither the sender nor an earlier plugin has the last word.
                target.edits.extend(rule.edits.iter().cloned());
                // A trunk says its transport itself, and the host lets nothing stand beside that.
                if let Some(transport) = rule.transport.as_ref().filter(|_| target.option_value("trunk").is_none()) {
                    target.set_option("transport", transport);
                }
                if let Some(media) = &rule.media {
                    target.set_option("media", media);
                }
            }
        }
        forced.then_some(plan)
    }

    /// For a request that nobody has routed. The core follows the Request-URI, unless a Route stands there, and so the transport has to
    /// stand in the URI. In a dialog that is the peer's Contact, and the transport there the peer's choice.
    fn edits_of_request(&self, received: &Received, is_initial: bool) -> Vec<Edit> {
        let rules = self.rules_for(&received.hosts());
        let transport = rules.iter().rev().find_map(|rule| rule.transport.as_ref()).filter(|_| is_initial && received.follows_its_uri());
        // The peer's Contact is not to be changed (RFC 3261 12.2.1.1): it would not know itself.
        let permitted = |edit: &&Edit| is_initial || !matches!(edit, Edit::SetUriParam(..) | Edit::RemoveUriParam(_));
        let edits = rules.iter().flat_map(|rule| rule.edits.iter().filter(permitted).cloned());
        edits.chain(transport.map(|transport| Edit::set_uri_param("transport", transport))).collect()
    }
}

/// The most edits that one request can get: of its Request-URI's entry, its first proxy's and its destination's. The sender has a say in
/// which they are, and may not make the host refuse them all for their number.
fn most_edits(rules: &[Rule]) -> usize {
    let mut counts: Vec<usize> = rules.iter().map(|rule| rule.edits.len() + usize::from(rule.transport.is_some())).collect();
    counts.sort_unstable();
    counts.iter().rev().take(3).sum()
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
        if let Some(media) = &self.media {
            check_media(media, "media")?;
        }
        if edits.is_empty() && self.transport.is_none() && self.media.is_none() {
            bail!("nothing is forced: give uri-params, remove-uri-params, set-headers, remove-headers, transport or media");
        }
        Ok(Rule { pattern: uri::canonical(pattern), edits, transport: self.transport, media: self.media })
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
        check_edit_count(most_edits(&rules)).map_err(|error| error.context("host: where three entries hold for one request"))?;
        rules.sort_by_key(|rule| (rule.pattern.starts_with('*'), std::cmp::Reverse(rule.pattern.len())));
        Ok(Self { rules, methods: config.methods })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to([Hook::Request]).methods(self.methods.clone()).in_dialog()]
    }

    fn on_request(&self, request: &Request) -> Result<Decision> {
        let received = Received::of(request);
        let is_initial = request.is_initial();
        Ok(match request.plan().filter(|_| is_initial) {
            Some(plan) => self.force(plan, &received).map_or_else(Decision::pass, Decision::Route),
            None => Decision::edit(self.edits_of_request(&received, is_initial)),
        })
    }
}

#[cfg(test)]
mod tests;
