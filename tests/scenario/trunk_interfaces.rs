//! Two providers, each behind an interface of its own: one interface goes down, and its calls go out by the other trunk until it is back.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::home::host_port;
use crate::support::link::Link;
use crate::support::load::AnsweringMachine;
use crate::support::netns::{Namespace, address, can_be_made};
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, invite};
use crate::support::wait;

const PORT: u16 = 5060;
/// Places of the providers.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// How long a provider may be silent.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// From one probe to the next while a way is down, and how long each may take.
const INTERVAL_DOWN: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// What a busy machine may add.
const NOISE: Duration = Duration::from_millis(500);

/// A network at the other end of one of the proxy's interfaces.
struct Side {
    ours: IpAddr,
    theirs: IpAddr,
    /// Its end of the cable is in it.
    namespace: Namespace,
}

/// The proxy's network, the PBX's, and those of two providers, which answer calls and probes.
struct Town {
    /// Prints what passed if the test fails.
    _scene: Scene,
    proxy: Namespace,
    lan: Side,
    second: Side,
    pbx: Peer,
    providers: [AnsweringMachine; 2],
    /// Goes after the machine that answers in it.
    _first: Side,
}

/// What happens to packets for the first provider while its interface is down.
#[derive(Clone, Copy, Debug)]
enum Elsewhere {
    /// The system has no route for them.
    Refused,
    /// They leave by the other interface, and nobody hears them.
    Swallowed,
}

impl Town {
    fn new(elsewhere: Elsewhere) -> Self {
        let (scene, proxy) = (Scene::new(), Namespace::new("p"));
        let of = |device: &str, ours: &str, theirs: &str| {
            let namespace = Namespace::new(device);
            proxy.cable(device, &[&format!("{ours}/24")], &namespace, "eth0", &[&format!("{theirs}/24")]);
            Side { ours: address(ours), theirs: address(theirs), namespace }
        };
        let lan = of("lan0", "10.78.1.1", "10.78.1.2");
        let first = of("wan0", "198.51.100.1", "198.51.100.2");
        let second = of("lte0", "203.0.113.1", "203.0.113.2");
        if matches!(elsewhere, Elsewhere::Swallowed) {
            proxy.ip(&format!("route add default via {}", second.theirs));
        }
        let pbx = lan.namespace.inside(|| scene.peer_at("pbx", lan.theirs));
        let machine = |side: &Side| side.namespace.inside(|| AnsweringMachine::at(SocketAddr::new(side.theirs, PORT)));
        let providers = [machine(&first), machine(&second)];
        Self { _scene: scene, proxy, lan, second, pbx, providers, _first: first }
    }

    fn start(&self) -> Proxy {
        let (ready, [first, second]) = (SocketAddr::new(self.lan.ours, PORT), &self.providers);
        let trunk = |name: &str, machine: &AnsweringMachine, egress: &str, more: &str| {
            format!(
                "[trunk.{name}]\nprovider = \"{name}.test\"\nnext-hop = \"sip:{}\"\negress = {egress:?}\nresponse-timeout = \"{}ms\"\n\
                 probe = {{ interval = \"30s\", interval-down = \"{}ms\", timeout = \"{}ms\" }}\n{more}\n",
                machine.address,
                RESPONSE_TIMEOUT.as_millis(),
                INTERVAL_DOWN.as_millis(),
                PROBE_TIMEOUT.as_millis(),
            )
        };
        let config = Config::new()
            .listening_only_as_its_tables_say(ready)
            .table(&format!("[listen.lan]\naddress = \"{ready}\"\ntransports = [\"udp\"]"))
            .table("[listen.wan]\ninterface = \"wan0\"\ntransports = [\"udp\"]")
            .table(&format!("[listen.lte]\naddress = \"{}:{PORT}\"\ntransports = [\"udp\"]", self.second.ours))
            .table(&trunk("first", first, "wan", "fallback = \"second\""))
            .table(&trunk("second", second, "lte", ""));
        self.proxy.inside(|| Proxy::start(&config, &[]))
    }

    fn link(&self) -> Link {
        self.pbx.to(SocketAddr::new(self.lan.ours, PORT))
    }

    /// A call for the first provider: who has answered it, and after what time. It is acknowledged and hung up there, too.
    fn call(&self) -> (SocketAddr, Duration) {
        let (pbx, link) = (&self.pbx, self.link());
        let begun = Instant::now();
        pbx.send(&invite(pbx, "sip:49@first.test", &link), &link);
        let answer = pbx.expect_final();
        let took = begun.elapsed();
        assert_eq!(answer.status(), 200);
        let mut dialog = Dialog::of_caller(&answer);
        pbx.send(&dialog.request(pbx, "ACK", &link), &link);
        pbx.send(&dialog.request(pbx, "BYE", &link), &link);
        pbx.expect_status(200);
        (host_port(&dialog.target), took)
    }

    fn goes_to(&self, provider: usize, within: Duration, what: &str) -> Duration {
        let (address, took) = self.call();
        assert_eq!(address, self.providers[provider].address, "{what}");
        assert!(took <= within, "{what}: {took:?}, and {within:?} at most");
        took
    }
}

/// What is thought of the way of the first trunk, and why.
fn state(proxy: &Proxy) -> (String, String) {
    let trunks: Vec<Value> = serde_json::from_str(&proxy.asked(&["trunks", "--json"])).expect("a JSON array");
    let way = &trunks.iter().find(|trunk| trunk["name"] == "first").expect("the trunk")["ways"][0];
    let text = |key: &str| way[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn calls_leave_by_the_fallback_while_an_interface_is_down(elsewhere: Elsewhere) {
    let town = Town::new(elsewhere);
    let mut proxy = town.start();
    town.goes_to(FIRST, NOISE, "a call before");

    town.proxy.ip("link set wan0 down");
    let first = town.goes_to(SECOND, RESPONSE_TIMEOUT + NOISE, "the first call with the interface down");
    let next: Vec<Duration> = (0..5).map(|_| town.goes_to(SECOND, NOISE, "a later call")).collect();
    let begun = Instant::now();
    let (_, reason) =
        wait::within(Duration::from_secs(20), "way that is down", || Some(state(&proxy)).filter(|(state, _)| state == "down"));
    let down = begun.elapsed();
    town.goes_to(SECOND, NOISE, "a call while it is down");

    town.proxy.ip("link set wan0 up");
    let begun = Instant::now();
    wait::within(INTERVAL_DOWN * 10, "way that is up again", || Some(state(&proxy)).filter(|(state, _)| state == "up"));
    let up = begun.elapsed();
    town.goes_to(FIRST, NOISE, "a call after it is back");
    println!(
        "{elsewhere:?}: with its interface down the first call was answered by the fallback after {first:.1?}, the next after {next:.1?}; the \
         way was down {down:.1?} later ({reason}); {up:.1?} after the interface had come back, the way was up"
    );
    assert!(up <= INTERVAL_DOWN * 3 + PROBE_TIMEOUT + NOISE, "{up:?}");
    assert!(proxy.runs());
}

#[test]
fn calls_of_a_provider_whose_interface_is_down_leave_by_the_fallback() {
    if can_be_made("an interface of a provider that goes down") {
        calls_leave_by_the_fallback_while_an_interface_is_down(Elsewhere::Refused);
    }
}

/// As with a default route by the other interface: nothing says that the provider is not there.
#[test]
fn calls_of_a_provider_that_falls_silent_with_its_interface_leave_by_the_fallback() {
    if can_be_made("an interface of a provider that goes down, with another route") {
        calls_leave_by_the_fallback_while_an_interface_is_down(Elsewhere::Swallowed);
    }
}
