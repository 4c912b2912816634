//! Who may send, by address.

use jackfield::prelude::*;
use jackfield::tables::Table;

// page:begin
/// Peers are a table of networks, with the trunk that each one's calls go to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowList {}

#[jackfield::plugin]
impl Plugin for AllowList {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        match Table::named("peers").network(&request.source().address)? {
            Some(peer) => Ok(Decision::forward(Target::unchanged().trunk(peer.text("trunk")?).tag(peer.text("name")?))),
            None => Ok(Decision::reply(403, "")),
        }
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn peers_are_let_in_and_others_are_not() {
        testing::set_table("peers", "network, name, trunk\n198.51.100.0/24, carrier, pbx\n2001:db8:1::/48, office, telekom");
        let plugin: AllowList = crate::configured("allow_list");
        let decide = |address: &str| {
            let request = Request::parse("INVITE sip:1@sbc.example").with_source(address, 5060, Transport::Udp);
            plugin.on_request(&request).unwrap()
        };
        assert_eq!(decide("198.51.100.7").targets()[0].option_value("trunk"), Some("pbx"));
        assert_eq!(decide("2001:db8:1::5").targets()[0].tag, "office");
        assert_eq!(decide("203.0.113.1").status(), Some(403));
    }
}
