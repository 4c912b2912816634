//! `jackfield trunks`.

use std::io::{self, Write};

use super::status::show;
use super::table::{duration, number, printable, table};
use super::{Exit, Running};
use crate::admin::control::Request;
use crate::admin::{TrunkStatus, WayState, WayStatus};

const HEAD: [&str; 9] = ["TRUNK", "WAY", "EGRESS", "STATE", "SINCE", "REASON", "CALLS", "REGISTRATIONS", "LAST ANSWER"];

pub(super) fn trunks(running: &Running, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::Trunks, |trunks: &Vec<TrunkStatus>| text(trunks), out, err)
}

fn text(trunks: &[TrunkStatus]) -> String {
    if trunks.is_empty() {
        return "There is no trunk.\n".to_owned();
    }
    let rows: Vec<Vec<String>> =
        trunks.iter().flat_map(|trunk| trunk.ways.iter().enumerate().map(|(index, way)| row(trunk, index, way))).collect();
    table(&HEAD, &rows)
}

/// A way. What is the trunk's stands with the first of them.
fn row(trunk: &TrunkStatus, index: usize, way: &WayStatus) -> Vec<String> {
    let of_trunk = |text: String| if index == 0 { text } else { String::new() };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match way.state {
        WayState::Up => "up",
        WayState::Suspect => "suspect",
        WayState::Down => "down",
    };
    let calls = match trunk.calls_limit {
        Some(limit) => format!("{} of {}", number(trunk.calls.into()), number(limit.into())),
        None => number(trunk.calls.into()),
    };
    let egress = match (&way.egress, &way.transport) {
        (Some(egress), Some(transport)) => format!("{egress}/{transport}"),
        (Some(only), None) | (None, Some(only)) => only.clone(),
        (None, None) => "-".to_owned(),
    };
    let cells = [
        of_trunk(trunk.name.clone()),
        way.way.clone(),
        egress,
        state.to_owned(),
        duration(way.since_seconds),
        or_dash(way.reason.clone()),
        of_trunk(calls),
        of_trunk(number(trunk.registrations)),
        or_dash(way.last_answer_seconds.map(|seconds| format!("{} ago", duration(seconds)))),
    ];
    cells.iter().map(|cell| printable(cell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_a_row() {
        let up = WayStatus {
            way: "sip:px1;lr".into(),
            egress: Some("wan".into()),
            transport: Some("tcp".into()),
            since_seconds: 3661,
            last_answer_seconds: Some(7),
            ..WayStatus::default()
        };
        let down = WayStatus {
            way: "sip:px2;lr\u{1b}".into(),
            egress: Some("lte".into()),
            state: WayState::Down,
            since_seconds: 12,
            reason: Some("no answer for 2s".into()),
            ..WayStatus::default()
        };
        let telekom = TrunkStatus {
            name: "telekom".into(),
            calls: 3,
            calls_limit: Some(100),
            registrations: 1200,
            ways: vec![up, down],
            ..TrunkStatus::default()
        };
        let direct = WayStatus { way: "sip.example.com".into(), state: WayState::Suspect, ..WayStatus::default() };
        let other = TrunkStatus { name: "other".into(), ways: vec![direct], ..TrunkStatus::default() };
        let expected = "\
TRUNK    WAY              EGRESS   STATE    SINCE      REASON            CALLS     REGISTRATIONS  LAST ANSWER
telekom  sip:px1;lr       wan/tcp  up       1 h 1 min  -                 3 of 100  1,200          7 s ago
         sip:px2;lr\u{fffd}      lte      down     12 s       no answer for 2s                           -
other    sip.example.com  -        suspect  0 s        -                 0         0              -
";
        assert_eq!(text(&[telekom, other]), expected);
        assert_eq!(text(&[]), "There is no trunk.\n");
    }
}
