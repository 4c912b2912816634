//! Media through relays: who decides, what crosses, when a call is over for its relay, and what becomes of calls when relays go.
//!
//! A PBX is behind the listener `main`, its provider behind the listener `wan`; relays are scripted, or rtpengine itself.

mod bodies;
mod ends;
mod forks;
mod offers;
mod outages;
mod precedence;
mod reload;
mod rtpengine_packets;
mod rtpengine_under_load;

use crate::support::config::Config;
use crate::support::dialog::{Dialog, ack_of_failure};
use crate::support::draft::{Draft, sdp};
use crate::support::link::Link;
use crate::support::media_relay::{MediaRelay, Question};
use crate::support::peer::{Peer, Received};
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;

/// The PBX, its provider and the proxy between them, which relays whatever crosses.
pub(super) struct Border {
    pub(super) pbx: Peer,
    pub(super) provider: Peer,
    pub(super) proxy: Proxy,
    /// From the PBX to the listener `main`.
    pub(super) inside: Link,
    /// From the provider to the listener `wan`.
    pub(super) outside: Link,
    pub(super) scene: Scene,
    wan: Port,
}

/// What is not as usual in the configuration of a border.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys<'a> {
    /// Further keys of the listener `main`.
    pub(super) main: &'a str,
    /// Further keys of the listener `wan`.
    pub(super) wan: &'a str,
    /// Further keys of the trunk.
    pub(super) trunk: &'a str,
    /// Further tables: relays, above all.
    pub(super) tables: &'a str,
    /// The media of all calls that cross are relayed, unless this says otherwise.
    pub(super) media: Option<&'a str>,
}

/// Timers that end what nobody ends within seconds.
pub(super) const SHORT_TIMERS: &str = "[timers]\nt1 = \"50ms\"\nt2 = \"200ms\"\nt4 = \"250ms\"\nc = \"2s\"\n";

/// A profile for each side, with interface and a flag by which it is known.
const PROFILES: &str = "[media.profile.lan]\ninterface = \"private\"\nflags = [\"for-lan\"]\n\
                        [media.profile.wan]\ninterface = \"public\"\nflags = [\"for-wan\"]\n";

impl Border {
    /// With one relay.
    pub(super) fn with(relay: &MediaRelay) -> Self {
        Self::new(&Keys { tables: &relay.table(""), ..Keys::default() }, |config| config, &[])
    }

    /// With further keys and tables, and a configuration that has been changed, for which these plugins are there.
    pub(super) fn new(keys: &Keys<'_>, change: impl FnOnce(Config) -> Config, plugins: &[&str]) -> Self {
        let scene = Scene::new();
        let (pbx, provider, wan) = (scene.peer("pbx"), scene.peer_at("provider", [127, 0, 0, 2].into()), Port::reserve());
        let proxy = Proxy::start(&change(Self::config_of(keys, &pbx, &provider, &wan)), plugins);
        let (inside, outside) = (pbx.to(proxy.address()), provider.to(([127, 0, 0, 2], wan.number).into()));
        Self { pbx, provider, proxy, inside, outside, scene, wan }
    }

    fn config_of(keys: &Keys<'_>, pbx: &Peer, provider: &Peer, wan: &Port) -> Config {
        let number = wan.number;
        let media = keys.media.unwrap_or("media = \"relay\"");
        let tables = format!(
            "[listen.wan]\naddress = \"127.0.0.2:{number}\"\n{media}\nmedia-profile = \"wan\"\n{}\n\
             [trunk.provider]\nprovider = \"provider.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\negress = \"wan\"\n\
             from-listeners = [\"wan\"]\ninbound = {:?}\n{}\n{PROFILES}\n{}",
            keys.wan,
            provider.uri(""),
            pbx.uri(""),
            keys.trunk,
            keys.tables
        );
        Config::new().at_listener("media-profile = \"lan\"").at_listener(keys.main).table(&tables)
    }

