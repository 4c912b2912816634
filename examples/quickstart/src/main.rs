//! The quickstart: a proxy on this machine, three calls through its plugins, and then your own experiments.

mod demonstration;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use clap::Parser;
use example_agents::ladder::{self, Paint, Record};
use example_agents::proxy::{Proxy, Start};
use example_agents::stage;
use example_agents::{Agent, Ended, Invitation, Profile, Taken};

use demonstration::{ALL, Demonstration};
use settings::Settings;

/// Starts Jackfield on 127.0.0.1, carries three calls through its plugins, and goes on serving until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "run", bin_name = "examples/quickstart/run")]
struct Arguments {
    #[command(flatten)]
    stage: stage::Arguments,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Place one of the calls again, through the example that is running in another terminal
    Call {
        /// header, line or option; or a SIP URI of your own
        what: String,
        /// A further header field of a call to a URI of your own
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let paint = stage::paint();
    let done = match &arguments.command {
        Some(Verb::Call { what, headers }) => place_again(&arguments.stage, what, headers, paint),
        None => demonstrate(&arguments.stage, paint),
    };
    stage::exit_code("quickstart", done)
}

/// The file that tells another terminal with which configuration the example runs.
fn running(scratch: &Path) -> PathBuf {
    scratch.join("running")
}

fn demonstrate(arguments: &stage::Arguments, paint: Paint) -> Result<bool> {
    arguments.make_scratch()?;
    let shipped = arguments.folder.join("jackfield.toml");
    let settings = Settings::prepare(&shipped, &arguments.scratch.join("jackfield.toml"))?;
    let record = Record::default();
    let (tell, taken) = channel();
    for (name, address) in &settings.callees {
        Agent::start(Profile::new(name, *address, settings.proxy), record.clone(), tell.clone(), Default::default())?;
    }
    let log = arguments.scratch.join("jackfield.log");
    let start = Start { program: &arguments.program, configuration: &settings.file, address: settings.proxy, log, environment: &[] };
    let mut proxy = Proxy::start(&start)?;
    println!("{} serves on {} (UDP and TCP) with {}", paint.strong("Jackfield"), settings.proxy, settings.file.display());
    let caller = caller(&settings, &record)?;
    let mut good = true;
    for (number, demonstration) in ALL.iter().enumerate() {
        println!("\n{}", paint.strong(&format!("Call {}: {}", number + 1, demonstration.title)));
        if let Err(error) = carry(demonstration, &caller, &record, &taken, paint) {
            good = false;
            println!("{} {error:#}\nThe end of the proxy's log:\n{}", paint.bad("This call failed:"), proxy.log_tail());
        }
    }
    let verdict = if good { paint.good("All three calls went their way.") } else { paint.bad("Not all calls went their way.") };
    println!("\n{verdict}");
    if arguments.exit {
        return Ok(good);
    }
    std::fs::write(running(&arguments.scratch), settings.file.as_os_str().as_encoded_bytes())?;
    print_hints(&settings, &proxy, paint);
    let served = serve(&mut proxy, &record, &taken, paint);
    // The next run writes it anew.
    let _ = std::fs::remove_file(running(&arguments.scratch));
    served.map(|()| good)
}

/// An agent on a port of its own, which is not called itself.
fn caller(settings: &Settings, record: &Record) -> Result<Agent> {
    let profile = Profile::new("caller", "127.0.0.1:0".parse()?, settings.proxy);
    Agent::start(profile, record.clone(), channel().0, Default::default())
}

fn call(caller: &Agent, uri: &str, headers: &[(&str, &str)]) -> Ended {
    caller.call(&headers.iter().fold(Invitation::to(uri), |invitation, (name, value)| invitation.with(name, value)))
}

fn carry(demonstration: &Demonstration, caller: &Agent, record: &Record, taken: &Receiver<Taken>, paint: Paint) -> Result<()> {
    println!("  asked for   {}", demonstration.uri);
    for (name, value) in demonstration.headers {
        println!("  with        {name}: {value}");
    }
    let ended = call(caller, demonstration.uri, demonstration.headers);
    let call_id = &ended.call_id;
    let arrived = taken.try_iter().find(|arrived| arrived.request.call_id() == call_id.as_bytes());
    let steps = record.take(call_id.as_bytes());
    if let Some(arrived) = &arrived {
        println!("  route taken {} -> {} at {}", demonstration.plugin, paint.good(&arrived.callee), arrived.address);
        println!("  arrived as  {}", arrived.uri());
        for (name, _) in demonstration.arrives_with.iter().filter(|(name, _)| !name.is_empty()) {
            println!("  with        {name}: {}", arrived.header(name).unwrap_or_else(|| "(absent)".to_owned()));
        }
    }
    print!("\n{}", ladder::draw(&steps, paint));
    ended.succeeded()?;
    demonstration.check(&arrived.context("no callee took the call")?)
}

fn place_again(arguments: &stage::Arguments, what: &str, headers: &[String], paint: Paint) -> Result<bool> {
    let file = std::fs::read_to_string(running(&arguments.scratch))
        .context("the example is not running; start it with examples/quickstart/run")?;
    let settings = Settings::of_running(Path::new(file.trim()))?;
    let record = Record::default();
    let caller = caller(&settings, &record)?;
    let own: Vec<(&str, &str)> = headers
        .iter()
        .map(|line| line.split_once(':').map(|(n, v)| (n.trim(), v.trim())).context("a header field is `Name: value`"))
        .collect::<Result<_>>()?;
    let ended = if what.starts_with("sip:") {
        call(&caller, what, &own)
    } else {
        let demonstration = Demonstration::named(what)?;
        call(&caller, demonstration.uri, &[demonstration.headers, &own].concat())
    };
    stage::show(&record, &ended.call_id, paint);
    println!("{}", paint.faint("The other half of the ladder is in the terminal where the example runs."));
    ended.succeeded().map(|()| true)
}

fn print_hints(settings: &Settings, proxy: &Proxy, paint: Paint) {
    let file = settings.file.display();
    println!(
        "\nIt goes on serving until Ctrl-C. Now change something:\n\n\
         {}\n  edit     {file}   (let account 12345678 go to the office)\n  tell it  kill -HUP {}\n\n\
         {}\n  edit     plugins/header-match/src/lib.rs\n  rebuild  plugins/build header-match\n\n\
         {}\n  call     examples/quickstart/run call header    (or line, option, or a SIP URI)\n  its log  {}\n",
        paint.strong("The configuration"),
        proxy.pid(),
        paint.strong("A plugin (the running proxy takes up the new file by itself)"),
        paint.strong("And see the next call take the new way"),
        proxy.log().display(),
    );
}

/// Shows the calls of other terminals until Ctrl-C, SIGTERM or the proxy's own end: each half a second after its INVITE, when its BYE has
/// passed too.
fn serve(proxy: &mut Proxy, record: &Record, taken: &Receiver<Taken>, paint: Paint) -> Result<()> {
    let mut shown = Vec::new();
    stage::serve(proxy, || {
        for arrived in std::mem::take(&mut shown) {
            show_arrival(&arrived, record, paint);
        }
        shown.extend(taken.try_iter());
    })
}

fn show_arrival(arrived: &Taken, record: &Record, paint: Paint) {
    println!("{} took {}", paint.good(&arrived.callee), arrived.uri());
    print!("{}", ladder::draw(&record.take(arrived.request.call_id()), paint));
}
