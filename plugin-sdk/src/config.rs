//! From the text of a configuration to the type that a plugin reads it into, with errors that name the key.

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads the JSON that the host hands to `init`.
pub(crate) fn read_json<C: DeserializeOwned>(text: &str) -> Result<C> {
    let mut source = serde_json::Deserializer::from_str(if text.trim().is_empty() { "{}" } else { text });
    serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let text = error.inner().to_string();
        // Lines and columns of the JSON mean nothing to someone who wrote TOML.
        let text = text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text).to_owned();
        named(error.path(), &text)
    })
}

/// Reads a TOML text as the host would read the plugin's table.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn read_toml<C: DeserializeOwned>(text: &str) -> Result<C> {
    let table: toml::Table = toml::from_str(text)?;
    read_json(&serde_json::to_string(&table)?)
}

fn named(path: &serde_path_to_error::Path, text: &str) -> Error {
    if path.iter().next().is_none() { Error::new(text) } else { Error::new(text).context(path) }
}
