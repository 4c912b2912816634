//! `jackfield simulate`: what would become of messages.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use jackfield_trunk::registrations::UnixTime;

use super::{Exit, load};
use crate::simulate::{Comparison, Failure, Failures, Format, Options, Outcome, Records, SimulateError, failure, simulate, status};

pub(super) const HELP: &str = "\
Nothing is sent, no socket is opened, and no name server is asked. The plugins,
the core and the rules of the configuration are those that would run.
The clock stands still until something has to be waited for.

An input is a file with one SIP message (LF for CRLF will do), a directory of
them, or a capture (pcap, pcapng) of the traffic of a running router. Of a
capture, what came to the listeners comes in again, at its times. A capture has
to be whole, in clear, and begin when no call was up.

With --compare, what the router has sent in a capture is compared octet by
octet, with where to and, as far as it is seen, from which listener. Forgiven is
what a router makes up, where it stands: branches, its own To tags, tokens,
nonces, and its cnonce with what is signed by it. What was one value has to stay
one, and what was two, two. Repeats are not compared: what leaves again
unchanged counts once, however often and whenever it does. Where a media relay
would be asked for a call, the addresses, ports and ICE of its session
descriptions are not compared, and the end says in how many messages.

Plugins have the tables of the configuration, buckets in memory that begin
empty, what the simulated router knows, and the names of --dns. Their timers do
not run, and no HTTP server is asked. There are no limits of sources, all
trunks are up at the beginning, nothing is registered, and bodies stay as they
came. Of a digest the password is checked, with whatever nonce it was made for:
who has logged in to the captured router is let in here too.

  jackfield simulate jackfield.toml invite.sip --dns zone --fail 503@1 --answer 200
  jackfield simulate jackfield.toml yesterday.pcap --compare > now.txt

Exit status:
  0  everything was decided, and is as expected
  1  a plugin failed, or something is not as expected
  2  the arguments are wrong, or a file cannot be read
  3  it cannot be simulated, as a plugin cannot be loaded for one";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration, a TOML file
    pub(super) config: PathBuf,
    /// A message file, a directory of them, or a capture
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// What an attempt gets, counted from 1 for each message: a status, `timeout` or `transport`; may be repeated
    #[arg(long = "fail", value_name = "WHAT@ATTEMPT", value_parser = failure)]
    failures: Vec<(u32, Failure)>,
    /// What all other attempts get [default: nothing comes back]
    #[arg(long, value_name = "STATUS", value_parser = status)]
    answer: Option<u16>,
    /// What name servers say, in lines like those of a zone: NAME TYPE VALUE
    #[arg(long, value_name = "FILE")]
    dns: Option<PathBuf>,
    /// When it begins [default: the first packet of a capture, else 2025-01-01T12:00:00Z]
    #[arg(long, value_name = "RFC 3339", value_parser = time)]
    time: Option<UnixTime>,
    /// Print a JSON object in each line
    #[arg(long)]
    json: bool,
    /// Take the messages of this call alone
    #[arg(long, value_name = "CALL-ID")]
    only: Option<String>,
    /// Who sends what is in message files [default: 192.0.2.1:5060]
    #[arg(long, value_name = "IP:PORT")]
    from: Option<SocketAddr>,
    /// The listener that it comes to [default: the first one for the transport of its Via]
    #[arg(long, value_name = "LISTENER")]
    to: Option<String>,
    /// Where a listener is, instead of where the configuration says; may be repeated
    #[arg(long = "address", value_name = "LISTENER=IP[:PORT]", value_parser = address)]
    addresses: Vec<(String, IpAddr, Option<u16>)>,
    /// Compare with what the router has sent in the capture; a difference is exit status 1
    #[arg(long)]
    compare: bool,
    /// A file with the output that is expected
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
}

fn time(text: &str) -> Result<UnixTime, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{error}; write it like 2026-01-31T08:00:00Z"))?;
    u64::try_from(time.as_millisecond()).map(UnixTime).map_err(|_| "that is before 1970".to_owned())
}

fn address(text: &str) -> Result<(String, IpAddr, Option<u16>), String> {
    let (name, place) = text.split_once('=').ok_or("write it like lan=192.0.2.1 or lan=192.0.2.1:5060")?;
    let whole = place.parse::<SocketAddr>().map(|address| (address.ip(), Some(address.port())));
    let (ip, port) = whole.or_else(|_| place.parse().map(|ip| (ip, None))).map_err(|_| format!("`{place}` is no address"))?;
    Ok((name.to_owned(), ip, port))
}

pub(super) fn run(arguments: Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let config = match load(&arguments.config, err)? {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let records = match arguments.dns.as_deref().map(Records::read).transpose() {
        Ok(records) => records.unwrap_or_default(),
        Err(error) => {
            writeln!(err, "jackfield: {error}")?;
            return Ok(Exit::Usage);
        }
    };
    let options = Options {
        inputs: arguments.input,
        failures: Failures { attempts: arguments.failures, others: arguments.answer },
        records,
        time: arguments.time,
        only: arguments.only,
        from: arguments.from,
        to: arguments.to,
        addresses: arguments.addresses,
        format: if arguments.json { Format::Json } else { Format::Text },
        comparison: if arguments.compare { Comparison::Wanted } else { Comparison::None },
        expected: arguments.expect,
    };
    match simulate(config, &options, out, err) {
        Ok(Outcome::Good) => Ok(Exit::Good),
        Ok(Outcome::Bad) => Ok(Exit::Invalid),
        Err(SimulateError::Io(error)) => Err(error),
        Err(error @ (SimulateError::Usage(_) | SimulateError::Input { .. })) => {
            writeln!(err, "jackfield: {error}")?;
            Ok(Exit::Usage)
        }
        Err(SimulateError::Stage(error)) => super::failed(&error, err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_times_are_read_as_people_write_them() {
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(address("lan=192.0.2.1"), Ok(("lan".into(), ip, None)));
        assert_eq!(address("lan=192.0.2.1:5080"), Ok(("lan".into(), ip, Some(5080))));
        assert!(address("192.0.2.1").is_err() && address("lan=here").is_err());
        assert_eq!(time("2025-01-01T12:00:00Z"), Ok(crate::simulate::NOON));
        assert!(time("yesterday").is_err());
    }
}
