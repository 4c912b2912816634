//! What SIGHUP does: the file is read again and taken up as a whole, or not at all.

use std::sync::{Arc, PoisonError};

use jackfield_trunk::Table;
use tokio::runtime::Handle;

use super::figures::Figures;
use super::listeners;
use super::trunks::{self, DocumentSource};
use super::users;
use crate::config::{Config, LoadError};
use crate::keys;

/// Takes up the file as it is now; the new configuration, if it has been taken up.
pub(super) fn reload(figures: &Figures) -> Option<Arc<Config>> {
    let before = figures.config();
    match take_up(figures, &before) {
        Ok(config) => {
            let config = Arc::new(config);
            *figures.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&config);
            *figures.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
            figures.metrics.reload_applied();
            tracing::info!("the configuration has been read again");
            Some(config)
        }
        Err(lines) => {
            for line in &lines {
                tracing::error!("{line}");
            }
            tracing::error!("the configuration stays as it was");
            figures.metrics.reload_refused();
            *figures.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines.join("; "));
            None
        }
    }
}

/// Makes everything that is new before anything is told of it. The lines say why that cannot be done; all is as it was then.
fn take_up(figures: &Figures, before: &Config) -> Result<Config, Vec<String>> {
    let config = Config::load(&before.path).map_err(|error| error.lines())?;
    let (taken, left) = before.take_up(&config);
    let token_keys = keys::key_ring(&taken).map_err(|error| vec![error.to_string()])?;
    let lists = users::load(&taken).map_err(|error| error.lines())?;
    let prepared = Handle::current().block_on(figures.documents.prepare(&config));
    let table = table(&config, prepared.as_ref().unwrap_or(&figures.documents))?;
    let listeners = listeners::prepare(figures, &config).map_err(|line| vec![line])?;
    make_plugins(figures, before, &config)?;
    figures.engine.replace_keys(token_keys);
    // Before there are new listeners: nobody comes in there unasked.
    figures.authentication.reconfigure(&taken, lists);
    listeners::make(figures, &config, listeners);
    trunks::announce(&figures.engine.trunks(), &table);
    figures.engine.replace_trunks(&config, table);
    prepared.into_iter().for_each(|prepared| figures.documents.adopt(prepared));
    figures.watching.reconfigure(before, &config);
    for key in left {
        tracing::warn!("{key} has changed: that takes effect at the next start");
    }
    Ok(taken)
}

fn table(config: &Config, documents: &DocumentSource) -> Result<Table, Vec<String>> {
    let table = trunks::table(config, &documents.documents());
    table.map_err(|problems| LoadError::Invalid { file: config.path.clone(), problems }.lines())
}

/// Makes the plugins, with what they may ask; last of all that can be refused, for they take calls from then on.
fn make_plugins(figures: &Figures, before: &Config, config: &Config) -> Result<(), Vec<String>> {
    figures.services.prepare(before, config)?;
    if let Err(error) = figures.plugins.reconfigure(&config.plugins) {
        figures.services.give_up();
        return Err(format!("{error:#}").lines().map(str::to_owned).collect());
    }
    figures.services.take_up();
    Ok(())
}
