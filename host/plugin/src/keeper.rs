//! The thread that keeps the chain up to date: it looks at the files, has loaded what has changed, judges how versions do, and swaps the
//! chain's generation. It waits for a compiler and for `init` only where it takes up a changed configuration, as a whole or not at all, and
//! where it lets a version serve of which no instances are ready.

mod bars;
mod board;
mod course;
mod file;
mod loading;
mod verdicts;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

pub(super) use self::bars::Bars;
use self::board::announce;
use self::course::{Course, Way};
use self::file::{compile, read};
use self::loading::{Finished, Loading};
use super::chain::Chain;
use super::change::vitals::Poke;
use super::link::Link;
use super::load::{LoadError, Loader, OfPlugin, Program};
use super::names::names_in;
use super::pool::Pool;
use super::state::{Digest, Role};
use super::status::{Board, PluginState};
use super::timers::{PluginTimers, Timers};
use super::version::{Version, Waits};
use crate::settings::{self, Plugins};
use jackfield_metrics::Metrics;
use jackfield_watch::{Found, Notices, Stamp, Watched};

/// How often the files are looked at without a notice: a file behind a symlink may change where no notice comes from.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much lower than the workers' the thread's priority is.
const NICENESS: i32 = 10;

/// What the keeper is asked to do.
pub(super) enum Command {
    /// Look at the files: something may have changed.
    Look,
    /// Take up a changed configuration; the answer is one line for each thing that is wrong.
    Reconfigure(Box<Plugins>, SyncSender<Result<(), Vec<String>>>),
    /// A changed file has been loaded, or cannot be.
    Loaded(Box<Finished>),
    /// A version has failed, or a candidate has done well: something may have to be decided.
    Judge,
    /// Let the candidate of this plugin serve, or go back to the version before; the answer is one line.
    Change(Change, String, SyncSender<Result<String, String>>),
    /// End.
    Stop,
}

/// What an operator wants of the versions of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Promote,
    RollBack,
}

/// A plugin of the chain.
#[derive(Clone)]
struct Member {
    name: String,
    file: PathBuf,
    settings: settings::Plugin,
    program: Program,
    version: Arc<Version>,
    /// Kept for as long as it is in the chain.
    timers: Arc<PluginTimers>,
    /// The generation that this version came with.
    generation: u64,
    state: PluginState,
    refused: Option<String>,
    watched: Watched,
    course: Course,
}

impl Member {
    /// One that comes into the chain with what was in its file, which was as the stamp says.
    fn new(file: &Path, plugin: &OfPlugin<'_>, program: Program, version: Arc<Version>, stamp: Stamp) -> Self {
        Self {
            name: plugin.name.to_owned(),
            file: file.to_owned(),
            settings: plugin.settings.clone(),
            program,
            version,
            timers: Arc::clone(plugin.timers),
            generation: 0,
            state: PluginState::Serving,
            refused: None,
            watched: Watched::new(Some(stamp)),
            course: Course::default(),
        }
    }

    fn of_plugin(&self) -> OfPlugin<'_> {
        OfPlugin { name: &self.name, settings: &self.settings, timers: &self.timers }
    }
}

/// The keeper.
pub(super) struct Keeper {
    loader: Arc<Loader>,
    loading: Loading,
    metrics: Arc<Metrics>,
    settings: Plugins,
    members: Vec<Member>,
    bars: Bars,
    chain: Arc<ArcSwap<Chain>>,
    board: Arc<Board>,
    notices: Option<Notices>,
    sender: SyncSender<Command>,
    not_in_chain: Vec<String>,
    poked: Arc<AtomicBool>,
    poke: Poke,
    pool: Arc<Pool>,
    timers: Timers,
}

impl Keeper {
    /// Loads the chain for the first time.
    ///
    /// # Errors
    /// One line for each plugin that cannot be loaded.
    pub(super) fn start(
        loader: Loader,
        bars: Bars,
        metrics: Arc<Metrics>,
        settings: Plugins,
        sender: SyncSender<Command>,
    ) -> Result<Self, Vec<String>> {
        // That the priority cannot be lowered costs no call.
        let _ = rustix::process::nice(NICENESS);
        let pool = Arc::new(Pool::new(settings.waiting));
        let chain = Arc::new(ArcSwap::from_pointee(Chain::new(0, Vec::new(), Arc::clone(&pool))));
        let counted = Arc::downgrade(&pool);
        metrics.add_source(move || counted.upgrade().map(|pool| pool.samples()).unwrap_or_default());
        let poked = Arc::new(AtomicBool::new(false));
        let (once, commands) = (Arc::clone(&poked), sender.clone());
        let poke: Poke = Arc::new(move || {
            // One in the channel is enough; and where that is full, the keeper is going to look anyway.
            if !once.swap(true, Relaxed) && commands.try_send(Command::Judge).is_err() {
                once.store(false, Relaxed);
            }
        });
        let loader = Arc::new(loader);
        let loading = Loading::start(Arc::clone(&loader), sender.clone());
        let loading = loading.map_err(|error| vec![format!("the thread that loads plugins cannot be started: {error}")])?;
        let mut keeper = Self {
            loader,
            loading,
            metrics,
            settings: Plugins::default(),
            members: Vec::new(),
            bars,
            chain,
            board: Arc::default(),
            notices: None,
            sender,
            not_in_chain: Vec::new(),
            poked,
            poke,
            timers: Timers::new(Arc::clone(&pool)),
            pool,
        };
        keeper.loader.need(keeper.bars.needed());
        keeper.reconfigure(settings)?;
        Ok(keeper)
    }

