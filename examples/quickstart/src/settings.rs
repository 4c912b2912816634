//! The configuration file of the example, on ports that are free.
//!
//! The file in this folder is used as it is where its ports are free. Where one is taken, a copy with other ports serves: it lies as
//! deep in the tree as the original, so that relative paths in it mean the same.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file that the proxy runs with.
    pub(crate) file: PathBuf,
    /// The proxy's address.
    pub(crate) proxy: SocketAddr,
    /// The callees, by name.
    pub(crate) callees: Vec<(String, SocketAddr)>,
}

const HOST: &str = "127.0.0.1:";

impl Settings {
    /// Reads the example's file, and moves it to free ports if need be; `spare` is where such a copy goes.
    pub(crate) fn prepare(file: &Path, spare: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let taken: Vec<u16> = ports(&text).into_iter().filter(|port| !is_free(*port)).collect();
        if taken.is_empty() {
            return Self::read(file.to_owned(), &text);
        }
        let mut moved = text;
        for port in taken {
            let other = free_port(&ports(&moved))?;
            moved = moved.replace(&format!("{HOST}{port}"), &format!("{HOST}{other}"));
        }
        std::fs::write(spare, &moved).with_context(|| format!("cannot write {}", spare.display()))?;
        Self::read(spare.to_owned(), &moved)
    }

    /// Reads the addresses of a proxy that is running with a file.
    pub(crate) fn of_running(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::read(file.to_owned(), &text)
    }

    fn read(file: PathBuf, text: &str) -> Result<Self> {
        let mut proxy = None;
        let mut callees: Vec<(String, SocketAddr)> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(address) = line.strip_prefix("address").and_then(address_in) {
                proxy.get_or_insert(address);
                continue;
            }
            // A target's address is a callee of ours; its name is the user in the URI: "sip:telekom@127.0.0.1:15171".
            for uri in line.split('"').filter_map(|part| part.strip_prefix("sip:")) {
                let Some((user, rest)) = uri.split_once('@') else { continue };
                let Some(address) = address_in(rest) else { continue };
                if !callees.iter().any(|(_, known)| *known == address) {
                    callees.push((user.to_owned(), address));
                }
            }
        }
        let proxy = proxy.with_context(|| format!("{} has no `address = \"{HOST}PORT\"`", file.display()))?;
        callees.retain(|(_, address)| *address != proxy);
        Ok(Self { file, proxy, callees })
    }
}

fn address_in(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once(HOST)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, digits.parse().ok()?)))
}

fn ports(text: &str) -> BTreeSet<u16> {
    text.split(HOST).skip(1).filter_map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()).collect()
}

fn is_free(port: u16) -> bool {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port(used: &BTreeSet<u16>) -> Result<u16> {
    for _ in 0..100 {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if is_free(port) && !used.contains(&port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_and_callees_are_read_from_the_shipped_file() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("jackfield.toml");
        let settings = Settings::of_running(&shipped).unwrap();
        let names: Vec<&str> = settings.callees.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["telekom", "office"]);
        assert!(settings.callees.iter().all(|(_, address)| *address != settings.proxy));
    }

    #[test]
    fn a_taken_port_moves_everywhere_in_the_file() {
        let folder = std::env::temp_dir().join(format!("quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let (file, spare) = (folder.join("a.toml"), folder.join("b.toml"));
        std::fs::write(&file, format!("address = \"{HOST}{port}\"\nx = \"sip:a@{HOST}{port};lr\"\n")).unwrap();
        let settings = Settings::prepare(&file, &spare).unwrap();
        assert_eq!(settings.file, spare);
        assert_ne!(settings.proxy.port(), port);
        assert!(!std::fs::read_to_string(&spare).unwrap().contains(&format!("{HOST}{port}")));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
