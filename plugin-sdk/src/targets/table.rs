//! A set and a target as they stand in the TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::check::{
    check_beside_trunk, check_edit_count, check_media, check_option, check_phrase, check_route_count, check_tag, check_timeout,
    check_transport, check_trunk, check_uri,
};
use crate::{Edit, Error, Group, Mode, Reply, Result, Target};

type Table = BTreeMap<String, String>;

/// The keys of a target, in a table that may have others too. (`#[serde(flatten)]` would do it in fewer lines, but it cannot refuse
/// unknown keys, and a misspelt key is what an operator most needs to hear about.)
macro_rules! with_target_keys {
    ($(#[$attribute:meta])* $name:ident { $($(#[$own_attribute:meta])* $own:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub(super) struct $name {
            $($(#[$own_attribute])* pub(super) $own: $type,)*
            uri: Option<String>,
            trunk: Option<String>,
            media: Option<String>,
            next_hop: Option<String>,
            route: Option<Vec<String>>,
            egress: Option<String>,
            transport: Option<String>,
            timeout_ms: Option<u32>,
            answer_timeout_ms: Option<u32>,
            weight: Option<u16>,
            tag: Option<String>,
            add_headers: Table,
            set_headers: Table,
            remove_headers: Vec<String>,
            uri_params: Table,
            options: Table,
        }

        impl $name {
            fn keys(&self) -> Keys<'_> {
                Keys {
                    uri: self.uri.as_deref(),
                    trunk: self.trunk.as_deref(),
                    media: self.media.as_deref(),
                    next_hop: self.next_hop.as_deref(),
                    route: self.route.as_deref(),
                    egress: self.egress.as_deref(),
                    transport: self.transport.as_deref(),
                    timeout_ms: self.timeout_ms,
                    answer_timeout_ms: self.answer_timeout_ms,
                    weight: self.weight,
                    tag: self.tag.as_deref(),
                    add_headers: self.add_headers.iter().collect(),
                    set_headers: self.set_headers.iter().collect(),
                    remove_headers: self.remove_headers.iter().collect(),
                    uri_params: self.uri_params.iter().collect(),
                    options: self.options.iter().collect(),
                }
            }
        }
    };
}

with_target_keys!(TargetTable {});

with_target_keys!(SetTable {
    mode: Mode,
    next_on: Option<String>,
    record_route: Option<bool>,
    then: Option<String>,
    #[serde(rename = "final")]
    ends_chain: bool,
    reply: Option<String>,
    target: Vec<TargetTable>,
});

impl SetTable {
    /// The one group of this set.
    pub(super) fn group(&self, name: &str) -> Result<Group> {
        let common = self.keys();
        let targets: Result<Vec<Target>> = if self.target.is_empty() {
            common.target(name, name).map(|target| vec![target])
        } else {
            let each = self.target.iter().enumerate();
            each.map(|(index, table)| table.keys().over(&common).target(name, &format!("{name}.target[{index}]"))).collect()
        };
        Ok(Group { mode: self.mode, targets: targets? })
    }

    /// The answer that stands in place of targets.
    pub(super) fn reply(&self, name: &str) -> Result<Option<Reply>> {
        let Some(text) = &self.reply else { return Ok(None) };
        let (status, reason) = text.split_once(' ').unwrap_or((text, ""));
        let status = status.parse().ok().filter(|status| (300..700).contains(status)).ok_or_else(|| {
            Error::new(format_args!(
                "{name}.reply: expected a final status of 300 to 699 and a phrase, like \"404 Unknown Line\", not \"{text}\""
            ))
        })?;
        check_phrase(reason, format_args!("{name}.reply"))?;
        if !self.target.is_empty() || self.keys().names_destination() {
            return Err(Error::new(format_args!("{name}.reply: a set either answers or has targets, not both")));
        }
        Ok(Some(Reply::new(status, reason)))
    }
}

/// The keys of a target, wherever they were written.
#[derive(Clone)]
struct Keys<'a> {
    uri: Option<&'a str>,
    trunk: Option<&'a str>,
    media: Option<&'a str>,
    next_hop: Option<&'a str>,
    route: Option<&'a [String]>,
    egress: Option<&'a str>,
    transport: Option<&'a str>,
    timeout_ms: Option<u32>,
    answer_timeout_ms: Option<u32>,
    weight: Option<u16>,
    tag: Option<&'a str>,
    add_headers: Vec<(&'a String, &'a String)>,
    set_headers: Vec<(&'a String, &'a String)>,
    remove_headers: Vec<&'a String>,
    uri_params: Vec<(&'a String, &'a String)>,
    options: Vec<(&'a String, &'a String)>,
}

