//! What passes, as tables: fields that come in, the sides, and the fields that leave.

use super::passage::{Concealed, MediaPath, Passage, Topology};
use super::{Fields, Form, Identity, PrivacyService};
use crate::message::{Framing, Limits, Message};
use crate::proxy::plan::{Edit, Reply};

fn message(start: &str, fields: &str, body: &str) -> Message {
    let (_, method) = start.split_once("|").unwrap_or((start, start.split(' ').next().unwrap()));
    let start = start.split('|').next().unwrap();
    let fields: String = fields.split('|').filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect();
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: \"A\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\
         {fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let message = Message::parse(text.into(), Framing::Datagram, &Limits::default()).unwrap();
    assert_eq!(message.defect(), None);
    message
}

fn invite(fields: &str) -> Message {
    message("INVITE sip:b@h SIP/2.0", fields, "")
}

fn answer(fields: &str) -> Message {
    message("SIP/2.0 200 OK|INVITE", fields, "")
}

/// How a message leaves: the fields behind CSeq, and From where it has changed.
fn fields_of(passage: &Passage<'_>) -> String {
    let mut splice = passage.message.splice();
    passage.before_edits(&mut splice);
    for edit in passage.edits.into_iter().flatten() {
        match edit {
            Edit::Add(name, value) => splice.append(name, value.clone()),
            Edit::Set(name, value) => splice.set(name, value.clone()),
            Edit::Remove(name) => splice.remove(name),
            Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => {}
        }
    }
    passage.after_edits(&mut splice);
    let written = Message::parse(splice.finish(), Framing::Datagram, &Limits::default()).unwrap();
    assert_eq!(written.defect(), None);
    let text = String::from_utf8(written.bytes().to_vec()).unwrap();
    let is_shown = |line: &&str| {
        let names = ["Via:", "To:", "Call-ID:", "CSeq:", "Content-Length:", "From: \"A\" <sip:a@h>;tag=1"];
        !names.iter().any(|name| line.starts_with(name))
    };
    text.trim_end().split("\r\n").skip(1).filter(is_shown).collect::<Vec<_>>().join("|")
}

fn between(message: &Message, from: &Identity, to: &Identity) -> String {
    fields_of(&Passage::between(message, Some(from), Some(to)).unwrap())
}

fn trusted() -> Identity {
    Identity::default()
}

fn untrusted() -> Identity {
    Identity::untrusted()
}

fn old() -> Identity {
    Identity { form: Form::RemotePartyId, ..trusted() }
}

fn private(identity: Identity) -> Identity {
    Identity { privacy: PrivacyService::Here, ..identity }
}

const PAI: &str = "P-Asserted-Identity: \"A\" <sip:a@h>";
const ANONYMOUS: &str = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1";

/// RFC 3325 5: what an untrusted side asserts is no assertion, however it is written.
#[test]
fn what_an_untrusted_side_asserts_is_taken_out() {
    for fields in [
        PAI,
        "P-Asserted-Identity: <sip:a@h>, <tel:+491>|p-asserted-identity: <sip:c@h>",
        "P-ASSERTED-IDENTITY : garbage \"",
        "P-Asserted-Identity:",
        "Remote-Party-ID: <sip:a@h>;party=calling;screen=yes",
        "remote-party-id: \"open <sip:a@h>",
        "Diversion: <sip:c@h>;reason=no-answer, <sip:d@h>",
        "History-Info: <sip:b@h>;index=1, <sip:c@h>;index=1.1",
    ] {
        for message in [invite(fields), answer(fields)] {
            assert_eq!(between(&message, &untrusted(), &trusted()), "", "{fields}");
            assert_eq!(between(&message, &trusted(), &trusted()), fields_of_received(&message), "{fields}");
        }
    }
}

fn fields_of_received(message: &Message) -> String {
    fields_of(&Passage::between(message, Some(&trusted()), None).unwrap())
}

/// The fields of an untrusted side that are accepted; of these, what cannot be read goes, and the others stay as they came.
#[test]
fn what_is_accepted_of_an_untrusted_side_passes() {
    let accepting = Identity { accepted: Fields { asserted: false, ..Fields::ALL }, ..untrusted() };
    for (fields, expected) in [
        (PAI, ""),
        ("Remote-Party-ID: <sip:a@h>;party=calling", "Remote-Party-ID: <sip:a@h>;party=calling"),
        ("Remote-Party-ID: \"open <sip:a@h>", ""),
        ("Diversion: <sip:c@h>, \"open <sip:d@h>", "Diversion: <sip:c@h>"),
        ("History-Info: a b, <sip:c@h>;index=1", "History-Info: <sip:c@h>;index=1"),
    ] {
        assert_eq!(between(&invite(fields), &accepting, &trusted()), expected, "{fields}");
        assert_eq!(between(&invite(fields), &trusted(), &trusted()), fields, "left as a trusted side has written it");
    }
}

