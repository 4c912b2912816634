//! `identity` of `[listen.NAME]` and `[trunk.NAME]`: what a side is believed and told of who is calling (RFC 3323, RFC 3325).

use std::sync::Arc;

use jackfield_proto::message::Name;
use jackfield_proto::proxy::{Fields, Form, Identity, PrivacyService, Trust};
use toml::de::DeValue;

use super::host::parse_host;
use super::reader::{Item, Section, nearest};

const KEYS: [&str; 6] = ["trusted", "accept", "tell", "form", "privacy", "assert"];

/// Header fields that say who somebody is, in the order of [`Fields`].
const FIELDS: [&str; 4] = ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info"];

/// What a word stands for.
type Made = fn() -> Identity;

/// What may be written in the place of a table.
const WORDS: [(&str, Made); 2] = [("trusted", Identity::default), ("untrusted", Identity::untrusted)];

/// What a table says of identities; none where it says nothing.
pub(super) fn read(section: &Section<'_, '_>) -> Option<Arc<Identity>> {
    let item = section.item("identity")?;
    let identity = match item.value.get_ref() {
        DeValue::String(_) => item.word(&WORDS)?(),
        DeValue::Table(_) => of_table(&item.section(&KEYS)?),
        _ => return item.wrong_type("\"trusted\", \"untrusted\", or a table like { trusted = false, tell = [\"P-Asserted-Identity\"] }"),
    };
    Some(Arc::new(identity))
}

/// The same of a listener, where passwords are asked for.
pub(super) fn of_listener(section: &Section<'_, '_>) -> Option<Arc<Identity>> {
    let identity = read(section)?;
    if identity.domain.is_some() && section.item("authenticate").is_none() {
        section.item("identity").iter().for_each(|item| item.key_warning("`assert` has no effect: nobody is asked for a password here"));
    }
    Some(identity)
}

/// Who is not said to be trusted is not.
fn of_table(table: &Section<'_, '_>) -> Identity {
    let trusted = table.item("trusted").and_then(|item| item.truth()).unwrap_or_default();
    let default = if trusted { Identity::default() } else { Identity::untrusted() };
    let privacy = table.item("privacy").and_then(|item| item.truth()).unwrap_or_default();
    Identity {
        accepted: table.item("accept").map(|list| accepted(&list, default.trust)).unwrap_or_default(),
        told: table.item("tell").map_or(default.told, |list| fields(&list)),
        form: table.item("form").and_then(|item| item.word(&FORMS)).unwrap_or_default(),
        privacy: if privacy { PrivacyService::Here } else { PrivacyService::Elsewhere },
        domain: table.item("assert").and_then(|item| domain(&item)),
        trust: default.trust,
    }
}

const FORMS: [(&str, Form); 2] = [("p-asserted-identity", Form::AssertedIdentity), ("remote-party-id", Form::RemotePartyId)];

fn accepted(list: &Item<'_, '_>, trust: Trust) -> Fields {
    let accepted = fields(list);
    if trust == Trust::Trusted {
        list.warning("has no effect: all is accepted of a side that is trusted");
    } else if accepted.asserted {
        list.error("P-Asserted-Identity is of the trust domain alone (RFC 3325 5); write trusted = true, or leave it out");
    }
    accepted
}

fn fields(list: &Item<'_, '_>) -> Fields {
    let mut fields = Fields::NONE;
    for item in list.strings().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        let Fields { asserted, remote_party, diversion, history } = &mut fields;
        let is_named = |field: &&str| Name::from_bytes(field.as_bytes()) == Name::from_bytes(name.as_bytes());
        let Some(at) = FIELDS.iter().position(is_named) else {
            item.error(match nearest(name, &FIELDS) {
                Some(near) => format!("`{name}` is no field that says who somebody is; did you mean \"{near}\"?"),
                None => format!("`{name}` is no field that says who somebody is; write one of {}", FIELDS.join(", ")),
            });
            continue;
        };
        let Some(field) = [asserted, remote_party, diversion, history].into_iter().nth(at) else { continue };
        if std::mem::replace(field, true) {
            item.error(format!("`{name}` is here twice; remove one"));
        }
    }
    fields
}

