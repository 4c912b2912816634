//! `jackfield media`.

use std::io::{self, Write};

use super::status::show;
use super::table::{duration, number, printable, table};
use super::{Exit, Running};
use crate::admin::control::Request;
use crate::admin::{MediaStatus, RelayState, RelayStatus};

const HEAD: [&str; 8] = ["RELAY", "ADDRESS", "WEIGHT", "STATE", "SINCE", "QUESTIONS", "REFUSED", "UNANSWERED"];

pub(super) fn media(running: &Running, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::Media, text, out, err)
}

fn text(media: &MediaStatus) -> String {
    if media.relays.is_empty() {
        return "There is no media relay.\n".to_owned();
    }
    let mut text = table(&HEAD, &media.relays.iter().map(row).collect::<Vec<_>>());
    text.push_str(&format!("\ncalls ended     {}\n", number(media.deleted)));
    let troubles = [
        (media.undeleted, "calls whose end no relay could be told of: it ends them itself when no media comes"),
        (media.busy, "questions not put, because too many were open"),
        (media.late, "answers that came too late, or twice"),
        (media.malformed, "datagrams that are no answer"),
        (media.foreign, "answers from an address that was not asked"),
    ];
    for (count, what) in troubles.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("{:<15} {what}\n", number(count)));
    }
    text
}

fn row(relay: &RelayStatus) -> Vec<String> {
    let state = match relay.state {
        RelayState::Up => "up",
        RelayState::Down => "down",
    };
    let cells = [
        relay.name.clone(),
        relay.address.clone(),
        relay.weight.to_string(),
        state.to_owned(),
        duration(relay.since_seconds),
        number(relay.asked),
        number(relay.failed),
        number(relay.timed_out),
    ];
    cells.iter().map(|cell| printable(cell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_relay_is_a_row_and_only_troubles_that_there_were_are_told() {
        let relay = |name: &str, state, since_seconds| RelayStatus {
            name: name.into(),
            address: "192.0.2.9:22222".into(),
            weight: 1,
            state,
            since_seconds,
            asked: 12_345,
            failed: 1,
            timed_out: 7,
        };
        let relays = vec![relay("one", RelayState::Up, 3661), relay("two\u{1b}", RelayState::Down, 12)];
        let media = MediaStatus { relays, deleted: 4000, undeleted: 2, ..MediaStatus::default() };
        let expected = "\
RELAY  ADDRESS          WEIGHT  STATE  SINCE      QUESTIONS  REFUSED  UNANSWERED
one    192.0.2.9:22222  1       up     1 h 1 min  12,345     1        7
two\u{fffd}   192.0.2.9:22222  1       down   12 s       12,345     1        7

calls ended     4,000
2               calls whose end no relay could be told of: it ends them itself when no media comes
";
        assert_eq!(text(&media), expected);
        assert_eq!(text(&MediaStatus::default()), "There is no media relay.\n");
    }
}
