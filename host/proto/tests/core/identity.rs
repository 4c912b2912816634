//! Who is told who is calling and who has answered, as the sides say between which messages go (RFC 3323, RFC 3325).

use std::sync::Arc;

use jackfield_proto::net::{Flow, ListenerId, Transport};
use jackfield_proto::proxy::{
    Border, Edit, FailureOutcome, Form, Group, Identity, MediaPolicy, Mode, Plan, PrivacyService, RequestKind, Reviewed, SideId, StatusSet,
    Target, Verdict, Watch,
};

use crate::support::{Bench, Request, Sent, flow, plan, settings, target};

const PAI: &str = "P-Asserted-Identity";
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a1";
const CALLER: &str = "<sip:a@caller.test>;tag=a1";

fn border(name: &str, identity: Option<Identity>) -> Arc<Border> {
    Arc::new(Border { side: SideId::of_listener(name), identity: identity.map(Arc::new), ..Border::default() })
}

fn private() -> Identity {
    Identity { privacy: PrivacyService::Here, ..Identity::untrusted() }
}

/// `lan` and `wan` say this of themselves.
fn edge(lan: Option<Identity>, wan: Option<Identity>, plan: Plan) -> Bench {
    let (lan, wan) = (border("lan", lan), border("wan", wan));
    let borders = vec![Arc::clone(&lan), lan, wan, border("six", None)];
    Bench::with(plan, |settings| settings.borders = borders)
}

/// The target of a peer behind `wan`.
fn outside(peer: char) -> Target {
    Target { egress: Some("wan".into()), ..target(peer) }
}

/// The target of a peer behind `lan`.
fn inside(peer: char) -> Target {
    Target { egress: Some("lan".into()), ..target(peer) }
}

/// How a message of a peer behind `wan` arrives.
fn from_outside(peer: char) -> Flow {
    Flow { listener: ListenerId(2), ..flow(peer, Transport::Udp) }
}

fn asserted(sent: &Sent) -> Vec<String> {
    sent.values(PAI)
}

fn calls(privacy: &str) -> Request {
    let request = Request::invite().field(PAI, "\"A\" <sip:a@caller.test>, <tel:+491>");
    if privacy.is_empty() { request } else { request.field("Privacy", privacy) }
}

/// RFC 3325 5, 7: out of the trust domain, and into it, in requests and in responses.
#[test]
fn listeners_say_what_passes_each_way() {
    let both = ["\"A\" <sip:a@caller.test>", "<tel:+491>"];
    for (privacy, told) in [("", &both[..]), ("id", &[]), ("none", &both[..])] {
        let mut bench = edge(Some(Identity::default()), Some(Identity::untrusted()), Plan::to(outside('b')));
        bench.request(&calls(privacy));
        assert_eq!(
            (asserted(&bench.sent[0]), bench.sent[0].value("Privacy")),
            (told.iter().map(|told| (*told).to_owned()).collect(), privacy.into())
        );
        for status in [180, 200] {
            bench.answer_with('b', status, |response| response.header(PAI, "<sip:boss@callee.test>"));
            assert_eq!(asserted(bench.sent.last().unwrap()), [""; 0], "{status}: who is not trusted asserts nothing");
        }
    }
    for (privacy, told) in [("id", &[][..]), ("none", &["<sip:b@callee.test>"])] {
        let mut bench = edge(Some(Identity::default()), Some(Identity::untrusted()), Plan::to(inside('b')));
        bench.receive(calls("").message(), from_outside('a'));
        assert_eq!(asserted(&bench.sent[0]), [""; 0]);
        let write = |status: u16, bench: &mut Bench| {
            bench.answer_with('b', status, |response| response.header(PAI, "<sip:b@callee.test>").header("Privacy", privacy));
            assert_eq!(asserted(bench.sent.last().unwrap()), told, "{status}: and who is not trusted is told as privacy says");
        };
        write(180, &mut bench);
        write(200, &mut bench);
    }
}

