//! redis-server, started, frozen, killed and started again.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jackfield_services::settings::Server;

use super::{address, until};

/// Whether redis-server is there; said loudly if not.
pub(crate) fn is_there(test: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&paths).any(|path| path.join(program).is_file());
    let there = found("redis-server") && found("redis-cli");
    if !there {
        let why = "there are no redis-server and redis-cli in PATH";
        println!("SKIPPED: {test}: {why}");
        eprintln!("SKIPPED: {test}: {why}");
    }
    there
}

/// A server, or a Sentinel.
pub(crate) struct Redis {
    pub(crate) host: Ipv4Addr,
    pub(crate) port: u16,
    password: Option<String>,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Redis {
    /// A server with these settings beside those that make it small and put it where nobody else is.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let mut redis = Self::prepare(6379, settings);
        redis.run();
        redis
    }

    /// A server that asks for a password.
    pub(crate) fn start_with_password(password: &str, settings: &[&str]) -> Self {
        let mut redis = Self::prepare(6379, settings);
        redis.password = Some(password.to_owned());
        redis.arguments.extend(["--requirepass".to_owned(), password.to_owned()]);
        redis.run();
        redis
    }

    /// A Sentinel that watches a master as `jackfield`.
    pub(crate) fn start_sentinel(master: &Self, quorum: usize) -> Self {
        let mut redis = Self::prepare(26379, &[]);
        let (at, own) = (master.server(), redis.host);
        let lines = [
            format!("sentinel monitor jackfield {} {} {quorum}", at.host, at.port),
            "sentinel down-after-milliseconds jackfield 500".to_owned(),
            "sentinel failover-timeout jackfield 3000".to_owned(),
            format!("sentinel announce-ip {own}"),
        ];
        let file = redis.directory.path().join("sentinel.conf");
        fs::write(&file, lines.join("\n") + "\n").expect("a file of our own");
        redis.arguments.insert(0, file.to_string_lossy().into_owned());
        redis.arguments.push("--sentinel".to_owned());
        redis.run();
        redis
    }

    fn prepare(port: u16, settings: &[&str]) -> Self {
        let host = address::fresh();
        let directory = tempfile::tempdir().expect("a directory of the test's own");
        let place = directory.path().to_string_lossy().into_owned();
        let own = host.to_string();
        let always = ["--bind", &own, "--bind-source-addr", &own, "--port", &port.to_string(), "--dir", &place, "--protected-mode", "no"]
            .map(str::to_owned);
        let of_servers = ["--save", "", "--replica-announce-ip", &own, "--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let mut arguments = always.to_vec();
        if port == 6379 {
            arguments.extend(of_servers);
        }
        arguments.extend(settings.iter().map(|&setting| setting.to_owned()));
        Self { host, port, password: None, arguments, directory, process: None }
    }

    /// Starts it; done when it listens.
    pub(crate) fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server starts"));
        until("answer of redis-server", || {
            let answer = self.ask("PING")?;
            (!answer.starts_with("-LOADING")).then_some(())
        });
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// It keeps its connections and does nothing any more.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is there").success());
    }

    /// One command on a connection of its own, and the first line of the answer.
    fn ask(&self, command: &str) -> Option<String> {
        let to = SocketAddr::from((self.host, self.port));
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        (!line.is_empty()).then_some(line)
    }

    /// What redis-cli prints for a command.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", &self.host.to_string(), "-p", &self.port.to_string()]);
        if let Some(password) = &self.password {
            command.args(["--no-auth-warning", "-a", password]);
        }
        let output = command.args(arguments).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn server(&self) -> Server {
        Server { host: self.host.to_string(), port: self.port }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters that share the slots.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Done when all of them say that the cluster is whole.
    pub(crate) fn start(masters: usize, replicas: usize) -> Self {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no"];
        let nodes: Vec<_> = (0..masters * (replicas + 1)).map(|_| Redis::start(&settings)).collect();
        let places = nodes.iter().map(|node| node.server().to_string());
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]).args(places).args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let output = command.output().expect("redis-cli runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { nodes };
        cluster.until_whole();
        cluster
    }

    pub(crate) fn until_whole(&self) {
        for node in &self.nodes {
            until("whole cluster", || {
                let info = node.cli(&["cluster", "info"]);
                let whole = info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384");
                (whole && node.cli(&["cluster", "nodes"]).lines().count() == self.nodes.len()).then_some(())
            });
        }
    }

    /// The master of a key, as the cluster says.
    pub(crate) fn master_of(&self, key: &str) -> &Redis {
        let slot: u32 = self.nodes[0].cli(&["cluster", "keyslot", key]).parse().expect("a slot");
        let mine = |node: &&Redis| {
            let all = node.cli(&["cluster", "nodes"]);
            let own = all.lines().find(|line| line.contains("myself")).expect("itself").to_owned();
            own.split_whitespace().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse::<u32>().is_ok_and(|first| first <= slot) && last.parse::<u32>().is_ok_and(|last| slot <= last)
            })
        };
        self.nodes.iter().find(mine).expect("a master of the slot")
    }
}
