//! The next gateway after a failure.

use jackfield::prelude::*;

// page:begin
/// A gateway, and what comes after it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextGateway {
    first: String,
    second: String,
    voicemail: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for NextGateway {
    fn on_request(&self, _request: &Request) -> Result<Decision> {
        let gateway = |uri: &str| Target::unchanged().next_hop(uri).timeout(Duration::from_secs(2)).tag(uri);
        let plan = Plan::serial([gateway(&self.first), gateway(&self.second)]);
        Ok(Decision::forward(plan.next_on("408 5xx")))
    }

    #[subscribe(methods("INVITE"), statuses("486", "480"))]
    fn on_failure(&self, _request: &Request, _response: Option<&Response>, _failure: &Failure) -> Result<Recovery> {
        Ok(Recovery::instead(Target::unchanged().next_hop(&self.voicemail).tag("voicemail")))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_says_after_which_answers_it_goes_on() {
        let plugin: NextGateway = crate::configured("next_gateway");
        let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
        let plan = decision.plan().unwrap();
        assert_eq!((plan.option_value("next-on"), plan.targets().count()), (Some("408 5xx"), 2));
    }

    #[test]
    fn who_is_busy_gets_voicemail() {
        let plugin: NextGateway = crate::configured("next_gateway");
        let failure = Failure { cause: Cause::Status, tag: "sip:10.0.0.21".to_owned(), attempt: 1, remaining: 1 };
        let request = Request::parse("INVITE sip:1@sbc.example");
        let recovery = plugin.on_failure(&request, Some(&Response::parse("486 Busy Here")), &failure).unwrap();
        let Recovery::Instead(groups) = recovery else { panic!("{recovery:?}") };
        assert_eq!(groups[0].targets[0].tag, "voicemail");
        assert!(plugin.subscriptions().iter().any(|made| made.hooks == [Hook::Failure] && made.statuses == ["486", "480"]));
    }
}
