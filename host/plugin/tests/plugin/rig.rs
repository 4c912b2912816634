//! A plugin host over a directory of its own, and messages for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_metrics::Metrics;
use jackfield_plugin_host::settings::{OnError, Plugin, Plugins};
use jackfield_plugin_host::{
    CallState, Chain, ChainAnswer, Machine, PluginHost, PluginSettings, PluginState, PluginStatus, RequestView, Said, Services,
};
use jackfield_proto::message::{Framing, Limits, Message};
use jackfield_proto::net::{Flow, Listener, ListenerId, ListenerState, Transport};
use jackfield_proto::proxy::{Plan, Watch};
use tempfile::TempDir;

use crate::guests::BEHAVE;

/// Long enough for a busy machine to compile a component; nothing waits that long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Rig {
    pub(crate) directory: TempDir,
    pub(crate) plugins: Plugins,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) host: Arc<PluginHost>,
}

/// Plugins in a new directory, all of them [`BEHAVE`], with their `[plugins.NAME.config]`.
pub(crate) fn directory(plugins: &[(&str, &str)]) -> (TempDir, Plugins) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("plugins")).unwrap();
    let mut settings = Plugins {
        directory: Some(directory.path().join("plugins")),
        chain: plugins.iter().map(|(name, _)| (*name).to_owned()).collect(),
        debounce: Duration::from_millis(20),
        ..Plugins::default()
    };
    for (name, config) in plugins {
        let config = serde_json::from_str(config).unwrap();
        settings.table.insert((*name).to_owned(), Plugin { config, ..Plugin::default() });
        fs::write(directory.path().join(format!("plugins/{name}.wasm")), &*BEHAVE).unwrap();
    }
    (directory, settings)
}

