//! Media through a relay, or past it.

use jackfield::prelude::*;

// page:begin
/// Browsers get what browsers want; between telephones of one site, media takes the short way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pbx: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Media {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let (listener, _) = request.arrived_on();
        let target = Target::unchanged().next_hop(&self.pbx);
        Ok(Decision::forward(match listener.as_str() {
            "web" => target.media("telephones"),
            "lan" => target.media("direct"),
            _ => target.media("relay"),
        }))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_says_what_becomes_of_media() {
        let plugin: Media = crate::configured("media");
        for (listener, media) in [("web", "telephones"), ("lan", "direct"), ("wan", "relay")] {
            let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example").with_listener(listener)).unwrap();
            assert_eq!(decision.targets()[0].option_value("media"), Some(media));
        }
    }
}
