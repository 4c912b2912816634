//! What the proxy counts of calls at this moment: by its command, and by its metrics.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::Value;

use super::config::Config;
use super::port::Port;
use super::proxy::Proxy;
use super::wait;

/// The place where a proxy's metrics are read.
pub(crate) struct Gauges {
    port: Port,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        Self { port: Port::reserve() }
    }

    /// A configuration whose metrics are read here.
    pub(crate) fn of(&self, config: Config) -> Config {
        config.metrics(self.address())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }

    /// Every sample whose name begins so, with its labels.
    pub(crate) fn samples(&self, name: &str) -> BTreeMap<String, u64> {
        let mut stream = TcpStream::connect(self.address()).expect("the metrics are served");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it takes a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers and closes");
        let samples = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
        samples.map(|(name, value)| (name.to_owned(), value.parse().expect("a whole number"))).collect()
    }

    /// Calls of each trunk and tag, by the metrics.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        self.samples("jackfield_calls{")
    }

    /// Waits until no trunk and no tag has a call, whomever one asks.
    pub(crate) fn are_zero(&self, proxy: &Proxy, patience: std::time::Duration) {
        wait::within(patience, "end of all calls in the counts", || {
            let (by_metrics, by_command) = (self.calls(), calls_by_command(proxy));
            assert!(!by_metrics.is_empty() && !by_command.is_empty(), "something is counted");
            by_metrics.values().chain(by_command.values()).all(|calls| *calls == 0).then_some(())
        });
    }
}

/// Calls of each trunk, by `jackfield trunks --json`.
pub(crate) fn calls_by_command(proxy: &Proxy) -> BTreeMap<String, u64> {
    let trunks: Vec<Value> = serde_json::from_str(&proxy.asked(&["trunks", "--json"])).expect("a JSON array");
    let of = |trunk: &Value| Some((trunk["name"].as_str()?.to_owned(), trunk["calls"].as_u64()?));
    trunks.iter().map(|trunk| of(trunk).expect("name and calls of a trunk")).collect()
}

/// Response contexts that are open, by `jackfield status --json`.
pub(crate) fn contexts(proxy: &Proxy) -> u64 {
    let status: Value = serde_json::from_str(&proxy.asked(&["status", "--json"])).expect("JSON");
    status["contexts"].as_u64().expect("a number of contexts")
}
