//! Where an example stands: in network namespaces with a cable for each link if it may make them, else at loopback addresses. The
//! addresses in an example's files are those of the namespaces; on loopback, the networks are others.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::watch::Watch;

/// A cable between the proxy and somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The name of the proxy's interface.
    pub device: &'static str,
    /// The proxy's address there, in a network of 24 bits.
    pub proxy: &'static str,
    /// The addresses at the other end.
    pub far: &'static [&'static str],
}

/// The network of an example. It goes when this is dropped.
#[derive(Debug)]
pub struct Network {
    links: &'static [Link],
    kind: Kind,
    gate: Arc<Gate>,
}

/// Who may go into the namespaces, which nobody may once they are being removed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    inside: AtomicUsize,
}

impl Gate {
    /// Lets nobody in any more. Somebody may still be inside.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether nobody is inside.
    pub(crate) fn all_out(&self) -> bool {
        self.inside.load(Ordering::SeqCst) == 0
    }

    fn pass<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // Counted before it is asked: whoever closes looks at the count afterwards.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let done = if self.closed.load(Ordering::SeqCst) { Err(anyhow!("the network is being removed")) } else { work() };
        self.inside.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

#[derive(Debug)]
enum Kind {
    /// One namespace for the proxy and one for the far end of each link, all with this prefix.
    Namespaces(String),
    /// 127.N.0.0/16, and why it has to do.
    Loopback(u8, &'static str),
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The interface is down.
    Down,
    /// There is no interface to take down: whoever stands there has to fall silent.
    Pretended,
}

impl Network {
    /// Makes namespaces and cables, or finds a part of 127.0.0.0/8 that nobody uses.
    pub fn make(links: &'static [Link]) -> Result<Self> {
        match obstacle() {
            Some(why) => Ok(Self { links, kind: Kind::Loopback(free_loopback(links)?, why), gate: Arc::default() }),
            None => {
                let network = Self::named(links);
                network.lay_cables()?;
                Ok(network)
            }
        }
    }

    /// Makes namespaces and cables that go at a signal, too. Nothing else will do: what is shown needs real interfaces.
    pub fn watched(links: &'static [Link]) -> Result<(Self, Watch)> {
        if let Some(why) = obstacle() {
            bail!("this needs real interfaces, and {why}");
        }
        let network = Self::named(links);
        let watch = Watch::over(&network)?;
        network.gate.pass(|| network.lay_cables())?;
        Ok((network, watch))
    }

    fn named(links: &'static [Link]) -> Self {
        Self { links, kind: Kind::Namespaces(format!("jf{:x}", std::process::id())), gate: Arc::default() }
    }

    /// Who may go into its namespaces.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// The names of its namespaces.
    pub(crate) fn names(&self) -> Vec<String> {
        let Kind::Namespaces(prefix) = &self.kind else { return Vec::new() };
        std::iter::once("proxy").chain(self.links.iter().map(|link| link.device)).map(|role| format!("{prefix}-{role}")).collect()
    }

    /// In a line: where the example stands.
    pub fn description(&self) -> String {
        match &self.kind {
            Kind::Namespaces(prefix) => {
                let devices: Vec<String> = self.links.iter().map(|link| format!("{} {}", link.device, link.proxy)).collect();
                format!("Network namespaces {prefix}-*; the proxy's interfaces are {}", devices.join(", "))
            }
            Kind::Loopback(number, why) => {
                format!(
                    "NO REAL INTERFACES ({why}): loopback addresses 127.{number}.* stand for them, and who falls silent for a cut cable"
                )
            }
        }
    }

    /// Where an address of the example's files is found here.
    pub fn address(&self, written: &str, port: u16) -> Result<SocketAddr> {
        let address: IpAddr = self.translated(written).parse().with_context(|| format!("{written} is no address"))?;
        Ok(SocketAddr::new(address, port))
    }

    /// A text of the example's files with the addresses of here.
    pub fn translated(&self, text: &str) -> String {
        let Kind::Loopback(number, _) = self.kind else { return text.to_owned() };
        self.links
            .iter()
            .enumerate()
            .fold(text.to_owned(), |text, (index, link)| text.replace(network_of(link), &format!("127.{number}.{index}.")))
    }

    /// A copy of an example's file in `scratch`, as deep in the tree as the original, with the addresses of here. What the original keeps in
    /// `target/EXAMPLE`, the copy keeps beside itself.
    pub fn file(&self, shipped: &Path, scratch: &Path) -> Result<PathBuf> {
        let text = std::fs::read_to_string(shipped).with_context(|| format!("cannot read {}", shipped.display()))?;
        let example = shipped.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let copy = scratch.join(shipped.file_name().unwrap_or_default());
        let text = self.translated(&text).replace(&format!("../../target/{example}/"), "");
        std::fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
        Ok(copy)
    }

