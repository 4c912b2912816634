//! A PBX, two providers, an interface for each: registrations through the proxy, calls both ways, and a cable that is cut.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use example_agents::ladder::{Paint, Record};
use example_agents::network::{Cut, Link, Network};
use example_agents::proxy::{Proxy, Start};
use example_agents::stage::{self, Steps};
use example_agents::{Account, Agent, Ended, Guard, Invitation, Profile, Taken};

/// The cables of jackfield.toml.
const LINKS: &[Link] = &[
    Link { device: "lan", proxy: "10.0.0.1", far: &["10.0.0.20"] },
    Link { device: "wan-a", proxy: "192.0.2.10", far: &["192.0.2.1"] },
    Link { device: "wan-b", proxy: "198.51.100.10", far: &["198.51.100.1"] },
];

/// A provider as the PBX knows it.
struct Provider {
    agent: Agent,
    domain: &'static str,
    /// The proxy's address on the provider's side.
    side: SocketAddr,
}

/// Starts Jackfield between a PBX and two providers, shows what it does, and goes on serving until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/outbound-proxy/run")]
struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::exit_code("outbound-proxy", Scene::set(&arguments.stage).and_then(|scene| scene.play(&arguments.stage)))
}

/// Everybody in the place.
struct Scene {
    pbx: Agent,
    alpha: Provider,
    beta: Provider,
    proxy: Proxy,
    record: Record,
    taken: Receiver<Taken>,
    paint: Paint,
    // Last, so that it goes last.
    network: Network,
}

impl Scene {
    fn set(arguments: &stage::Arguments) -> Result<Self> {
        arguments.make_empty_scratch()?;
        let (network, record, paint) = (Network::make(LINKS)?, Record::default(), stage::paint());
        println!("{}.", network.description());
        let (tell, taken) = channel();
        let pbx = pbx(&network, &record, &tell)?;
        let alpha = provider(&network, &record, &tell, ("alpha", "wan-a", "tel.alpha.example"), account("4930", "alpha's secret"))?;
        let beta = provider(&network, &record, &tell, ("beta", "wan-b", "sip.beta.example"), account("4940", "beta's secret"))?;
        let configuration = network.file(&arguments.folder.join("jackfield.toml"), &arguments.scratch)?;
        let start = Start {
            program: &arguments.program,
            configuration: &configuration,
            address: network.address("10.0.0.1", 5060)?,
            log: arguments.scratch.join("jackfield.log"),
            environment: &[("ALPHA_PASSWORD", "alpha's secret")],
        };
        let proxy = network.at_proxy(|| Proxy::start(&start))??;
        println!("{} serves with {}, log in {}", paint.strong("Jackfield"), configuration.display(), proxy.log().display());
        Ok(Self { pbx, alpha, beta, proxy, record, taken, paint, network })
    }

    fn play(mut self, arguments: &stage::Arguments) -> Result<bool> {
        let mut steps = Steps::new(self.paint);
        let Self { alpha, beta, .. } = &self;
        steps.step("The PBX registers at alpha; the proxy answers alpha's challenge", || self.register(alpha, "4930", ";line=qaz"));
        steps.step("The PBX registers at beta, by the other interface; it answers itself", || self.register(beta, "4940", ";line=wsx"));
        steps.step("A call out by alpha", || self.call_by(alpha, alpha).map(drop));
        steps.step("A call out by beta", || self.call_by(beta, beta).map(drop));
        steps.step("A call from alpha finds the PBX by its registration", || self.call_from(alpha, "4930", "qaz"));
        steps.step("A call from beta, too", || self.call_from(beta, "4940", "wsx"));
        steps.step("The cable to alpha is cut: a call for alpha goes out by beta", || self.cut());
        steps.step("The cable is back, and so are the calls", || self.mend());
        steps.step("What the proxy says of its trunks and registrations", || self.tables());
        let good = steps.verdict(&self.proxy);
        if !arguments.exit {
            println!("It goes on serving until Ctrl-C, with the probes of its trunks. Its log: {}", self.proxy.log().display());
            stage::serve(&mut self.proxy, || ())?;
        }
        Ok(good)
    }

    /// REGISTER through the proxy: it arrives by the provider's interface, with `line=` in its Contact.
    fn register(&self, provider: &Provider, user: &str, line: &str) -> Result<()> {
        let aor = format!("sip:{user}@{}", provider.domain);
        self.show(self.pbx.register(&format!("sip:{}", provider.domain), &aor, line))?.succeeded()?;
        let binding = provider.agent.bindings().of(&aor).context("the provider has no binding")?;
        println!("  came from   {}\n  contact     {}\n  path        {}", binding.source, binding.contact, binding.path.join(", "));
        ensure!(binding.source == provider.side, "it was to come from {}", provider.side);
        ensure!(binding.contact.contains(line), "the Contact has lost {line}");
        Ok(())
    }

