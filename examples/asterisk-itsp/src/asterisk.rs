//! An installed Asterisk with directories of its own, driven by its command line.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use example_agents::network::Network;
use example_agents::stage;

/// What to say where there is none.
const MISSING: &str = "there is no Asterisk. It was looked for as $ASTERISK and as `asterisk` in PATH.\n\
    Debian 12 has no package of it; Debian 11, Debian sid and most other distributions have (apt-get install asterisk). Else: a container\n\
    with the network of its caller and this folder at the same path, or the source at https://www.asterisk.org. More in README.md.";

/// The files that an operator would edit.
const FILES: [&str; 3] = ["pjsip.conf", "extensions.conf", "modules.conf"];

/// A running Asterisk, which ends with this.
#[derive(Debug)]
pub(crate) struct Asterisk {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
}

impl Asterisk {
    /// The program: $ASTERISK, or `asterisk` in PATH or where system administrators' programs are.
    pub(crate) fn find() -> Result<PathBuf> {
        if let Some(named) = std::env::var_os("ASTERISK") {
            return Ok(named.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders.map(|folder| folder.join("asterisk")).find(|file| file.is_file()).context(MISSING)
    }

    /// Starts it with this example's files, in directories below `scratch`, and waits until it is up. Its standard output names its version.
    pub(crate) fn start(program: PathBuf, example: &Path, scratch: &Path, network: &Network) -> Result<Self> {
        let folder = std::path::absolute(scratch)?.join("asterisk");
        for part in ["etc", "lib", "spool", "run", "log"] {
            std::fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot make {}", folder.join(part).display()))?;
        }
        for name in FILES {
            let text = std::fs::read_to_string(example.join(name)).with_context(|| format!("cannot read {name}"))?;
            std::fs::write(folder.join("etc").join(name), network.translated(&text))?;
        }
        let at = folder.display();
        let directories = format!(
            "[directories]\nastetcdir => {at}/etc\nastvarlibdir => {at}/lib\nastdbdir => {at}/lib\nastkeydir => {at}/lib\n\
             astagidir => {at}/lib\nastspooldir => {at}/spool\nastrundir => {at}/run\nastlogdir => {at}/log\n"
        );
        std::fs::write(folder.join("etc/asterisk.conf"), directories)?;
        std::fs::write(folder.join("etc/logger.conf"), "[logfiles]\nmessages => notice,warning,error\n")?;
        // The log of a former run would tell of its calls.
        let _ = std::fs::remove_file(folder.join("log/messages"));
        let output = File::create(folder.join("output"))?;
        let mut command = Command::new(&program);
        command.arg("-C").arg(folder.join("etc/asterisk.conf")).args(["-f", "-n"]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = network.at("lan", || command.spawn())?.with_context(|| format!("cannot start {}", program.display()))?;
        let mut asterisk = Self { program, folder, child };
        asterisk.wait_until_it_is_up()?;
        Ok(asterisk)
    }

    fn wait_until_it_is_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("Asterisk ended at once ({status}):\n{}", self.output());
            }
            if self.told("core waitfullybooted").is_ok_and(|answer| answer.contains("fully booted")) {
                return Ok(());
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        bail!("Asterisk is not up after 60 s:\n{}", self.output())
    }

    /// What a command of its command line prints.
    pub(crate) fn told(&self, command: &str) -> Result<String> {
        let mut console = Command::new(&self.program);
        console.arg("-C").arg(self.folder.join("etc/asterisk.conf")).args(["-rx", command]).stdin(Stdio::null());
        let output = console.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        ensure!(output.status.success(), "asterisk -rx '{command}': {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits for a line of its log with these words.
    pub(crate) fn logged(&self, words: &str) -> Result<String> {
        stage::until(&format!("a line with {words:?} in Asterisk's log"), || {
            let log = std::fs::read_to_string(self.folder.join("log/messages")).ok()?;
            log.lines().find(|line| line.contains(words)).map(str::to_owned)
        })
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        // A wrapper around it may not pass a signal on.
        let _ = self.told("core stop now");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