/// A trunk is a side of its own, on whatever listener, to and from; and each copy of a forked request is for its own side.
#[test]
fn a_trunk_speaks_for_itself() {
    let trusted = border("trunk", Some(Identity::default()));
    let provider = Target { border: Some(Arc::clone(&trusted)), ..outside('b') };
    let fork = plan(vec![Group { mode: Mode::Parallel, targets: vec![provider, outside('c'), target('d')] }]);
    let mut bench = edge(None, Some(Identity::untrusted()), fork);
    bench.request(&calls("id"));
    let told = |peer: &str| asserted(&bench.first(&format!("{peer} INVITE"))).len();
    assert_eq!([told("b"), told("c"), told("d")], [2, 0, 2]);
    bench.answer_with('c', 180, |response| response.header(PAI, "<sip:c@callee.test>"));
    assert_eq!(asserted(bench.sent.last().unwrap()), [""; 0]);
    bench.answer_with('b', 180, |response| response.header(PAI, "<sip:b@callee.test>"));
    assert_eq!(asserted(bench.sent.last().unwrap()), ["<sip:b@callee.test>"], "a response is from the side of its branch");

    for (from_border, told) in [(None, 0), (Some(trusted), 2)] {
        let mut bench = edge(Some(Identity::default()), Some(Identity::untrusted()), Plan::to(Target { from_border, ..inside('b') }));
        bench.receive(calls("").message(), from_outside('a'));
        assert_eq!(asserted(&bench.sent[0]).len(), told);
    }
}

/// RFC 3325 5: in a dialog as well, from either end.
#[test]
fn sides_say_what_passes_in_a_dialog() {
    let mut bench = edge(Some(Identity::default()), Some(Identity::untrusted()), Plan::to(outside('b')));
    let invite = calls("");
    bench.request(&invite);
    let arrived = bench.sent[0].clone();
    bench.answer('b', 200);
    let answer = bench.sent.last().unwrap().clone();
    let update = invite.in_dialog("UPDATE", &answer.message, "2");
    bench.request(&update.clone().field(PAI, "<sip:a@caller.test>").field("Privacy", "id"));
    assert_eq!(asserted(&bench.first("b UPDATE")), [""; 0]);
    bench.answer_with('b', 200, |response| response.header(PAI, "<sip:b@callee.test>"));
    assert_eq!(asserted(bench.sent.last().unwrap()), [""; 0]);
    let info = Request::of_callee("INFO", &arrived.message, 'b', Transport::Udp, "3").field(PAI, "<sip:boss@callee.test>");
    bench.receive(info.message(), from_outside('b'));
    assert_eq!((bench.sent.last().unwrap().line(), asserted(bench.sent.last().unwrap())), ("a INFO".into(), vec![]));
    // The shell names the trunk of the dialog: then that counts.
    let trunk = border("trunk", Some(Identity::default()));
    bench.on_request(move |asked| {
        assert_eq!(asked.kind, RequestKind::InDialog);
        Some(Verdict::Follow(Target { border: Some(Arc::clone(&trunk)), ..Target::default() }))
    });
    bench.request(&update.branch("4").field(PAI, "<sip:a@caller.test>").field("Privacy", "id"));
    assert_eq!(asserted(bench.sent.last().unwrap()), ["<sip:a@caller.test>"]);
}

/// RFC 3323 4.1.1.3, 5.3; RFC 3261 12.2.2, 8.2.6.2: the callee sees nobody, the caller his own dialog, and nothing is kept for it.
#[test]
fn an_anonymous_call_is_one_dialog_for_both_ends() {
    let mut bench = edge(None, Some(private()), Plan::to(outside('b')));
    let invite = calls("user;id").field("Subject", "secret").field("User-Agent", "of a");
    bench.request(&invite);
    let arrived = bench.sent[0].clone();
    assert_eq!(arrived.value("From"), ANONYMOUS);
    assert!(["Privacy", "Subject", "User-Agent", PAI].iter().all(|name| arrived.values(name).is_empty()), "{}", arrived.text());
    for status in [180, 200] {
        bench.answer('b', status);
        let answer = bench.sent.last().unwrap();
        assert_eq!(
            (answer.message.status(), answer.value("From"), answer.value("To")),
            (status, CALLER.into(), "<sip:b@callee.test>;tag=b".into())
        );
    }
    let answer = bench.sent.last().unwrap().clone();
    bench.answer('b', 200);
    assert_eq!(bench.sent.last().unwrap().message.bytes(), answer.message.bytes(), "of a 2xx that comes again as well");
    // His later requests need not ask again, whatever becomes of this process; but they may say that there is nothing to hide.
    let mut bench = edge(None, Some(private()), Plan::default());
    bench.request(&invite.in_dialog("ACK", &answer.message, "2"));
    bench.request(&invite.in_dialog("INFO", &answer.message, "i").field("Subject", "secret"));
    bench.answer('b', 200);
    assert_eq!([bench.last("b ACK").value("From"), bench.last("b INFO").value("From")], [ANONYMOUS, ANONYMOUS]);
    assert!(bench.last("b INFO").values("Subject").is_empty());
    assert_eq!(bench.last("a 200").value("From"), CALLER);
    bench.request(&invite.in_dialog("INFO", &answer.message, "j").field("Privacy", "none"));
    bench.answer('b', 200);
    assert_eq!(bench.last("b INFO").value("From"), CALLER);
    let bye = Request::of_callee("BYE", &arrived.message, 'b', Transport::Udp, "3");
    let text = bye
        .text()
        .replace("From: <sip:a@caller.test>", "From: <sip:b@callee.test>")
        .replace("To: <sip:b@callee.test>", "To: <sip:anonymous@anonymous.invalid>");
    bench.receive(crate::support::message(text), from_outside('b'));
    let bye = bench.last("a BYE");
    assert_eq!((bye.message.to_tag(), bye.value("To")), (Some(&b"a1"[..]), "<sip:anonymous@anonymous.invalid>;tag=a1".into()));
    bench.answer('a', 200);
    assert_eq!(bench.ladder().last().unwrap(), "b 200");
    bench.drain();
}

