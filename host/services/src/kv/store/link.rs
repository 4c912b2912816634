//! A connection to one server that makes itself anew.
//!
//! ```text
//!            answers                    ends                      no connection within the time of one operation
//! Trying ───────────────▶ Up ───────────────────────▶ Trying ───────────────▶ Away
//!    ▲                    │ ▲                                                  │
//!    │                    │ └───────────────────── answers ────────────────────┤ an attempt at least each 500 ms
//!  start                  └── several operations in a row without an answer, ──▶
//!                             nonsense, LOADING, READONLY
//! ```
//!
//! Trying: operations wait for the connection, as long as they may. Away: they are answered at once, so that a server that is gone costs no
//! call any time. Only what is tried in the background ends Away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::super::Operation;
use super::command::{Form, Refusal, answer, command, refusal};
use super::dial::{Dialed, Dialer, Target};
use crate::ask::{Answer, ServiceError};
use crate::settings::Server;

/// Operations in a row that nobody answers until the server counts as away.
const SILENT: u32 = 3;
/// The first pause between attempts; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const PROBE: Duration = Duration::from_millis(500);
/// How often a server is asked whether it is there, and the Sentinels whether it still is the master: so that a server that went while nobody
/// used it costs no call anything.
const BEAT: Duration = Duration::from_secs(1);

/// A link to a server. Its task ends with it.
pub(super) struct Link {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    target: Target,
    dialer: Arc<Dialer>,
    /// Of one operation.
    timeout: Duration,
    phase: watch::Sender<Phase>,
    silent: AtomicU32,
    faults: mpsc::Sender<(u64, String)>,
    /// What the log calls it.
    label: String,
}

#[derive(Clone)]
enum Phase {
    Trying,
    Up(MultiplexedConnection, u64),
    Away(Arc<str>),
}

/// Why an operation has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server cannot be reached, as is known.
    Away(String),
    /// It did not answer in time.
    Silent,
    /// It answered something else.
    Refused(Refusal),
}

impl From<Failure> for ServiceError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(why) => Self::Unavailable(why),
            Failure::Silent => Self::Timeout,
            Failure::Refused(Refusal::Told(told)) => told,
            Failure::Refused(Refusal::Away(why) | Refusal::Down(why)) => Self::Unavailable(why),
            Failure::Refused(Refusal::Moved(_) | Refusal::Ask(_)) => {
                Self::Unavailable("the server belongs to a cluster; write `cluster` instead of `url` in [store]".to_owned())
            }
            Failure::Refused(Refusal::NoScript) => Self::Unavailable("the server does not run scripts".to_owned()),
            Failure::Refused(Refusal::Nonsense) => Self::Unavailable("the server's answer makes no sense".to_owned()),
        }
    }
}

impl Link {
    pub(super) fn new(label: String, target: Target, dialer: Arc<Dialer>, timeout: Duration, runtime: &Handle) -> Self {
        let (faults, reported) = mpsc::channel(8);
        let phase = watch::Sender::new(Phase::Trying);
        let shared = Arc::new(Shared { target, dialer, timeout, phase, silent: AtomicU32::new(0), faults, label });
        let task = runtime.spawn(keep(Arc::clone(&shared), reported)).abort_handle();
        Self { shared, task }
    }

    /// Why it is known to be away.
    pub(super) fn away(&self) -> Option<String> {
        match &*self.shared.phase.borrow() {
            Phase::Away(why) => Some(why.to_string()),
            Phase::Trying | Phase::Up(..) => None,
        }
    }

