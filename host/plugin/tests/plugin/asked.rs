//! Plugins that wait, and who answers them: the test, when it likes.

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use jackfield_metrics::Metrics;
use jackfield_plugin_host::settings::{Grants, Plugins};
use jackfield_plugin_host::{Chain, ChainAnswer, Machine, RequestView, Said, Services};
use jackfield_proto::message::Message;
use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use crate::guests::WAITS;
use crate::rig::{PATIENCE, Rig, directory, flow, listeners, profiles, request, start_with, trunks, view};

/// What a plugin has asked, and waits for.
pub(crate) struct Held(Sender<Result<Answer, ServiceError>>);

impl Held {
    pub(crate) fn answer(self, text: &str) {
        self.0.send(Ok(Answer::Texts(vec![text.to_owned()]))).expect("it still waits");
    }
}

/// The resolver of the test. A name that begins with `held` is answered when the test does so; `spent` never is; one that begins with
/// `broken` is a defect of the host; any other name is its own address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver(Arc<Desk>);

#[derive(Debug, Default)]
struct Desk {
    asked: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    names: Vec<String>,
    held: Vec<(String, Sender<Result<Answer, ServiceError>>)>,
}

impl Resolver {
    /// Waits until a plugin waits for this name.
    pub(crate) fn held(&self, name: &str) -> Held {
        let deadline = Instant::now() + PATIENCE;
        let mut asked = self.0.asked.lock().unwrap();
        loop {
            if let Some(at) = asked.held.iter().position(|(held, _)| held == name) {
                return Held(asked.held.remove(at).1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nobody asks for {name}: {:?}", asked.names);
            asked = self.0.changed.wait_timeout(asked, left).unwrap().0;
        }
    }

    /// Names that have been asked for.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().names.clone()
    }

    /// Names that somebody waits for.
    pub(crate) fn waiting(&self) -> usize {
        self.0.asked.lock().unwrap().held.len()
    }

    fn hold(&self, name: &str) -> Receiver<Result<Answer, ServiceError>> {
        let (sender, receiver) = channel();
        self.0.asked.lock().unwrap().held.push((name.to_owned(), sender));
        self.0.changed.notify_all();
        receiver
    }
}

impl Ask for Resolver {
    fn ask(&self, question: Question, within: Duration) -> Result<Answer, ServiceError> {
        let Question::Dns { name, .. } = question else { return Machine.ask(question, within) };
        self.0.asked.lock().unwrap().names.push(name.clone());
        match name.as_str() {
            held if held.starts_with("held") => self.hold(held).recv_timeout(PATIENCE).expect("the test answers"),
            "spent" => {
                let (_sender, never) = channel::<()>();
                let _ = never.recv_timeout(within);
                Err(ServiceError::Timeout)
            }
            broken if broken.starts_with("broken") => panic!("a defect of the host"),
            name => Ok(Answer::Texts(vec![name.to_owned()])),
        }
    }
}

impl Services for Resolver {
    fn of_plugin(&self, _plugin: &str, _grants: &Grants) -> Arc<dyn Ask> {
        Arc::new(self.clone())
    }

    fn is_remote(&self, _bucket: &str) -> bool {
        false
    }
}

/// All that the guest imports.
pub(crate) fn all() -> Grants {
    Grants { dns: true, timers: true, ..Grants::default() }
}

/// A host with plugins that wait, which are those whose names begin with `waits`, and others, and the resolver that they ask.
pub(crate) fn rig(plugins: &[(&str, &str)], change: impl FnOnce(&mut Plugins)) -> (Rig, Resolver) {
    let resolver = Resolver::default();
    (rig_asking(&resolver, plugins, change), resolver)
}

/// The same with a resolver that is there already.
pub(crate) fn rig_asking(resolver: &Resolver, plugins: &[(&str, &str)], change: impl FnOnce(&mut Plugins)) -> Rig {
    let (directory, mut plugins) = directory(plugins);
    for name in plugins.chain.iter().filter(|name| name.starts_with("waits")) {
        let plugin = plugins.table.get_mut(name).unwrap();
        // The test answers when it likes, however busy the machine is.
        (plugin.grants, plugin.wait) = (all(), PATIENCE);
        fs::write(directory.path().join(format!("plugins/{name}.wasm")), &*WAITS).unwrap();
    }
    change(&mut plugins);
    let metrics = Arc::new(Metrics::new(2));
    let host = start_with(directory.path(), &plugins, &metrics, Arc::new(resolver.clone())).unwrap();
    Rig { directory, plugins, metrics, host }
}

/// One plugin that waits.
pub(crate) fn one() -> (Rig, Resolver) {
    rig(&[("waits", "{}")], |_| {})
}

/// Asks about a request, on worker 0.
pub(crate) fn say(chain: &Arc<Chain>, request: &Arc<Message>) -> Said<ChainAnswer> {
    let (flow, listeners, trunks, profiles) = (flow(), listeners(), trunks(), profiles());
    let view: RequestView<'_> = view(request, &flow, &listeners, &trunks, &profiles);
    chain.on_request(0, view)
}

/// Asks the chain of the moment about a request with these fields.
pub(crate) fn ask(rig: &Rig, fields: &str) -> Said<ChainAnswer> {
    say(&rig.host.chain(), &request(fields))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What is said in the end.
pub(crate) fn settled<T>(said: Said<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut settled = pin!(said.settled());
    loop {
        if let Poll::Ready(told) = settled.as_mut().poll(&mut Context::from_waker(&waker)) {
            return told;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing is said in time");
        thread::park_timeout(left);
    }
}

/// Waits for something that nobody tells of.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}