    /// Does something where the proxy is. Sockets and programs stay where they were made.
    pub fn at_proxy<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.inside("proxy", work)
    }

    /// Does something at the far end of a link.
    pub fn at<T: Send>(&self, device: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.inside(device, work)
    }

    /// Takes the proxy's interface down.
    pub fn cut(&self, device: &str) -> Result<Cut> {
        self.set_link(device, "down")
    }

    /// Takes it up again.
    pub fn mend(&self, device: &str) -> Result<Cut> {
        self.set_link(device, "up")
    }

    fn set_link(&self, device: &str, state: &str) -> Result<Cut> {
        let Kind::Namespaces(prefix) = &self.kind else { return Ok(Cut::Pretended) };
        ip(&format!("-n {prefix}-proxy link set {device} {state}"))?;
        Ok(Cut::Down)
    }

    fn inside<T: Send>(&self, role: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Kind::Namespaces(prefix) = &self.kind else { return Ok(work()) };
        let path = format!("/run/netns/{prefix}-{role}");
        let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        self.gate.pass(|| Self::inside_of(&path, &namespace, work))
    }

    fn inside_of<T: Send>(path: &str, namespace: &File, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                use std::os::fd::AsFd;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            match thread.join() {
                Ok(done) => done,
                Err(_) => bail!("a thread in {path} has panicked"),
            }
        })
    }

    fn lay_cables(&self) -> Result<()> {
        let Kind::Namespaces(prefix) = &self.kind else { return Ok(()) };
        for name in self.names() {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        for Link { device, proxy, far } in self.links {
            ip(&format!("link add {device} netns {prefix}-proxy type veth peer name far netns {prefix}-{device}"))?;
            ip(&format!("-n {prefix}-proxy addr add {proxy}/24 dev {device}"))?;
            for address in *far {
                ip(&format!("-n {prefix}-{device} addr add {address}/24 dev far"))?;
            }
            ip(&format!("-n {prefix}-{device} link set far up"))?;
            self.mend(device)?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.names() {
            // The cables go with it.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Why there can be no namespaces; none if there can.
fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root");
    }
    let tried = Command::new("ip").args(["netns", "list"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if tried.is_err() {
        return Some("there is no `ip`; on Debian: apt-get install iproute2");
    }
    let probe = format!("jf{:x}-try", std::process::id());
    let made = ip(&format!("netns add {probe}"));
    let _ = ip(&format!("netns del {probe}"));
    made.is_err().then_some("this machine lets nobody make network namespaces")
}

/// Runs `ip`; gives what it prints.
pub(crate) fn ip(arguments: &str) -> Result<String> {
    let done = Command::new("ip").args(arguments.split_whitespace()).output().context("cannot start ip")?;
    ensure!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The first three numbers of a link's network, with their dots.
fn network_of(link: &Link) -> &'static str {
    link.proxy.rfind('.').and_then(|dot| link.proxy.get(..=dot)).unwrap_or(link.proxy)
}

/// A number N so that nobody listens on SIP's port in 127.N.0.0/16.
fn free_loopback(links: &[Link]) -> Result<u8> {
    let first = std::process::id() % 200;
    let is_free = |number: &u8| {
        let hosts = links.iter().enumerate().flat_map(|(index, link)| {
            std::iter::once(&link.proxy).chain(link.far).map(move |address| (index, address.trim_start_matches(network_of(link))))
        });
        hosts.into_iter().all(|(index, host)| UdpSocket::bind(format!("127.{number}.{index}.{host}:5060")).is_ok())
    };
    let mut numbers = (0..200).filter_map(|step| u8::try_from(20 + (first + step) % 200).ok());
    numbers.find(is_free).context("something listens on port 5060 of every loopback address")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: &[Link] = &[
        Link { device: "lan", proxy: "10.0.0.1", far: &["10.0.0.20"] },
        Link { device: "wan", proxy: "192.0.2.10", far: &["192.0.2.1", "192.0.2.2"] },
    ];

    #[test]
    fn on_loopback_every_network_of_a_file_is_another_one() {
        let network = Network { links: LINKS, kind: Kind::Loopback(99, "a test"), gate: Arc::default() };
        let written = "proxy = \"sip:192.0.2.1;lr\" # for 10.0.0.20, from [\"10.0.0.0/24\"]";
        assert_eq!(network.translated(written), "proxy = \"sip:127.99.1.1;lr\" # for 127.99.0.20, from [\"127.99.0.0/24\"]");
        assert_eq!(network.address("192.0.2.10", 5060).unwrap(), "127.99.1.10:5060".parse().unwrap());
        assert_eq!(network.cut("wan").unwrap(), Cut::Pretended);
    }
}
