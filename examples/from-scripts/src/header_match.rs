//! A header field decides.

use jackfield::prelude::*;

// page:begin
/// Accounts, and the trunk of each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    trunks: HashMap<String, String>,
}

#[jackfield::plugin(methods("INVITE"), if_header("X-Account"))]
impl Plugin for HeaderMatch {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let account = request.header("X-Account").unwrap_or_default();
        Ok(match self.trunks.get(&account) {
            Some(trunk) => Decision::forward(Target::unchanged().trunk(trunk).remove_header("X-Account").tag(account)),
            None => Decision::reply(403, "Unknown Account"),
        })
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_selects_the_trunk_and_is_not_shown_to_it() {
        let plugin: HeaderMatch = crate::configured("header_match");
        let decide =
            |account: &str| plugin.on_request(&Request::parse(&format!("INVITE sip:1@sbc.example\nX-Account: {account}"))).unwrap();
        let decision = decide("12345678");
        assert_eq!(decision.targets()[0].option_value("trunk"), Some("telekom"));
        assert_eq!(decision.targets()[0].edits, [Edit::remove("X-Account")]);
        assert_eq!(decide("1").status(), Some(403));
    }
}
