//! SIPp plays calls by the account number through `header-match`.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use super::Running;
use crate::support::config::Config;
use crate::support::port::Port;
use crate::support::proxy::Proxy;
use crate::support::wasm::workspace;
use crate::support::{full, wait};

fn sipp(scenario: &str, port: &Port) -> Command {
    let mut command = Command::new("sipp");
    command.arg("-sf").arg(workspace().join("tests/fixtures/sipp").join(scenario)).args([
        "-i",
        "127.0.0.1",
        "-p",
        &port.number.to_string(),
    ]);
    command.args(["-nostdin"]).current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn sipp_plays_a_thousand_calls_through_header_match() {
    let (calls, rate) = if full() { ("20000", "400") } else { ("1000", "200") };
    let (caller, callee) = (Port::reserve(), Port::reserve());
    let config = format!(
        "header = \"X-My-Account-Number\"\nmatch = {{ \"12345678\" = \"telekom\" }}\n\
         [plugins.header-match.config.targets]\ntelekom = {{ next-hop = \"sip:127.0.0.1:{}\", set-headers = {{ X-Trunk = \"telekom\" }} }}",
        callee.number
    );
    let mut proxy = Proxy::start(&Config::new().plugin("header-match", config), &["header-match"]);
    let _callee = Running(sipp("callee.xml", &callee).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sipp is installed"));
    wait::until("callee of SIPp", || UdpSocket::bind(("127.0.0.1", callee.number)).is_err().then_some(()));
    let limits = ["-m", calls, "-r", rate, "-l", "5000", "-timeout", "240", "-recv_timeout", "20000"];
    let output = sipp("caller.xml", &caller).arg(proxy.address().to_string()).args(limits).output().expect("sipp is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |label: &str| {
        let last = text.lines().rev().find(|line| line.trim_start().starts_with(label));
        last.and_then(|line| line.rsplit('|').next()).and_then(|cell| cell.trim().parse::<u64>().ok())
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(count("Failed call"), Some(0), "{}\n{error}\n{text}", output.status);
    assert_eq!(count("Successful call").map(|calls| calls.to_string()).as_deref(), Some(calls), "{error}\n{text}");
    assert!(output.status.success(), "{}", output.status);
    assert!(proxy.runs());
}