    pub(super) fn chain(&self) -> Arc<ArcSwap<Chain>> {
        Arc::clone(&self.chain)
    }

    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Runs until it is told to stop, or until nobody is left who could.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut look_at = Instant::now() + LOOK_EVERY;
        let mut judge_at = look_at;
        loop {
            let command = match commands.recv_timeout(look_at.min(judge_at).saturating_duration_since(Instant::now())) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => Command::Judge,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Each failure may ask for a verdict: files are not looked at for that.
            if !matches!(command, Command::Judge) {
                look_at = Instant::now();
            }
            match command {
                Command::Look | Command::Judge => {}
                Command::Change(change, name, answer) => {
                    let _ = answer.send(self.change(change, &name));
                }
                Command::Reconfigure(settings, answer) => {
                    let _ = answer.send(self.reconfigure(*settings));
                }
                Command::Loaded(finished) => self.finished(*finished),
                Command::Stop => return,
            }
            self.poked.store(false, Relaxed);
            let now = Instant::now();
            judge_at = self.judge(now);
            if look_at <= now {
                look_at = self.look(now);
            }
        }
    }

    /// Looks at all files and has loaded what has changed; when to look again.
    fn look(&mut self, now: Instant) -> Instant {
        let mut again = now + LOOK_EVERY;
        self.notices.iter_mut().for_each(Notices::renew);
        for place in 0..self.members.len() {
            let Some(member) = self.members.get_mut(place) else { continue };
            match member.watched.look(Stamp::of(&member.file), now, self.settings.debounce) {
                Found::Same => {}
                Found::Unsettled(until) => again = again.min(until),
                Found::Changed(stamp) => self.file_changed(place, stamp),
            }
        }
        self.look_for_others();
        again
    }

    /// Takes up a configuration as a whole, or nothing of it.
    fn reconfigure(&mut self, settings: Plugins) -> Result<(), Vec<String>> {
        let directory = settings.directory.clone().unwrap_or_default();
        let (mut members, mut wrong) = (Vec::new(), Vec::new());
        for name in &settings.chain {
            let wanted = settings.settings(name);
            match self.member(name, &directory.join(format!("{name}.wasm")), wanted) {
                Ok(member) => members.push(member),
                Err(line) => wrong.push(line),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if settings.directory != self.settings.directory || self.notices.is_none() {
            self.notices = settings.directory.as_ref().map(|directory| {
                let sender = self.sender.clone();
                // When the channel is full, the keeper is going to look anyway.
                Notices::new(directory, move || drop(sender.try_send(Command::Look)))
            });
        }
        self.ends_with(&members);
        self.pool.reconfigure(settings.waiting);
        self.settings = settings;
        self.members = members;
        self.swap();
        self.look_for_others();
        self.publish();
        Ok(())
    }

    /// A plugin of a new configuration: the one that serves if nothing has changed for it, its program with the new settings if only these
    /// have, else what is in the file.
    fn member(&self, name: &str, file: &Path, settings: settings::Plugin) -> Result<Member, String> {
        let known = self.members.iter().find(|member| member.name == name && member.file == file);
        let Some(known) = known else {
            return self.member_of_file(file, &OfPlugin { name, settings: &settings, timers: &self.timers.of_plugin(name) }, None);
        };
        let plugin = OfPlugin { name, settings: &settings, timers: &known.timers };
        // A bucket may have moved into a store, or out of it.
        let waits = self.loader.waits(&known.program, &settings) == Waits::ForOthers;
        if known.settings.makes_the_same_version(&settings) && waits == known.version.waits() && self.others_wait_as_made(known, &settings)
        {
            return Ok(Member { settings, ..known.clone() });
        }
        let with_its_program = || {
            let version = self.loader.instantiate(&plugin, &known.program, Role::Serving)?;
            let course = known.course.with_new_table();
            // A candidate is made anew from its file, with the new table.
            let watched = if known.course.has_candidate() { Watched::new(None) } else { known.watched.clone() };
            Ok::<_, LoadError>(Member { settings: settings.clone(), version, course, watched, ..known.clone() })
        };
        // A changed file that has to prove itself first does not serve because its table has changed as well.
        if settings.change != settings::Change::AtOnce
            && let Ok(member) = with_its_program()
        {
            return Ok(member);
        }
        // A new table may be what the file, refused with the old one, has been waiting for; or it is meant for the version that serves.
        match self.member_of_file(file, &plugin, Some(known)) {
            Ok(member) => Ok(member),
            Err(refused) => with_its_program().map_err(|_| refused),
        }
    }

    /// Whether what may serve in the place of this version, a canary or the version before, is still called where it has to be.
    fn others_wait_as_made(&self, known: &Member, settings: &settings::Plugin) -> bool {
        let canary = known.course.candidate.as_ref().and_then(|candidate| match &candidate.version {
            Way::Canary(version) => Some((&candidate.program, version)),
            Way::Shadow(_) => None,
        });
        let previous = known.course.previous.as_ref().and_then(|previous| Some((&previous.program, previous.version.as_ref()?)));
        let as_made =
            |(program, version): (&Program, &Arc<Version>)| version.waits() == (self.loader.waits(program, settings) == Waits::ForOthers);
        canary.into_iter().chain(previous).all(as_made)
    }

    /// A plugin as it is in its file.
    fn member_of_file(&self, file: &Path, plugin: &OfPlugin<'_>, known: Option<&Member>) -> Result<Member, String> {
        let name = plugin.name;
        let stamp = Stamp::of(file).ok_or_else(|| format!("{} does not exist, but the chain names the plugin `{name}`", file.display()))?;
        let refused = |error: &LoadError| format!("{} {error}", file.display());
        let (octets, stamp) = read(&self.loader, file, stamp).map_err(|unread| refused(&unread.error))?;
        let digest = Digest::of(&octets);
        // What is known of a plugin that has been in the chain is all there is to know.
        let bar = if known.is_some() { None } else { self.bars.of(name) };
        if let Some(bar) = bar.filter(|bar| bar.digest == digest)
            && let Some(member) = self.member_of_bar(file, stamp, plugin, bar)
        {
            return Ok(member);
        }
        let program = known
            .map_or(Ok(()), |known| known.course.check(digest))
            .and_then(|()| compile(&self.loader, &octets))
            .map_err(|error| refused(&error))?;
        let version = self.loader.instantiate(plugin, &program, Role::Serving).map_err(|error| refused(&error))?;
        let course = match (known, bar) {
            (Some(known), _) => known.course.with_new_table_and(&known.program, &program),
            // The file holds what has served instead, and the bar holds on.
            (None, Some(bar)) if bar.serving == digest => bar.course(),
            (None, _) => Course::default(),
        };
        Ok(Member { course, ..Member::new(file, plugin, program, version, stamp) })
    }

    /// Makes the next generation of the chain from the members. Requests that come from now on go along it.
    fn swap(&mut self) {
        let serving = self.chain.load();
        let generation = serving.generation + 1;
        for member in &mut self.members {
            let served = serving.links.iter().any(|link| Arc::ptr_eq(&link.version, &member.version));
            if !served {
                member.generation = generation;
                announce(member);
            }
        }
        self.members.iter().for_each(|member| member.arm(&self.poke));
        let link = |member: &Member| Link {
            version: Arc::clone(&member.version),
            on_error: member.settings.on_error,
            beside: member.course.beside(&member.settings),
        };
        let links = self.members.iter().map(link).collect();
        self.chain.store(Arc::new(Chain::new(generation, links, Arc::clone(&self.pool))));
        self.members.iter().for_each(|member| member.timers.serve(&member.version));
    }

    /// Files that the chain does not name are mentioned once: somebody who drops a new plugin in wants to know what is missing.
    fn look_for_others(&mut self) {
        let Some(directory) = &self.settings.directory else { return };
        let mut others = names_in(directory).unwrap_or_default();
        others.retain(|name| !self.settings.chain.contains(name));
        if others == self.not_in_chain {
            return;
        }
        for name in others.iter().filter(|name| !self.not_in_chain.contains(name)) {
            tracing::info!(target: "jackfield::plugin", plugin = name, "{name}.wasm is not loaded: the chain in [plugins] does not name it");
        }
        self.not_in_chain = others;
        self.publish();
    }
}