/// RFC 3325 9.2: it is between the user agent and the first proxy.
#[test]
fn a_preferred_identity_goes_no_further() {
    for (from, to) in [(trusted(), trusted()), (untrusted(), trusted()), (trusted(), untrusted())] {
        assert_eq!(between(&invite("P-Preferred-Identity: <sip:a@h>, <tel:+491>|p-preferred-identity: x"), &from, &to), "");
    }
}

/// RFC 3325 7 and 9.3: `id` keeps it from the untrusted, `none` must not be overruled, and without a word the configuration decides.
#[test]
fn an_untrusted_side_is_told_as_privacy_says() {
    let silent = Identity { told: Fields::NONE, ..untrusted() };
    for (privacy, to_untrusted, to_silent) in [
        ("", true, false),
        ("Privacy: none", true, true),
        ("Privacy: id", false, false),
        ("privacy: ID ;critical", false, false),
        ("Privacy: session, id", false, false),
        ("Privacy: none;id", false, false),
        ("Privacy: user", true, false),
    ] {
        let fields = format!("{PAI}, <tel:+491>|{privacy}");
        let expected = |told: bool| if told { fields.trim_end_matches('|').to_owned() } else { privacy.to_owned() };
        for message in [invite(&fields), answer(&fields)] {
            assert_eq!(between(&message, &trusted(), &untrusted()), expected(to_untrusted), "{privacy}");
            assert_eq!(between(&message, &trusted(), &silent), expected(to_silent), "{privacy}");
            assert_eq!(between(&message, &trusted(), &trusted()), expected(true), "{privacy}");
        }
    }
}

/// RFC 3325 5: who has shown a password is asserted, whatever he claims; in requests that may hold an identity (9.1).
#[test]
fn a_verified_user_is_asserted() {
    let users = Identity { domain: Some("example.com".into()), ..untrusted() };
    let passed = |message: &Message, user, from: &Identity, to: &Identity| {
        fields_of(&Passage::between(message, Some(from), Some(to)).unwrap().sent_by(user))
    };
    let claims = invite(&format!("{PAI}|P-Preferred-Identity: <sip:boss@h>"));
    for (user, expected) in [
        (Some("alice"), "P-Asserted-Identity: <sip:alice@example.com>"),
        (Some("alice@Example.com"), "P-Asserted-Identity: <sip:alice@example.com>"),
        (Some("alice@h"), "P-Asserted-Identity: <sip:alice%40h@example.com>"),
        (Some("a b<>\"\r\né"), "P-Asserted-Identity: <sip:a%20b%3C%3E%22%0D%0A%C3%A9@example.com>"),
        (None, ""),
    ] {
        assert_eq!(passed(&claims, user, &users, &trusted()), expected, "{user:?}");
    }
    let remote_party = "Remote-Party-ID: <sip:alice@example.com>;party=calling;screen=yes;privacy=off";
    assert_eq!(passed(&claims, Some("alice"), &users, &old()), remote_party);
    assert_eq!(passed(&claims, Some("alice"), &untrusted(), &trusted()), "", "nobody has said in which domain");
    assert_eq!(passed(&invite("Privacy: id"), Some("alice"), &users, &untrusted()), "Privacy: id");
    for method in ["REGISTER", "ACK", "CANCEL"] {
        let request = message(&format!("{method} sip:b@h SIP/2.0"), "", "");
        assert_eq!(passed(&request, Some("alice"), &users, &trusted()), "", "{method}");
    }
    let proxy = Identity { domain: users.domain.clone(), ..trusted() };
    assert_eq!(passed(&invite(PAI), Some("alice"), &proxy, &trusted()), PAI, "who is trusted may speak for others");
}

