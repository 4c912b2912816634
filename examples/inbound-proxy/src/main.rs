//! Telephones in front of two PBXs: passwords, registrations, twenty calls that are shared out, and a PBX that falls silent.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use example_agents::ladder::{Paint, Record};
use example_agents::network::{Link, Network};
use example_agents::proxy::{Proxy, Start};
use example_agents::stage::{self, Steps};
use example_agents::{Account, Agent, Binding, Bindings, Ended, Invitation, Profile, Taken};

/// The cables of jackfield.toml.
const LINKS: &[Link] = &[
    Link { device: "wan", proxy: "192.0.2.10", far: &["192.0.2.101", "192.0.2.102", "192.0.2.103"] },
    Link { device: "lan", proxy: "10.0.0.1", far: &["10.0.0.21", "10.0.0.22"] },
];

const ALICE: &str = "sip:alice@example.test";
const NUMBER: &str = "sip:+4989123456@example.test";

/// Starts Jackfield between telephones and two PBXs, shows what it does, and goes on serving until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/inbound-proxy/run")]
struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::exit_code("inbound-proxy", Scene::set(&arguments.stage).and_then(|scene| scene.play(&arguments.stage)))
}

/// Everybody in the place.
struct Scene {
    alice: Agent,
    bob: Agent,
    mallory: Agent,
    pbxs: [Agent; 2],
    proxy: Proxy,
    record: Record,
    taken: Receiver<Taken>,
    paint: Paint,
    // Last, so that it goes last.
    _network: Network,
}

impl Scene {
    fn set(arguments: &stage::Arguments) -> Result<Self> {
        arguments.make_empty_scratch()?;
        let (network, record, paint) = (Network::make(LINKS)?, Record::default(), stage::paint());
        println!("{}.", network.description());
        let (tell, taken) = channel();
        let phone = |name: &str, address: &str, password: Option<&str>| phone(&network, &record, &tell, (name, address), password);
        let alice = phone("alice", "192.0.2.101", Some("wonderland"))?;
        let bob = phone("bob", "192.0.2.102", None)?;
        let mallory = phone("mallory", "192.0.2.103", Some("letmein"))?;
        let shared = Bindings::default();
        let pbx = |name: &str, address: &str| -> Result<Agent> {
            let profile = Profile::new(name, network.address(address, 5060)?, network.address("10.0.0.1", 5060)?);
            network.at("lan", || Agent::start(profile, record.clone(), tell.clone(), shared.clone()))?
        };
        let pbxs = [pbx("pbx-1", "10.0.0.21")?, pbx("pbx-2", "10.0.0.22")?];
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
        Ok(Self { alice, bob, mallory, pbxs, proxy, record, taken, paint, _network: network })
    }

    fn play(mut self, arguments: &stage::Arguments) -> Result<bool> {
        let mut steps = Steps::new(self.paint);
        steps.step("Bob has no password, and his call is refused", || self.refused(&self.bob));
        steps.step("Mallory guesses the password of alice, and is refused too", || self.refused(&self.mallory));
        steps.step("Alice has the right one: a PBX takes her call, and sees no credentials", || self.admitted());
        steps.step("A telephone registers", || self.registered());
        steps.step("A PBX asks whether the telephone is there, and calls it", || self.reached());
        steps.step("Twenty calls are shared out", || self.shared_out());
        steps.step("One PBX falls silent: no call is lost", || self.failed_over());
        steps.step("It is back, and takes calls again", || self.returned());
        steps.step("What the proxy says of its PBXs and registrations", || self.tables());
        let good = steps.verdict(&self.proxy);
        if !arguments.exit {
            println!("It goes on serving until Ctrl-C, with the probes of its PBXs. Its log: {}", self.proxy.log().display());
            stage::serve(&mut self.proxy, || ())?;
        }
        Ok(good)
    }

    fn refused(&self, phone: &Agent) -> Result<()> {
        let ended = self.show(phone.call(&Invitation::to(NUMBER)));
        ensure!(matches!(ended.status, Ok(407)), "it was to be answered with 407, and not with {:?}", ended.status);
        ensure!(self.taken.try_iter().next().is_none(), "a PBX has seen the call");
        Ok(())
    }

