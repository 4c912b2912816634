//! Who has given a password, and what he may do.

use jackfield::prelude::*;
use jackfield::tables::Table;

// page:begin
/// The proxy has asked for the password; here is what its user may do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthUser {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for AuthUser {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let Some(user) = request.auth_user() else { return Ok(Decision::reply(403, "Not Authenticated")) };
        let Some(account) = Table::named("accounts").get(&user)? else { return Ok(Decision::reply(403, "Unknown Account")) };
        // Nobody calls under another one's number.
        if request.header_uri_user("From").as_deref() != Some(account.text("number")?) {
            return Ok(Decision::reply(403, "From Is Not Yours"));
        }
        Ok(Decision::forward(Target::unchanged().trunk(account.text("trunk")?).tag(user)))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn account_calls_under_its_own_number_only() {
        testing::set_table("accounts", "user, number, trunk\nalice, 49301, telekom");
        let plugin: AuthUser = crate::configured("auth_user");
        let call = |from: &str| Request::parse(&format!("INVITE sip:1@sbc.example\nFrom: <sip:{from}@sbc.example>;tag=1"));
        let decision = plugin.on_request(&call("49301").with_auth_user("alice")).unwrap();
        assert_eq!(decision.targets()[0].option_value("trunk"), Some("telekom"));
        for refused in [call("49302").with_auth_user("alice"), call("49301").with_auth_user("bob"), call("49301")] {
            assert_eq!(plugin.on_request(&refused).unwrap().status(), Some(403));
        }
    }
}