/// draft-ietf-sip-privacy-04: what the one side writes as Remote-Party-ID the other reads as P-Asserted-Identity, with its privacy.
#[test]
fn remote_party_id_becomes_asserted_identity() {
    for (fields, to_trusted, to_untrusted) in [
        ("Remote-Party-ID: \"A\" <sip:a@h>;party=calling;screen=no;privacy=off", PAI, PAI),
        ("Remote-Party-ID: \"A\" <sip:a@h>", PAI, PAI),
        ("Remote-Party-ID: <sip:b@h>;party=called, \"A\" <sip:a@h>;party=CALLING;privacy=\"ipaddr-network\"", PAI, PAI),
        ("Remote-Party-ID: \"A\" <sip:a@h>;privacy=full", &format!("{PAI}|Privacy: id"), ""),
        (
            "Privacy: session|Remote-Party-ID: \"A\" <sip:a@h>;privacy=uri-network",
            &format!("Privacy: session;id|{PAI}"),
            "Privacy: session",
        ),
        ("Privacy: id|remote-party-id: \"A\" <sip:a@h>;privacy=\"name,uri\"", &format!("Privacy: id|{PAI}"), "Privacy: id"),
        ("Privacy: none|Remote-Party-ID: \"A\" <sip:a@h>;privacy=full", &format!("Privacy: id|{PAI}"), "Privacy: none"),
        (&format!("{PAI}|Remote-Party-ID: <sip:other@h>"), PAI, PAI),
    ] {
        assert_eq!(sorted(&between(&invite(fields), &old(), &trusted())), sorted(to_trusted), "{fields}");
        assert_eq!(sorted(&between(&invite(fields), &old(), &untrusted())), sorted(to_untrusted), "{fields}");
    }
    let called = answer("Remote-Party-ID: <sip:a@h>;party=calling, \"B\" <sip:b@h>;party=called");
    assert_eq!(between(&called, &old(), &trusted()), "P-Asserted-Identity: \"B\" <sip:b@h>", "who answers has been called");
    let claim = invite("Remote-Party-ID: <sip:a@h>");
    assert_eq!(between(&claim, &Identity { form: Form::RemotePartyId, ..untrusted() }, &trusted()), "");
}

fn sorted(fields: &str) -> Vec<&str> {
    let mut fields: Vec<_> = fields.split('|').collect();
    fields.sort_unstable();
    fields
}

/// And the other way round.
#[test]
fn asserted_identity_becomes_remote_party_id() {
    let parties = |privacy: &str| format!("Remote-Party-ID: \"A\" <sip:a@h>;party=calling;screen=yes;privacy={privacy}");
    for (fields, expected) in [
        (PAI.to_owned(), parties("off")),
        (format!("P-Asserted-Identity: <tel:+491>|{PAI}"), parties("off")),
        (format!("Privacy: id|{PAI}"), format!("Privacy: id|{}", parties("full"))),
        (format!("{PAI}|Remote-Party-ID: <sip:x@h>;party=calling"), parties("off")),
        ("P-Asserted-Identity: tel:+491".into(), "Remote-Party-ID: <tel:+491>;party=calling;screen=yes;privacy=off".into()),
        ("P-Asserted-Identity: \"open <sip:a@h>".into(), "P-Asserted-Identity: \"open <sip:a@h>".into()),
    ] {
        assert_eq!(sorted(&between(&invite(&fields), &trusted(), &old())), sorted(&expected), "{fields}");
    }
    let called = "Remote-Party-ID: \"A\" <sip:a@h>;party=called;screen=yes;privacy=off";
    assert_eq!(between(&answer(PAI), &trusted(), &old()), called);
    let outside = Identity { form: Form::RemotePartyId, ..untrusted() };
    assert_eq!(between(&invite(&format!("{PAI}|Privacy: id")), &trusted(), &outside), "Privacy: id");
    let party = "Remote-Party-ID: <sip:a@h>;party=calling;privacy=full";
    assert_eq!(between(&invite(party), &old(), &old()), party, "both sides read it");
    assert_eq!(between(&invite(party), &trusted(), &untrusted()), "", "nobody has said that it is to be read, but it asks for privacy");
}

