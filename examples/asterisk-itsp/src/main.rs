//! A real Asterisk whose only way to its provider is Jackfield: registration with `line=`, qualification, and calls both ways.

mod asterisk;

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use example_agents::ladder::{self, PROXY, Paint, Record};
use example_agents::network::{Link, Network};
use example_agents::proxy::{Proxy, Start};
use example_agents::stage::{self, Steps};
use example_agents::{Account, Agent, Bindings, Ended, Guard, Invitation, Profile, Taken};

use asterisk::Asterisk;

/// The cables of jackfield.toml.
const LINKS: &[Link] =
    &[Link { device: "lan", proxy: "10.0.0.1", far: &["10.0.0.20"] }, Link { device: "wan", proxy: "192.0.2.10", far: &["192.0.2.1"] }];

const DOMAIN: &str = "sip.provider.example";
const AOR: &str = "sip:4930@sip.provider.example";

/// Starts Asterisk, Jackfield and a provider, shows registration and calls, and goes on serving until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/asterisk-itsp/run")]
struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::exit_code("asterisk-itsp", Scene::set(&arguments.stage).and_then(|scene| scene.play(&arguments.stage)))
}

/// Everybody in the place.
struct Scene {
    provider: Agent,
    asterisk: Asterisk,
    proxy: Proxy,
    record: Record,
    taken: Receiver<Taken>,
    paint: Paint,
    // Last, so that it goes last.
    network: Network,
}

impl Scene {
    fn set(arguments: &stage::Arguments) -> Result<Self> {
        let program = Asterisk::find()?;
        arguments.make_empty_scratch()?;
        let (network, record, paint) = (Network::make(LINKS)?, Record::default(), stage::paint());
        println!("{}.", network.description());
        let (tell, taken) = channel();
        let mut profile = Profile::new("provider", network.address("192.0.2.1", 5060)?, network.address("192.0.2.10", 5060)?);
        profile.identity = format!("sip:+4989123456@{DOMAIN}");
        let account = Account { user: "4930".to_owned(), password: "the provider's secret".to_owned() };
        profile.guard = Some(Guard { realm: DOMAIN.to_owned(), account });
        let provider = network.at("wan", || Agent::start(profile, record.clone(), tell, Bindings::default()))??;
        let configuration = network.file(&arguments.folder.join("jackfield.toml"), &arguments.scratch)?;
        let start = Start {
            program: &arguments.program,
            configuration: &configuration,
            address: network.address("10.0.0.1", 5060)?,
            log: arguments.scratch.join("jackfield.log"),
            environment: &[],
        };
        let proxy = network.at_proxy(|| Proxy::start(&start))??;
        println!("{} serves with {}, log in {}", paint.strong("Jackfield"), configuration.display(), proxy.log().display());
        let asterisk = Asterisk::start(program, &arguments.folder, &arguments.scratch, &network)?;
        println!("{} serves with pjsip.conf and extensions.conf of this folder", asterisk.told("core show version")?.trim());
        Ok(Self { provider, asterisk, proxy, record, taken, paint, network })
    }

    fn play(mut self, arguments: &stage::Arguments) -> Result<bool> {
        let mut steps = Steps::new(self.paint);
        steps.step("Asterisk registers through its outbound_proxy", || self.registered());
        steps.step("Its OPTIONS (qualify) reach the provider and come back", || self.qualified());
        steps.step("A call out; Asterisk answers the provider's challenge", || self.call_out());
        steps.step("A call to the registered contact: Asterisk knows it by line=", || self.call_by_line());
        steps.step("A call to nobody in particular: Asterisk knows it by X-My-Account-Number", || self.call_by_header());
        steps.step("What the proxy says of its trunk and registrations", || self.tables());
        let good = steps.verdict(&self.proxy);
        if !arguments.exit {
            println!("It goes on serving until Ctrl-C. The proxy's log: {}", self.proxy.log().display());
            stage::serve(&mut self.proxy, || ())?;
        }
        Ok(good)
    }

    fn registered(&self) -> Result<()> {
        let binding = stage::until("a registration", || self.provider.bindings().of(AOR))?;
        println!("  came from   {}\n  contact     {}\n  path        {}", binding.source, binding.contact, binding.path.join(", "));
        ensure!(binding.contact.contains(";line="), "the Contact has no line=");
        ensure!(binding.source == self.network.address("192.0.2.10", 5060)?, "it was to come from the proxy");
        Ok(())
    }

    fn qualified(&self) -> Result<()> {
        let line = stage::until("a contact that is Avail", || {
            let contacts = self.asterisk.told("pjsip show contacts").ok()?;
            contacts.lines().find(|line| line.contains(DOMAIN) && line.contains("Avail")).map(|line| line.trim().to_owned())
        })?;
        println!("  {line}");
        ensure!(self.record.has(PROXY, "provider", "OPTIONS"), "the provider has seen no OPTIONS");
        Ok(())
    }

    fn call_out(&self) -> Result<()> {
        self.asterisk.told("channel originate PJSIP/4989123456@provider application Wait 1")?;
        let taken = stage::until("a call at the provider", || self.taken.try_iter().next())?;
        let call_id = taken.request.call_id().to_vec();
        // It is over when Asterisk has waited for its second.
        let mut steps = Vec::new();
        stage::until("the end of the call", || {
            steps.extend(self.record.take(&call_id));
            ladder::draw(&steps, Paint(false)).contains("BYE").then_some(())
        })?;
        print!("{}", ladder::draw(&steps, self.paint));
        println!("  arrived as  {}, from {}", taken.uri(), taken.source);
        ensure!(taken.source == self.network.address("192.0.2.10", 5060)?, "it was to come from the proxy");
        ensure!(taken.uri().contains(DOMAIN), "the Request-URI was to keep the provider's host");
        Ok(())
    }

    fn call_by_line(&self) -> Result<()> {
        let binding = self.provider.bindings().of(AOR).context("Asterisk is not registered")?;
        self.show(self.provider.call(&Invitation::to_binding(&binding))).succeeded()?;
        self.say_logged("known by line= as provider")
    }

    fn call_by_header(&self) -> Result<()> {
        let uri = self.network.translated("sip:4930555@192.0.2.10");
        self.show(self.provider.call(&Invitation::to(&uri))).succeeded()?;
        self.say_logged("known by X-My-Account-Number as account")
    }

    fn say_logged(&self, words: &str) -> Result<()> {
        println!("  {}", self.paint.faint(&self.asterisk.logged(words)?));
        Ok(())
    }

    fn tables(&self) -> Result<()> {
        print!("{}\n{}", self.proxy.asked("trunks")?, self.proxy.asked("registrations")?);
        Ok(())
    }

    fn show(&self, ended: Ended) -> Ended {
        stage::show(&self.record, &ended.call_id, self.paint);
        ended
    }
}
