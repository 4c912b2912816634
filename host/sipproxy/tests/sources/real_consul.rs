//! The same with a real Consul agent, where there is one: the program that CONSUL names, or `consul` in PATH.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jackfield_sipproxy::{ConsulSettings, Documents, Settings, Source, Trouble};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{DEADLINE, one, proxies, quick, until};

const KEY: &str = "config/csphost01/system/outboundproxy";

/// None, said in a line, where there is no Consul.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("CONSUL").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| std::env::split_paths(&paths).map(|path| path.join("consul")).find(|program| program.is_file()));
    if found.is_none() {
        println!("SKIPPED: there is no consul in PATH, and CONSUL names none");
    }
    found
}

/// An agent with an empty store, for as long as this lives.
struct Agent {
    process: Child,
    http: SocketAddr,
}

impl Agent {
    async fn start(program: &Path, ports: &[u16; 5], directory: &Path) -> Self {
        let [http, dns, lan, server, rpc] = ports.map(|port| port.to_string());
        let log = std::fs::File::create(directory.join("consul.log")).expect("a log");
        let process = Command::new(program)
            .args(["agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-node", "csphost01", "-log-level", "warn"])
            .args(["-http-port", &http, "-dns-port", &dns, "-serf-lan-port", &lan, "-server-port", &server, "-grpc-port", &rpc])
            .args(["-serf-wan-port", "-1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("consul starts");
        let agent = Self { process, http: ([127, 0, 0, 1], ports[0]).into() };
        let begin = Instant::now();
        while !agent.request("GET", "/v1/status/leader", "").await.is_some_and(|answer| answer.contains("127.0.0.1:")) {
            let log = || std::fs::read_to_string(directory.join("consul.log")).unwrap_or_default();
            assert!(begin.elapsed() < DEADLINE, "consul elects itself: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        agent
    }

    async fn put(&self, value: &str) {
        let answer = self.request("PUT", &format!("/v1/kv/{KEY}"), value).await;
        assert!(answer.as_deref().is_some_and(|answer| answer.contains("true")), "{answer:?}");
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).await.ok()?;
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Ports that were free a moment ago: Consul cannot be told to take any.
fn free_ports() -> [u16; 5] {
    let listeners = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.each_ref().map(|listener| listener.local_addr().expect("an address").port())
}

fn via(proxy: &str) -> impl Fn(&Documents) -> bool {
    let wanted = format!("a.de via {proxy}");
    move |documents| proxies(documents) == [wanted.as_str()] && documents.troubles().next().is_none()
}

fn has(documents: &Documents, wanted: impl Fn(&Trouble) -> bool) -> bool {
    documents.troubles().any(|(_, trouble)| wanted(trouble))
}

#[tokio::test]
async fn a_real_agent_is_followed_through_changes_and_its_death() {
    let Some(program) = program() else { return };
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let agent = Agent::start(&program, &ports, directory.path()).await;
    for round in 0..10 {
        agent.put(&one("a.de", &format!("old{round}"))).await;
    }
    agent.put(&one("a.de", "p1")).await;
    let consul = ConsulSettings { url: format!("http://{}", agent.http), key: KEY.to_owned(), ..ConsulSettings::default() };
    let cache = Some(directory.path().join("kept.json"));
    let settings = Settings { consul: Some(consul), cache, timing: quick(), file: None };
    let source = Source::start(settings.clone()).await;
    let mut documents = source.documents();
    assert_eq!(proxies(&documents.borrow()), ["a.de via p1"]);

    let begin = Instant::now();
    agent.put(&one("a.de", "p2")).await;
    until(&mut documents, "a change", via("p2")).await;
    println!("a change was in force after {:?}", begin.elapsed());

    agent.put("{ \"a.de\": ").await;
    until(&mut documents, "bad JSON", |documents| has(documents, |trouble| matches!(trouble, Trouble::Refused(_)))).await;
    agent.put(&one("a.de", "p2")).await;
    until(&mut documents, "good again", via("p2")).await;

    agent.request("DELETE", &format!("/v1/kv/{KEY}"), "").await;
    let found = until(&mut documents, "deleted", |documents| has(documents, |trouble| *trouble == Trouble::Missing)).await;
    assert_eq!(proxies(&found), ["a.de via p2"]);

    drop(agent);
    let found = until(&mut documents, "away", |documents| has(documents, |trouble| matches!(trouble, Trouble::Away { .. }))).await;
    assert_eq!(proxies(&found), ["a.de via p2"]);

    // With an empty store and an index that begins anew.
    let agent = Agent::start(&program, &ports, directory.path()).await;
    let found = until(&mut documents, "missing", |documents| has(documents, |trouble| *trouble == Trouble::Missing)).await;
    assert_eq!(proxies(&found), ["a.de via p2"]);
    let restarted = Source::start(settings).await;
    assert_eq!(proxies(&restarted.documents().borrow()), ["a.de via p2"], "a start finds it on disk");
    agent.put(&one("a.de", "p3")).await;
    until(&mut documents, "the new store", via("p3")).await;
    until(&mut restarted.documents(), "the new store", via("p3")).await;
}
