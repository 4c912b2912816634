//! The thread that reads, compiles and initialises changed files, so that the keeper goes on judging meanwhile: that takes seconds for some
//! languages, and a plugin's `init` may wait.
//!
//! ```text
//! look --file has changed--> wanted --thread is free--> loading --> taken up by the keeper
//!                              ^                           |
//!                              +------ settings changed ---+--> dropped: the file has changed again
//! ```

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::file::{Content, NotLoaded, load};
use super::{Command, Keeper, Member};
use crate::load::{LoadError, Loader, OfPlugin};
use crate::settings;
use crate::state::{Digest, Role};
use crate::status::PluginState;
use crate::timers::PluginTimers;
use crate::version::Waits;
use jackfield_watch::{Stamp, Watched};

/// A changed file that is to be loaded, and for whom.
pub(crate) struct Order {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) stamp: Stamp,
    pub(super) settings: settings::Plugin,
    timers: Arc<PluginTimers>,
    /// Contents of which no version need be made, or may be.
    pub(super) known: Vec<Digest>,
}

impl Order {
    pub(super) fn of_plugin(&self) -> OfPlugin<'_> {
        OfPlugin { name: &self.name, settings: &self.settings, timers: &self.timers }
    }

    /// Whether what has come of it is what would come of it now: the member may have other settings, and a bucket may have moved into a
    /// store, or out of it.
    fn is_for(&self, member: &Member, made: Option<&Content>, loader: &Loader) -> bool {
        let waits_as_made = match made {
            Some(Content::New(program, version)) if self.role() == Role::Serving => {
                version.waits() == (loader.waits(program, &member.settings) == Waits::ForOthers)
            }
            Some(Content::New(..) | Content::Known(_)) | None => true,
        };
        waits_as_made
            && self.settings.makes_the_same_version(&member.settings)
            && self.settings.change == member.settings.change
            && Arc::ptr_eq(&self.timers, &member.timers)
    }

    /// What a version that is made for it is there for.
    pub(super) fn role(&self) -> Role {
        if self.settings.change == settings::Change::Shadow { Role::Shadow } else { Role::Serving }
    }
}

/// An order, and what has come of it: the file was as the stamp says when it was read.
pub(crate) struct Finished {
    order: Order,
    found: Result<(Content, Stamp), Box<NotLoaded>>,
}

/// Who loads, and what is to be loaded next. The thread has one order at a time.
pub(super) struct Loading {
    orders: SyncSender<Order>,
    busy: bool,
    /// In the order in which they have changed, each plugin at most once.
    wanted: VecDeque<(String, Stamp)>,
}

