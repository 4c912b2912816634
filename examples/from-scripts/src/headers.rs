//! Header fields added, replaced and removed.

use jackfield::prelude::*;

// page:begin
/// What a provider wants to see, and what it must not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    customer: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Headers {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let mut edits = vec![Edit::add("X-Customer", &self.customer), Edit::set("User-Agent", "sbc"), Edit::remove("X-Debug")];
        if request.header("Subject").is_none() {
            edits.push(Edit::add("Subject", "call"));
        }
        // The plugins behind this one see the message so, and say where it goes.
        Ok(Decision::edit(edits))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_for_whoever_routes() {
        let plugin: Headers = crate::configured("headers");
        let Decision::Next(edits) = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example\nSubject: x")).unwrap() else { panic!() };
        assert_eq!(edits[0], Edit::add("X-Customer", "4711"));
        assert!(edits.iter().all(|edit| edit.refusal().is_none()));
        let Decision::Next(more) = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap() else { panic!() };
        assert_eq!(more.len(), edits.len() + 1);
    }
}
