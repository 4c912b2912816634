//! The border between a PBX and a provider: calls both ways with voice through a relay, and each side sees only the border.

use std::cell::RefCell;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use example_agents::ladder::{self, Paint, Record};
use example_agents::network::{Link, Network};
use example_agents::proxy::{Proxy, Start};
use example_agents::stage::{self, Steps};
use example_agents::watch::Watch;
use example_agents::{Agent, HangUp, Invitation, Profile, Taken};

use crate::capture::{Capture, Carried};
use crate::filters::Counted;
use crate::relay::Relay;
use crate::voice::{PACKETS, Voice};

mod capture;
mod filters;
mod relay;
mod voice;

/// The cables of jackfield.toml.
const LINKS: &[Link] = &[
    Link { device: "inside", proxy: "10.0.0.1", far: &["10.0.0.20"] },
    Link { device: "outside", proxy: "192.0.2.10", far: &["192.0.2.1"] },
];

/// The provider's host, as the PBX knows it.
const PROVIDER: &str = "tel.provider.example";

/// Whose voice is not heard in packets that the kernel was too busy for.
const LOST_AT_MOST: u16 = PACKETS / 10;

/// Lines of what should not be there that are printed.
const TRACES_SHOWN: usize = 40;

/// Starts Jackfield and rtpengine between a PBX and a provider, shows what either of them sees, and goes on serving until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/border/run")]
struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::exit_code("border", Scene::set(&arguments.stage).and_then(|scene| scene.play(&arguments.stage)))
}

/// One side of the border, with who stands there.
struct Side {
    agent: Agent,
    voice: Voice,
    capture: Capture,
    link: &'static Link,
    /// The border's address in this network.
    border: Ipv4Addr,
    /// How addresses of this network begin.
    network: &'static str,
}

/// Everybody in the place.
struct Scene {
    inside: Side,
    outside: Side,
    proxy: RefCell<Option<Proxy>>,
    arguments: stage::Arguments,
    configuration: PathBuf,
    record: Record,
    taken: Receiver<Taken>,
    paint: Paint,
    // They go in this order, and the network last.
    relay: Relay,
    watch: Option<Watch>,
    network: Network,
}

impl Scene {
    fn set(arguments: &stage::Arguments) -> Result<Self> {
        arguments.make_empty_scratch()?;
        let rtpengine = Relay::find()?;
        let (network, watch) = Network::watched(LINKS)?;
        let (record, paint) = (Record::default(), stage::paint());
        println!("{}.", network.description());
        filters::load(&network, LINKS)?;
        let (tell, taken) = channel();
        let inside = side(&network, &record, &tell, ("pbx", "inside", "sip:4930@10.0.0.20", "10.0.0."))?;
        let outside = side(&network, &record, &tell, ("provider", "outside", "sip:+4989123456@192.0.2.1", "192.0.2."))?;
        let relay = Relay::start(&rtpengine, &network, &arguments.scratch)?;
        let configuration = network.file(&arguments.folder.join("jackfield.toml"), &arguments.scratch)?;
        println!("{} serves with {}, beside {}", paint.strong("Jackfield"), configuration.display(), rtpengine.display());
        let (proxy, arguments) = (RefCell::new(None), arguments.clone());
        let scene = Self { inside, outside, proxy, arguments, configuration, record, taken, paint, relay, watch: Some(watch), network };
        scene.start_proxy("jackfield.log")?;
        Ok(scene)
    }

    fn start_proxy(&self, log: &str) -> Result<()> {
        let start = Start {
            program: &self.arguments.program,
            configuration: &self.configuration,
            address: self.network.address("10.0.0.1", 5060)?,
            log: self.arguments.scratch.join(log),
            environment: &[],
        };
        let proxy = self.network.at_proxy(|| Proxy::start(&start))??;
        self.proxy.replace(Some(proxy));
        Ok(())
    }

