//! Gateways by weight.

use jackfield::prelude::*;

// page:begin
/// Gateways and their shares; weight 0 is for when all others have failed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    gateways: BTreeMap<String, u16>,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Weights {
    fn on_request(&self, _request: &Request) -> Result<Decision> {
        let target =
            |(uri, weight): (&String, &u16)| Target::unchanged().next_hop(uri).weight(*weight).timeout(Duration::from_secs(2)).tag(uri);
        Ok(Decision::forward(Plan::weighted(self.gateways.iter().map(target)).next_on("408 5xx")))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_configured_ones() {
        let plugin: Weights = crate::configured("weights");
        let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
        let weights: Vec<u16> = decision.targets().iter().map(|target| target.weight).collect();
        assert_eq!((weights, decision.plan().unwrap().groups[0].mode), (vec![70, 30, 0], Mode::Weighted));
    }
}
