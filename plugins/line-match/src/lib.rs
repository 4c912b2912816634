#![doc = include_str!("../README.md")]

use std::rc::Rc;

use jackfield::prelude::*;
use jackfield::targets::{Route, TargetSets};

/// `[plugins.line-match.config]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The name of the parameter.
    #[serde(default = "line")]
    parameter: String,
    /// Where to look for it, in this order.
    #[serde(default = "both", rename = "in")]
    places: Vec<Place>,
    /// From a value of the parameter to a set.
    #[serde(default)]
    line: BTreeMap<String, String>,
    /// The set for values that `line` does not have.
    unknown: Option<String>,
    /// The set for requests without the parameter.
    default: Option<String>,
    /// The methods it is asked about; all, unless given.
    #[serde(default)]
    methods: Vec<String>,
    /// The sets.
    #[serde(default)]
    targets: TargetSets,
}

/// Where a parameter may stand.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    RequestUri,
    To,
}

fn line() -> String {
    "line".to_owned()
}

fn both() -> Vec<Place> {
    vec![Place::RequestUri, Place::To]
}

/// The plugin, made from its configuration.
pub struct LineMatch {
    parameter: String,
    places: Vec<Place>,
    /// By value in lower case: RFC 3261 19.1.4 compares URI parameters without regard to case.
    lines: BTreeMap<String, Rc<Route>>,
    unknown: Option<Rc<Route>>,
    default: Option<Rc<Route>>,
    methods: Vec<String>,
}

impl LineMatch {
    fn value(&self, request: &Request, place: Place) -> Option<String> {
        match place {
            Place::RequestUri => request.uri_param(&self.parameter),
            Place::To => request.header_uri_param("To", &self.parameter),
        }
    }

    /// The first place with a value that is known decides; then any value at all; then none.
    fn matching(&self, request: &Request) -> Option<&Rc<Route>> {
        let mut present = false;
        for place in &self.places {
            let Some(mut value) = self.value(request, *place) else { continue };
            present = true;
            value.make_ascii_lowercase();
            if let Some(route) = self.lines.get(&value) {
                return Some(route);
            }
        }
        if present { self.unknown.as_ref() } else { self.default.as_ref() }
    }
}

#[jackfield::plugin]
impl Plugin for LineMatch {
    fn new(config: Config) -> Result<Self> {
        let routes = config.targets.routes()?;
        if config.parameter.is_empty() || config.parameter.contains([' ', ';', '=', '?']) {
            bail!("parameter: \"{}\" is not the name of a URI parameter", config.parameter);
        }
        if config.places.is_empty() {
            bail!("in: say where to look: request-uri, to, or both");
        }
        let mut lines = BTreeMap::new();
        for (value, name) in &config.line {
            let route = routes.named(name, format_args!("line.{value}"))?;
            if lines.insert(value.to_ascii_lowercase(), route).is_some() {
                bail!("line.{value}: written twice; values are compared without regard to case");
            }
        }
        Ok(Self {
            unknown: routes.named_if(config.unknown.as_ref(), "unknown")?,
            default: routes.named_if(config.default.as_ref(), "default")?,
            parameter: config.parameter,
            places: config.places,
            lines,
            methods: config.methods,
        })
    }

    fn validate(&self) -> Result<()> {
        if self.lines.is_empty() && self.unknown.is_none() && self.default.is_none() {
            bail!("line: give at least one value, like line.abc = \"NAME OF A SET\"");
        }
        Ok(())
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let all = Subscription::to([Hook::Request]).methods(self.methods.clone());
        // Without a default, the host need not call for requests that do not bear the parameter.
        vec![if self.default.is_none() { all.if_uri_param(&self.parameter) } else { all }]
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
