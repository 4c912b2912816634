//! Under which number somebody calls.

use jackfield::prelude::*;

// page:begin
/// The main number of the house stands for every extension.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerId {
    number: String,
    domain: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for CallerId {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let identity = format!("<sip:{}@{};user=phone>", self.number, self.domain);
        let mut edits = vec![Edit::set("P-Asserted-Identity", identity), Edit::remove("P-Preferred-Identity")];
        if request.header("From").is_some_and(|from| from.contains("anonymous")) {
            edits.push(Edit::set("Privacy", "id"));
        }
        Ok(Decision::edit(edits))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_the_main_number() {
        let plugin: CallerId = crate::configured("caller_id");
        let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example\nFrom: <sip:21@pbx.example>;tag=1")).unwrap();
        let identity = Edit::set("P-Asserted-Identity", "<sip:+4930100@tel.example;user=phone>");
        assert_eq!(decision, Decision::edit([identity.clone(), Edit::remove("P-Preferred-Identity")]));
        let hidden = Request::parse("INVITE sip:1@sbc.example\nFrom: <sip:anonymous@anonymous.invalid>;tag=1");
        let decision = plugin.on_request(&hidden).unwrap();
        assert_eq!(decision, Decision::edit([identity, Edit::remove("P-Preferred-Identity"), Edit::set("Privacy", "id")]));
    }

    #[test]
    fn from_is_not_a_plugins_to_change() {
        let refusal = Edit::set("From", "<sip:1@tel.example>").refusal();
        assert_eq!(refusal.as_deref(), Some("From belongs to the proxy and cannot be edited"));
    }
}