/// RFC 5806, RFC 7044 10.1: towards a side that is told of it, but not what is private if that is untrusted.
#[test]
fn diversions_pass_as_configured_and_as_they_ask() {
    let told = Identity { told: Fields::ALL, ..untrusted() };
    let diverted = "Diversion: <sip:c@h>;privacy=full;reason=deflection, <sip:d@h>;privacy=off, <sip:e@h>";
    let history = "History-Info: <sip:b@h?Privacy=history>;index=1, <sip:c@h;x=y>;index=1.1;mp=1";
    let anonymous = "History-Info: <sip:anonymous@anonymous.invalid>;index=1";
    for (fields, to, expected) in [
        (diverted.to_owned(), &trusted(), diverted.to_owned()),
        (diverted.to_owned(), &untrusted(), String::new()),
        (diverted.to_owned(), &told, "Diversion: <sip:d@h>;privacy=off, <sip:e@h>".into()),
        (format!("Privacy: history|{diverted}"), &told, "Privacy: history".into()),
        (history.to_owned(), &trusted(), history.to_owned()),
        (history.to_owned(), &untrusted(), String::new()),
        (history.to_owned(), &told, format!("{anonymous}, <sip:c@h;x=y>;index=1.1;mp=1")),
        (
            format!("Privacy: history|{history}"),
            &told,
            format!("Privacy: history|{anonymous}, <sip:anonymous@anonymous.invalid>;index=1.1;mp=1"),
        ),
    ] {
        assert_eq!(between(&invite(&fields), &trusted(), to), expected, "{fields}");
    }
}

const TELLING: &str = "Subject: s|Organization: o|User-Agent: u|Reply-To: <sip:a@h>|Call-Info: <http://h/>|In-Reply-To: x|Server: s|\
                       Referred-By: <sip:a@h>|Identity: y|X-Other: stays";

/// RFC 3323 4.1.1.3, 5.3: what has been given is not asked for again, and Privacy goes when nothing is left.
#[test]
fn the_privacy_service_makes_anonymous() {
    let asserted_and = |fields: &str| format!("{PAI}|{fields}");
    for (privacy, to_untrusted, to_trusted) in [
        ("", asserted_and(TELLING), asserted_and(TELLING)),
        ("Privacy: none|", asserted_and(&format!("Privacy: none|{TELLING}")), asserted_and(&format!("Privacy: none|{TELLING}"))),
        ("Privacy: user|", format!("{ANONYMOUS}|X-Other: stays"), format!("{ANONYMOUS}|{PAI}|X-Other: stays")),
        ("Privacy: user;critical|", format!("{ANONYMOUS}|X-Other: stays"), format!("{ANONYMOUS}|{PAI}|X-Other: stays")),
        ("Privacy: id;user|", format!("{ANONYMOUS}|X-Other: stays"), format!("{ANONYMOUS}|{PAI}|Privacy: id|X-Other: stays")),
        ("Privacy: header|", "Privacy: header|X-Other: stays".into(), asserted_and("Privacy: header|X-Other: stays")),
    ] {
        let request = invite(&format!("{PAI}|{privacy}{TELLING}"));
        assert_eq!(between(&request, &trusted(), &private(untrusted())), to_untrusted, "{privacy}");
        assert_eq!(between(&request, &trusted(), &private(trusted())), to_trusted, "{privacy}");
    }
    let withheld = invite(&format!("{PAI}|Privacy: id|Identity: y|Subject: s"));
    assert_eq!(
        between(&withheld, &trusted(), &private(untrusted())),
        format!("{ANONYMOUS}|Subject: s"),
        "a From that is gone is proved by nothing"
    );
    assert_eq!(between(&withheld, &trusted(), &untrusted()), "Privacy: id|Identity: y|Subject: s", "nobody here sees to it");
    let restricted = invite("Remote-Party-ID: <sip:a@h>;privacy=full");
    assert_eq!(between(&restricted, &old(), &private(untrusted())), ANONYMOUS);
}

/// RFC 3323 5: who registers, and who answers, has a name.
#[test]
fn the_privacy_service_leaves_from_in_what_needs_it() {
    let register = message("REGISTER sip:h SIP/2.0", "Privacy: user;critical|Subject: s", "");
    assert_eq!(between(&register, &trusted(), &private(untrusted())), "Privacy: user;critical|Subject: s");
    assert_eq!(between(&answer("Privacy: user|Server: s"), &trusted(), &private(untrusted())), "", "From is the caller's");
}

/// RFC 3323 5.1, 5.2: hiding gives `header`, a media relay `session`.
#[test]
fn what_others_conceal_counts() {
    let hidden = Concealed { topology: Topology::Hidden, media: MediaPath::Direct };
    let relayed = Concealed { topology: Topology::Shown, media: MediaPath::Relayed };
    let request = invite("Privacy: header;session;critical");
    for (concealed, expected) in [
        (Concealed::default(), "Privacy: header;session;critical"),
        (hidden, "Privacy: session;critical"),
        (relayed, "Privacy: header;critical"),
    ] {
        let to = private(untrusted());
        assert_eq!(fields_of(&Passage::between(&request, None, Some(&to)).unwrap().concealed(concealed)), expected);
    }
}