fn domain(item: &Item<'_, '_>) -> Option<Arc<str>> {
    let text = item.string()?;
    let host = parse_host(text);
    if host.is_none() {
        item.error(format!("`{text}` is no domain; write the one of the users alone, like \"example.com\""));
    }
    host.map(Arc::from)
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::super::reader::Report;
    use super::*;

    fn parse(value: &str) -> (Option<Identity>, Vec<String>) {
        let text = format!("identity = {value}");
        let document = DeTable::parse(&text).unwrap();
        let report = Report::new(&text);
        let read = read(&Section::root(&report, document.get_ref(), &["identity"]));
        let problems = report.into_problems().into_iter().map(|problem| format!("{}: {}", problem.key, problem.message));
        (read.map(Arc::unwrap_or_clone), problems.collect())
    }

    #[test]
    fn every_key_is_read() {
        let none = Fields::NONE;
        for (text, expected) in [
            ("\"trusted\"", Identity::default()),
            ("\"untrusted\"", Identity::untrusted()),
            ("{}", Identity::untrusted()),
            ("{ trusted = true }", Identity::default()),
            ("{ accept = [\"diversion\", \"Remote-Party-ID\"] }", {
                Identity { accepted: Fields { diversion: true, remote_party: true, ..none }, ..Identity::untrusted() }
            }),
            ("{ tell = [\"History-Info\"] }", Identity { told: Fields { history: true, ..none }, ..Identity::untrusted() }),
            ("{ trusted = true, tell = [] }", Identity { told: none, ..Identity::default() }),
            ("{ form = \"remote-party-id\" }", Identity { form: Form::RemotePartyId, ..Identity::untrusted() }),
            ("{ trusted = true, privacy = true }", Identity { privacy: PrivacyService::Here, ..Identity::default() }),
            ("{ assert = \"Example.com\" }", Identity { domain: parse_host("Example.com").map(Arc::from), ..Identity::untrusted() }),
        ] {
            assert_eq!(parse(text), (Some(expected), vec![]), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, problem) in [
            (
                "true",
                "identity: is the truth value true; write \"trusted\", \"untrusted\", or a table like { trusted = false, tell = [\"P-Asserted-Identity\"] }",
            ),
            ("\"trust\"", "identity: `trust` is not known; write one of trusted, untrusted"),
            ("{ trust = true }", "identity.trust: unknown key; known here: trusted, accept, tell, form, privacy, assert"),
            (
                "{ tell = [\"P-Asserted-Identiy\"] }",
                "identity.tell[0]: `P-Asserted-Identiy` is no field that says who somebody is; did you mean \"P-Asserted-Identity\"?",
            ),
            (
                "{ tell = [\"Via\"] }",
                "identity.tell[0]: `Via` is no field that says who somebody is; write one of P-Asserted-Identity, Remote-Party-ID, Diversion, History-Info",
            ),
            ("{ tell = [\"Diversion\", \"DIVERSION\"] }", "identity.tell[1]: `DIVERSION` is here twice; remove one"),
            (
                "{ accept = [\"P-Asserted-Identity\"] }",
                "identity.accept: P-Asserted-Identity is of the trust domain alone (RFC 3325 5); write trusted = true, or leave it out",
            ),
            ("{ trusted = true, accept = [\"Diversion\"] }", "identity.accept: has no effect: all is accepted of a side that is trusted"),
            ("{ assert = \"sip:a\" }", "identity.assert: `sip:a` is no domain; write the one of the users alone, like \"example.com\""),
            ("{ form = \"rpid\" }", "identity.form: `rpid` is not known; write one of p-asserted-identity, remote-party-id"),
        ] {
            assert_eq!(parse(text).1, [problem], "{text}");
        }
    }
}
