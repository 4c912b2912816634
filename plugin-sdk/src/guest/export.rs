//! What the component exports: `init` makes the plugin, the hooks lead to it.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::time::Duration;

use super::bindings::exports::jackfield::plugin::{lifecycle, on_complete, on_failure, on_registration, on_request, on_response, on_timer};
use super::bindings::jackfield::plugin::events;
use super::bindings::jackfield::plugin::message as wit;
use super::bindings::jackfield::plugin::types;
use super::convert::IntoWit as _;
use super::{completed, message, registration};
use crate::{
    Branch, Cause, Completed, Decision, Error, Failure, Outcome, Plugin, Recovery, Registration, Request, Response, Result, panics,
};

/// The exports of a component whose plugin is `P`. The attribute macro hands it to the bindings' `export!`.
pub struct Exports<P>(PhantomData<P>);

/// A plugin whose type is known to `init` alone.
trait Hooks {
    fn request(&self, request: &Request) -> Result<Decision>;
    fn response(&self, request: &Request, response: &Response, branch: &Branch) -> Result<Outcome>;
    fn failure(&self, request: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery>;
    fn registration(&self, event: &Registration);
    fn timer(&self, id: &str);
    fn complete(&self, event: &Completed);
    fn check(&self) -> Result<()>;
    fn stop(&self);
}

impl<P: Plugin> Hooks for P {
    fn request(&self, request: &Request) -> Result<Decision> {
        self.on_request(request)
    }
    fn response(&self, request: &Request, response: &Response, branch: &Branch) -> Result<Outcome> {
        self.on_response(request, response, branch)
    }
    fn failure(&self, request: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery> {
        self.on_failure(request, response, failure)
    }
    fn registration(&self, event: &Registration) {
        self.on_registration(event);
    }
    fn timer(&self, id: &str) {
        self.on_timer(id);
    }
    fn complete(&self, event: &Completed) {
        self.on_complete(event);
    }
    fn check(&self) -> Result<()> {
        self.self_check()
    }
    fn stop(&self) {
        self.shutdown();
    }
}

thread_local! {
    /// A component has one thread and one plugin; the host calls `init` before anything else, and once.
    static PLUGIN: OnceCell<Box<dyn Hooks>> = const { OnceCell::new() };
}

fn with_plugin<T>(call: impl FnOnce(&dyn Hooks) -> Result<T>) -> Result<T, String> {
    PLUGIN.with(|plugin| match plugin.get() {
        Some(plugin) => call(plugin.as_ref()).map_err(text),
        None => Err("a hook was called before init".to_owned()),
    })
}

/// For what has no answer. Before init nothing is subscribed and no timer runs.
fn tell(call: impl FnOnce(&dyn Hooks)) {
    let _ = with_plugin(|plugin| {
        call(plugin);
        Ok(())
    });
}

fn text(error: Error) -> String {
    error.to_string()
}

/// Instances of a version are counted from here.
const FIRST: u32 = 0;

/// The default hook would do half of it: its words are no line of the log.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("(no message)");
        panics::report(message, &place, &mut std::io::stderr());
    }));
}

impl<P: Plugin> lifecycle::Guest for Exports<P> {
    fn init(config: String, environment: lifecycle::Environment) -> Result<Vec<types::Subscription>, String> {
        report_panics();
        let plugin = P::from_json(&config).map_err(text)?;
        if environment.instance == FIRST {
            plugin.start().map_err(text)?;
        }
        let subscriptions = plugin.subscriptions();
        PLUGIN.with(|slot| slot.set(Box::new(plugin))).map_err(|_| "init was called twice".to_owned())?;
        Ok(subscriptions.into_wit())
    }

    fn self_check() -> Result<(), String> {
        with_plugin(|plugin| plugin.check())
    }

    fn shutdown() {
        tell(|plugin| plugin.stop());
    }
}

impl<P: Plugin> on_request::Guest for Exports<P> {
    fn handle(request: &wit::Request) -> Result<types::Decision, String> {
        with_plugin(|plugin| plugin.request(message::request(request)).map(|decision| decision.into_wit()))
    }
}

impl<P: Plugin> on_response::Guest for Exports<P> {
    fn handle(request: &wit::Request, response: &wit::Response, branch: on_response::Branch) -> Result<on_response::Outcome, String> {
        let branch = Branch { tag: branch.tag, attempt: branch.attempt, elapsed: Duration::from_millis(branch.rtt_ms.into()) };
        with_plugin(|plugin| {
            let outcome = plugin.response(message::request(request), message::response(response), &branch)?;
            Ok(match outcome {
                Outcome::Forward(edits) => on_response::Outcome::Forward(edits.into_wit()),
                Outcome::Replace(reply) => on_response::Outcome::Replace(reply.into_wit()),
            })
        })
    }
}

impl<P: Plugin> on_failure::Guest for Exports<P> {
    fn handle(
        request: &wit::Request,
        response: Option<&wit::Response>,
        failure: on_failure::Failure,
    ) -> Result<on_failure::Outcome, String> {
        let cause = match failure.cause {
            on_failure::Cause::Status => Cause::Status,
            on_failure::Cause::Timeout => Cause::Timeout,
            on_failure::Cause::Transport => Cause::Transport,
            on_failure::Cause::Dns => Cause::Dns,
            on_failure::Cause::RefusedByHost => Cause::RefusedByHost,
        };
        let failure = Failure { cause, tag: failure.tag, attempt: failure.attempt, remaining: failure.remaining };
        with_plugin(|plugin| {
            let recovery = plugin.failure(message::request(request), response.map(message::response), &failure)?;
            Ok(match recovery {
                Recovery::Next => on_failure::Outcome::Next,
                Recovery::Instead(groups) => on_failure::Outcome::Instead(groups.into_wit()),
                Recovery::Stop => on_failure::Outcome::Stop,
                Recovery::Reply(reply) => on_failure::Outcome::Reply(reply.into_wit()),
            })
        })
    }
}

impl<P: Plugin> on_registration::Guest for Exports<P> {
    fn handle(event: &events::Registration) {
        tell(|plugin| plugin.registration(registration::registration(event)));
    }
}

impl<P: Plugin> on_timer::Guest for Exports<P> {
    fn handle(id: String) {
        tell(|plugin| plugin.timer(&id));
    }
}

impl<P: Plugin> on_complete::Guest for Exports<P> {
    fn handle(event: &events::Completed) {
        tell(|plugin| plugin.complete(completed::completed(event)));
    }
}
