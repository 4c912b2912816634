//! Network namespaces for one test: made when it begins, removed when it ends, however it ends. Needs root.
//!
//! A thread enters a namespace for as long as it makes sockets or starts a program there: sockets and programs stay where they were
//! made, whoever uses them.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::draft::unique;

/// Whether this machine lets a test make namespaces; says loudly why not.
pub(crate) fn can_be_made(test: &str) -> bool {
    let has = |program: &str| Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let why = match (rustix::process::geteuid().is_root(), has("ip"), has("nft")) {
        (false, ..) => "network namespaces need root",
        (_, false, _) => "there is no `ip` (Debian: iproute2)",
        (.., false) => "there is no `nft` (Debian: nftables)",
        _ => match Namespace::try_new("probe") {
            Ok(_) => return true,
            Err(_) => "this machine lets nobody make network namespaces",
        },
    };
    println!("SKIPPED: {test}: {why}");
    eprintln!("SKIPPED: {test}: {why}");
    false
}

/// A network of its own.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its devices go with it, and their other ends with them.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

impl Namespace {
    /// A namespace with nothing but a loopback device that is up.
    pub(crate) fn new(role: &str) -> Self {
        Self::try_new(role).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_new(role: &str) -> Result<Self, String> {
        let name = format!("jf{}{role}", unique());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        // Addresses can be used at once: nobody else is there to have the same one.
        namespace.set("net.ipv6.conf.default.accept_dad", "0");
        namespace.set("net.ipv6.conf.all.accept_dad", "0");
        Ok(namespace)
    }

    /// Runs `ip` for this namespace.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let all: Vec<&str> = ["-n", &self.name].into_iter().chain(arguments.split_whitespace()).collect();
        ip(&all).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sets a kernel variable in it.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        // A machine without IPv6 has no such file.
        self.inside(|| drop(std::fs::write(path, value)));
    }

    /// A cable between two devices, one in each namespace, each with its addresses (`192.0.2.1/24`).
    pub(crate) fn cable(&self, device: &str, ours: &[&str], other: &Self, their_device: &str, theirs: &[&str]) {
        let words = ["link", "add", device, "netns", &self.name, "type", "veth", "peer", "name", their_device, "netns", &other.name];
        ip(&words).unwrap_or_else(|error| panic!("{error}"));
        for (namespace, device, addresses) in [(self, device, ours), (other, their_device, theirs)] {
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                namespace.ip(&format!("addr add {address} dev {device}{nodad}"));
            }
            namespace.ip(&format!("link set {device} up"));
        }
    }

    /// Loads nftables rules.
    pub(crate) fn filter(&self, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ip starts");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("nft reads its rules");
        let output = child.wait_with_output().expect("nft ends");
        assert!(output.status.success(), "{}\n{rules}", String::from_utf8_lossy(&output.stderr));
    }

    /// Packets that the named counter of the table `inet test` has seen.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        let arguments = ["netns", "exec", &self.name, "nft", "list", "counter", "inet", "test", counter];
        let text = ip(&arguments).unwrap_or_else(|error| panic!("{error}"));
        let packets = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        packets.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no packets in {text}"))
    }

    /// Runs something in it: sockets made there, and programs started there, are in this network.
    pub(crate) fn inside<T>(&self, run: impl FnOnce() -> T) -> T {
        let _back = Back::from_here();
        let there = File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter a namespace");
        run()
    }
}

/// Brings the thread back to its network, also when what ran elsewhere has failed.
struct Back(File);

impl Back {
    fn from_here() -> Self {
        Self(File::open("/proc/thread-self/ns/net").expect("a thread has a network"))
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        if move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).is_err() {
            // Nothing that this thread does from here on would be what it says.
            std::process::abort();
        }
    }
}

/// An address from text.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
