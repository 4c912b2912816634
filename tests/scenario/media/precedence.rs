//! Who decides whether media is relayed, and how: a plugin, the trunk that a call goes to, the one that it comes from, the listeners.

use super::{Border, Keys, body, fails};
use crate::support::draft::{Draft, sdp};
use crate::support::link::Link;
use crate::support::media_relay::MediaRelay;
use crate::support::peer::Peer;
use crate::support::scene::{Scene, establish, hang_up, reinvite};

/// From where a call comes.
#[derive(Clone, Copy, Debug)]
enum From {
    Pbx,
    Provider,
}

/// What became of the media of a call.
#[derive(Debug, PartialEq, Eq)]
enum Went {
    Direct,
    /// Through the relay, with the flag of this profile for the callee.
    Relayed(&'static str),
}

/// Profiles that only plugins and trunks name.
const OTHERS: &str = "[media.profile.plugin]\nflags = [\"for-plugin\"]\n[media.profile.trunk]\nflags = [\"for-trunk\"]\n";
const FLAGS: [&str; 4] = ["for-lan", "for-wan", "for-plugin", "for-trunk"];

/// Plays a call that is refused, and says what became of its media.
fn attempt(relay: &MediaRelay, (caller, link): (&Peer, &Link), callee: &Peer, invite: &Draft) -> Went {
    let before = relay.asked();
    caller.send(invite, link);
    let got = callee.expect("INVITE");
    callee.reply(&got, 486);
    callee.expect("ACK");
    fails(caller, invite, link, 486);
    relay.has_no_calls();
    if relay.asked() == before {
        assert_eq!(body(&got), sdp(40_000));
        return Went::Direct;
    }
    let flags = super::crosses(relay, "offer", &sdp(40_000), &got).list("flags");
    Went::Relayed(FLAGS.into_iter().find(|flag| flags.iter().any(|other| other == flag)).unwrap_or("none"))
}

/// The same of a call that crosses a border with these keys.
fn went(from: From, keys: &Keys<'_>) -> Went {
    let relay = MediaRelay::start("one");
    let tables = format!("{}{OTHERS}", relay.table(""));
    let border = Border::new(&Keys { tables: &tables, ..*keys }, |config| config, &[]);
    match from {
        From::Pbx => attempt(&relay, (&border.pbx, &border.inside), &border.provider, &border.invite(&sdp(40_000))),
        From::Provider => attempt(&relay, (&border.provider, &border.outside), &border.pbx, &border.invite_from_provider(&sdp(40_000))),
    }
}

const RELAY: &str = "media = \"relay\"";
const DIRECT: &str = "media = \"direct\"";

/// A trunk of the provider's and a target set for it, both chosen by the name of the set.
fn set(number: usize, keys: &str, says: &str, provider: &Peer) -> (String, String, String) {
    let trunk = format!(
        "[trunk.t{number}]\nprovider = \"t{number}.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\negress = \"wan\"\n{keys}\n",
        provider.uri("")
    );
    let media = if says.is_empty() { String::new() } else { format!(", media = {says:?}") };
    (trunk, format!("s{number} = \"s{number}\""), format!("targets.s{number} = {{ trunk = \"t{number}\"{media} }}"))
}

#[test]
fn a_plugin_decides_before_trunk_and_listeners() {
    const WITH_PROFILE: &str = "media = \"relay\"\nmedia-profile = \"trunk\"";
    let table = [
        // What the plugin says; what the trunk says. The listeners want everything relayed.
        ("", DIRECT, Went::Direct),
        ("", RELAY, Went::Relayed("for-wan")),
        ("relay", "", Went::Relayed("for-wan")),
        ("relay", DIRECT, Went::Relayed("for-wan")),
        ("relay", WITH_PROFILE, Went::Relayed("for-trunk")),
        ("plugin", DIRECT, Went::Relayed("for-plugin")),
        ("plugin", WITH_PROFILE, Went::Relayed("for-plugin")),
        ("direct", RELAY, Went::Direct),
        ("direct", "media = \"always\"", Went::Direct),
        ("direct", "", Went::Direct),
    ];
    let (relay, scene) = (MediaRelay::start("one"), Scene::new());
    let provider = scene.peer_at("carrier", [127, 0, 0, 2].into());
    let sets: Vec<_> = table.iter().enumerate().map(|(number, (says, keys, _))| set(number, keys, says, &provider)).collect();
    let trunks: String = sets.iter().map(|(trunk, ..)| trunk.as_str()).collect();
    let (values, targets): (Vec<_>, Vec<_>) = sets.iter().map(|(_, value, target)| (value.as_str(), target.as_str())).unzip();
    let plugin = format!("header = \"X-Set\"\nmatch = {{ {} }}\n{}\n", values.join(", "), targets.join("\n"));
    let tables = format!("{}{OTHERS}{trunks}", relay.table(""));
    let keys = Keys { tables: &tables, main: RELAY, media: Some("media = \"always\""), ..Keys::default() };
    let border = Border::new(&keys, |config| config.plugin("header-match", plugin), &["header-match"]);
    for (number, (says, keys, expected)) in table.iter().enumerate() {
        let invite = border.invite(&sdp(40_000)).header("X-Set", format!("s{number}"));
        let went = attempt(&relay, (&border.pbx, &border.inside), &provider, &invite);
        assert_eq!(went, *expected, "the plugin says {says:?} and the trunk {keys:?}");
    }
}

#[test]
fn a_trunk_decides_before_listeners_whichever_way_a_call_goes() {
    let table = [
        // What the trunk says; what the listeners say; what becomes of calls to the trunk, and of those from it.
        (DIRECT, RELAY, RELAY, Went::Direct, Went::Direct),
        (RELAY, DIRECT, DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("media = \"always\"", DIRECT, DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("media = [\"main\"]", DIRECT, DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("media = [\"wan\"]", RELAY, RELAY, Went::Direct, Went::Direct),
        ("media-profile = \"trunk\"", RELAY, DIRECT, Went::Relayed("for-trunk"), Went::Relayed("for-lan")),
        // It says nothing: it is enough that one of the listeners wants it.
        ("", RELAY, DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("", DIRECT, RELAY, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("", "media = [\"wan\"]", DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("", "media = [\"provider\"]", DIRECT, Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("", "", "media = [\"main\"]", Went::Relayed("for-wan"), Went::Relayed("for-lan")),
        ("", "", "", Went::Direct, Went::Direct),
    ];
    for (trunk, main, wan, to, from) in table {
        let keys = Keys { trunk, main, media: Some(wan), ..Keys::default() };
        assert_eq!(went(From::Pbx, &keys), to, "to the trunk: {keys:?}");
        assert_eq!(went(From::Provider, &keys), from, "from the trunk: {keys:?}");
    }
}

/// Another trunk leaves by the listener of the PBX, and takes calls of the provider.
#[test]
fn between_two_trunks_the_one_that_a_call_goes_to_decides() {
    let (relayed, direct) = (Went::Relayed("for-trunk"), Went::Direct);
    for (from, to, expected) in [(DIRECT, RELAY, &relayed), (RELAY, DIRECT, &direct), (RELAY, "", &relayed), (DIRECT, "", &direct)] {
        let (relay, scene) = (MediaRelay::start("one"), Scene::new());
        let other = scene.peer("other");
        let tables = format!(
            "{}{OTHERS}[trunk.other]\nprovider = \"other.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\nmedia-profile = \"trunk\"\n\
             allow = [\"127.0.0.0/8\"]\n{to}\n",
            relay.table(""),
            other.uri("")
        );
        // What the listeners say is the contrary of what is expected.
        let media = Some(if *expected == direct { RELAY } else { DIRECT });
        let border = Border::new(&Keys { trunk: from, tables: &tables, media, ..Keys::default() }, |config| config, &[]);
        let invite = border.provider.request("INVITE", "sip:49@other.test", &border.outside).body("application/sdp", sdp(40_000));
        let went = attempt(&relay, (&border.provider, &border.outside), &other, &invite);
        assert_eq!(went, *expected, "from {from:?}, to {to:?}");
    }
}

/// A call that stays on its side crosses nothing; "always" is the word for it.
#[test]
fn a_call_within_a_side_is_relayed_only_by_always() {
    for (main, relayed) in [("", false), (RELAY, false), ("media = [\"wan\"]", false), ("media = \"always\"", true)] {
        let relay = MediaRelay::start("one");
        let border = Border::new(&Keys { main, tables: &relay.table(""), ..Keys::default() }, |config| config.relay_to("127.0.0.1"), &[]);
        let phone = border.scene.peer("phone");
        let invite = border.pbx.request("INVITE", &phone.uri("phone"), &border.inside).body("application/sdp", sdp(40_000));
        border.pbx.send(&invite, &border.inside);
        let got = phone.expect("INVITE");
        phone.reply(&got, 486);
        fails(&border.pbx, &invite, &border.inside, 486);
        assert_eq!(relay.asked(), usize::from(relayed), "{main:?}");
        assert_eq!(body(&got) != sdp(40_000), relayed, "{main:?}");
    }
}

/// A whole call with its answer, its ACK and a re-INVITE.
#[test]
fn where_nobody_asks_for_it_no_relay_is_asked_and_nothing_is_changed() {
    let relay = MediaRelay::start("one");
    let border = Border::new(&Keys { media: Some(""), tables: &relay.table(""), ..Keys::default() }, |config| config, &[]);
    let invite = border.invite(&sdp(40_000));
    let (taken, mut dialog) = establish(&border.pbx, &border.provider, &invite, &border.inside);
    assert_eq!(body(&taken), sdp(40_000));
    let again = reinvite(&border.pbx, &border.provider, &mut dialog, &border.inside);
    assert_eq!(body(&again), sdp(40_002));
    hang_up(&border.pbx, &border.provider, &mut dialog, &border.inside);
    assert_eq!((relay.asked(), relay.calls().len()), (0, 0));
    assert!(border.proxy.asked(&["media"]).contains("calls ended     0"));
}
