//! `jackfield explain`: the timeline of one call.

use std::io::{self, Write};

use clap::Args;

use super::status::show;
use super::table::{number, printable};
use super::{Exit, Running};
use crate::admin::control::Request;
use crate::plugin::trace::{Event, Sought, Timeline, TimelinesStatus};

/// Calls that `--on` keeps where it does not say how many.
const KEEP: &str = "1000";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The Call-ID, or the beginning of it
    #[arg(value_name = "CALL-ID", required_unless_present_any = ["on", "off", "status"])]
    call_id: Option<String>,
    /// Keep the timelines of the last N calls from now on [default: 1000]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = KEEP, conflicts_with_all = ["off", "status", "call_id"])]
    on: Option<usize>,
    /// Keep none from now on
    #[arg(long, conflicts_with_all = ["status", "call_id"])]
    off: bool,
    /// Say how many are kept
    #[arg(long, conflicts_with = "call_id")]
    status: bool,
    #[command(flatten)]
    running: Running,
}

pub(super) fn explain(arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    let Arguments { call_id, on, off, running, .. } = arguments;
    let keep = if *off { Some(0) } else { *on };
    match call_id {
        None => show(running, Request::Timelines { keep }, status_text, out, err),
        Some(call_id) => {
            let mut found = true;
            let request = Request::Explain { call_id: call_id.clone() };
            let exit = super::status::show_with(running, request, &mut |sought| sought_text(sought, &mut found), out, err)?;
            Ok(if found || exit != Exit::Good { exit } else { Exit::Invalid })
        }
    }
}

fn status_text(status: &TimelinesStatus) -> String {
    if status.keep == 0 {
        return "No timelines are kept. Keep those of calls from now on with `jackfield explain --on`.\n".to_owned();
    }
    let (keep, calls, events) = (number(status.keep as u64), number(status.calls as u64), number(status.events as u64));
    format!("The timelines of the last {keep} calls are kept: {calls} calls with {events} events now, {} have gone.\n", number(status.gone))
}

fn sought_text(sought: &Sought, found: &mut bool) -> String {
    *found = matches!(sought, Sought::Found(_));
    match sought {
        Sought::Found(timeline) => timeline_text(timeline),
        Sought::Several(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("  {}\n", printable(name))).collect();
            format!("Several calls begin so; write more of the Call-ID:\n{}", names.concat())
        }
        Sought::None(TimelinesStatus { keep: 0, .. }) => {
            "Nothing is known of this call: no timelines are kept. Keep those of calls from now on with `jackfield explain --on`.\n"
                .to_owned()
        }
        Sought::None(status) => format!(
            "Nothing is known of this call. It came before timelines were kept, has made room for later calls ({} have; {} are kept), went \
             elsewhere, or has another Call-ID.\n",
            number(status.gone),
            number(status.keep as u64),
        ),
    }
}

/// One line for each event, with the time since the first.
fn timeline_text(timeline: &Timeline) -> String {
    let mut text = format!("Call-ID {}\n", printable(&timeline.call_id));
    let mut sent: Vec<(&str, &str, u64)> = Vec::new();
    for happened in &timeline.events {
        let (seconds, millis) = (happened.at_us / 1_000_000, happened.at_us / 1000 % 1000);
        let after = match &happened.event {
            Event::Sent { cseq, to, .. } => {
                let again = sent.iter().any(|(old_cseq, old_to, _)| old_cseq == cseq && old_to == to);
                sent.push((cseq, to, happened.at_us));
                if again && happened.event.to_string().contains("timer") { " (again)".to_owned() } else { String::new() }
            }
            Event::Received { cseq, from, start, .. } if start.starts_with("SIP/2.0") => {
                let request = sent.iter().find(|(old_cseq, to, _)| old_cseq == cseq && to == from);
                request.map(|(.., at)| format!(" ({} ms after the request)", happened.at_us.saturating_sub(*at) / 1000)).unwrap_or_default()
            }
            _ => String::new(),
        };
        text.push_str(&format!("{seconds:>5}.{millis:03}  {}{after}\n", happened.event));
    }
    if timeline.left_out > 0 {
        text.push_str(&format!("           and {} events more, which are not kept\n", number(timeline.left_out)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::trace::{Happened, Trigger};

    fn sent(at_us: u64, trigger: Trigger) -> Happened {
        let event = Event::Sent {
            start: "INVITE sip:1@b SIP/2.0".into(),
            cseq: "1 INVITE".into(),
            to: "192.0.2.2:5060".into(),
            transport: "udp".into(),
            egress: "wan".into(),
            trigger,
        };
        Happened { at_us, event }
    }

    #[test]
    fn a_timeline_says_when_what_happened() {
        let answer = Event::Received {
            start: "SIP/2.0 200 OK".into(),
            cseq: "1 INVITE".into(),
            from: "192.0.2.2:5060".into(),
            transport: "udp".into(),
            listener: "wan".into(),
        };
        let events = vec![sent(1500, Trigger::Message), sent(501_500, Trigger::Timer), Happened { at_us: 1_601_600, event: answer }];
        let timeline = Timeline { call_id: "c\u{1b}".into(), events, left_out: 3, ..Timeline::default() };
        let expected = "\
Call-ID c\u{fffd}
    0.001  sent INVITE sip:1@b to udp 192.0.2.2:5060 from [wan]
    0.501  sent INVITE sip:1@b to udp 192.0.2.2:5060 from [wan], as a timer ran out (again)
    1.601  received 200 OK (INVITE) from udp 192.0.2.2:5060 at [wan] (1600 ms after the request)
           and 3 events more, which are not kept
";
        assert_eq!(timeline_text(&timeline), expected);
    }

    #[test]
    fn a_call_that_is_not_known_may_have_several_reasons() {
        let mut found = true;
        assert!(sought_text(&Sought::None(TimelinesStatus::default()), &mut found).contains("--on"));
        assert!(!found);
        let some = TimelinesStatus { keep: 5, gone: 7, ..TimelinesStatus::default() };
        assert!(sought_text(&Sought::None(some), &mut found).contains("7 have; 5 are kept"));
        assert!(sought_text(&Sought::Several(vec!["a".into(), "b".into()]), &mut found).contains("  a\n  b\n"));
    }
}