    /// Writes a configuration with other keys, for a reload.
    pub(super) fn rewritten_as(&self, keys: &Keys<'_>, change: impl FnOnce(Config) -> Config) {
        self.proxy.write_config(&change(Self::config_of(keys, &self.pbx, &self.provider, &self.wan)));
    }

    /// An INVITE of the PBX to the provider without a body.
    pub(super) fn bare_invite(&self) -> Draft {
        self.pbx.request("INVITE", "sip:49@provider.test", &self.inside)
    }

    /// The same with an offer.
    pub(super) fn invite(&self, offer: &str) -> Draft {
        self.bare_invite().body("application/sdp", offer)
    }

    /// An INVITE of the provider to the PBX with an offer.
    pub(super) fn invite_from_provider(&self, offer: &str) -> Draft {
        let uri = format!("sip:4930@{}", self.outside.remote());
        self.provider.request("INVITE", &uri, &self.outside).body("application/sdp", offer)
    }

    /// A call of the PBX that is up, with its media at this relay.
    pub(super) fn call(&self, relay: &MediaRelay) -> Call {
        self.pbx.send(&self.invite(&sdp(40_000)), &self.inside);
        let at_provider = self.provider.expect("INVITE");
        let offer = crosses(relay, "offer", &sdp(40_000), &at_provider);
        self.provider.send(&with_sdp(self.provider.response(&at_provider, 200), 50_000), &at_provider.link);
        let answer = self.pbx.expect_status(200);
        crosses(relay, "answer", &sdp(50_000), &answer);
        let mut caller = Dialog::of_caller(&answer);
        self.pbx.send(&caller.request(&self.pbx, "ACK", &self.inside), &self.inside);
        self.provider.expect("ACK");
        Call { caller, callee: Dialog::of_callee(&at_provider, &self.provider), at_relay: offer.call }
    }

    /// The PBX sends BYE, and the provider answers it.
    pub(super) fn pbx_hangs_up(&self, call: &mut Call) {
        self.pbx.send(&call.caller.request(&self.pbx, "BYE", &self.inside), &self.inside);
        let bye = self.provider.expect("BYE");
        self.provider.reply(&bye, 200);
        self.pbx.expect_status(200);
    }

    /// The provider sends BYE, and the PBX answers it.
    pub(super) fn provider_hangs_up(&self, call: &mut Call) {
        self.provider.send(&call.callee.request(&self.provider, "BYE", &self.outside), &self.outside);
        let bye = self.pbx.expect("BYE");
        self.pbx.reply(&bye, 200);
        self.provider.expect_status(200);
    }
}

/// A call that is up.
pub(super) struct Call {
    /// The dialog as the PBX sees it.
    pub(super) caller: Dialog,
    /// The dialog as the provider sees it.
    pub(super) callee: Dialog,
    /// What the relay knows it by.
    pub(super) at_relay: String,
}

/// A message with a session description.
pub(super) fn with_sdp(draft: Draft, port: u16) -> Draft {
    draft.body("application/sdp", sdp(port))
}

/// The body of a message as text.
pub(super) fn body(got: &Received) -> String {
    String::from_utf8_lossy(got.message.body()).into_owned()
}

/// Says that the relay was asked about what one end has sent, and that the other end has got what the relay made of it.
pub(super) fn crosses(relay: &MediaRelay, command: &str, sent: &str, got: &Received) -> Question {
    let question = relay.expect(command);
    assert_eq!(question.sdp(), sent, "the relay is asked about what was sent");
    assert_eq!(body(got), question.answered, "what the relay has written goes on");
    question
}

/// Acknowledges a failure that has to have this status.
pub(super) fn fails(caller: &Peer, invite: &Draft, link: &Link, status: u16) -> Received {
    let answer = caller.expect_final();
    assert_eq!(answer.status(), status);
    caller.send(&ack_of_failure(invite, &answer), link);
    answer
}