    /// Whether it is connected.
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.shared.phase.borrow(), Phase::Up(..))
    }

    /// Does an operation.
    pub(super) async fn run(&self, key: &str, operation: &Operation, until: Instant) -> Result<Answer, Failure> {
        match self.exchange(&command(key, operation, Form::Hash), operation, until).await {
            Err(Failure::Refused(Refusal::NoScript)) => self.exchange(&command(key, operation, Form::Source), operation, until).await,
            answered => answered,
        }
    }

    /// The same at a node that takes over a slot. The script is sent whole: such a node may have seen none of it.
    pub(super) async fn run_asking(&self, key: &str, operation: &Operation, until: Instant) -> Result<Answer, Failure> {
        let mut both = redis::pipe();
        both.add_command(redis::cmd("ASKING")).add_command(command(key, operation, Form::Source));
        let (mut connection, number) = self.connected(until).await?;
        let replies = timeout_at(until, connection.send_packed_commands(&both, 0, 2)).await;
        let reply = replies.map(|replies| replies.and_then(|mut replies| replies.pop().ok_or_else(nothing)));
        self.judge(reply.ok(), operation, number)
    }

    async fn exchange(&self, command: &Cmd, operation: &Operation, until: Instant) -> Result<Answer, Failure> {
        let (mut connection, number) = self.connected(until).await?;
        let reply = timeout_at(until, connection.send_packed_command(command)).await;
        self.judge(reply.ok(), operation, number)
    }

    /// A question that is no operation.
    pub(super) async fn query(&self, command: &Cmd, until: Instant) -> Result<Value, Failure> {
        let (mut connection, number) = self.connected(until).await?;
        match timeout_at(until, connection.send_packed_command(command)).await {
            Ok(Ok(Value::ServerError(error))) => Err(Failure::Refused(refusal(&error.into()))),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Failure::Refused(refusal(&error))),
            Err(_) => Err(self.silence(number)),
        }
    }

    fn judge(&self, reply: Option<redis::RedisResult<Value>>, operation: &Operation, number: u64) -> Result<Answer, Failure> {
        let Some(reply) = reply else { return Err(self.silence(number)) };
        let result = match reply {
            Ok(reply) => answer(operation, reply),
            Err(error) if error.is_io_error() || error.is_connection_dropped() => {
                return Err(Failure::Away("the connection broke; whether the server has done it is not known".to_owned()));
            }
            Err(error) => Err(refusal(&error)),
        };
        self.shared.silent.store(0, Ordering::Relaxed);
        match &result {
            Err(Refusal::Away(why)) => self.fault(number, why.clone()),
            Err(Refusal::Nonsense) => self.fault(number, "its answers make no sense: is it Redis?".to_owned()),
            _ => {}
        }
        result.map_err(Failure::Refused)
    }

    fn silence(&self, number: u64) -> Failure {
        if self.shared.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT {
            self.fault(number, "it does not answer".to_owned());
        }
        Failure::Silent
    }

    fn fault(&self, number: u64, why: String) {
        // One that does not fit says what the ones before it say.
        let _ = self.shared.faults.try_send((number, why));
    }

    /// The connection, as soon as there is one.
    async fn connected(&self, until: Instant) -> Result<(MultiplexedConnection, u64), Failure> {
        let mut phase = self.shared.phase.subscribe();
        let settled = timeout_at(until, phase.wait_for(|phase| !matches!(phase, Phase::Trying))).await;
        match settled {
            Ok(Ok(phase)) => match &*phase {
                Phase::Up(connection, number) => Ok((connection.clone(), *number)),
                Phase::Away(why) => Err(Failure::Away(why.to_string())),
                Phase::Trying => Err(Failure::Silent),
            },
            Ok(Err(_)) => Err(Failure::Away("the store is not used any more".to_owned())),
            Err(_) => Err(Failure::Silent),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn nothing() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "no reply"))
}

/// Keeps a connection, for ever.
async fn keep(shared: Arc<Shared>, mut faults: mpsc::Receiver<(u64, String)>) {
    let mut pause = PAUSE;
    for number in 0.. {
        match attempt(&shared).await {
            Ok(dialed) => {
                let begun = Instant::now();
                let ended = serve(&shared, dialed, number, &mut faults).await;
                // A server that closes what it has just taken is not asked again at once.
                let short_lived = begun.elapsed() < PROBE;
                match ended {
                    None if !short_lived => {
                        pause = PAUSE;
                        shared.phase.send_replace(Phase::Trying);
                        continue;
                    }
                    None => shared.away("it closed the connection".to_owned()),
                    Some(why) => shared.away(why),
                }
                pause = if short_lived { (pause * 2).min(PROBE) } else { PAUSE };
            }
            Err(why) => {
                shared.away(why);
                pause = (pause * 2).min(PROBE);
            }
        }
        sleep(pause).await;
    }
}

/// One attempt. After the time of one operation nobody waits for it any longer.
async fn attempt(shared: &Shared) -> Result<Dialed, String> {
    let dialing = shared.dialer.dial(&shared.target);
    tokio::pin!(dialing);
    tokio::select! {
        dialed = &mut dialing => return dialed,
        () = sleep(shared.timeout) => shared.away("no connection in time".to_owned()),
    }
    dialing.await
}

/// Until the connection ends by itself, or with the reason why it is given up.
async fn serve(shared: &Shared, dialed: Dialed, number: u64, faults: &mut mpsc::Receiver<(u64, String)>) -> Option<String> {
    let Dialed { connection, mut driver, server } = dialed;
    shared.silent.store(0, Ordering::Relaxed);
    let before = shared.phase.send_replace(Phase::Up(connection.clone(), number));
    match before {
        Phase::Away(_) => tracing::info!("{} is back: {server} answers", shared.label),
        Phase::Trying | Phase::Up(..) => tracing::debug!("{} is connected to {server}", shared.label),
    }
    let gone = watch_over(shared, connection, &server);
    tokio::pin!(gone);
    loop {
        tokio::select! {
            () = &mut driver => return None,
            why = &mut gone => return Some(why),
            // What was said of a connection before this one is over.
            fault = faults.recv() => if let Some((of, why)) = fault && of == number { return Some(why) },
        }
    }
}

/// Until the server does not answer any more, or is no master any more, and then why it has to be left.
async fn watch_over(shared: &Shared, mut connection: MultiplexedConnection, server: &Server) -> String {
    let ping = redis::cmd("PING");
    // A server that is merely slow is for those to judge who use it.
    let patience = shared.timeout.max(BEAT);
    loop {
        sleep(BEAT).await;
        // What it says is seen by those who ask it something; that the connection ended, by the driver.
        if timeout(patience, connection.send_packed_command(&ping)).await.is_err() {
            return "it does not answer".to_owned();
        }
        if let Target::Master { .. } = shared.target
            && let Ok(master) = shared.dialer.master(&shared.target).await
            && master != *server
        {
            return format!("the master is now {master}");
        }
    }
}

impl Shared {
    fn away(&self, why: String) {
        let before = self.phase.send_replace(Phase::Away(why.as_str().into()));
        if !matches!(before, Phase::Away(_)) {
            tracing::warn!("{} is away: {why}; trying again each {PROBE:?}", self.label);
        }
    }
}
