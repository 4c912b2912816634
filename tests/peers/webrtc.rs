//! JsSIP in headless Chromium, whose media are DTLS-SRTP with ICE, talks to a baresip that knows plain RTP alone: rtpengine stands between
//! their media, and the proxy tells it what.

use jackfield_proto::net::Transport;
use serde_json::Value;

use super::browser::{Browser, PATIENCE, files};
use super::page::Page;
use super::phone::{Phone, Setup};
use crate::support::home::Home;
use crate::support::proxy::Proxy;
use crate::support::rtpengine::Rtpengine;
use crate::support::stage::{Stage, V4};
use crate::support::{config::Config, wait};

/// How many packets count as a conversation: a second of it.
const ENOUGH: u64 = 50;

/// A sample of the fake microphone's beeps is louder than this, one of silence is not.
const LOUD: u16 = 2000;

/// A browser and a telephone, with the proxy and its relay between them.
struct Scene {
    page: Page,
    bob: Phone,
    relay: Rtpengine,
    _browser: Browser,
    _proxy: Proxy,
    _home: Home,
    _stage: Stage,
}

/// What a browser counts of its call.
#[derive(Debug)]
struct Counted {
    sent: u64,
    received: u64,
    said: f64,
    heard: f64,
    dtls: String,
    remote: String,
}

impl Scene {
    /// Bob answers when he is told to, or at once.
    fn set(answers: &str) -> Self {
        let relay = Rtpengine::start("one").expect("rtpengine is installed");
        let (stage, home, setup) = (Stage::new(), Home::start(), Setup::new());
        let page = Page::serve(files());
        let proxy = Proxy::start(&config(&stage, &home, &relay, &page, &setup), &["header-match"]);
        // A tone to say, in the only form that its module makes it, and what it hears in files.
        let setup = ["ausrc_srate 48000", "ausrc_channels 2", "snd_path DIRECTORY"].into_iter().fold(setup, Setup::key);
        let account = format!("<sip:bob@{}>;outbound=\"sip:{}\";regint=60;answermode={answers}", home.address, proxy.address());
        let bob = setup.saying("ausine,425").modules(&["ausine", "sndfile"]).start(&account);
        home.binding_of("bob");
        let server = format!("wss://{}", stage.secure_address(V4));
        let browser = Browser::open(&format!("http://{}/?server={server}&uri=sip:web@example.test", page.address));
        page.hears(PATIENCE, "registered");
        home.binding_of("web");
        Self { page, bob, relay, _browser: browser, _proxy: proxy, _home: home, _stage: stage }
    }

    /// The browser calls, and the telephone answers at once.
    fn web_calls(&mut self) {
        self.page.tell("call", "sip:bob@example.test");
        self.bob.hears("CALL_ESTABLISHED");
        self.page.hears(PATIENCE, "confirmed");
    }

    /// The telephone calls, and the browser answers at once.
    fn bob_calls(&mut self) {
        self.bob.tell("dial", "sip:web@example.test");
        assert_eq!(self.page.hears(PATIENCE, "session"), "remote");
        self.page.hears(PATIENCE, "confirmed");
        self.bob.hears("CALL_ESTABLISHED");
    }

    fn counted(&self) -> Counted {
        self.page.tell("count", "");
        let told: Value = serde_json::from_str(&self.page.hears(PATIENCE, "counted")).expect("the page tells JSON");
        let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        Counted {
            sent: told["sent"].as_u64().unwrap_or(0),
            received: told["received"].as_u64().unwrap_or(0),
            said: told["said"].as_f64().unwrap_or(0.0),
            heard: told["heard"].as_f64().unwrap_or(0.0),
            dtls: text("protocol"),
            remote: text("remote"),
        }
    }

    /// Packets go both ways, there is sound in them, and they come from the relay.
    fn both_hear(&self, whose: &str) {
        let counted = wait::within(PATIENCE, "conversation", || {
            let counted = self.counted();
            let enough = counted.sent > ENOUGH && counted.received > ENOUGH;
            // The beeps of the fake microphone are some way apart.
            (enough && counted.said > 1e-4 && counted.heard > 1e-4).then_some(counted)
        });
        let web = self.relay.public.to_string();
        assert_eq!((counted.dtls.as_str(), &counted.remote), ("connected", &web), "{counted:?}");
        let (packets, loudest) = wait::within(PATIENCE, "sound at the telephone", || {
            let (packets, loudest) = self.bob.heard();
            (packets > ENOUGH && loudest > LOUD).then_some((packets, loudest))
        });
        println!(
            "{whose}: the browser sent {} and received {} packets by DTLS-SRTP with {web}; baresip heard {packets}, at their loudest {loudest}",
            counted.sent, counted.received
        );
    }

    /// More packets go both ways than up to now.
    fn more_goes_both_ways(&mut self) {
        let before = self.counted();
        wait::within(PATIENCE, "conversation that goes on", || {
            let now = self.counted();
            (now.sent > before.sent + ENOUGH && now.received > before.received + ENOUGH).then_some(())
        });
    }