impl<'a> Keys<'a> {
    /// These keys, with those of the set where they say nothing. Tables and lists come together, the set's entries first.
    fn over(self, set: &Keys<'a>) -> Self {
        fn join<T: Clone>(set: &[T], own: Vec<T>) -> Vec<T> {
            set.iter().cloned().chain(own).collect()
        }
        Self {
            uri: self.uri.or(set.uri),
            trunk: self.trunk.or(set.trunk),
            media: self.media.or(set.media),
            next_hop: self.next_hop.or(set.next_hop),
            route: self.route.or(set.route),
            egress: self.egress.or(set.egress),
            transport: self.transport.or(set.transport),
            timeout_ms: self.timeout_ms.or(set.timeout_ms),
            answer_timeout_ms: self.answer_timeout_ms.or(set.answer_timeout_ms),
            weight: self.weight.or(set.weight),
            tag: self.tag.or(set.tag),
            add_headers: join(&set.add_headers, self.add_headers),
            set_headers: join(&set.set_headers, self.set_headers),
            remove_headers: join(&set.remove_headers, self.remove_headers),
            uri_params: join(&set.uri_params, self.uri_params),
            options: join(&set.options, self.options),
        }
    }

    fn names_destination(&self) -> bool {
        self.uri.is_some() || self.trunk.is_some() || self.next_hop.is_some() || self.route.is_some_and(|route| !route.is_empty())
    }

    /// The target; `at` is where it stands, for errors.
    fn target(&self, set: &str, at: &str) -> Result<Target> {
        if !self.names_destination() {
            return Err(Error::new(format_args!(
                "{at}: a target needs uri, trunk, next-hop or route, or the sender would say where requests go"
            )));
        }
        match self.tag {
            Some(tag) => check_tag(tag, format_args!("{at}.tag"))?,
            None => check_tag(set, format_args!("{at}: the name of the set is the tag"))?,
        }
        let mut target = Target::unchanged().tag(self.tag.unwrap_or(set)).weight(self.weight.unwrap_or(1));
        target.edits = self.edits(at)?;
        if let Some(uri) = self.uri {
            check_uri(uri, &["sip", "sips", "tel"], format_args!("{at}.uri"))?;
            target.uri = Some(uri.to_owned());
        }
        check_route_count(self.route.map_or(0, <[String]>::len), format_args!("{at}.route"))?;
        for (index, uri) in self.route.unwrap_or_default().iter().enumerate() {
            check_uri(uri, &["sip", "sips"], format_args!("{at}.route[{index}]"))?;
            target.route.push(uri.clone());
        }
        target.egress = self.egress.map(str::to_owned);
        if let Some(ms) = self.timeout_ms {
            check_timeout(ms, format_args!("{at}.timeout-ms"))?;
            target.timeout = Some(Duration::from_millis(ms.into()));
        }
        for (name, value) in &self.options {
            check_option(name, value, format_args!("{at}.options.{name}"))?;
            target = target.option(*name, *value);
        }
        if let Some(name) = self.trunk {
            check_trunk(name, format_args!("{at}.trunk"))?;
            target = target.trunk(name);
        }
        if let Some(media) = self.media {
            check_media(media, format_args!("{at}.media"))?;
            target = target.media(media);
        }
        if let Some(uri) = self.next_hop {
            check_uri(uri, &["sip", "sips"], format_args!("{at}.next-hop"))?;
            target = target.next_hop(uri);
        }
        if let Some(transport) = self.transport {
            check_transport(transport, format_args!("{at}.transport"))?;
            target = target.transport(transport);
        }
        if let Some(ms) = self.answer_timeout_ms {
            check_timeout(ms, format_args!("{at}.answer-timeout-ms"))?;
            target = target.answer_timeout(Duration::from_millis(ms.into()));
        }
        check_beside_trunk(&target, at)?;
        Ok(target)
    }

    /// Removals first, so that a header field can be removed and added anew.
    fn edits(&self, at: &str) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        let mut push = |key: &str, name: &str, edit: Edit| match edit.refusal() {
            Some(refusal) => Err(Error::new(format_args!("{at}.{key}.{name}: {refusal}"))),
            None => {
                edits.push(edit);
                Ok(())
            }
        };
        for name in &self.remove_headers {
            push("remove-headers", name, Edit::remove(*name))?;
        }
        for (name, value) in &self.set_headers {
            push("set-headers", name, Edit::set(*name, *value))?;
        }
        for (name, value) in &self.add_headers {
            push("add-headers", name, Edit::add(*name, *value))?;
        }
        for (name, value) in &self.uri_params {
            push("uri-params", name, Edit::set_uri_param(*name, *value))?;
        }
        check_edit_count(edits.len()).map_err(|error| error.context(at))?;
        Ok(edits)
    }
}
