//! The options of a provider, one per line.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jackfield_proto::net::Transport;
use jackfield_proto::proxy::ContactPolicy;

use super::fault::nearest;

/// All names of options.
pub const OPTIONS: [&str; 8] = ["transport", "port", "egress", "contact", "fallback", "response-timeout", "answer-timeout", "calls"];

/// So many fallbacks may one provider have.
pub const MAX_FALLBACKS: usize = 8;

const RESPONSE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(32);
const ANSWER_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// What the options of a provider say; `port` is in the URI of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `transport`: it is forced on what goes to the provider.
    pub transport: Option<Transport>,
    /// `egress`: name of the listener to send from.
    pub egress: Option<Arc<str>>,
    /// `contact`: what becomes of the Contact of a REGISTER.
    pub contact: Option<ContactPolicy>,
    /// `fallback`: providers or names of trunks, in the order to try them; the option may be there several times.
    pub fallback: Vec<Arc<str>>,
    /// `response-timeout`: how long to wait for any response.
    pub response_timeout: Option<Duration>,
    /// `answer-timeout`: how long to wait for the final response to an INVITE.
    pub answer_timeout: Option<Duration>,
    /// `calls`: how many at the same time.
    pub calls: Option<u32>,
}

/// What is wrong with options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The index of the line and the message, in the order of the lines.
    pub(super) told: Vec<(usize, String)>,
    /// How many more there are.
    pub(super) more: usize,
}

/// The options, the port, and what is wrong; of that, no more than `room` is told.
pub(super) fn read(text: &str, room: usize) -> (Options, Option<u16>, Wrong) {
    let (mut options, mut port, mut wrong) = (Options::default(), None, Wrong::default());
    // The line of each option. One that may be there several times has none.
    let mut seen = [None; OPTIONS.len()];
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let fault = match line.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            None => Err(format!("`{line}` is no option; write it like \"transport=tcp\"")),
            Some((name, value)) => match OPTIONS.iter().zip(&mut seen).find(|(known, _)| **known == name) {
                // What nobody will read is not thought about.
                None if wrong.told.len() >= room => Err(String::new()),
                None => Err(unknown(name)),
                Some((_, Some(first))) => Err(format!("`{name}` is already in line {}; remove one", *first + 1)),
                Some((_, place)) => {
                    *place = (name != "fallback").then_some(index);
                    apply(name, value, &mut options, &mut port)
                }
            },
        };
        match fault {
            Err(message) if wrong.told.len() < room => wrong.told.push((index, message)),
            Err(_) => wrong.more += 1,
            Ok(()) => {}
        }
    }
    (options, port, wrong)
}

fn unknown(name: &str) -> String {
    match nearest(name, &OPTIONS) {
        Some(near) => format!("unknown option `{name}`; did you mean `{near}`?"),
        None => format!("unknown option `{name}`; known are {}", OPTIONS.join(", ")),
    }
}

fn apply(name: &str, value: &str, options: &mut Options, port: &mut Option<u16>) -> Result<(), String> {
    match name {
        "transport" => {
            let known = || format!("transport `{value}` is not known; write udp, tcp, tls, ws or wss");
            options.transport = Some(Transport::from_name(value.as_bytes()).ok_or_else(known)?);
        }
        "port" => *port = Some(number(name, value, 1..=u16::MAX)?),
        "egress" => options.egress = Some(word(name, value, "the name of a listener")?),
        "contact" => {
            options.contact = Some(match value {
                "keep" => ContactPolicy::Kept,
                "token" => ContactPolicy::Token,
                "token-without-path" => ContactPolicy::TokenWithoutPath,
                _ => return Err(format!("contact `{value}` is not known; write keep, token or token-without-path")),
            });
        }
        "fallback" => {
            let fallback = word(name, value, "a provider or the name of a trunk")?;
            if options.fallback.len() == MAX_FALLBACKS {
                return Err(format!("more than {MAX_FALLBACKS} fallbacks; remove some"));
            }
            if options.fallback.contains(&fallback) {
                return Err(format!("the fallback `{fallback}` is here twice; remove one"));
            }
            options.fallback.push(fallback);
        }
        "response-timeout" => options.response_timeout = Some(time(name, value, RESPONSE_TIMEOUT)?),
        "answer-timeout" => options.answer_timeout = Some(time(name, value, ANSWER_TIMEOUT)?),
        _ => options.calls = Some(number(name, value, 1..=1_000_000)?),
    }
    Ok(())
}

fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(name: &str, value: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let wanted = || format!("{name} `{value}` is out of range; write a number from {} to {}", range.start(), range.end());
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(wanted)
}

