//! What a plugin is started with on the desk.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jackfield_plugin_host::settings::{Grants, Plugin};

use crate::fixture;

/// On the desk a plugin has more room and time than in a router: what it needs is to be seen.
const MEMORY: u64 = 512 << 20;

/// The settings for the plugin `name`, with the configuration in a file: either a proxy's, whose `[plugins.NAME.config]` is taken, or
/// that table alone.
///
/// # Errors
/// The file cannot be read, or is no TOML.
pub fn settings(name: &str, config: Option<&Path>) -> Result<Plugin> {
    let config = match config {
        None => toml::Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let table: toml::Table = text.parse().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            let own = table.get("plugins").and_then(|plugins| plugins.get(name)).and_then(|plugin| plugin.get("config"));
            own.and_then(toml::Value::as_table).cloned().unwrap_or(table)
        }
    };
    Ok(Plugin {
        config: fixture::json(toml::Value::Table(config)),
        memory: MEMORY,
        cpu_per_hook: Duration::from_secs(1),
        cpu_init: Duration::from_secs(30),
        grants: granted(&[], &[], &[]),
        ..Plugin::default()
    })
}

/// Every service is granted on the desk, with these buckets, tables and URLs: what answers is not the world outside, and what a plugin
/// imports is no secret here.
pub(crate) fn granted(buckets: &[String], tables: &[String], urls: &[String]) -> Grants {
    // A grant of nothing would be none.
    let or_some = |names: &[String], name: &str| if names.is_empty() { vec![name.to_owned()] } else { names.to_vec() };
    Grants {
        kv: or_some(buckets, "none"),
        tables: or_some(tables, "none"),
        http: or_some(urls, "http://127.0.0.1/"),
        dns: true,
        timers: true,
        state: true,
    }
}

/// The plugin's name, from its file.
pub fn name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where compiled code is kept between runs, if the user has a place for such things: it is the user's own, never the plugin's directory,
/// for compiled code is trusted.
pub fn cache() -> Option<std::path::PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
    let place = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("jackfield");
    std::fs::create_dir_all(&place).ok()?;
    Some(place)
}
