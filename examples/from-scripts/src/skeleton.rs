//! The frame of a routing script: everything goes to one place.

use jackfield::prelude::*;

// page:begin
/// Sends what begins here to the PBX.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skeleton {
    pbx: String,
}

#[jackfield::plugin]
impl Plugin for Skeleton {
    fn on_request(&self, _request: &Request) -> Result<Decision> {
        Ok(Decision::forward(Target::unchanged().next_hop(&self.pbx)))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_goes_to_the_pbx() {
        let plugin: Skeleton = crate::configured("skeleton");
        let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
        assert_eq!(decision.targets()[0].option_value("next-hop"), Some("sip:10.0.0.20"));
        assert!(decision.plan().unwrap().record_route, "the proxy stays in the path, as record_route() says");
    }
}