    /// The browser gets no packet any more, for as long as it sends some dozens or has nothing to send.
    fn browser_hears_nothing(&self) {
        // A packet may be under way; after that the counter stands still.
        let mut last = self.counted().received;
        let mut unchanged = 0;
        wait::within(PATIENCE, "silence", || {
            let now = self.counted().received;
            unchanged = if now == last { unchanged + 1 } else { 0 };
            last = now;
            std::thread::park_timeout(std::time::Duration::from_millis(30));
            (unchanged == 20).then_some(())
        });
    }

    fn ends(&mut self, bob_hangs_up: bool) {
        match bob_hangs_up {
            false => self.page.tell("hangup", ""),
            true => self.bob.tell("hangup", ""),
        }
        let ended = self.page.hears(PATIENCE, "ended");
        assert!(ended.starts_with(if bob_hangs_up { "remote" } else { "local" }), "{ended}");
        self.bob.hears("CALL_CLOSED");
        self.relay.has_calls(0);
    }
}

/// Browsers at a listener for WSS, which trusts itself because what has passed here twice comes round over it, the telephone and the registrar at the other, and whatever goes from one to the other through the relay.
fn config(stage: &Stage, home: &Home, relay: &Rtpengine, page: &Page, setup: &Setup) -> Config {
    let routing = format!(
        "[[plugins.header-match.config.rule]]\npart = \"uri-user\"\nexact = \"bob\"\nto = \"bob\"\n\
         [[plugins.header-match.config.rule]]\npart = \"uri-host\"\nexact = \"example.test\"\nto = \"home\"\n\
         [plugins.header-match.config.targets.bob]\nnext-hop = {:?}\n\
         [plugins.header-match.config.targets.home]\nnext-hop = \"sip:{}\"\n",
        setup.uri("bob", Transport::Udp),
        home.address
    );
    let browsers = format!(
        "[listen.browsers]\naddress = \"{}\"\ntransports = [\"wss\"]\nmedia = \"relay\"\nmedia-profile = \"web\"\n\
         [listen.browsers.tls]\ncertificate = \"browsers.pem\"\nkey = \"browsers.key\"\nserver-ca = \"ca.pem\"\n\
         [listen.browsers.websocket]\norigins = [\"http://{}\"]",
        stage.secure_address(V4),
        page.address
    );
    let media = format!(
        "{}[media.profile.web]\ninterface = \"public\"\ntransport = \"dtls\"\nice = \"force\"\nrtcp-mux = \"offer\"\n\
         [media.profile.phone]\ninterface = \"private\"\ntransport = \"rtp\"\nice = \"remove\"\nrtcp-mux = \"demux\"",
        relay.table("")
    );
    Config::new()
        .speaking(&["udp"])
        .at_listener("media-profile = \"phone\"")
        .relay_to("127.0.0.0/8")
        .file("browsers.pem", &stage.leaf.chain)
        .file("browsers.key", &stage.leaf.key)
        .file("ca.pem", &stage.authority.pem)
        .plugin("header-match", routing)
        .table(&browsers)
        .table(&media)
}

#[test]
fn a_browser_and_a_telephone_without_encryption_hear_each_other_whoever_calls_and_whoever_hangs_up() {
    let mut scene = Scene::set("auto");
    for bob_hangs_up in [false, true] {
        scene.web_calls();
        scene.relay.has_calls(1);
        scene.both_hear("the browser called");
        scene.ends(bob_hangs_up);
        scene.bob_calls();
        scene.relay.has_calls(1);
        scene.both_hear("the telephone called");
        scene.ends(bob_hangs_up);
    }
}

#[test]
fn a_call_between_a_browser_and_a_telephone_is_held_and_resumed_by_either() {
    let mut scene = Scene::set("auto");
    for bob_has_called in [false, true] {
        match bob_has_called {
            false => scene.web_calls(),
            true => scene.bob_calls(),
        }
        scene.both_hear("before it is held");
        scene.page.tell("hold", "");
        scene.page.hears(PATIENCE, "held");
        scene.browser_hears_nothing();
        scene.page.tell("resume", "");
        scene.page.hears(PATIENCE, "resumed");
        scene.more_goes_both_ways();
        scene.bob.tell("hold", "");
        scene.page.hears(PATIENCE, "held by the other side");
        scene.browser_hears_nothing();
        scene.bob.tell("resume", "");
        scene.page.hears(PATIENCE, "resumed by the other side");
        scene.more_goes_both_ways();
        scene.relay.has_calls(1);
        scene.ends(bob_has_called);
    }
    println!("a browser and baresip held each other and resumed, by re-INVITEs from either end, in calls from either end");
}

#[test]
fn a_call_that_a_browser_gives_up_or_a_telephone_declines_leaves_nothing_in_the_relay() {
    let mut scene = Scene::set("manual");
    for bob_declines in [false, true] {
        scene.page.tell("call", "sip:bob@example.test");
        scene.bob.hears("CALL_INCOMING");
        scene.page.hears(PATIENCE, "progress");
        scene.relay.has_calls(1);
        match bob_declines {
            false => scene.page.tell("hangup", ""),
            true => scene.bob.tell("hangup", ""),
        }
        let failed = scene.page.hears(PATIENCE, "failed");
        assert!(failed.starts_with(if bob_declines { "remote" } else { "local" }), "{failed}");
        scene.bob.hears("CALL_CLOSED");
        scene.relay.has_calls(0);
    }
}
