//! The proxy as a child process.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wire::receive;

/// A running proxy with its log in a file.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
}

/// How to start a proxy.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its configuration file.
    pub configuration: &'a Path,
    /// Where it will answer over UDP.
    pub address: SocketAddr,
    /// The file that its log goes to.
    pub log: PathBuf,
    /// Environment variables that it gets.
    pub environment: &'a [(&'a str, &'a str)],
}

impl Proxy {
    /// Starts the program and waits until it answers.
    pub fn start(how: &Start<'_>) -> Result<Self> {
        let Start { program, configuration, address, log, environment } = how;
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.arg("run").arg(configuration).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut proxy = Self { child, program: program.to_path_buf(), configuration: configuration.to_path_buf(), log: log.clone() };
        proxy.wait_until_it_answers(*address)?;
        Ok(proxy)
    }

    /// What the program's command, like `trunks`, says of the running proxy.
    pub fn asked(&self, command: &str) -> Result<String> {
        let output = Command::new(&self.program).arg(command).arg("--config").arg(&self.configuration).output()?;
        if !output.status.success() {
            bail!("jackfield {command}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn wait_until_it_answers(&mut self, address: SocketAddr) -> Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.connect(address)?;
        let us = socket.local_addr()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        for attempt in 1.. {
            if let Some(status) = self.ended()? {
                bail!("the proxy ended at once ({status}); its log:\n{}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("the proxy does not answer on {address}; its log:\n{}", self.log_tail());
            }
            let options = format!(
                "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKready{attempt}\r\nFrom: <sip:ready@{us}>;tag=r\r\n\
                 To: <sip:{address}>\r\nCall-ID: ready@{us}\r\nCSeq: {attempt} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            // Refused while nobody listens yet, and that is what is waited for.
            let _ = socket.send(options.as_bytes());
            if receive(&socket).is_some_and(|(answer, _)| answer.status() == 200) {
                break;
            }
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Proxy {
    /// Asks it to finish, and does not wait longer than a demonstration is worth.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself, at the same Ctrl-C for one.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