pub(crate) fn start(directory: &Path, plugins: &Plugins, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<PluginHost>> {
    start_with(directory, plugins, metrics, Arc::new(Machine))
}

pub(crate) fn start_with(
    directory: &Path,
    plugins: &Plugins,
    metrics: &Arc<Metrics>,
    services: Arc<dyn Services>,
) -> anyhow::Result<Arc<PluginHost>> {
    let settings = PluginSettings {
        workers: 2,
        state_directory: Some(directory.join("state")),
        metrics: Arc::clone(metrics),
        tracer: Arc::default(),
        services,
    };
    PluginHost::start(plugins.clone(), settings)
}

impl Rig {
    pub(crate) fn new(plugins: &[(&str, &str)]) -> Self {
        Self::with(plugins, |_| {})
    }

    pub(crate) fn with(plugins: &[(&str, &str)], change: impl FnOnce(&mut Plugins)) -> Self {
        let (directory, mut plugins) = directory(plugins);
        change(&mut plugins);
        let metrics = Arc::new(Metrics::new(2));
        let host = start(directory.path(), &plugins, &metrics).unwrap();
        Self { directory, plugins, metrics, host }
    }

    pub(crate) fn on_error(self, name: &str, on_error: OnError) -> Self {
        let mut plugins = self.plugins.clone();
        plugins.table.get_mut(name).unwrap().on_error = on_error;
        self.host.reconfigure(&plugins).unwrap();
        Self { plugins, ..self }
    }

    /// The process ends and starts again, with the same files.
    pub(crate) fn restarted(self) -> Self {
        let Self { directory, plugins, host, .. } = self;
        drop(host);
        let metrics = Arc::new(Metrics::new(2));
        let host = start(directory.path(), &plugins, &metrics).unwrap();
        Self { directory, plugins, metrics, host }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("plugins/{name}.wasm"))
    }

    /// Write-then-rename, as careful people do.
    pub(crate) fn replace(&self, name: &str, octets: &[u8]) {
        let unfinished = self.directory.path().join("unfinished");
        fs::write(&unfinished, octets).unwrap();
        fs::rename(unfinished, self.file(name)).unwrap();
    }

    /// Asks the chain of the moment about a request that says `X-Do: what`.
    pub(crate) fn ask(&self, what: &str) -> ChainAnswer {
        ask(&self.host.chain(), &request(&format!("X-Do: {what}\r\n")))
    }

    /// The reason phrase with which the plugin has answered.
    pub(crate) fn told(&self, what: &str) -> String {
        told(self.ask(what))
    }

    pub(crate) fn status(&self, name: &str) -> PluginStatus {
        self.host.status().into_iter().find(|status| status.name == name).unwrap()
    }

    /// Waits for a state of a plugin.
    pub(crate) fn await_state(&self, name: &str, state: PluginState) {
        self.await_status(name, |status| status.state == state);
    }

    pub(crate) fn await_status(&self, name: &str, condition: impl Fn(&PluginStatus) -> bool) {
        let met = self.host.wait_until(PATIENCE, |all| all.iter().any(|status| status.name == name && condition(status)));
        assert!(met, "{:?}", self.host.status());
    }

    /// Failures of a plugin by hook and reason, as they are exported.
    pub(crate) fn failures(&self, name: &str, hook: &str, reason: &str) -> u64 {
        self.metric(&format!("jackfield_plugin_failures_total{{plugin=\"{name}\",hook=\"{hook}\",reason=\"{reason}\"}}"))
    }

    /// The value of an exported series; 0 if it is not there.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.metrics.exposition();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

pub(crate) fn listeners() -> Arc<[Listener]> {
    let listener = |name: &str, port| Listener {
        name: name.into(),
        transport: Transport::Udp,
        address: ([192, 0, 2, 1], port).into(),
        sent_by: "192.0.2.1".into(),
        state: ListenerState::Open,
    };
    Arc::new([listener("lan", 5060), listener("wan", 5062)])
}

pub(crate) fn trunks() -> Arc<[Arc<str>]> {
    Arc::new(["telekom".into(), "second".into()])
}

pub(crate) fn profiles() -> Arc<[Arc<str>]> {
    Arc::new(["lan".into(), "browser".into()])
}

pub(crate) fn flow() -> Flow {
    Flow { transport: Transport::Udp, listener: ListenerId(1), remote: ([198, 51, 100, 7], 5080).into(), connection: None }
}

pub(crate) fn message(text: &str) -> Arc<Message> {
    Arc::new(Message::parse(Bytes::from(text.to_owned()), Framing::Datagram, &Limits::default()).unwrap())
}

pub(crate) fn request_of(method: &str, fields: &str) -> Arc<Message> {
    message(&format!(
        "{method} sip:100@pbx.test;line=abc SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2\r\n\
         Max-Forwards: 70\r\nFrom: \"A\" <sip:a@a.test>;tag=ft\r\nTo: <sip:100@pbx.test;line=to>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
         X-A: as sent\r\n{fields}Content-Length: 4\r\n\r\nbody"
    ))
}

pub(crate) fn request(fields: &str) -> Arc<Message> {
    request_of("INVITE", fields)
}

pub(crate) fn response(status: u16, fields: &str) -> Arc<Message> {
    message(&format!(
        "SIP/2.0 {status} Said so\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a.test>;tag=ft\r\nTo: <sip:100@pbx.test>;tag=tt\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\n{fields}Content-Length: 0\r\n\r\n"
    ))
}

pub(crate) fn ask(chain: &Arc<Chain>, request: &Arc<Message>) -> ChainAnswer {
    ask_as(chain, request, true)
}

pub(crate) fn ask_as(chain: &Arc<Chain>, request: &Arc<Message>, initial: bool) -> ChainAnswer {
    now(chain.on_request(0, RequestView { initial, ..view(request, &flow(), &listeners(), &trunks(), &profiles()) }))
}

/// What is said at once: by plugins that do not wait.
pub(crate) fn now<T>(said: Said<T>) -> T {
    said.at_once().ok().expect("no plugin waits")
}

/// A request outside a dialog, of nobody in particular.
pub(crate) fn view<'a>(
    request: &'a Arc<Message>,
    flow: &'a Flow,
    listeners: &'a Arc<[Listener]>,
    trunks: &'a Arc<[Arc<str>]>,
    profiles: &'a Arc<[Arc<str>]>,
) -> RequestView<'a> {
    RequestView { request, flow, listeners, trunks, profiles, from_trunk: None, user: None, initial: true }
}

pub(crate) fn told(answer: ChainAnswer) -> String {
    match answer {
        ChainAnswer::Reply { reply, .. } => String::from_utf8(reply.reason.unwrap_or_default().to_vec()).unwrap(),
        other => panic!("no reply but {other:?}"),
    }
}

/// The status of a reply; 0 if it is something else.
pub(crate) fn status(answer: &ChainAnswer) -> u16 {
    if let ChainAnswer::Reply { reply, .. } = answer { reply.status } else { 0 }
}

pub(crate) fn forwarded(answer: ChainAnswer) -> (Plan, Arc<CallState>, Watch) {
    match answer {
        ChainAnswer::Forward { plan, state, watch } => (plan, state, watch),
        other => panic!("not forwarded but {other:?}"),
    }
}
