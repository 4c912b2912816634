//! Gateways in turn.

use jackfield::kv::Bucket;
use jackfield::prelude::*;

// page:begin
/// Each call begins at the gateway after the one of the call before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRobin {
    gateways: Vec<String>,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for RoundRobin {
    fn validate(&self) -> Result<()> {
        if self.gateways.is_empty() {
            bail!("gateways: name at least one");
        }
        Ok(())
    }

    fn on_request(&self, _request: &Request) -> Result<Decision> {
        let turn = Bucket::open("turns")?.increment("gateways", 1)?;
        let mut targets: Vec<Target> = self.gateways.iter().map(|uri| Target::unchanged().next_hop(uri).tag(uri)).collect();
        targets.rotate_left(turn.unsigned_abs() as usize % self.gateways.len());
        Ok(Decision::forward(Plan::serial(targets).next_on("408 5xx")))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_round_and_each_has_the_others_behind_it() {
        let plugin: RoundRobin = crate::configured("round_robin");
        let mut first = Vec::new();
        for _ in 0..4 {
            let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
            assert_eq!(decision.targets().len(), 3);
            first.push(decision.targets()[0].tag.clone());
        }
        assert_eq!(first, ["sip:10.0.0.22", "sip:10.0.0.23", "sip:10.0.0.21", "sip:10.0.0.22"]);
        assert!(RoundRobin::from_toml("gateways = []").is_err());
    }
}
