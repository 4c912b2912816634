//! The plugin host as the rest of the process sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use arc_swap::ArcSwap;

use super::chain::Chain;
use super::change::report::Difference;
use super::keeper::{Bars, Change, Command, Keeper};
use super::load::Loader;
use super::provide::Services;
use super::status::{Board, PluginStatus};
use crate::settings::Plugins;
use crate::trace::Tracer;
use jackfield_metrics::Metrics;

/// Commands that may wait for the keeper. Notices beyond that are left out: it looks at everything when it looks.
const WAITING: usize = 16;

/// What the host is started with, beside the `[plugins]` of the configuration.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// Workers that call hooks; each has an instance of each plugin.
    pub workers: usize,
    /// Where compiled code is kept, and what was taken back; none compiles anew each time, and forgets at a restart.
    pub state_directory: Option<PathBuf>,
    /// Where calls, failures and reloads are counted.
    pub metrics: Arc<Metrics>,
    /// Who hears of what hooks decide.
    pub tracer: Arc<Tracer>,
    /// Who answers what plugins ask.
    pub services: Arc<dyn Services>,
}

/// The plugins of the process. Dropping it ends the reloading; a chain that somebody still holds goes on working.
pub struct PluginHost {
    chain: Arc<ArcSwap<Chain>>,
    board: Arc<Board>,
    commands: SyncSender<Command>,
}

impl PluginHost {
    /// Loads the chain and begins to watch the directory. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// A plugin of the chain cannot be loaded: there is one line for each, with its file and what to do.
    pub fn start(plugins: Plugins, settings: PluginSettings) -> anyhow::Result<Arc<Self>> {
        let metrics = Arc::clone(&settings.metrics);
        let (commands, inbox) = sync_channel(WAITING);
        let (report, started) = sync_channel(1);
        let sender = commands.clone();
        let state_directory = settings.state_directory.clone();
        let keep = move || {
            let bars = Bars::open(state_directory.as_deref());
            let keeper = Loader::new(settings)
                .and_then(|loader| Keeper::start(loader, bars, metrics, plugins, sender).map_err(|wrong| anyhow!(wrong.join("\n"))));
            match keeper {
                Ok(keeper) => {
                    let _ = report.send(Ok((keeper.chain(), keeper.board())));
                    keeper.run(&inbox);
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        };
        thread::Builder::new().name("plugin-keeper".into()).spawn(keep).context("cannot start the thread that loads plugins")?;
        let (chain, board) = started.recv().context("the thread that loads plugins has ended")??;
        Ok(Arc::new(Self { chain, board, commands }))
    }

    /// The generation that new requests go along.
    pub fn chain(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    /// Takes up a changed `[plugins]`: plugins that come or go, their order, their settings. A plugin is initialised anew only if its own
    /// table has changed. Blocks until that is done, for as long as compiling takes, so not to be called on a worker's thread.
    ///
    /// # Errors
    /// A plugin cannot be loaded or refuses its configuration: there is one line for each, and nothing has changed.
    pub fn reconfigure(&self, plugins: &Plugins) -> anyhow::Result<()> {
        let (answer, answered) = sync_channel(1);
        let ended = "the thread that loads plugins has ended";
        self.commands.send(Command::Reconfigure(Box::new(plugins.clone()), answer)).ok().context(ended)?;
        match answered.recv().context(ended)? {
            Ok(()) => Ok(()),
            Err(wrong) => bail!(wrong.join("\n")),
        }
    }

    /// The plugins in the order of the chain, then files that the chain does not name.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.board.read()
    }

    /// Lets the candidate of a plugin serve; what has happened, in one line. Blocks like [`PluginHost::reconfigure`].
    ///
    /// # Errors
    /// There is none, or it cannot.
    pub fn promote(&self, name: &str) -> anyhow::Result<String> {
        self.change(Change::Promote, name)
    }

    /// Goes back to the version before the one that serves, or gives up the candidate, and does not load the file again until its content
    /// changes; what has happened, in one line. Blocks like [`PluginHost::reconfigure`].
    ///
    /// # Errors
    /// There is nothing to go back to, or it cannot serve.
    pub fn roll_back(&self, name: &str) -> anyhow::Result<String> {
        self.change(Change::RollBack, name)
    }

    fn change(&self, change: Change, name: &str) -> anyhow::Result<String> {
        let (answer, answered) = sync_channel(1);
        let ended = "the thread that loads plugins has ended";
        self.commands.send(Command::Change(change, name.to_owned(), answer)).ok().context(ended)?;
        answered.recv().context(ended)?.map_err(|why| anyhow!(why))
    }

    /// The calls that the shadow of a plugin would have decided otherwise, from the oldest to the latest; none if it has no shadow.
    pub fn differences(&self, name: &str) -> Option<Vec<Difference>> {
        self.board.differences(name)
    }

    /// Waits until the status satisfies the condition; false if it did not in this time.
    pub fn wait_until(&self, timeout: Duration, condition: impl Fn(&[PluginStatus]) -> bool) -> bool {
        self.board.wait(timeout, condition)
    }
}

impl Drop for PluginHost {
    fn drop(&mut self) {
        // A full inbox only holds notices and is emptied soon; the keeper ends then, as nobody is left who could send.
        let _ = self.commands.send(Command::Stop);
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost").field("chain", &self.chain()).finish_non_exhaustive()
    }
}