/// A name: no whitespace, no control characters, and not endless.
fn word(name: &str, value: &str, wanted: &str) -> Result<Arc<str>, String> {
    let good = (1..=253).contains(&value.len()) && !value.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if good { Ok(value.into()) } else { Err(format!("{name} `{value}` is no name; write {wanted}")) }
}

/// A whole number with `ms`, `s` or `m` behind it.
fn time(name: &str, value: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let digits = value.len() - value.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let parts = value.split_at_checked(digits).and_then(|(number, unit)| Some((number.parse::<u64>().ok()?, unit.trim_start())));
    let time = parts.and_then(|(number, unit)| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    });
    let time = time.ok_or_else(|| format!("{name} `{value}` is no time; write a whole number and a unit (ms, s, m), like 2s"))?;
    if range.contains(&time) {
        return Ok(time);
    }
    Err(format!("{name} `{value}` is out of range; write {:?} to {:?}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_space_do_not_count() {
        let text = "\n  transport = TCP \r\n\n\tport=5070\negress=wan\ncontact=token\nfallback=b.example\nfallback=second\nresponse-timeout=1500 ms\nanswer-timeout=1m\ncalls=30\n";
        let (options, port, wrong) = read(text, 50);
        assert_eq!(wrong, Wrong::default());
        assert_eq!(port, Some(5070));
        let expected = Options {
            transport: Some(Transport::Tcp),
            egress: Some("wan".into()),
            contact: Some(ContactPolicy::Token),
            fallback: vec!["b.example".into(), "second".into()],
            response_timeout: Some(Duration::from_millis(1500)),
            answer_timeout: Some(Duration::from_secs(60)),
            calls: Some(30),
        };
        assert_eq!(options, expected);
        assert_eq!(read("", 50), (Options::default(), None, Wrong::default()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, index, message) in [
            ("\ntransprt=tcp\n", 1, "unknown option `transprt`; did you mean `transport`?"),
            ("Transport=tcp", 0, "unknown option `Transport`; did you mean `transport`?"),
            (
                "colour=red",
                0,
                "unknown option `colour`; known are transport, port, egress, contact, fallback, response-timeout, answer-timeout, calls",
            ),
            ("transport", 0, "`transport` is no option; write it like \"transport=tcp\""),
            ("transport=sctp", 0, "transport `sctp` is not known; write udp, tcp, tls, ws or wss"),
            ("port=1\n\nport=1", 2, "`port` is already in line 1; remove one"),
            ("port=0", 0, "port `0` is out of range; write a number from 1 to 65535"),
            ("port=65536", 0, "port `65536` is out of range; write a number from 1 to 65535"),
            ("calls=-1", 0, "calls `-1` is out of range; write a number from 1 to 1000000"),
            ("egress=", 0, "egress `` is no name; write the name of a listener"),
            ("egress=a b", 0, "egress `a b` is no name; write the name of a listener"),
            ("contact=drop", 0, "contact `drop` is not known; write keep, token or token-without-path"),
            ("fallback=a\nfallback=a", 1, "the fallback `a` is here twice; remove one"),
            ("response-timeout=2", 0, "response-timeout `2` is no time; write a whole number and a unit (ms, s, m), like 2s"),
            (
                "response-timeout=99999999999999999999s",
                0,
                "response-timeout `99999999999999999999s` is no time; write a whole number and a unit (ms, s, m), like 2s",
            ),
            ("answer-timeout=61m", 0, "answer-timeout `61m` is out of range; write 1s to 3600s"),
            ("response-timeout=33s", 0, "response-timeout `33s` is out of range; write 50ms to 32s"),
        ] {
            assert_eq!(read(text, 50).2, Wrong { told: vec![(index, message.to_owned())], more: 0 }, "{text:?}");
        }
        let fallbacks: String = (0..=MAX_FALLBACKS).map(|number| format!("fallback=h{number}\n")).collect();
        assert_eq!(read(&fallbacks, 50).2.told, [(MAX_FALLBACKS, "more than 8 fallbacks; remove some".to_owned())]);
    }

    #[test]
    fn no_more_is_told_than_there_is_room_for() {
        let wrong = read("x\nport=0\ntransprt=tcp\nport=1\n", 2).2;
        let messages: Vec<_> = wrong.told.iter().map(|(index, _)| *index).collect();
        assert_eq!((messages, wrong.more), (vec![0, 1], 2));
        assert_eq!(read("x\ny=1", 0).2, Wrong { told: vec![], more: 2 });
    }
}
