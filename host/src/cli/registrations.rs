//! `jackfield registrations`.

use std::io::{self, Write};

use jackfield_trunk::registrations::{BindingState, BindingView, Overview, TrunkCount};

use super::status::show;
use super::table::{duration, number, printable, table};
use super::{Exit, Running};
use crate::admin::control::Request;

pub(super) fn registrations(running: &Running, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Exit> {
    show(running, Request::Registrations, registrations_text, out, err)
}

fn registrations_text(overview: &Overview) -> String {
    let mut text = String::new();
    if overview.bindings.is_empty() {
        text.push_str("Nothing is registered through a trunk.\n");
    } else {
        let rows: Vec<_> = overview.bindings.iter().map(row).collect();
        text.push_str(&table(&["TRUNK", "AOR", "CONTACT", "LINE", "STATE", "EXPIRES", "VIA", "LAST"], &rows));
    }
    if overview.left_out > 0 {
        text.push_str(&format!("and {} more that are not shown\n", number(overview.left_out as u64)));
    }
    if !overview.trunks.is_empty() {
        text.push('\n');
    }
    for TrunkCount { trunk, registered, failed, overdue, expired } in &overview.trunks {
        let count = |count: &u32| number((*count).into());
        let [registered, failed, overdue, expired] = [registered, failed, overdue, expired].map(count);
        text.push_str(&format!("{}: {registered} registered, {failed} failed, {overdue} overdue, {expired} expired\n", printable(trunk)));
    }
    if overview.not_remembered.over_limit > 0 {
        let over_limit = number(overview.not_remembered.over_limit);
        text.push_str(&format!("{over_limit} since the start were not remembered: [registrations] limit is reached\n"));
    }
    text
}

fn row(binding: &BindingView) -> Vec<String> {
    let state = match binding.state {
        BindingState::Registered => "registered",
        BindingState::Failed => "failed",
        BindingState::Overdue => "overdue",
        BindingState::Expired => "expired",
    };
    let last = binding.last.map(|last| format!("{last}, {} ago", duration(binding.last_ago.into())));
    let cells = [
        binding.trunk.clone(),
        binding.aor.clone(),
        binding.contact.clone(),
        binding.line.clone().unwrap_or_else(|| "-".to_owned()),
        state.to_owned(),
        binding.expires_in.map_or_else(|| "-".to_owned(), |seconds| format!("in {}", duration(seconds.into()))),
        format!("{} {}", binding.listener, binding.via),
        last.unwrap_or_else(|| "-".to_owned()),
    ];
    cells.map(|cell| printable(&cell)).to_vec()
}

#[cfg(test)]
mod tests {
    use jackfield_trunk::registrations::{NotRemembered, Outcome};

    use super::*;

    #[test]
    fn registrations_read_well() {
        let registered = BindingView {
            trunk: "telekom".into(),
            aor: "sip:+4930123@tel.example.test".into(),
            contact: "sip:s@10.0.0.5:5060;line=ylvx".into(),
            line: Some("ylvx".into()),
            expires_in: Some(431),
            via: "udp 10.0.0.5:5060".into(),
            listener: "lan".into(),
            last: Some(Outcome::Status(200)),
            last_ago: 49,
            ..BindingView::default()
        };
        let refused = BindingView {
            trunk: "sip\x07gate".into(),
            aor: "sip:7@sipgate.example.test".into(),
            contact: "sip:7@10.0.0.5".into(),
            line: None,
            state: BindingState::Failed,
            expires_in: None,
            last: Some(Outcome::Timeout),
            last_ago: 3600,
            ..registered.clone()
        };
        let count = |trunk: &str, registered, failed| TrunkCount { trunk: trunk.into(), registered, failed, ..TrunkCount::default() };
        let overview = Overview {
            trunks: vec![count("sipgate", 0, 1), count("telekom", 1501, 0)],
            bindings: vec![refused, registered],
            left_out: 1500,
            not_remembered: NotRemembered { over_limit: 12, unfit: 0 },
        };
        assert_eq!(
            registrations_text(&overview),
            "\
TRUNK     AOR                            CONTACT                        LINE  STATE       EXPIRES        VIA                    LAST
sip\u{fffd}gate  sip:7@sipgate.example.test     sip:7@10.0.0.5                 -     failed      -              lan udp 10.0.0.5:5060  no answer, 1 h 0 min ago
telekom   sip:+4930123@tel.example.test  sip:s@10.0.0.5:5060;line=ylvx  ylvx  registered  in 7 min 11 s  lan udp 10.0.0.5:5060  200, 49 s ago
and 1,500 more that are not shown

sipgate: 0 registered, 1 failed, 0 overdue, 0 expired
telekom: 1,501 registered, 0 failed, 0 overdue, 0 expired
12 since the start were not remembered: [registrations] limit is reached
"
        );
        assert_eq!(registrations_text(&Overview::default()), "Nothing is registered through a trunk.\n");
    }
}
