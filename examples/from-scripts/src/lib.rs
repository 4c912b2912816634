//! What Kamailio and OpenSIPS scripts do most often, as Jackfield plugins: one module for each fragment of
//! `plugin-sdk/docs/from-scripts.md`, with its tests. What stands between the markers is what the page shows.
//!
//! These are parts of plugins. A component has one plugin, so this crate is compiled and tested, and not built as one.

pub mod accounting;
pub mod allow_list;
pub mod auth_user;
pub mod blocklist;
pub mod call_limit;
pub mod caller_id;
pub mod counters;
pub mod header_match;
pub mod headers;
pub mod http_query;
pub mod least_cost;
pub mod media;
pub mod methods;
pub mod next_gateway;
pub mod numbers;
pub mod opening_hours;
pub mod redis_query;
pub mod registrations;
pub mod responses;
pub mod round_robin;
pub mod scanners;
pub mod skeleton;
pub mod split;
pub mod timer;
pub mod weights;

/// The plugin of this module as the page configures it: `config/NAME.toml`.
#[cfg(test)]
fn configured<P: jackfield::Plugin>(name: &str) -> P {
    let file = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let file: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let table = file.get("plugins").and_then(|plugins| plugins.get(name.replace('_', "-"))).and_then(toml::Value::as_table);
    let table = table.unwrap_or_else(|| panic!("config/{name}.toml configures this plugin"));
    let config = table.get("config").map(|config| toml::to_string(config).unwrap()).unwrap_or_default();
    P::from_toml(&config).unwrap_or_else(|error| panic!("config/{name}.toml: {error}"))
}
