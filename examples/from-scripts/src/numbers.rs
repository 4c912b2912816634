//! The number that was dialled, rewritten.

use jackfield::prelude::*;

// page:begin
/// Numbers go out in international form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// What stands before a call to the outside.
    exit: String,
    country: String,
    area: String,
    provider: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Numbers {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let dialled = request.uri_user().unwrap_or_default();
        let Some(number) = dialled.strip_prefix(&self.exit) else { return Ok(Decision::pass()) };
        let Self { country, area, provider, .. } = self;
        let number = match (number.strip_prefix("00"), number.strip_prefix('0')) {
            (Some(foreign), _) => format!("+{foreign}"),
            (None, Some(national)) => format!("+{country}{national}"),
            (None, None) => format!("+{country}{area}{number}"),
        };
        Ok(Decision::forward(Target::to(format!("sip:{number}@{provider};user=phone"))))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_becomes_international() {
        let plugin: Numbers = crate::configured("numbers");
        for (dialled, number) in [("90044123", "+44123"), ("90891234", "+49891234"), ("91234", "+49301234")] {
            let decision = plugin.on_request(&Request::parse(&format!("INVITE sip:{dialled}@sbc.example"))).unwrap();
            assert_eq!(decision.targets()[0].uri.as_deref(), Some(format!("sip:{number}@tel.example;user=phone").as_str()));
        }
        assert_eq!(plugin.on_request(&Request::parse("INVITE sip:21@sbc.example")).unwrap(), Decision::pass());
    }
}