/// RFC 3261 9.1, 17.1.1.3: what belongs to a branch has the From of its request.
#[test]
fn cancel_and_ack_of_a_branch_are_anonymous_too() {
    let mut bench = edge(None, Some(private()), Plan::to(outside('b')));
    let invite = calls("user");
    bench.request(&invite);
    bench.answer('b', 180);
    bench.request(&invite.cancel());
    bench.answer('b', 487);
    assert_eq!([bench.last("b CANCEL").value("From"), bench.last("b ACK").value("From")], [ANONYMOUS, ANONYMOUS]);
    assert_eq!(bench.last("a 487").value("From"), CALLER);
    bench.drain();
}

/// RFC 3323 5: what cannot be given where it is critical is not sent; another target may be able to.
#[test]
fn critical_privacy_fails_a_target_that_cannot_give_it() {
    let hunt = |peers: Vec<Target>| Plan { next_on: StatusSet::failures(), ..plan(vec![Group { mode: Mode::Serial, targets: peers }]) };
    let invite = calls("header;critical");
    let mut bench = edge(None, Some(private()), hunt(vec![outside('b')]));
    bench.request(&invite);
    assert_eq!(bench.ladder(), ["a 500"]);
    assert_eq!(bench.sent[0].message.reason(), b"Privacy Cannot Be Given: header");
    bench.drain();

    let mut bench = edge(None, Some(private()), hunt(vec![outside('b'), target('c')]));
    bench.request(&invite);
    assert_eq!((bench.ladder(), bench.sent[0].value("Privacy")), (vec!["c INVITE".into()], "header;critical".into()));
    bench.answer('c', 200);
    bench.drain();

    let mut bench = edge(None, Some(private()), Plan::to(outside('b')));
    bench.watch(Plan::to(outside('b')), Watch { responses: false, failures: true, ..Watch::default() });
    bench.request(&invite);
    assert_eq!((bench.ladder(), bench.failed.len()), (vec!["a 500".to_owned()], 1), "who watches failures hears of it");
    bench.drain();
}

/// RFC 3323 5.2: a media relay gives privacy of the session.
#[test]
fn a_media_relay_gives_privacy_of_the_session() {
    let lan = border("lan", None);
    let borders = vec![Arc::clone(&lan), lan, border("wan", Some(private())), border("six", None)];
    let invite = || Request { body: "v=0".into(), ..calls("session;user;critical") }.field("Content-Type", "application/sdp");
    for (relays, line) in [(true, "b INVITE"), (false, "a 500")] {
        let mut bench = Bench::with(Plan::to(outside('b')), |settings| {
            settings.borders.clone_from(&borders);
            settings.media = MediaPolicy::Asked;
        });
        if relays {
            bench.relay_media();
        }
        bench.request(&invite());
        assert_eq!(bench.ladder(), [line]);
        if relays {
            assert!(bench.sent[0].values("Privacy").is_empty(), "{}", bench.sent[0].text());
            bench.answer('b', 486);
        }
        bench.drain();
    }
}

/// RFC 3325 5: a user whose password the shell has verified.
#[test]
fn a_verified_user_is_asserted() {
    let users = Identity { domain: Some("caller.test".into()), ..Identity::untrusted() };
    let verified = Target { user: Some("alice".into()), ..outside('b') };
    let mut bench = edge(Some(users), Some(Identity::default()), Plan::to(verified));
    bench.request(&calls("").field("P-Preferred-Identity", "<sip:boss@caller.test>"));
    assert_eq!(
        (asserted(&bench.sent[0]), bench.sent[0].values("P-Preferred-Identity")),
        (vec!["<sip:alice@caller.test>".to_owned()], vec![])
    );
}

