//! Least-cost routing by prefix.

use jackfield::prelude::*;
use jackfield::tables::Table;

// page:begin
/// The table says, for each prefix, which trunks to try in which order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeastCost {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for LeastCost {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let user = request.uri_user().unwrap_or_default();
        let number = user.trim_start_matches('+');
        let Some(rate) = Table::named("rates").prefix(number)? else { return Ok(Decision::reply(404, "No Route")) };
        let trunks = rate.text("trunks")?.split_whitespace();
        let targets: Vec<Target> = trunks.map(|trunk| Target::unchanged().trunk(trunk).tag(trunk)).collect();
        Ok(Decision::forward(Plan::serial(targets).next_on("5xx 408")))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn longest_prefix_says_the_trunks() {
        testing::set_table("rates", "prefix, trunks\n49, telekom\n4989, munich telekom");
        let plugin: LeastCost = crate::configured("least_cost");
        let tags = |number: &str| -> Vec<String> {
            let decision = plugin.on_request(&Request::parse(&format!("INVITE sip:{number}@sbc.example"))).unwrap();
            decision.targets().iter().map(|target| target.tag.clone()).collect()
        };
        assert_eq!(tags("+4989123"), ["munich", "telekom"]);
        assert_eq!(tags("4930123"), ["telekom"]);
        let unknown = plugin.on_request(&Request::parse("INVITE sip:+1@sbc.example")).unwrap();
        assert_eq!(unknown.status(), Some(404));
    }
}