    fn play(mut self, arguments: &stage::Arguments) -> Result<bool> {
        let (mut steps, Self { inside, outside, .. }) = (Steps::new(self.paint), &self);
        steps.step("Either side reaches the border in its own network, and nothing beyond it", || self.probe());
        steps.step("The PBX registers at the provider, which sees the border's address alone", || self.register());
        steps.step("A call out, with voice both ways; the PBX hangs up", || self.call_out(HangUp::Caller));
        steps.step("A call out; the provider hangs up", || self.call_out(HangUp::Done));
        steps.step("A call in finds the PBX by its registration; the provider hangs up", || self.call_in(HangUp::Caller));
        steps.step("A call in; the PBX hangs up", || self.call_in(HangUp::Done));
        steps.step("A call in to the border's own address finds the PBX as well", || {
            self.call((outside, inside), &Invitation::to("sip:4930@192.0.2.10"), HangUp::Done, || Ok(()))
        });
        steps.step("The proxy is killed and started anew in a call: it goes on, and can be hung up", || self.restart());
        steps.step("The relay holds no call any more", || self.nothing_held());
        steps.step("What passed by on either cable", || self.account());
        let proxy = self.proxy.take().context("there is no proxy")?;
        let good = steps.verdict(&proxy);
        if !arguments.exit {
            println!("It goes on serving until Ctrl-C. Its log: {}", proxy.log().display());
            // Serving ends at signals by itself.
            self.watch = None;
            stage::serve(self.proxy.get_mut().insert(proxy), || ())?;
        }
        Ok(good)
    }

    /// The filters do what the rest of this relies on: without them, the border would answer at either address.
    fn probe(&self) -> Result<()> {
        for (side, beyond) in [(&self.inside, &self.outside), (&self.outside, &self.inside)] {
            let device = side.link.device;
            ensure!(self.answers(device, side.border)?, "the border does not answer at {}", side.border);
            let before = filters::counted(&self.network, device)?.astray;
            ensure!(!self.answers(device, beyond.border)?, "the border answers {device} at {}", beyond.border);
            let astray = filters::counted(&self.network, device)?.astray - before;
            ensure!(astray > 0, "the filters have not counted what went to {}", beyond.border);
            println!("  {device:<11} {} answers, {} does not", side.border, beyond.border);
        }
        Ok(())
    }