    /// A call that is meant for one provider, and has to be taken by `taker`.
    fn call_by(&self, meant: &Provider, taker: &Provider) -> Result<Ended> {
        let uri = format!("sip:+4989123456@{}", meant.domain);
        let ended = self.show(self.pbx.call(&Invitation::to(&uri)))?;
        ended.succeeded()?;
        let taken = self.taken_under(&ended.call_id)?;
        println!("  taken by    {}, from {}", self.paint.good(&taken.callee), taken.source);
        println!("  arrived as  {}, X-Customer: {}", taken.uri(), taken.header("X-Customer").unwrap_or_else(|| "(none)".to_owned()));
        ensure!(taken.source == taker.side, "it was to come from {}", taker.side);
        Ok(ended)
    }

    /// A call to who has registered.
    fn call_from(&self, provider: &Provider, user: &str, line: &str) -> Result<()> {
        let aor = format!("sip:{user}@{}", provider.domain);
        let binding = provider.agent.bindings().of(&aor).context("the provider has no binding")?;
        let ended = self.show(provider.agent.call(&Invitation::to_binding(&binding)))?;
        ended.succeeded()?;
        let taken = self.taken_under(&ended.call_id)?;
        println!("  taken by    {}\n  arrived as  {}", self.paint.good(&taken.callee), taken.uri());
        ensure!(taken.callee == "pbx" && taken.uri().contains(&format!("line={line}")), "it was to come to the PBX with line={line}");
        Ok(())
    }

    fn cut(&self) -> Result<()> {
        match self.network.cut("wan-a")? {
            Cut::Down => println!("  ip link set wan-a down"),
            Cut::Pretended => self.alpha.agent.fall_silent(),
        }
        let ended = self.call_by(&self.alpha, &self.beta)?;
        println!("  answered    {} ms after the call was placed", ended.took.as_millis());
        Ok(())
    }

    fn mend(&self) -> Result<()> {
        if self.network.mend("wan-a")? == Cut::Down {
            println!("  ip link set wan-a up");
        }
        self.alpha.agent.wake();
        let uri = format!("sip:+4989123456@{}", self.alpha.domain);
        stage::until("a call by alpha", || {
            let ended = self.pbx.call(&Invitation::to(&uri));
            let back = self.taken_under(&ended.call_id).is_ok_and(|taken| taken.callee == "alpha");
            let steps = self.record.take(ended.call_id.as_bytes());
            back.then(|| print!("{}", example_agents::ladder::draw(&steps, self.paint)))
        })
    }

    fn tables(&self) -> Result<()> {
        print!("{}\n{}", self.proxy.asked("trunks")?, self.proxy.asked("registrations")?);
        Ok(())
    }

    fn show(&self, ended: Ended) -> Result<Ended> {
        stage::show(&self.record, &ended.call_id, self.paint);
        Ok(ended)
    }

    fn taken_under(&self, call_id: &str) -> Result<Taken> {
        self.taken.try_iter().find(|taken| taken.request.call_id() == call_id.as_bytes()).context("nobody took the call")
    }
}

fn account(user: &str, password: &str) -> Account {
    Account { user: user.to_owned(), password: password.to_owned() }
}

/// The PBX: it sends everything to the proxy, and knows the password of beta.
fn pbx(network: &Network, record: &Record, tell: &Sender<Taken>) -> Result<Agent> {
    let mut profile = Profile::new("pbx", network.address("10.0.0.20", 5060)?, network.address("10.0.0.1", 5060)?);
    profile.identity = "sip:4930@tel.alpha.example".to_owned();
    profile.route = Some(network.translated("sip:10.0.0.1;lr"));
    profile.account = Some(account("4940", "beta's secret"));
    network.at("lan", || Agent::start(profile, record.clone(), tell.clone(), Default::default()))?
}

/// A provider: it asks everybody for credentials, and keeps registrations.
fn provider(
    network: &Network,
    record: &Record,
    tell: &Sender<Taken>,
    (name, device, domain): (&str, &str, &'static str),
    account: Account,
) -> Result<Provider> {
    let link = LINKS.iter().find(|link| link.device == device).context("there is no such link")?;
    let (side, address) = (network.address(link.proxy, 5060)?, network.address(link.far.first().context("nobody is there")?, 5060)?);
    let mut profile = Profile::new(name, address, side);
    profile.guard = Some(Guard { realm: domain.to_owned(), account });
    let agent = network.at(device, || Agent::start(profile, record.clone(), tell.clone(), Default::default()))??;
    Ok(Provider { agent, domain, side })
}
