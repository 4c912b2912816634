//! A telephone in a web page and an old one on plain RTP talk to each other through the proxy: WSS on the one side, UDP on the other,
//! and rtpengine between DTLS-SRTP with ICE and RTP.

mod browser;
mod certificate;
mod demonstration;
mod pbx;
mod program;
mod relay;
mod server;
mod telephone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use example_agents::ladder::Paint;
use example_agents::proxy::{Proxy, Start};
use example_agents::stage;
use serde_json::json;

use certificate::Certificate;
use pbx::Pbx;
use program::Watch;
use relay::Relay;
use server::Site;
use telephone::Telephone;

/// Where everybody is. The proxy's addresses and that of its relay stand in jackfield.toml as well.
const PAGE: &str = "127.0.0.1:8443";
const PROXY: &str = "127.80.0.1:5060";
const RELAY: &str = "127.80.0.1:22222";
const PBX: &str = "127.80.0.2:5060";
const TELEPHONE: &str = "127.80.0.3:5060";
const TELEPHONE_CONTROL: &str = "127.80.0.3:4444";

/// The sides of the relay, as the media profiles name them.
const SIDES: [(&str, &str); 2] = [("web", "127.0.0.1"), ("lan", "127.80.0.1")];

/// The account of the page, whose hash stands in jackfield.toml.
const ACCOUNT: (&str, &str) = ("200", "a browser's secret");

/// Starts the proxy, a media relay, a PBX with a telephone and a page with another one, and serves until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/webrtc/run")]
struct Arguments {
    /// Let a Chromium without a window call and be called first
    #[arg(long)]
    demo: bool,
    /// JsSIP as one script
    #[arg(long, hide = true)]
    jssip: PathBuf,
    /// A folder for pictures of the page
    #[arg(long, hide = true)]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    stage: stage::Arguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::exit_code("webrtc", Scene::set(&arguments).and_then(|scene| scene.play(&arguments)))
}

/// Everybody in the place.
struct Scene {
    pbx: Pbx,
    telephone: Telephone,
    proxy: Proxy,
    relay: Relay,
    certificate: Certificate,
    paint: Paint,
    watch: Watch,
}

impl Scene {
    fn set(arguments: &Arguments) -> Result<Self> {
        let stage::Arguments { program, folder, scratch, .. } = &arguments.stage;
        arguments.stage.make_empty_scratch()?;
        let watch = Watch::begin()?;
        let scratch = &std::path::absolute(scratch)?;
        let certificate = Certificate::in_folder(scratch)?;
        let relay = Relay::start(RELAY.parse()?, &SIDES, scratch)?;
        let pbx = Pbx::start(PBX.parse()?)?;
        let proxy = Proxy::start(&Start {
            program,
            configuration: &configuration(folder, scratch)?,
            address: PROXY.parse()?,
            log: scratch.join("jackfield.log"),
            environment: &[],
        })?;
        watch.also(proxy.pid());
        let account = format!("\"Old telephone\" <sip:100@{PBX}>;regint=60;answermode=auto");
        let telephone = Telephone::start(TELEPHONE.parse()?, TELEPHONE_CONTROL.parse()?, &account, scratch)?;
        stage::until("the registration of the telephone", || pbx.binding_of("100"))?;
        let keys = telephone.keys();
        let settings = json!({
            "uri": format!("sip:{}@pbx.example", ACCOUNT.0),
            "password": ACCOUNT.1,
            "server": "wss://HOST:7443",
            "target": "100",
            "ring": true,
        });
        let ring = move || keys.press("dial", &format!("sip:{}@{PBX}", ACCOUNT.0));
        let site = Site::new(&folder.join("page"), &arguments.jssip, settings.to_string(), ring)?;
        site.serve(PAGE.parse()?, certificate.server()?)?;
        let scene = Self { pbx, telephone, proxy, relay, certificate, paint: stage::paint(), watch };
        scene.describe(scratch);
        Ok(scene)
    }

    fn describe(&self, scratch: &Path) {
        let strong = |text: &str| self.paint.strong(text);
        println!("{} serves WSS at 127.0.0.1:7443 and UDP at {PROXY}, log in {}", strong("Jackfield"), self.proxy.log().display());
        println!(
            "{} relays between {} and {}, log in {}",
            strong("rtpengine"),
            SIDES[0].1,
            SIDES[1].1,
            scratch.join("rtpengine.log").display()
        );
        println!("{} at {TELEPHONE} is registered at the PBX at {PBX}, as 100; it plays a tone", strong("baresip"));
    }

    fn play(mut self, arguments: &Arguments) -> Result<bool> {
        let demonstrates = arguments.demo || arguments.stage.exit;
        let good = !demonstrates || demonstration::show(&mut self, arguments)?;
        if !arguments.stage.exit {
            self.invite()?;
            let Self { mut proxy, mut relay, mut telephone, watch, .. } = self;
            // From here on, who serves hears the signals.
            drop(watch);
            let mut failed = None;
            stage::serve(&mut proxy, || {
                let ended = relay.still_runs().and_then(|()| telephone.still_runs()).err();
                if let Some(error) = ended.filter(|_| failed.is_none()) {
                    eprintln!("{error:#}");
                    failed = Some(error);
                }
            })?;
            ensure!(failed.is_none(), "the place was not whole any more");
        }
        Ok(good)
    }

    /// Says how to get there with a browser.
    fn invite(&self) -> Result<()> {
        let (url, authority) = (format!("https://{PAGE}/"), self.certificate.authority.display());
        println!("\nOpen {} and call 100, or have the telephone call you. Nobody knows the", self.paint.strong(&url));
        println!("certificate, so one of these first:");
        println!("  - say in the browser's warning that you go there all the same; in Firefox once more at https://127.0.0.1:7443/");
        println!("  - or import {authority} as an authority for web sites:");
        println!("    it may speak for this machine only, and its key is gone");
        println!("  - or take a Chromium that knows it, with a profile of its own:");
        let hash = self.certificate.public_key_hash()?;
        println!("    chromium --user-data-dir=/tmp/jackfield-webrtc --ignore-certificate-errors-spki-list={hash} {url}");
        println!("It goes on serving until Ctrl-C.");
        Ok(())
    }
}

/// The configuration file: that of this example, or a copy for a scratch folder elsewhere, as deep in the tree.
fn configuration(folder: &Path, scratch: &Path) -> Result<PathBuf> {
    let shipped = folder.join("jackfield.toml");
    let text = std::fs::read_to_string(&shipped).with_context(|| format!("cannot read {}", shipped.display()))?;
    let copy = scratch.join("jackfield.toml");
    std::fs::write(&copy, text.replace("../../target/webrtc/", "")).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}
