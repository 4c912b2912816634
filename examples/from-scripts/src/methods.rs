//! A switch by method.

use jackfield::prelude::*;

// page:begin
/// Each method has its own place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Methods {
    calls: String,
    messages: String,
}

#[jackfield::plugin]
impl Plugin for Methods {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let to = |next_hop: &str| Decision::forward(Target::unchanged().next_hop(next_hop));
        Ok(match request.method().as_str() {
            "INVITE" => to(&self.calls),
            "MESSAGE" => to(&self.messages),
            "OPTIONS" => Decision::reply(200, ""),
            "ACK" => Decision::pass(),
            _ => Reply::new(405, "").header("Allow", "INVITE, ACK, BYE, CANCEL, MESSAGE, OPTIONS").into(),
        })
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_decides() {
        let plugin: Methods = crate::configured("methods");
        let decide = |method: &str| plugin.on_request(&Request::parse(&format!("{method} sip:1@sbc.example"))).unwrap();
        assert_eq!(decide("INVITE").targets()[0].option_value("next-hop"), Some("sip:10.0.0.20"));
        assert_eq!(decide("MESSAGE").targets()[0].option_value("next-hop"), Some("sip:10.0.0.30"));
        assert_eq!([decide("OPTIONS").status(), decide("PUBLISH").status(), decide("ACK").status()], [Some(200), Some(405), None]);
    }
}
