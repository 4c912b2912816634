//! Calls at a time, by customer.

use jackfield::prelude::*;
use jackfield::state;
use jackfield::tables::Table;

// page:begin
/// The tag of a target is what its calls are counted by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallLimit {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for CallLimit {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let customer = request.auth_user().unwrap_or_default();
        let Some(row) = Table::named("customers").get(&customer)? else { return Ok(Decision::reply(403, "")) };
        if state::active_calls(&customer)? >= row.parse("calls")? {
            return Ok(Decision::reply(486, "All Lines In Use"));
        }
        Ok(Decision::forward(Target::unchanged().trunk(row.text("trunk")?).tag(customer)))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn customer_has_so_many_calls_and_no_more() {
        testing::set_table("customers", "customer, calls, trunk\nacme, 2, telekom");
        let plugin: CallLimit = crate::configured("call_limit");
        let call = Request::parse("INVITE sip:1@sbc.example").with_auth_user("acme");
        testing::set_active_calls("acme", 1);
        assert_eq!(plugin.on_request(&call).unwrap().targets()[0].tag, "acme");
        testing::set_active_calls("acme", 2);
        assert_eq!(plugin.on_request(&call).unwrap().status(), Some(486));
        assert_eq!(plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap().status(), Some(403));
    }
}
