//! REGISTER, and what is registered.

use jackfield::prelude::*;
use jackfield::state;

// page:begin
/// Telephones register at the PBX; a number that has registered through here is called where it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registrations {
    domain: String,
    pbx: String,
}

#[jackfield::plugin(methods("REGISTER", "INVITE"))]
impl Plugin for Registrations {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let to_pbx = Decision::forward(Target::unchanged().next_hop(&self.pbx));
        if request.method() == "REGISTER" {
            return Ok(to_pbx);
        }
        let aor = format!("sip:{}@{}", request.uri_user().unwrap_or_default(), self.domain);
        let contacts = state::contacts(&aor)?;
        if contacts.is_empty() {
            return Ok(to_pbx);
        }
        Ok(Decision::forward(Plan::parallel(contacts.into_iter().map(|contact| Target::to(contact.uri).tag(&aor)))))
    }

    fn on_registration(&self, event: &Registration) {
        metrics::Counter::new("registrations", &[("kind", event.kind().name())]).add(1);
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn registered_contacts_ring_at_once() {
        let plugin: Registrations = crate::configured("registrations");
        let contact = |uri: &str| state::Contact { uri: uri.to_owned(), line: None, trunk: None, expires_in: Duration::from_secs(60) };
        testing::set_contacts("sip:21@pbx.example", [contact("sip:21@10.0.0.5"), contact("sip:21@10.0.0.6")]);
        let decide = |line: &str| plugin.on_request(&Request::parse(line)).unwrap();
        let decision = decide("INVITE sip:21@sbc.example");
        assert_eq!((decision.targets().len(), decision.plan().unwrap().groups[0].mode), (2, Mode::Parallel));
        for line in ["INVITE sip:22@sbc.example", "REGISTER sip:pbx.example"] {
            assert_eq!(decide(line).targets()[0].option_value("next-hop"), Some("sip:10.0.0.20"));
        }
        plugin.on_registration(&Registration::of(RegistrationKind::Registered, "sip:21@pbx.example"));
        assert_eq!(testing::metric("registrations", &[("kind", "registered")]), 1.0);
    }
}
