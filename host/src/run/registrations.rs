//! The registrations kept in a file of the state directory, so that calls find their PBX after a restart.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield_trunk::registrations::{Registrations, Store};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::figures::Figures;
use crate::config::Config;

/// The file in the state directory.
const FILE: &str = "registrations.jsonl";

/// How often it is looked whether there is something to write; how often that is done at most is for the store to say.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The store, and the table with what is in it.
pub(super) fn open(config: &Config) -> (Arc<Store>, Registrations) {
    let (store, table) = (Store::new(config.state_directory.join(FILE)), Registrations::new(config.registrations));
    let loaded = store.load(&table, SystemTime::now().into());
    for problem in &loaded.problems {
        tracing::warn!("{problem}");
    }
    if loaded.restored > 0 {
        tracing::info!(restored = loaded.restored, expired = loaded.expired, "registrations are known from before");
    }
    (Arc::new(store), table)
}

/// Keeps the file as the table is, for ever.
pub(super) async fn keep(figures: Arc<Figures>, store: Arc<Store>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        look.tick().await;
        let (figures, store) = (Arc::clone(&figures), Arc::clone(&store));
        let saved = spawn_blocking(move || store.save_if_changed(figures.engine.registry(), figures.engine.unix_time())).await;
        match saved {
            Ok(Err(error)) if !failing => {
                failing = true;
                tracing::error!(%error, "registrations would not be known after a restart");
            }
            Ok(Ok(true)) => failing = false,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Writes the file before the process ends.
pub(super) fn save_now(store: &Store, figures: &Figures) {
    if let Err(error) = store.save(figures.engine.registry(), figures.engine.unix_time()) {
        tracing::error!(%error, "registrations will not be known after the restart");
    }
}
