//! Ways by which one side could come to see what is hidden of another, beside the messages of an ordinary call.

use data_encoding::BASE32_NOPAD;
use jackfield_proto::net::Transport;
use jackfield_proto::proxy::{Plan, Target};

use super::{ALL, Sides, hiding_settings};
use crate::support::{Request, address, edge_flow, target};

/// Base 32 hides nothing from who has an alphabet: the flows that a token notes are those of both sides.
#[test]
fn the_token_of_a_hidden_dialog_shows_no_address() {
    for (caller, callee) in [('a', 'B'), ('B', 'a')] {
        let mut sides = Sides::with(hiding_settings(ALL), Plan::to(Target { transport: Some(Transport::Tcp), ..target(callee) }));
        let flow = edge_flow(caller, Transport::Tcp);
        let contact = format!("<sip:{caller}@{};transport=tcp>", address(caller));
        let invite = Request::new("INVITE").by(caller, Transport::Tcp).field("Contact", &contact);
        sides.receive(&invite, flow);
        let arrived = sides.last();
        let answer = sides.answer(&arrived, 200, &format!("<sip:{callee}@{};transport=tcp>", address(callee)), &[], &[]);
        for route in [arrived.value("Record-Route"), answer.value("Record-Route")] {
            let text = route.split_once(";jf=").unwrap().1.split([';', '>']).next().unwrap();
            let octets = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).unwrap();
            for shown in [&[192, 0, 2][..], &[0x20, 0x01, 0x0d, 0xb8]] {
                assert!(!octets.windows(shown.len()).any(|window| window == shown), "{octets:?}");
            }
        }
        sides.restart(hiding_settings(ALL));
        sides.receive(&invite.in_dialog("BYE", &answer.message, "bye"), flow);
        assert_eq!(sides.last().line(), format!("{callee}/tcp BYE"));
    }
}
