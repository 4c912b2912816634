//! One rule: what it looks at, and how.

use std::rc::Rc;

use jackfield::prelude::*;
use jackfield::targets::Route;
use regex_lite::Regex;

/// A rule as it stands in the TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleTable {
    header: Option<String>,
    uri_param: Option<String>,
    part: Option<Part>,
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
    pub(crate) to: String,
}

/// A part of the request that is not a header field.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    RequestUri,
    UriUser,
    UriHost,
    Method,
    SourceAddress,
}

/// A rule ready to use.
pub(crate) struct Rule {
    /// The place of its field among those that the plugin reads.
    pub(crate) field: usize,
    pub(crate) test: Test,
    pub(crate) route: Rc<Route>,
}

/// What a rule looks at.
#[derive(PartialEq, Eq)]
pub(crate) enum Field {
    Header(String),
    UriParam(String),
    Part(Part),
}

/// How it looks at it.
pub(crate) enum Test {
    Exact(String),
    Prefix(String),
    Regex(Regex),
    Present,
}

impl RuleTable {
    /// Checks the rule; its field is added to those that are read, unless another rule reads it too.
    pub(crate) fn rule(self, route: Rc<Route>, fields: &mut Vec<Field>) -> Result<Rule> {
        let field = match (self.header, self.uri_param, self.part) {
            (Some(name), None, None) => Field::header_named(&name)?,
            (None, Some(name), None) => Field::UriParam(name),
            (None, None, Some(part)) => Field::Part(part),
            _ => bail!("give one of header, uri-param and part"),
        };
        let test = match (self.exact, self.prefix, self.regex) {
            (Some(text), None, None) => Test::Exact(text),
            (None, Some(text), None) => Test::Prefix(text),
            (None, None, Some(text)) => Test::Regex(Regex::new(&text).map_err(|error| Error::new(error).context("regex"))?),
            (None, None, None) => Test::Present,
            _ => bail!("give one of exact, prefix and regex (none: it is enough that the field is there)"),
        };
        Ok(Rule { field: field.place_in(fields), test, route })
    }
}

impl Field {
    /// A header field; what cannot be the name of one is a slip that would never match.
    pub(crate) fn header_named(name: &str) -> Result<Self> {
        if name.is_empty() || name.contains([' ', ':', '\r', '\n']) {
            bail!("header: \"{name}\" is not the name of a header field");
        }
        Ok(Self::Header(name.to_owned()))
    }

    /// The index of this field in the list, where it is put unless it is there.
    pub(crate) fn place_in(self, fields: &mut Vec<Self>) -> usize {
        fields.iter().position(|known| *known == self).unwrap_or_else(|| {
            fields.push(self);
            fields.len() - 1
        })
    }

    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::UriParam(_) | Self::Part(_) => None,
        }
    }

    pub(crate) fn read(&self, request: &Request) -> Option<String> {
        match self {
            Self::Header(name) => request.header(name),
            Self::UriParam(name) => request.uri_param(name),
            Self::Part(Part::RequestUri) => Some(request.uri()),
            Self::Part(Part::UriUser) => request.uri_user(),
            Self::Part(Part::UriHost) => Some(request.uri_host()),
            Self::Part(Part::Method) => Some(request.method()),
            Self::Part(Part::SourceAddress) => Some(request.source().address),
        }
    }
}

impl Test {
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => text == wanted,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Present => true,
        }
    }
}