/// Who chooses other targets after a failure need not know who has sent the request, and by which trunk.
#[test]
fn targets_of_a_later_decision_have_the_same_sender() {
    let users = Identity { domain: Some("caller.test".into()), ..Identity::untrusted() };
    let trunk = border("trunk", Some(users));
    let verified = Target { user: Some("alice".into()), from_border: Some(trunk), ..inside('b') };
    let mut bench = edge(Some(Identity::default()), None, Plan::default());
    bench.watch(Plan::to(verified), Watch { responses: false, failures: true, ..Watch::default() });
    bench.on_failure(|_| Some(FailureOutcome::Instead(vec![Group { mode: Mode::Serial, targets: vec![inside('c')] }])));
    bench.request(&calls(""));
    bench.answer('b', 480);
    assert_eq!(asserted(&bench.last("c INVITE")), ["<sip:alice@caller.test>"]);
}

/// An old PBX and a provider: each reads what it knows, whoever has called.
#[test]
fn identities_are_written_as_each_side_knows_them() {
    let old = Identity { form: Form::RemotePartyId, ..Identity::default() };
    let mut bench = edge(Some(old), Some(Identity::default()), Plan::to(outside('b')));
    bench.request(&Request::invite().field("Remote-Party-ID", "\"A\" <sip:1@caller.test>;party=calling;privacy=full;screen=yes"));
    let sent = &bench.sent[0];
    assert_eq!(
        (asserted(sent), sent.value("Privacy"), sent.values("Remote-Party-ID")),
        (vec!["\"A\" <sip:1@caller.test>".to_owned()], "id".into(), vec![])
    );
    bench.answer_with('b', 200, |response| response.header(PAI, "<sip:2@callee.test>"));
    let answer = bench.sent.last().unwrap();
    assert_eq!(
        (answer.value("Remote-Party-ID"), asserted(answer)),
        ("<sip:2@callee.test>;party=called;screen=yes;privacy=off".into(), vec![])
    );
}

/// What a decision says is told, in requests and in responses; what has to be kept is not.
#[test]
fn a_decision_may_say_who_somebody_is() {
    let says = |identity: &str| Edit::Set(PAI.into(), identity.to_owned().into());
    for (privacy, told) in [("", 1), ("id", 0)] {
        let edited = Target { edits: vec![says("<sip:own@edge.test>")], ..outside('b') };
        let mut bench = edge(Some(Identity::untrusted()), Some(Identity::untrusted()), Plan::default());
        bench.watch(Plan::to(edited), Watch { responses: true, failures: false, ..Watch::default() });
        bench.on_response(move |_, _| Reviewed::Pass(vec![says("<sip:called@edge.test>")]));
        bench.request(&calls(privacy));
        assert_eq!(asserted(&bench.sent[0]).len(), told, "{privacy}");
        bench.answer_with('b', 180, |response| if privacy.is_empty() { response } else { response.header("Privacy", privacy) });
        assert_eq!(asserted(bench.sent.last().unwrap()).len(), told, "{privacy}");
    }
}

/// Where nobody says anything, messages leave octet for octet as they do without borders, and no branch keeps anything.
#[test]
fn without_a_word_nothing_changes() {
    let invite = calls("user;id;critical").field("Subject", "s").field("P-Preferred-Identity", "<sip:x@y>").field("Diversion", "<sip:x@y>");
    let sent = |mut bench: Bench| {
        bench.request(&invite);
        bench.answer_with('b', 200, |response| response.header(PAI, "<sip:b@callee.test>").header("Privacy", "id"));
        bench.sent.iter().map(|sent| sent.message.bytes().clone()).collect::<Vec<_>>()
    };
    let without = sent(Bench::with_settings(settings(), Plan::to(outside('b'))));
    assert_eq!(sent(edge(None, None, Plan::to(outside('b')))), without);
    let both = ["Privacy", "Subject", "P-Preferred-Identity", "Diversion"];
    let text = String::from_utf8(without[0].to_vec()).unwrap();
    assert!(both.iter().all(|name| text.contains(name)), "{text}");
    assert_ne!(sent(edge(None, Some(Identity::default()), Plan::to(outside('b')))), without, "the bench sees it where it is asked for");
}
