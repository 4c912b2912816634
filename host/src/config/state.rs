//! Where the proxy keeps its state when the file does not say.

use std::env;
use std::path::{Path, PathBuf};

/// The name of the control socket in the state directory.
pub(super) const CONTROL_SOCKET: &str = "control.sock";

/// What the defaults depend on.
///
/// The state directory is, unless the file names one: the `STATE_DIRECTORY` that systemd made for the service; for root
/// `/var/lib/jackfield`; else `jackfield` in `XDG_STATE_HOME`, or in `.local/state` of the home directory.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variable STATE_DIRECTORY.
    pub state_directory: Option<PathBuf>,
    /// The variable XDG_STATE_HOME.
    pub xdg_state_home: Option<PathBuf>,
    /// The variable HOME.
    pub home: Option<PathBuf>,
    /// Whether the process runs as root.
    pub root: bool,
    /// The number of cores; at least one is assumed.
    pub cores: usize,
    /// The system's host name, where it tells it.
    pub host_name: Option<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // systemd separates several directories by colons; the first is the service's own.
        let first = |value: String| value.split(':').next().map(PathBuf::from);
        Self {
            state_directory: env::var("STATE_DIRECTORY").ok().filter(|value| !value.is_empty()).and_then(first),
            xdg_state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
            root: rustix::process::geteuid().is_root(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            host_name: jackfield_sipproxy::host_name().ok(),
        }
    }

    /// The control socket of a proxy whose file names neither it nor a state directory; none where no such directory is known.
    pub fn default_control(&self) -> Option<PathBuf> {
        self.default_state_directory().map(|directory| directory.join(CONTROL_SOCKET))
    }

    /// The default state directory; none where nothing absolute is known.
    pub(super) fn default_state_directory(&self) -> Option<PathBuf> {
        if let Some(directory) = &self.state_directory {
            return Some(directory.clone());
        }
        if self.root {
            return Some(PathBuf::from("/var/lib/jackfield"));
        }
        let xdg = self.xdg_state_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".local/state")));
        xdg.filter(|path| Path::is_absolute(path)).map(|path| path.join("jackfield"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_directory_follows_the_environment() {
        let path = |text: &str| Some(PathBuf::from(text));
        let home = Environment { home: path("/home/op"), cores: 1, ..Environment::default() };
        let xdg = Environment { xdg_state_home: path("/s"), ..home.clone() };
        let root = Environment { root: true, ..xdg.clone() };
        let systemd = Environment { state_directory: path("/var/lib/jackfield-a"), ..root.clone() };
        let relative = Environment { xdg_state_home: path("s"), ..Environment::default() };
        for (environment, expected) in [
            (home, path("/home/op/.local/state/jackfield")),
            (xdg, path("/s/jackfield")),
            (root, path("/var/lib/jackfield")),
            (systemd, path("/var/lib/jackfield-a")),
            (relative, None),
            (Environment::default(), None),
        ] {
            assert_eq!(environment.default_state_directory(), expected, "{environment:?}");
        }
    }
}