/// RFC 3323 5: a request is failed whose privacy is critical and cannot be given, and the reason says what is missing.
#[test]
fn critical_privacy_that_cannot_be_given_fails_the_request() {
    let refused = |request: &Message, to: &Identity, concealed| {
        Passage::between(request, None, Some(to)).unwrap().concealed(concealed).refusal().map(|Reply { status, reason, .. }| {
            assert_eq!(status, 500);
            String::from_utf8(reason.unwrap().to_vec()).unwrap()
        })
    };
    let all = Concealed { topology: Topology::Hidden, media: MediaPath::Relayed };
    let reason = |missing: &str| Some(format!("Privacy Cannot Be Given: {missing}"));
    for (privacy, concealed, expected) in [
        ("header;session;critical", Concealed::default(), reason("header;session")),
        ("session;critical", all, None),
        ("header;user;id;history;session;critical", all, None),
        ("session", Concealed::default(), None),
        ("none;critical", Concealed::default(), None),
        ("critical", Concealed::default(), None),
        ("x-strange;CRITICAL", all, reason("x-strange")),
        ("a\x01b;critical", all, reason("")),
    ] {
        let fields = format!("Privacy: {privacy}");
        assert_eq!(refused(&invite(&fields), &private(trusted()), concealed), expected, "{privacy}");
        assert_eq!(refused(&invite(&fields), &trusted(), concealed), None, "somebody else may give it");
        assert_eq!(refused(&answer(&fields), &private(trusted()), concealed), None, "what is answered is answered");
    }
    let request = |method: &str, body: &str| message(&format!("{method} sip:b@h SIP/2.0"), "Privacy: session;critical", body);
    for (method, body, expected) in
        [("BYE", "", None), ("ACK", "v=0", None), ("CANCEL", "", None), ("INFO", "", None), ("UPDATE", "v=0", reason("session"))]
    {
        assert_eq!(refused(&request(method, body), &private(trusted()), Concealed::default()), expected, "{method}");
    }
}

/// A decision's edits are the operator's word: they are told. But what is to be kept stays kept, and they may ask for that themselves.
#[test]
fn edits_win_but_for_privacy() {
    let add = |name: &'static str, value: &'static str| Edit::Add(name.into(), value.into());
    let set = |name: &'static str, value: &'static str| Edit::Set(name.into(), value.into());
    let edited = |fields: &str, edits: &[Edit], to: &Identity| {
        fields_of(&Passage::between(&invite(fields), Some(&untrusted()), Some(to)).unwrap().edited([&[], edits]))
    };
    let own = [set("P-Asserted-Identity", "<sip:own@h>"), add("Diversion", "<sip:d@h>")];
    let written = "P-Asserted-Identity: <sip:own@h>|Diversion: <sip:d@h>";
    assert_eq!(edited(PAI, &own, &trusted()), written);
    assert_eq!(edited(PAI, &own, &Identity { told: Fields::NONE, ..untrusted() }), written);
    assert_eq!(edited(&format!("{PAI}|Privacy: id"), &own, &untrusted()), "Privacy: id|Diversion: <sip:d@h>");
    let hides = [add("p-asserted-identity", "<sip:own@h>"), set("Privacy", "id")];
    assert_eq!(edited("", &hides, &untrusted()), "Privacy: id");
    assert_eq!(edited("", &hides, &private(untrusted())), ANONYMOUS);
    let shows = [Edit::Remove("privacy".into()), add("P-Asserted-Identity", "<sip:own@h>")];
    assert_eq!(edited("Privacy: id", &shows, &private(untrusted())), "P-Asserted-Identity: <sip:own@h>");
}

#[test]
fn nothing_is_done_where_nobody_says_anything() {
    assert!(Passage::between(&invite(PAI), None, None).is_none());
    let plain = invite(&format!("{PAI}|Privacy: id|{TELLING}|Diversion: <sip:c@h>"));
    let (mut splice, from) = (plain.splice(), trusted());
    let passage = Passage::between(&plain, Some(&from), None).unwrap();
    passage.before_edits(&mut splice);
    passage.after_edits(&mut splice);
    assert_eq!(splice.finish(), plain.bytes());
}
