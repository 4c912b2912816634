//! The TOML file of one scenario.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::certificate::Leaf;
use super::port::Port;

/// What a scenario's proxy is told. Everything but the plugins has a setting that suits most scenarios.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    main: Option<Vec<&'static str>>,
    ready: Option<SocketAddr>,
    files: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    chain: Vec<String>,
    /// `debounce` of `[plugins]`; the default where it is empty.
    debounce: String,
    tables: String,
    top: String,
    relay: Vec<String>,
    ipv6: bool,
    listener: String,
    metrics: Option<SocketAddr>,
}

impl Config {
    /// No plugin, one listener for UDP and TCP, the domain example.test, and nobody's requests relayed.
    pub(crate) fn new() -> Self {
        Self {
            main: Some(vec!["udp", "tcp"]),
            ready: None,
            files: Vec::new(),
            variables: Vec::new(),
            chain: Vec::new(),
            debounce: String::new(),
            tables: String::new(),
            top: String::new(),
            relay: Vec::new(),
            ipv6: false,
            listener: String::new(),
            metrics: None,
        }
    }

    /// The listener speaks these.
    pub(crate) fn speaking(mut self, transports: &[&'static str]) -> Self {
        self.main = Some(transports.to_vec());
        self
    }

    /// No listener but those of [`Config::table`]; `ready` is the UDP address of one, to see there when the proxy runs.
    pub(crate) fn listening_only_as_its_tables_say(mut self, ready: SocketAddr) -> Self {
        self.main = None;
        self.ready = Some(ready);
        self
    }

    /// The UDP address at which it will answer, where that is not the usual one.
    pub(crate) fn ready_at(&self) -> Option<SocketAddr> {
        self.ready
    }

    /// A variable in the environment of the process.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Those.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// The files beside the configuration.
    pub(crate) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    /// A listener for TLS and WSS that shows a certificate, which is put into `NAME.pem` and `NAME.key`; `keys` are further ones of
    /// its `tls` table.
    pub(crate) fn secure(self, name: &str, address: SocketAddr, leaf: &Leaf, keys: &str) -> Self {
        let table = format!(
            "[listen.{name}]\naddress = \"{address}\"\ntransports = [\"tls\", \"wss\"]\n\
             [listen.{name}.tls]\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"\n{keys}\n"
        );
        self.file(&format!("{name}.pem"), &leaf.chain).file(&format!("{name}.key"), &leaf.key).table(&table)
    }

    /// One more plugin at the end of the chain, with the text of its `config` table.
    pub(crate) fn plugin(self, name: &str, config: impl AsRef<str>) -> Self {
        self.plugin_with(name, "", config)
    }

    /// The same with further keys of the plugin's own table, like `on-error`.
    pub(crate) fn plugin_with(mut self, name: &str, keys: &str, config: impl AsRef<str>) -> Self {
        self.chain.push(name.to_owned());
        let _ = writeln!(self.tables, "[plugins.{name}]\n{keys}\n[plugins.{name}.config]\n{}\n", config.as_ref());
        self
    }

    /// Destinations that requests may be relayed to without a plugin's decision.
    pub(crate) fn relay_to(mut self, destination: &str) -> Self {
        self.relay.push(destination.to_owned());
        self
    }

    /// Keys at the top of the file, before any table.
    pub(crate) fn key(mut self, line: &str) -> Self {
        let _ = writeln!(self.top, "{line}");
        self
    }

    /// A table of its own.
    pub(crate) fn table(mut self, text: &str) -> Self {
        let _ = writeln!(self.tables, "{text}\n");
        self
    }

    /// The listener asks for the users of this `[auth.NAME]`.
    pub(crate) fn asking(self, name: &'static str) -> Self {
        self.at_listener(&format!("authenticate = {name:?}"))
    }

    /// One more key of the listener.
    pub(crate) fn at_listener(mut self, line: &str) -> Self {
        let _ = writeln!(self.listener, "{line}");
        self
    }

    /// A second listener on \[::1\].
    pub(crate) fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// A Prometheus listener.
    pub(crate) fn metrics(mut self, address: SocketAddr) -> Self {
        self.metrics = Some(address);
        self
    }

    /// How long a changed plugin file has to lie still.
    pub(crate) fn debounce(mut self, time: &str) -> Self {
        self.debounce = format!("debounce = {time:?}\n");
        self
    }

    /// The file's text.
    pub(crate) fn text(&self, port: &Port, directory: &Path) -> String {
        let number = port.number;
        let state = directory.join("state");
        let mut text = format!("domains = [\"example.test\"]\nworkers = 2\nstate-directory = {state:?}\n{}\n", self.top);
        if let Some(transports) = &self.main {
            let keys = &self.listener;
            let _ = writeln!(text, "[listen.main]\naddress = \"127.0.0.1:{number}\"\ntransports = {transports:?}\n{keys}");
            if self.ipv6 {
                let _ = writeln!(text, "[listen.six]\naddress = \"[::1]:{number}\"\ntransports = {transports:?}\n");
            }
        }
        if !self.relay.is_empty() {
            let _ = writeln!(text, "[relay]\nto = {:?}\n", self.relay);
        }
        let metrics = self.metrics.map_or_else(String::new, |address| format!("metrics = \"{address}\"\n"));
        let _ = writeln!(text, "[admin]\ncontrol = {:?}\n{metrics}", directory.join("control.sock"));
        let _ = writeln!(text, "[plugins]\ndirectory = {:?}\nchain = {:?}\n{}", directory.join("plugins"), self.chain, self.debounce);
        text + &self.tables
    }
}
