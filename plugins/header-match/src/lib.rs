#![doc = include_str!("../README.md")]

mod rule;

use std::rc::Rc;

use jackfield::prelude::*;
use jackfield::targets::{Route, TargetSets};

use rule::{Field, Rule, RuleTable};

/// `[plugins.header-match.config]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The rules, the first that matches wins.
    #[serde(default)]
    rule: Vec<RuleTable>,
    /// The header field that `match` is about.
    header: Option<String>,
    /// Exact values of that header field, asked after the rules.
    #[serde(default, rename = "match")]
    values: BTreeMap<String, String>,
    /// The set for requests that nothing matches; without it they go on to the next plugin.
    default: Option<String>,
    /// The methods it is asked about; all, unless given.
    #[serde(default)]
    methods: Vec<String>,
    /// The sets.
    #[serde(default)]
    targets: TargetSets,
}

/// The plugin, made from its configuration.
pub struct HeaderMatch {
    fields: Vec<Field>,
    rules: Vec<Rule>,
    short: Option<Short>,
    default: Option<Rc<Route>>,
    methods: Vec<String>,
}

/// The short form: one header field with a table of exact values.
struct Short {
    field: usize,
    values: BTreeMap<String, Rc<Route>>,
}

impl HeaderMatch {
    /// The values that the rules look at, in the order of `fields`; several header fields are asked for in one call of the host.
    fn values(&self, request: &Request) -> Vec<Option<String>> {
        let names: Vec<&str> = self.fields.iter().filter_map(Field::header).collect();
        let mut headers = match names.as_slice() {
            [] => Vec::new(),
            [name] => vec![request.header(name)],
            names => request.header_list(names),
        }
        .into_iter();
        self.fields.iter().map(|field| if field.header().is_some() { headers.next().flatten() } else { field.read(request) }).collect()
    }

    fn matching(&self, request: &Request) -> Option<&Rc<Route>> {
        let values = self.values(request);
        let value = |field: usize| values.get(field).and_then(Option::as_deref);
        let rule = self.rules.iter().find(|rule| value(rule.field).is_some_and(|text| rule.test.accepts(text)));
        let short = || self.short.as_ref().and_then(|short| short.values.get(value(short.field)?));
        rule.map(|rule| &rule.route).or_else(short).or(self.default.as_ref())
    }
}

#[jackfield::plugin]
impl Plugin for HeaderMatch {
    fn new(config: Config) -> Result<Self> {
        let routes = config.targets.routes()?;
        let mut fields = Vec::new();
        let mut rules = Vec::new();
        for (index, table) in config.rule.into_iter().enumerate() {
            let route = routes.named(&table.to, format_args!("rule[{index}].to"))?;
            rules.push(table.rule(route, &mut fields).map_err(|error| error.context(format_args!("rule[{index}]")))?);
        }
        let short = match config.header {
            Some(header) => {
                let mut values = BTreeMap::new();
                for (value, name) in config.values {
                    let route = routes.named(&name, format_args!("match.{value}"))?;
                    values.insert(value, route);
                }
                Some(Short { field: Field::header_named(&header)?.place_in(&mut fields), values })
            }
            None if config.values.is_empty() => None,
            None => bail!("match: give the name of the header field too: header = \"...\""),
        };
        if rules.is_empty() && short.is_none() {
            bail!("rule: give at least one [[rule]], or header and match");
        }
        let default = routes.named_if(config.default.as_ref(), "default")?;
        Ok(Self { fields, rules, short, default, methods: config.methods })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let all = Subscription::to([Hook::Request]).methods(self.methods.clone());
        let names: Option<Vec<&str>> = self.fields.iter().map(Field::header).collect();
        // Where only header fields matter, the host need not call for messages that have none of them.
        vec![match names {
            Some(names) if self.default.is_none() => all.if_header(names),
            _ => all,
        }]
    }

    fn on_request(&self, request: &Request) -> Result<Decision> {
        match self.matching(request) {
            // What an earlier plugin of the chain has routed stays so.
            Some(route) if request.plan().is_none() => Ok(route.decision()),
            Some(_) | None => Ok(Decision::pass()),
        }
    }
}

#[cfg(test)]
mod tests;
