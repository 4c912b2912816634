//! Chromium without a window, driven over its DevTools protocol: it opens the page, clicks as somebody would, and reads what is shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::program::{Program, find};

/// Its names in distributions.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// It takes its time to start on a small machine.
const START: Duration = Duration::from_secs(60);

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser with one page.
#[derive(Debug)]
pub(crate) struct Browser {
    page: WebSocket<TcpStream>,
    asked: u64,
    program: Program,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page; of all that has no proper certificate, it takes what has the key of this hash.
    pub(crate) fn open(url: &str, key_hash: &str, scratch: &Path) -> Result<Self> {
        let missing =
            "there is no Chromium. On Debian: apt-get install chromium; or open the page in a browser of your own (without --demo)";
        let profile = tempfile::Builder::new().prefix("chromium").tempdir_in(std::path::absolute(scratch)?)?;
        let mut command = Command::new(find("CHROMIUM", &NAMES).context(missing)?);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        // A microphone that beeps, and nobody to ask whether the page may use it.
        command.args([
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
        ]);
        // It talks to this machine and to nobody else.
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--allow-loopback-in-peer-connection"]);
        command.arg(format!("--ignore-certificate-errors-spki-list={key_hash}"));
        command.arg("--remote-debugging-port=0").arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        command.env("HOME", profile.path());
        let mut program = Program::start(&mut command, scratch.join("chromium.log"))?;
        let deadline = Instant::now() + START;
        let page = loop {
            program.still_runs()?;
            if let Some(page) = attach(profile.path(), url) {
                break page;
            }
            ensure!(Instant::now() < deadline, "Chromium has opened no page after {START:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        };
        Ok(Self { page, asked: 0, program, _profile: profile })
    }

    /// The value of an expression on the page.
    pub(crate) fn value(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let mut answer = self.command("Runtime.evaluate", &parameters)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("the page fails at {expression}: {exception}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Clicks what has this id, which has to be there to be clicked.
    pub(crate) fn click(&mut self, id: &str) -> Result<()> {
        let is_there = format!(
            "(part => part && part.offsetParent && !part.disabled ? (part.click(), true) : false)(document.getElementById('{id}'))"
        );
        ensure!(self.value(&is_there)? == true, "the page has no {id} to click");
        Ok(())
    }

    /// Writes into a field.
    pub(crate) fn write(&mut self, id: &str, text: &str) -> Result<()> {
        self.value(&format!("document.getElementById('{id}').value = {}", json!(text))).map(drop)
    }

    /// What is shown in the part with this id.
    pub(crate) fn shown(&mut self, id: &str) -> Result<String> {
        let value = self.value(&format!("document.getElementById('{id}').innerText"))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an expression is true; `what` is said if it never is.
    pub(crate) fn until(&mut self, what: &str, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})"))? != true {
            if Instant::now() > deadline {
                bail!("the page never came to {what}; it shows:\n{}", self.value("document.body.innerText")?.as_str().unwrap_or_default());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A command of the protocol, and its result.
    pub(crate) fn command(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.program.still_runs()?;
        self.asked += 1;
        let id = self.asked;
        self.page.send(Message::text(json!({ "id": id, "method": method, "params": parameters }).to_string()))?;
        loop {
            let Message::Text(text) = self.page.read().context("Chromium does not answer")? else { continue };
            let mut answer: Value = serde_json::from_str(&text)?;
            // Events come in between.
            if answer["id"] == id {
                ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
        }
    }
}

/// The connection to the page, once there is one: the browser writes where it listens, and lists its pages there.
fn attach(profile: &Path, url: &str) -> Option<WebSocket<TcpStream>> {
    let text = std::fs::read_to_string(profile.join("DevToolsActivePort")).ok()?;
    let address = format!("127.0.0.1:{}", text.lines().next()?);
    let list = get(&address, "/json/list").ok()?;
    let pages: Vec<Value> = serde_json::from_slice(&list).ok()?;
    let page = pages.iter().find(|page| page["type"] == "page" && page["url"].as_str().is_some_and(|at| at.starts_with(url)))?;
    let stream = TcpStream::connect(&address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (socket, _) = tungstenite::client(page["webSocketDebuggerUrl"].as_str()?, stream).ok()?;
    Some(socket)
}

/// The body of a resource over HTTP.
fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    stream.get_ref().set_read_timeout(Some(PATIENCE))?;
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut length = 0;
    loop {
        let mut field = String::new();
        stream.read_line(&mut field)?;
        if field.trim().is_empty() {
            break;
        }
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}
