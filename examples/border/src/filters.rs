//! Packet filters at both ends of each cable: a side reaches the border's address in its own network, and nothing beyond it. Without them
//! it would, for a Linux machine takes packets for any of its addresses by any interface, and nobody would see what is not hidden.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use example_agents::network::{Link, Network};

/// The name of the table of all rules.
const TABLE: &str = "border";

/// What the filters have counted at the far end of a cable and at the border's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Packets that a side meant for somebody else than the border's address in its network.
    pub(crate) astray: u64,
    /// Packets that the border meant to send with another address than its own in that network.
    pub(crate) leaked: u64,
}

/// Loads the rules of all cables.
pub(crate) fn load(network: &Network, links: &[Link]) -> Result<()> {
    let mut border = format!("table inet {TABLE} {{\n");
    for Link { device, .. } in links {
        border += &format!("counter leaked-{device} {{ }}\n");
    }
    border += "chain in {\ntype filter hook input priority 0\n";
    for Link { device, proxy, .. } in links {
        border += &format!("iifname {device} ip daddr != {proxy} drop\n");
    }
    border += "}\nchain across {\ntype filter hook forward priority 0; policy drop\n}\nchain out {\ntype filter hook output priority 0\n";
    for Link { device, proxy, .. } in links {
        border += &format!("oifname {device} ip saddr != {proxy} counter name leaked-{device} drop\n");
    }
    border += "}\n}\n";
    network.at_proxy(|| nft(&["-f", "-"], &border))??;
    for Link { device, proxy, .. } in links {
        let side = format!(
            "table inet {TABLE} {{\ncounter astray {{ }}\nchain out {{\ntype filter hook output priority 0\n\
             oifname far ip daddr != {proxy} counter name astray drop\n}}\n\
             chain in {{\ntype filter hook input priority 0\niifname far ip saddr != {proxy} drop\n}}\n}}\n"
        );
        network.at(device, || nft(&["-f", "-"], &side))??;
        // What goes astray is to be counted, and not to fail for want of a way.
        network.at(device, || run("ip", &["route", "add", "default", "via", proxy], ""))??;
    }
    Ok(())
}

/// What the filters of a cable have counted.
pub(crate) fn counted(network: &Network, device: &str) -> Result<Counted> {
    let (astray, leaked) = (["list", "counter", "inet", TABLE, "astray"], format!("leaked-{device}"));
    let astray = network.at(device, || nft(&astray, ""))??;
    let leaked = network.at_proxy(|| nft(&["list", "counter", "inet", TABLE, &leaked], ""))??;
    Ok(Counted { astray: packets(&astray)?, leaked: packets(&leaked)? })
}

/// The number in `counter astray { packets 3 bytes 180 }`.
fn packets(listed: &str) -> Result<u64> {
    let number = listed.split_whitespace().skip_while(|word| *word != "packets").nth(1);
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no packets in {listed}"))
}

fn nft(arguments: &[&str], rules: &str) -> Result<String> {
    run("nft", arguments, rules)
}

fn run(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {program}; on Debian: apt-get install iproute2 nftables"))?;
    // Whoever does not read its standard input has ended, and says why.
    drop(child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}\n{input}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
