//! The border: two sides that are hidden from each other, and what is said of who is calling.
//!
//! Each side has addresses of its own and a user agent that stands behind proxies of its own. One peer plays all of a side: it is the proxy
//! next to ours, and writes what those behind it would have written. Whatever a test does, [`Border::shown`] looks through every octet that
//! either side has got for what names the other.

mod conversations;
mod end;
mod forged;
mod identity;
mod interfaces;
mod keys;
mod trunk;

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_proto::net::Transport;
use rustls::ClientConfig;

use crate::support::certificate::Authority;
use crate::support::config::Config;
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use end::{EDGE, End, LISTENER, Network};

/// Everything that can be hidden.
const ALL: &str = "hide = { call-id = true, clean = [\"from\", \"to\", \"origin\", \"identity\"] }";

/// How a border is made: what each side speaks, and keys of its listener; and keys of the trunk that leads to the second.
#[derive(Clone, Copy)]
struct Layout {
    lan: (Transport, &'static str),
    wan: (Transport, &'static str),
    trunk: &'static str,
}

/// Two ends, and the proxy between them.
struct Border {
    proxy: Proxy,
    config: Config,
    lan: End,
    wan: End,
    trust: Arc<ClientConfig>,
    /// Prints what passed if the test fails.
    scene: Scene,
    _port: Port,
}

impl Layout {
    fn udp(keys: &'static str) -> Self {
        Self::of(Transport::Udp, Transport::Udp, keys)
    }

    fn of(lan: Transport, wan: Transport, keys: &'static str) -> Self {
        Self { lan: (lan, keys), wan: (wan, keys), trunk: "" }
    }

    /// Only who is at the border itself has a say: the trunk to the provider.
    fn trunk(keys: &'static str) -> Self {
        Self { trunk: keys, ..Self::udp("") }
    }

    fn start(self) -> Border {
        self.start_with(&[], |config, _, _| config)
    }

    /// The same with plugins, and with more in the configuration.
    fn start_with(self, plugins: &[&str], more: impl FnOnce(Config, &End, &End) -> Config) -> Border {
        let (scene, authority, port) = (Scene::new(), Authority::new("both sides"), Port::reserve());
        let hosts = [Network::Lan, Network::Wan].map(|network| [LISTENER, EDGE].map(|host| network.at(host).to_string()));
        let hosts: Vec<&str> = hosts.iter().flatten().map(String::as_str).collect();
        let (leaf, trust) = (authority.leaf(&hosts), authority.client(None));
        let end = |network: Network, transport| {
            let listener = SocketAddr::new(network.at(LISTENER), port.number);
            End::new(&scene, network, listener, transport, &leaf)
        };
        let (mut lan, mut wan) = (end(Network::Lan, self.lan.0), end(Network::Wan, self.wan.0));
        let config = Config::new().file("ca.pem", &authority.pem).file("both.pem", &leaf.chain).file("both.key", &leaf.key);
        let config = config.table(&listener(&lan, self.lan.1)).table(&listener(&wan, self.wan.1));
        let config = config.table(&way_to(&lan)).table(&(way_to(&wan) + self.trunk));
        let config = more(config, &lan, &wan);
        let proxy = Proxy::start(&config, plugins);
        lan.connect(&trust);
        wan.connect(&trust);
        Border { proxy, config, lan, wan, trust, scene, _port: port }
    }
}

/// The listener of a side. It takes datagrams in any case: so its host is the same, whatever is too long for them.
fn listener(end: &End, keys: &str) -> String {
    let (name, address) = (end.network.name(), end.listener);
    let (transports, tls) = match end.transport.is_secure() {
        true => ("\"udp\", \"tls\", \"wss\"", "tls = { certificate = \"both.pem\", key = \"both.key\", server-ca = \"ca.pem\" }"),
        false => ("\"udp\", \"tcp\", \"ws\"", ""),
    };
    format!("[listen.{name}]\naddress = \"{address}\"\ntransports = [{transports}]\n{tls}\n{keys}")
}

/// Requests for the domain of a side go there, from its listener. It has no border of its own: it is of the listener's side.
fn way_to(end: &End) -> String {
    let (name, domain) = (end.network.name(), end.network.domain());
    let allow = [Network::Lan, Network::Wan].map(|network| network.at(EDGE).to_string());
    format!(
        "[trunk.to-{name}]\nprovider = {domain:?}\nnext-hop = {:?}\negress = {name:?}\nprobe.interval = \"off\"\nallow = {allow:?}\n",
        end.next_hop()
    )
}

impl Border {
    /// What either side has got that names the other.
    fn shown(&self) -> Vec<String> {
        let read = |reader: &End, other: &End| {
            let secrets = other.secrets();
            let heard = reader.peer.heard();
            assert!(!heard.is_empty(), "{} has got something to look through", reader.peer.name);
            let name = &reader.peer.name;
            heard.iter().flat_map(|octets| says(name, &secrets.read_in(octets), octets)).collect::<Vec<String>>()
        };
        [read(&self.lan, &self.wan), read(&self.wan, &self.lan)].concat()
    }

    /// No octet that either side has got names the other.
    fn nothing_shows(&self) {
        let shown = self.shown();
        assert!(shown.is_empty(), "{} times, first:\n{}", shown.len(), shown[0]);
        for end in [&self.lan, &self.wan] {
            assert!(end.agent.heard().is_empty(), "past the proxies of {}", end.peer.name);
        }
    }

    /// Connections are opened anew: a proxy that has been started again knows none of before.
    fn connect_again(&mut self) {
        let trust = Arc::clone(&self.trust);
        [&mut self.lan, &mut self.wan].into_iter().for_each(|end| end.connect(&trust));
    }
}

fn says(name: &str, read: &[String], octets: &[u8]) -> Option<String> {
    (!read.is_empty()).then(|| format!("{name} reads {read:?} in:\n{}", String::from_utf8_lossy(octets)))
}