    fn admitted(&self) -> Result<()> {
        let ended = self.show(self.alice.call(&Invitation::to(NUMBER)));
        let taken = self.taker(&ended)?;
        println!("  taken by    {}", self.paint.good(&taken.callee));
        ensure!(taken.header("Proxy-Authorization").is_none(), "the credentials have been passed on");
        Ok(())
    }

    fn registered(&self) -> Result<()> {
        self.show(self.alice.register("sip:example.test", ALICE, "")).succeeded()?;
        let Binding { contact, path, .. } = self.binding()?;
        println!("  contact     {contact}\n  path        {}", path.join(", "));
        Ok(())
    }

    fn reached(&self) -> Result<()> {
        let [pbx, _] = &self.pbxs;
        self.show(pbx.qualify(&self.binding()?)).succeeded()?;
        let ended = self.show(pbx.call(&Invitation::to_binding(&self.binding()?)));
        let taken = self.taker(&ended)?;
        ensure!(taken.callee == "alice", "{} has taken the call", taken.callee);
        Ok(())
    }

    fn shared_out(&self) -> Result<()> {
        let (takers, _) = self.calls(20)?;
        println!("  {takers:?}");
        ensure!(takers.len() == 2, "one PBX has taken all of them");
        Ok(())
    }

    fn failed_over(&self) -> Result<()> {
        let [silent, _] = &self.pbxs;
        silent.fall_silent();
        let (takers, longest) = self.calls(8)?;
        println!("  {takers:?}, the longest wait for an answer was {} ms", longest.as_millis());
        ensure!(takers.keys().eq(["pbx-2"]), "pbx-2 was to take all of them");
        stage::until("a proxy that does not wait for the silent PBX", || {
            let (takers, longest) = self.calls(8).ok()?;
            (longest < Duration::from_millis(500)).then(|| println!("  {takers:?}, the longest wait was {} ms", longest.as_millis()))
        })
    }

    fn returned(&self) -> Result<()> {
        let [silent, _] = &self.pbxs;
        silent.wake();
        stage::until("a call at pbx-1", || {
            let (takers, _) = self.calls(4).ok()?;
            takers.contains_key("pbx-1").then(|| println!("  {takers:?}"))
        })
    }

    fn tables(&self) -> Result<()> {
        print!("{}\n{}", self.proxy.asked("trunks")?, self.proxy.asked("registrations")?);
        Ok(())
    }

    /// Places calls, one after the other. Who took how many, and the longest wait for an answer.
    fn calls(&self, count: usize) -> Result<(BTreeMap<String, usize>, Duration)> {
        let (mut takers, mut longest) = (BTreeMap::new(), Duration::ZERO);
        for _ in 0..count {
            let ended = self.alice.call(&Invitation::to(NUMBER));
            self.record.take(ended.call_id.as_bytes());
            longest = longest.max(ended.took);
            *takers.entry(self.taker(&ended)?.callee).or_default() += 1;
        }
        Ok((takers, longest))
    }

    fn binding(&self) -> Result<Binding> {
        let [pbx, _] = &self.pbxs;
        pbx.bindings().of(ALICE).context("alice is not registered at the PBXs")
    }

    fn show(&self, ended: Ended) -> Ended {
        stage::show(&self.record, &ended.call_id, self.paint);
        ended
    }

    /// Who took a call that has succeeded.
    fn taker(&self, ended: &Ended) -> Result<Taken> {
        ended.succeeded()?;
        self.taken.try_iter().find(|taken| taken.request.call_id() == ended.call_id.as_bytes()).context("nobody took the call")
    }
}

/// A telephone, which is alice's if it has a password.
fn phone(network: &Network, record: &Record, tell: &Sender<Taken>, (name, address): (&str, &str), password: Option<&str>) -> Result<Agent> {
    let mut profile = Profile::new(name, network.address(address, 5060)?, network.address("192.0.2.10", 5060)?);
    profile.route = Some(network.translated("sip:192.0.2.10;lr"));
    profile.account = password.map(|password| Account { user: "alice".to_owned(), password: password.to_owned() });
    network.at("wan", || Agent::start(profile, record.clone(), tell.clone(), Bindings::default()))?
}