    /// Whether somebody answers to OPTIONS.
    fn answers(&self, device: &str, address: Ipv4Addr) -> Result<bool> {
        let us = self.network.address(far(link(device)?)?, 0)?;
        let ask = || -> Result<bool> {
            let socket = UdpSocket::bind(us)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            let us = socket.local_addr()?;
            let options = format!(
                "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKprobe;rport\r\nFrom: <sip:probe@{us}>;tag=p\r\n\
                 To: <sip:{address}>\r\nCall-ID: probe@{us}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            // What a filter drops is an error for who sends it.
            let sent = socket.send_to(options.as_bytes(), (address, 5060));
            Ok(sent.is_ok() && socket.recv(&mut [0; 4096]).is_ok())
        };
        self.network.at(device, ask)?
    }

    /// REGISTER crosses the border like everything else.
    fn register(&self) -> Result<()> {
        let aor = format!("sip:4930@{PROVIDER}");
        let ended = self.inside.agent.register(&format!("sip:{PROVIDER}"), &aor, ";line=qaz");
        let binding = self.outside.agent.bindings().newest().context("the provider has no binding")?;
        print!("{}", ladder::draw(&self.record.take_all(&[ended.call_id.as_bytes(), &binding.call_id]), self.paint));
        ended.succeeded()?;
        println!("  came from   {}\n  contact     {}\n  path        {}", binding.source, binding.contact, binding.path.join(", "));
        ensure!(binding.source.ip() == self.outside.border, "it was to come from {}", self.outside.border);
        Ok(())
    }

    fn call_out(&self, hang_up: HangUp) -> Result<()> {
        let invitation = Invitation::to(&format!("sip:+4989123456@{PROVIDER}")).with("P-Asserted-Identity", "<sip:4930@10.0.0.20>");
        self.call((&self.inside, &self.outside), &invitation, hang_up, || Ok(()))
    }

    fn call_in(&self, hang_up: HangUp) -> Result<()> {
        let binding = self.outside.agent.bindings().newest().context("the provider has no binding")?;
        self.call((&self.outside, &self.inside), &Invitation::to_binding(&binding), hang_up, || Ok(()))
    }

    fn restart(&self) -> Result<()> {
        let invitation = Invitation::to(&format!("sip:+4989123456@{PROVIDER}"));
        self.call((&self.inside, &self.outside), &invitation, HangUp::Done, || {
            self.proxy.replace(None);
            self.start_proxy("jackfield-again.log")
        })
    }

    /// A call from one side to the other, in which both talk, something happens, and somebody hangs up.
    fn call(
        &self,
        (caller, callee): (&Side, &Side),
        invitation: &Invitation,
        hang_up: HangUp,
        happens: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut other_call_id = Vec::new();
        let ended = caller.agent.call_during(invitation, |answer| {
            let taken = self.taken.recv_timeout(Duration::from_secs(2)).context("nobody took the call")?;
            other_call_id = taken.request.call_id().to_vec();
            ensure!(taken.address == callee.agent.address(), "{} took the call", taken.callee);
            println!("  arrived as  {}", taken.uri());
            talk((caller, answer.body()), (callee, taken.request.body()))?;
            happens()?;
            if hang_up == HangUp::Done {
                callee.agent.hang_up_taken(&taken)?;
            }
            Ok(hang_up)
        });
        print!("{}", ladder::draw(&self.record.take_all(&[ended.call_id.as_bytes(), &other_call_id]), self.paint));
        ended.succeeded()?;
        println!("  Call-ID     {} here, {} there", ended.call_id, String::from_utf8_lossy(&other_call_id));
        ensure!(ended.call_id.as_bytes() != other_call_id, "the Call-ID was to be hidden");
        Ok(())
    }

    fn nothing_held(&self) -> Result<()> {
        stage::until("a relay without calls", || (!self.relay.holds_calls(&self.network).ok()?).then_some(()))
    }

    /// What was seen at the far ends of the cables: some of everything, and no trace of the other network.
    fn account(&self) -> Result<()> {
        let (mut wrong, mut traces) = (Vec::new(), Vec::new());
        for (side, beyond) in [(&self.inside, &self.outside), (&self.outside, &self.inside)] {
            let device = side.link.device;
            let Carried { sip, voice_in, voice_out } = side.capture.carried(side.border);
            let (Counted { leaked, .. }, found) = (filters::counted(&self.network, device)?, side.capture.traces_of(beyond.network));
            println!("  {device:<11} {sip} SIP messages; {voice_out} RTP packets to the border, {voice_in} from it");
            println!("  {:<11} {leaked} packets stopped that had another network's address", "");
            println!("  {:<11} {} times an address of {}*", "", found.len(), beyond.network);
            if sip == 0 || voice_in == 0 || voice_out == 0 || leaked > 0 {
                wrong.push(device);
            }
            traces.extend(found);
        }
        let shown: Vec<&str> = traces.iter().take(TRACES_SHOWN).map(String::as_str).collect();
        ensure!(traces.is_empty(), "one side sees addresses of the other; the first:\n    {}", shown.join("\n    "));
        ensure!(wrong.is_empty(), "something is wrong with what passed by on: {}", wrong.join(", "));
        Ok(())
    }
}

/// Both ends send where the other's description, as it has come across the border, asks for it.
fn talk((caller, answer): (&Side, &[u8]), (callee, offer): (&Side, &[u8])) -> Result<()> {
    let (to_callee, to_caller) = (voice::asked_for(answer)?, voice::asked_for(offer)?);
    for (side, asked) in [(caller, to_callee), (callee, to_caller)] {
        ensure!(asked.ip() == side.border, "{} was told to send its media to {asked}", side.link.device);
    }
    let (near, far) = Voice::talk((&caller.voice, to_callee), (&callee.voice, to_caller))?;
    for (side, heard) in [(caller, near), (callee, far)] {
        let from = heard.from.map(|from| from.to_string()).unwrap_or_default();
        println!("  {:<11} heard {} of {PACKETS} RTP packets, from {from}", side.link.device, heard.packets);
    }
    for heard in [near, far] {
        ensure!(heard.packets + LOST_AT_MOST >= PACKETS, "only {} of {PACKETS} RTP packets were heard", heard.packets);
    }
    Ok(())
}

fn link(device: &str) -> Result<&'static Link> {
    LINKS.iter().find(|link| link.device == device).context("there is no such link")
}

fn far(link: &Link) -> Result<&'static str> {
    link.far.first().copied().context("nobody is there")
}

/// Who stands at the far end of a cable, with a voice, and with somebody who listens on the line.
fn side(
    network: &Network,
    record: &Record,
    tell: &Sender<Taken>,
    (name, device, identity, prefix): (&str, &str, &str, &'static str),
) -> Result<Side> {
    let link = link(device)?;
    let capture = Capture::begin(network, device)?;
    let mut profile = Profile::new(name, network.address(far(link)?, 5060)?, network.address(link.proxy, 5060)?);
    profile.identity = identity.to_owned();
    let agent = network.at(device, || Agent::start(profile, record.clone(), tell.clone(), Default::default()))??;
    let source = if device == "inside" { 0x1057_de00 } else { 0x0075_1de0 };
    let media = agent.media();
    let voice = network.at(device, || Voice::at(media, source))??;
    Ok(Side { agent, voice, capture, link, border: link.proxy.parse()?, network: prefix })
}
