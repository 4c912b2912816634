//! What a Prometheus server would read of the proxy.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::port::Port;
use super::wait;

/// The address of a Prometheus listener, for [`super::config::Config::metrics`].
pub(crate) struct Prometheus {
    pub(crate) address: SocketAddr,
    _port: Port,
}

impl Prometheus {
    /// One at a port of its own.
    pub(crate) fn reserve() -> Self {
        let port = Port::reserve();
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.number)), _port: port }
    }

    /// The whole answer to a request for the metrics.
    pub(crate) fn answer(&self) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the listener is there");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it takes a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers and closes");
        text
    }

    /// The sum of a metric over all series that have these labels; 0 if there is none.
    pub(crate) fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let is_it = |line: &&str| {
            let rest = line.strip_prefix(metric).filter(|rest| rest.starts_with(['{', ' ']));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok());
        self.answer().lines().filter(is_it).filter_map(value).sum()
    }

    /// Waits until that sum is this.
    pub(crate) fn counts(&self, metric: &str, labels: &[(&str, &str)], wanted: u64) {
        let mut last = 0;
        let seen = || {
            last = self.sum(metric, labels);
            (last == wanted).then_some(())
        };
        wait::until(&format!("{metric} {labels:?} of {wanted}"), seen);
    }
}
