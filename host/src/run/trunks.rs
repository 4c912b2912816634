//! Which trunks are in force, and what the log says of that.

use std::sync::Arc;

use jackfield_proto::message::Uri;
use jackfield_trunk::{Origin, Table, Trunk, TrunkSettings};

use crate::config::{Config, Problem};

/// The trunks that are in force with a configuration.
///
/// # Errors
/// The passwords that cannot be had.
pub(super) fn table(config: &Config) -> Result<Table, Vec<Problem>> {
    Ok(Table::new(configured(config.trunks_with_accounts()?)))
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