impl Loading {
    /// Starts the thread; it has the low priority of the one that starts it, and ends with this.
    pub(super) fn start(loader: Arc<Loader>, keeper: SyncSender<Command>) -> io::Result<Self> {
        let (orders, inbox) = sync_channel::<Order>(1);
        let work = move || {
            for order in inbox {
                // A defect must not take this thread, and with it every later reload, down.
                let found = catch_unwind(AssertUnwindSafe(|| load(&loader, &order)));
                let found = found.unwrap_or_else(|_| Err(Box::new(NotLoaded { error: LoadError::Defect, stamp: Some(order.stamp) })));
                if keeper.send(Command::Loaded(Box::new(Finished { order, found }))).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("plugin-loader".into()).spawn(work)?;
        Ok(Self { orders, busy: false, wanted: VecDeque::new() })
    }

    /// The file of this plugin is to be loaded as it is now.
    fn want(&mut self, name: String, stamp: Stamp) {
        match self.wanted.iter_mut().find(|(wanted, _)| *wanted == name) {
            Some((_, wanted)) => *wanted = stamp,
            None => self.wanted.push_back((name, stamp)),
        }
    }

    fn forget(&mut self, name: &str) {
        self.wanted.retain(|(wanted, _)| wanted != name);
    }
}

impl Keeper {
    pub(super) fn file_changed(&mut self, place: usize, stamp: Option<Stamp>) {
        let Some(member) = self.members.get_mut(place) else { return };
        let Some(stamp) = stamp else {
            let (file, serving) = (member.file.display(), member.version.identity().version);
            tracing::warn!(target: "jackfield::plugin", plugin = member.name, version = %serving, "{file} is gone; the version that was in it goes on serving");
            member.state = PluginState::FileGone;
            self.loading.forget(&member.name);
            return self.publish();
        };
        self.loading.want(member.name.clone(), stamp);
        self.load_next();
    }

    /// Gives the thread something to do, if it is free and there is something.
    fn load_next(&mut self) {
        while !self.loading.busy
            && let Some((name, stamp)) = self.loading.wanted.pop_front()
        {
            // It may have left the chain.
            let Some(member) = self.members.iter().find(|member| member.name == name) else { continue };
            let order = Order {
                name,
                file: member.file.clone(),
                stamp,
                settings: member.settings.clone(),
                timers: Arc::clone(&member.timers),
                known: member.known(),
            };
            match self.loading.orders.try_send(order) {
                Ok(()) => self.loading.busy = true,
                Err(error) => {
                    tracing::error!(target: "jackfield::plugin", %error, "the thread that loads plugins does not take anything more")
                }
            }
        }
    }

    /// The thread has done what it was to do.
    pub(super) fn finished(&mut self, finished: Finished) {
        self.loading.busy = false;
        let Finished { order, found } = finished;
        if let Some(place) = self.members.iter().position(|member| member.name == order.name && member.file == order.file) {
            self.take_up(place, order, found);
        }
        self.load_next();
    }

    /// Takes up what has come of an order, unless something has changed meanwhile.
    fn take_up(&mut self, place: usize, order: Order, found: Result<(Content, Stamp), Box<NotLoaded>>) {
        let Some(member) = self.members.get_mut(place) else { return };
        let stamp = found.as_ref().map_or_else(|refused| refused.stamp, |(_, stamp)| Some(*stamp));
        if Stamp::of(&member.file) != stamp {
            // Whoever looks at the file finds the next change.
            return tracing::debug!(target: "jackfield::plugin", plugin = member.name, "the file has changed again while it was loaded");
        }
        self.loading.wanted.retain(|(name, wanted)| *name != member.name || Some(*wanted) != stamp);
        let is_for_it = order.is_for(member, found.as_ref().ok().map(|(content, _)| content), &self.loader);
        let loaded = match found {
            Ok((content, stamp)) if is_for_it => {
                member.recognise(content).map_err(|error| Box::new(NotLoaded { error, stamp: Some(stamp) }))
            }
            Ok(_) => Ok(None),
            Err(refused) if is_for_it => Err(refused),
            Err(_) => Ok(None),
        };
        match (loaded, stamp) {
            (Ok(Some(loaded)), stamp) => {
                member.watched = Watched::new(stamp);
                (member.state, member.refused) = (PluginState::Serving, None);
                self.loaded(place, loaded);
            }
            // It is as it was, and what it is loaded for is not.
            (Ok(None), Some(stamp)) => return self.loading.want(order.name, stamp),
            (Ok(None), None) => {}
            (Err(refused), _) => self.refuse(place, *refused),
        }
        self.publish();
    }

    fn refuse(&mut self, place: usize, refused: NotLoaded) {
        let Some(member) = self.members.get_mut(place) else { return };
        let NotLoaded { error, stamp } = refused;
        member.watched = Watched::new(stamp);
        let (file, serving) = (member.file.display(), member.version.identity().version);
        tracing::error!(target: "jackfield::plugin", plugin = member.name, version = %serving, "{file} {error}; the version before it goes on serving");
        self.metrics.plugin(&member.name).reload_refused();
        let what = format!("{file} {error}");
        member.state = if matches!(error, LoadError::Barred { .. }) { PluginState::RolledBack } else { PluginState::Refused };
        member.refused = Some(what);
    }
}
