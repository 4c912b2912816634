//! The plugin interface as a WIT document, for those who build without the SDK.

/// `plugin.wit`, as this host has it.
pub const WIT: &str = include_str!("../../../plugin-sdk/wit/plugin.wit");

/// Where it lies in a plugin's directory.
pub const PLACE: &str = "wit/deps/jackfield-plugin/plugin.wit";

/// The world that a plugin without the SDK is built for: `wit/world.wit` of its directory has it.
pub const WORLD: &str = "plugin";

/// The version of the interface: the package line says it.
pub fn version() -> &'static str {
    let package = WIT.lines().find_map(|line| line.strip_prefix("package jackfield:plugin@"));
    package.map_or("", |rest| rest.trim_end_matches(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_has_a_version() {
        assert_eq!(version().split('.').count(), 3);
    }
}
