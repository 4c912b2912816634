//! `[media.profile.NAME]`: what the side that has it gets of a relay.

use std::sync::Arc;

use jackfield_relay::{Codecs, Family, Ice, Profile, Replace, RtcpMux, Symmetry, Transport};

use super::super::reader::{Item, Section};

const KEYS: [&str; 9] = ["interface", "family", "transport", "ice", "rtcp-mux", "codecs", "symmetric", "replace", "flags"];

pub(super) fn read(item: &Item<'_, '_>) -> Option<Profile> {
    let section = item.section(&KEYS)?;
    let default = Profile::default();
    let symmetry = section.item("symmetric").and_then(|item| item.truth());
    Some(Profile {
        interface: section.item("interface").and_then(|item| bare(&item, "a name of an interface as the relay knows it, like \"public\"")),
        family: word(&section, "family", Family::NAMES, Family::named).unwrap_or(default.family),
        transport: word(&section, "transport", Transport::NAMES, Transport::named).unwrap_or(default.transport),
        ice: word(&section, "ice", Ice::NAMES, Ice::named).unwrap_or(default.ice),
        rtcp_mux: word(&section, "rtcp-mux", RtcpMux::NAMES, RtcpMux::named).unwrap_or(default.rtcp_mux),
        codecs: codecs(&section.section("codecs", &["allow", "remove", "transcode"])),
        symmetry: symmetry.map_or(default.symmetry, |truth| if truth { Symmetry::Symmetric } else { Symmetry::Asymmetric }),
        replace: replaced(&section).unwrap_or(default.replace),
        flags: list(&section, "flags", "a flag of the ng protocol, like \"strict-source\""),
    })
}

fn word<T: Copy>(section: &Section<'_, '_>, key: &str, names: &[&'static str], named: fn(&str) -> Option<T>) -> Option<T> {
    section.item(key).and_then(|item| item.word(&words(names, named)))
}

fn words<T>(names: &[&'static str], named: fn(&str) -> Option<T>) -> Vec<(&'static str, T)> {
    names.iter().filter_map(|name| Some((*name, named(name)?))).collect()
}

fn replaced(section: &Section<'_, '_>) -> Option<Vec<Replace>> {
    let list = section.item("replace")?;
    let words = words(Replace::NAMES, Replace::named);
    let mut replaced = Vec::new();
    for item in list.strings()? {
        match item.word(&words) {
            Some(part) if replaced.contains(&part) => item.error(format!("`{}` is here twice; remove one", part.name())),
            Some(part) => replaced.push(part),
            None => {}
        }
    }
    Some(replaced)
}

fn codecs(section: &Section<'_, '_>) -> Codecs {
    let names = |key| list(section, key, "a codec as SDP writes it, like \"PCMA\", \"opus/48000/2\" or \"telephone-event\"");
    let codecs = Codecs { allow: names("allow"), remove: names("remove"), transcode: names("transcode") };
    for item in section.item("remove").iter().filter_map(|list| list.strings()).flatten() {
        let is_there = |list: &[Arc<str>]| item.string().is_some_and(|name| list.iter().any(|known| **known == *name));
        if is_there(&codecs.allow) || is_there(&codecs.transcode) {
            item.error(format!("`{}` is in another list as well; it cannot be there and be removed", item.string().unwrap_or_default()));
        }
    }
    codecs
}

fn list(section: &Section<'_, '_>, key: &str, wanted: &str) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for item in section.item(key).iter().filter_map(|list| list.strings()).flatten() {
        match bare(&item, wanted) {
            Some(name) if names.contains(&name) => item.error(format!("`{name}` is here twice; remove one")),
            Some(name) => names.push(name),
            None => {}
        }
    }
    names
}

/// A text without blanks at its ends and without control characters.
fn bare(item: &Item<'_, '_>, wanted: &str) -> Option<Arc<str>> {
    let text = item.string()?;
    if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
        item.error(format!("`{text}` cannot be meant; write {wanted}"));
        return None;
    }
    Some(text.into())
}
