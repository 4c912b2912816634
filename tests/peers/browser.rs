//! JsSIP in headless Chromium over WSS calls baresip on UDP and is called by it. Both ends speak DTLS-SRTP with ICE, so that an answer is a
//! real one; the media go past the proxy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jackfield_proto::net::Transport;
use tempfile::TempDir;

use super::Running;
use super::page::{Files, Page};
use super::phone::{Phone, Setup};
use crate::support::home::Home;
use crate::support::proxy::Proxy;
use crate::support::stage::{Stage, V4};
use crate::support::wasm::workspace;

/// A browser takes its time to start on a small machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// JsSIP as one script. It is fetched from the registry, once for a machine, and put into no source tree.
pub(crate) fn jssip() -> PathBuf {
    let directory = std::env::temp_dir().join("jackfield-test-jssip");
    std::fs::create_dir_all(&directory).expect("a directory for the packages");
    let lock = std::fs::File::create(directory.join("lock")).expect("a lock file");
    lock.lock().expect("a lock of it");
    let output = Command::new(fixture("fetch")).arg(&directory).output().expect("the script starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory.join("jssip.js")
}

fn fixture(name: &str) -> PathBuf {
    workspace().join("tests/fixtures/browser").join(name)
}

/// The page of the tests.
pub(super) fn files() -> Files {
    let ours = |name: &str| std::fs::read(fixture(name)).expect("a fixture");
    Files::from([
        ("/", ("text/html", ours("page.html"))),
        ("/softphone.js", ("text/javascript", ours("softphone.js"))),
        ("/jssip.js", ("text/javascript", std::fs::read(jssip()).expect("the bundle"))),
    ])
}

/// Chromium with a page, and its profile.
pub(super) struct Browser {
    _program: Running,
    _profile: TempDir,
}

/// Debian's name for it, and the others'.
fn chromium() -> PathBuf {
    let names = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    names.into_iter().map(Path::new).find(|path| path.is_file()).expect("Chromium is installed").to_owned()
}

impl Browser {
    /// Opens a page. The authority of the test is not the browser's, so it is told to look away: what our certificates are worth is
    /// proved elsewhere, by those who check them.
    pub(super) fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a directory of the test's own");
        let mut command = Command::new(chromium());
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--ignore-certificate-errors"]);
        // It talks to the test and to nobody else.
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"]);
        command.arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
        command.args(["--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        command.env("HOME", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { _program: Running(command.spawn().expect("Chromium starts")), _profile: profile }
    }
}

/// A phone that can talk to browsers.
fn baresip(home: &Home, proxy: &Proxy, setup: Setup) -> Phone {
    let account = format!(
        "<sip:bob@{}>;outbound=\"sip:{}\";regint=60;answermode=auto;mediaenc=dtls_srtp;medianat=ice",
        home.address,
        proxy.address()
    );
    setup.key("rtcp_mux yes").modules(&["ice", "srtp", "dtls_srtp"]).start(&account)
}

#[test]
fn a_browser_on_wss_calls_baresip_on_udp_and_is_called_by_it() {
    let (stage, home) = (Stage::new(), Home::start());
    let setup = Setup::new();
    let routing = format!(
        "[[plugins.header-match.config.rule]]\npart = \"uri-user\"\nexact = \"bob\"\nto = \"bob\"\n\
         [[plugins.header-match.config.rule]]\npart = \"uri-host\"\nexact = \"example.test\"\nto = \"home\"\n\
         [plugins.header-match.config.targets.bob]\nnext-hop = {:?}\n\
         [plugins.header-match.config.targets.home]\nnext-hop = \"sip:{}\"\n",
        setup.uri("bob", Transport::Udp),
        home.address
    );
    let page = Page::serve(files());
    let origins = format!("[listen.secure.websocket]\norigins = [\"http://{}\"]", page.address);
    let proxy = Proxy::start(&stage.config(&[V4]).plugin("header-match", routing).table(&origins), &["header-match"]);
    let mut bob = baresip(&home, &proxy, setup);
    home.binding_of("bob");
    let server = format!("wss://{}", stage.secure_address(V4));
    let _browser = Browser::open(&format!("http://{}/?server={server}&uri=sip:web@example.test", page.address));
    page.hears(PATIENCE, "registered");
    assert!(home.binding_of("web").contact.contains(".invalid"), "RFC 7118 5.2: {:?}", home.binding_of("web"));
    for bob_hangs_up in [false, true] {
        page.tell("call", "sip:bob@example.test");
        bob.hears("CALL_ESTABLISHED");
        page.hears(PATIENCE, "confirmed");
        page.tell("reinvite", "");
        page.hears(PATIENCE, "renegotiated");
        match bob_hangs_up {
            false => page.tell("hangup", ""),
            true => bob.tell("hangup", ""),
        }
        let ended = page.hears(PATIENCE, "ended");
        assert!(ended.starts_with(if bob_hangs_up { "remote" } else { "local" }), "{ended}");
        bob.hears("CALL_CLOSED");
    }
    println!(
        "JsSIP in Chromium over WSS called baresip on UDP: answered with a session that both took, a re-INVITE, hung up by either end"
    );
    for bob_hangs_up in [false, true] {
        bob.tell("dial", "sip:web@example.test");
        assert_eq!(page.hears(PATIENCE, "session"), "remote");
        page.hears(PATIENCE, "confirmed");
        bob.hears("CALL_ESTABLISHED");
        match bob_hangs_up {
            false => page.tell("hangup", ""),
            true => bob.tell("hangup", ""),
        }
        page.hears(PATIENCE, "ended");
        bob.hears("CALL_CLOSED");
    }
    println!("baresip on UDP called JsSIP in Chromium over its WSS flow: answered with a session that both took, hung up by either end");
}
