//! The files of the system: `/etc/hosts` and `/etc/resolv.conf`.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use resolv_conf::{Config, ScopedIp};

use crate::name::{Name, bare};

/// Octets that are read of a file; what is beyond is passed over.
const FILE_MAX: u64 = 4 << 20;

/// The port of name servers (RFC 1035 4.2).
pub(crate) const DNS_PORT: u16 = 53;

/// Entries of a search list that are tried.
const SEARCH_MAX: usize = 6;

/// A file, and whether it has changed.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What changes with a file: it is written, or another is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Watched {
    /// The file as it is now.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: stamp(path) }
    }

    /// Whether it has changed since the last question. A file that is not there is a state, too.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = stamp(&self.path);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp { inode: data.ino(), length: data.len(), seconds: data.mtime(), nanoseconds: data.mtime_nsec() })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    std::fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The names of a hosts file (hosts(5)).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Hosts {
    /// Those of a file; none if it cannot be read.
    pub(crate) fn read(path: &Path) -> Self {
        match read(path) {
            Ok(octets) => Self::parse(&String::from_utf8_lossy(&octets)),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no hosts file");
                Self::default()
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut hosts: HashMap<Box<str>, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.filter_map(Name::new) {
                let addresses = hosts.entry(name.bare().into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of a name in lower case, without a dot at its end; [`None`] if it is not there.
    pub(crate) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// What `/etc/resolv.conf` says, as far as it counts here (resolv.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct System {
    /// Where to ask; at least one in what was read.
    pub(crate) servers: Vec<SocketAddr>,
    /// The search list, in lower case without a dot at the end.
    pub(crate) search: Vec<String>,
    /// Names with fewer dots are looked for in the search list first.
    pub(crate) ndots: usize,
}

impl Default for System {
    fn default() -> Self {
        Self { servers: Vec::new(), search: Vec::new(), ndots: 1 }
    }
}

/// A file that could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl System {
    /// What a file says, with `port` for its servers; a server on this machine if it cannot be read, as the C library has it.
    pub(crate) fn read(path: &Path, port: u16) -> (Self, Option<Unread>) {
        match read(path) {
            Ok(octets) => (Self::parse(&octets, port), None),
            Err(error) => (Self::parse(&[], port), Some(Unread { path: path.to_owned(), error })),
        }
    }

    fn parse(octets: &[u8], port: u16) -> Self {
        // A line that is wrong costs that line: the file is not ours.
        let config = octets.split(|b| *b == b'\n').fold(Config::new(), merged);
        let address = |ip: &ScopedIp| SocketAddr::new(ip.into(), port);
        let mut servers: Vec<SocketAddr> = config.nameservers.iter().map(address).collect();
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, port).into());
        }
        let search = config.get_last_search_or_domain().map(|domain| bare(domain).to_ascii_lowercase());
        let search = search.filter(|domain| Name::new(domain).is_some()).take(SEARCH_MAX).collect();
        Self { servers, search, ndots: usize::try_from(config.ndots).unwrap_or(1).min(15) }
    }
}

fn merged(mut config: Config, line: &[u8]) -> Config {
    let Ok(parsed) = Config::parse(line) else { return config };
    config.nameservers.extend(parsed.nameservers.iter().cloned());
    if let Some(search) = parsed.get_search() {
        config.set_search(search.clone());
    }
    if let Some(domain) = parsed.get_domain() {
        config.set_domain(domain.clone());
    }
    if line.trim_ascii_start().starts_with(b"options") && line.windows(6).any(|word| word == b"ndots:") {
        config.ndots = parsed.ndots;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hosts_file_gives_names_their_addresses() {
        let hosts = Hosts::parse(
            "# nobody\n127.0.0.1 localhost loop # and not this\n::1\tlocalhost\n192.0.2.1  PBX.example. pbx\n192.0.2.1 pbx\nnonsense a\n\n192.0.2.2\n",
        );
        for (name, addresses) in [
            ("localhost", Some(vec![ip("127.0.0.1"), ip("::1")])),
            ("loop", Some(vec![ip("127.0.0.1")])),
            ("pbx.example", Some(vec![ip("192.0.2.1")])),
            ("pbx", Some(vec![ip("192.0.2.1")])),
            ("and", None),
            ("a", None),
        ] {
            assert_eq!(hosts.addresses(name), addresses.as_deref(), "{name}");
        }
        assert_eq!(Hosts::read(Path::new("/nowhere/hosts")), Hosts::default());
    }

    #[test]
    fn the_systems_name_servers_are_read_as_resolv_conf_says() {
        let text = "; comment\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example B.example.\noptions ndots:2 edns0 trust-ad\nwhat is this\n";
        let system = System::parse(text.as_bytes(), DNS_PORT);
        assert_eq!(system.servers, ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()]);
        assert_eq!((system.search, system.ndots), (vec!["a.example".to_owned(), "b.example".to_owned()], 2));
        let nothing = System::parse(b"", DNS_PORT);
        assert_eq!(nothing, System { servers: vec!["127.0.0.1:53".parse().unwrap()], search: Vec::new(), ndots: 1 });
        assert_eq!(System::parse(b"domain corp.example\n", DNS_PORT).search, ["corp.example"]);
    }

    #[test]
    fn a_file_that_is_written_replaced_or_removed_has_changed() {
        let directory = std::env::temp_dir().join(format!("jackfield-resolver-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("hosts");
        let mut watched = Watched::new(&path);
        assert!(!watched.has_changed());
        for (step, expected) in
            [("write", true), ("nothing", false), ("append", true), ("replace", true), ("remove", true), ("nothing", false)]
        {
            match step {
                "write" => std::fs::write(&path, "a").unwrap(),
                "append" => std::fs::write(&path, "ab").unwrap(),
                "replace" => {
                    std::fs::write(directory.join("new"), "ba").unwrap();
                    std::fs::rename(directory.join("new"), &path).unwrap();
                }
                "remove" => std::fs::remove_file(&path).unwrap(),
                _ => {}
            }
            assert_eq!(watched.has_changed(), expected, "{step}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
