//! Which trunks are in force, and what the log says of that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_proto::message::Uri;
use jackfield_sipproxy::{Documents, Settings as SourceSettings, Source};
use jackfield_trunk::{Origin, Table, Trunk, TrunkSettings};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use super::figures::Figures;
use crate::config::{self, Config, Problem};

/// The documents of `[sipproxy]`, followed.
#[derive(Debug, Default)]
pub(super) struct DocumentSource {
    source: Mutex<Option<Source>>,
    /// Another source follows now.
    replaced: Notify,
}

impl DocumentSource {
    /// Follows what a configuration names. Takes as long as Consul does to answer, and at most [`jackfield_sipproxy::Timing::start`].
    pub(super) async fn start(config: &Config) -> Self {
        let settings = config.sipproxy_settings();
        let source = if settings == SourceSettings::default() { None } else { Some(Source::start(settings).await) };
        Self { source: Mutex::new(source), replaced: Notify::new() }
    }

    /// What the sources have said.
    pub(super) fn documents(&self) -> Documents {
        self.receiver().map(|receiver| receiver.borrow().clone()).unwrap_or_default()
    }

    /// The source that a changed configuration names, begun; none if it names the same.
    pub(super) async fn prepare(&self, config: &Config) -> Option<Self> {
        let settings = config.sipproxy_settings();
        let same = self.lock().as_ref().map_or(settings == SourceSettings::default(), |source| *source.settings() == settings);
        if same { None } else { Some(Self::start(config).await) }
    }

    /// Follows another source from now on.
    pub(super) fn adopt(&self, prepared: Self) {
        *self.lock() = prepared.source.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.replaced.notify_one();
    }

    fn receiver(&self) -> Option<watch::Receiver<Documents>> {
        self.lock().as_ref().map(Source::documents)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Source>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes up each change of the documents, for ever. `turn` is whoever's who changes the configuration.
pub(super) async fn follow(figures: Arc<Figures>, turn: Arc<Mutex<()>>) {
    let mut receiver = figures.documents.receiver();
    loop {
        let changed = async {
            match &mut receiver {
                Some(receiver) => receiver.changed().await.is_ok(),
                None => false,
            }
        };
        tokio::select! {
            true = changed => {}
            () = figures.documents.replaced.notified() => receiver = figures.documents.receiver(),
        }
        let (figures, turn) = (Arc::clone(&figures), Arc::clone(&turn));
        // A panic in there has been printed, and the next change is taken up all the same.
        let _ = spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            take_up(&figures);
        })
        .await;
    }
}

/// The accounts stay as they are in force: only the documents have changed.
fn take_up(figures: &Figures) {
    let (config, before) = (figures.config(), figures.engine.trunks());
    let with_account = |trunk: &config::Trunk| {
        let account = before.by_name(&trunk.settings.name).and_then(|known| known.settings.account.clone());
        TrunkSettings { account, ..trunk.settings.clone() }
    };
    let table = with_documents(config.trunks.iter().map(with_account).collect(), &config, &figures.documents.documents());
    announce(&before, &table);
    figures.engine.replace_trunks(&config, table);
}

/// The trunks that are in force with a configuration and with documents.
///
/// # Errors
/// The passwords that cannot be had.
pub(super) fn table(config: &Config, documents: &Documents) -> Result<Table, Vec<Problem>> {
    Ok(with_documents(config.trunks_with_accounts()?, config, documents))
}

fn with_documents(trunks: Vec<TrunkSettings>, config: &Config, documents: &Documents) -> Table {
    let mut trunks = configured(trunks);
    trunks.extend(config::sipproxy_trunks(documents));
    let table = Table::new(trunks);
    for (origin, entry) in documents.entries() {
        for doubt in config.doubts_about(entry, table.names()) {
            tracing::warn!(%origin, "trunk [{}]: {doubt}", entry.provider);
        }
    }
    table
}

fn configured(trunks: Vec<TrunkSettings>) -> Vec<(Origin, TrunkSettings)> {
    trunks.into_iter().map(|settings| (Origin::Configuration, settings)).collect()
}

/// Says in the log how each trunk goes that is new or has changed, and which are gone.
pub(super) fn announce(before: &Table, after: &Table) {
    for trunk in after.trunks() {
        let same = |known: &&Arc<Trunk>| known.settings.name == trunk.settings.name;
        if before.trunks().iter().find(same).is_none_or(|known| known.settings != trunk.settings) {
            tracing::info!(origin = %trunk.origin, "{}", way_of(trunk));
        }
    }
    for trunk in before.trunks() {
        let name = &trunk.settings.name;
        if after.by_name(name).is_none() {
            tracing::info!(origin = %trunk.origin, "Will route nothing via trunk [{name}] any more; its calls go on");
        }
    }
    for over in after.overridden() {
        let (name, origin, by, by_origin) = (&over.name, over.origin, &over.by, over.by_origin);
        tracing::info!("trunk [{name}] of {origin} is passed over: trunk [{by}] of {by_origin} has its provider");
    }
}

/// How requests of a trunk go, in one line.
fn way_of(trunk: &Trunk) -> String {
    let name = &trunk.settings.name;
    let hosts: Vec<_> = trunk
        .settings
        .ways
        .iter()
        .filter_map(|way| way.route.first().or(way.next_hop.as_ref()))
        .filter_map(|uri| Uri::parse(uri).map(|uri| String::from_utf8_lossy(uri.host()).into_owned()))
        .collect();
    if hosts.is_empty() {
        return format!("Will route trunk [{name}] to its provider [{}]", trunk.settings.providers.join(", "));
    }
    format!("Will route trunk [{name}] via proxy [{}]", hosts.join(", "))
}

#[cfg(test)]
mod tests {
    use jackfield_trunk::Way;

    use super::*;

    /// The words that operators of such PBXs look for.
    #[test]
    fn a_trunk_is_announced_in_one_line() {
        let way = |route: &'static str| Way { route: vec![route.into()], ..Way::default() };
        let of = |ways| {
            let settings =
                TrunkSettings { name: "telekom".into(), providers: vec!["tel.t-online.de".into()], ways, ..TrunkSettings::default() };
            way_of(&Table::new(configured(vec![settings])).trunks()[0])
        };
        assert_eq!(
            of(vec![way("sip:csphost01-ifens5.cs-proxy.service.pascom;lr")]),
            "Will route trunk [telekom] via proxy [csphost01-ifens5.cs-proxy.service.pascom]"
        );
        assert_eq!(of(vec![way("sip:a.test;lr"), way("sip:b.test;lr")]), "Will route trunk [telekom] via proxy [a.test, b.test]");
        assert_eq!(of(Vec::new()), "Will route trunk [telekom] to its provider [tel.t-online.de]");
    }
}
