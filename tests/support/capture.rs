//! A capture of what passes on the loopback interface, by tcpdump.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::draft::unique;
use super::wait;

/// A capture under way. tcpdump is killed when the value goes.
pub(crate) struct Capture {
    tcpdump: Child,
    said: BufReader<ChildStderr>,
    /// Its own datagrams are captured too: they show how far it is.
    mark: UdpSocket,
    file: PathBuf,
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It has ended where the capture was finished.
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

impl Capture {
    /// Writes the datagrams from and to a port of this machine to a file.
    pub(crate) fn start(port: u16, file: &Path) -> Self {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let ours = mark.local_addr().expect("a bound socket").port();
        let filter = format!("udp and (port {port} or port {ours})");
        // To its standard output, as tcpdump gives up its rights before it opens a file.
        let mut tcpdump = Command::new("tcpdump")
            .args(["-i", "lo", "-n", "--immediate-mode", "-U", "-s", "0", "-B", "16384", "-w", "-", &filter])
            .stdin(Stdio::null())
            .stdout(File::create(file).expect("a file of the test"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump is installed, or this test is left out");
        let mut said = BufReader::new(tcpdump.stderr.take().expect("it is a pipe"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            let count = said.read_line(&mut line).expect("tcpdump's words are text");
            assert!(count > 0, "tcpdump ended before it listened; it needs the right to capture on lo");
        }
        Self { tcpdump, said, mark, file: file.to_owned() }
    }

    /// Ends it once everything that has been sent so far is in the file.
    pub(crate) fn finish(mut self) {
        let last = format!("the end of capture {}", unique());
        let us = self.mark.local_addr().expect("a bound socket");
        self.mark.send_to(last.as_bytes(), us).expect("our own address is sound");
        wait::until("last datagram in the capture", || {
            let octets = std::fs::read(&self.file).expect("the capture");
            octets.windows(last.len()).any(|window| window == last.as_bytes()).then_some(())
        });
        let pid = Pid::from_raw(i32::try_from(self.tcpdump.id()).expect("a process id")).expect("a process id is not 0");
        kill_process(pid, Signal::INT).expect("tcpdump runs");
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).expect("tcpdump's words are text");
        self.tcpdump.wait().expect("the child is ours");
        assert!(rest.contains("\n0 packets dropped by kernel"), "the capture is not whole: {rest}");
    }
}
