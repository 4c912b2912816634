//! Responses on their way back.

use jackfield::prelude::*;

// page:begin
/// Nobody outside learns what the PBX is, nor what it calls its errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responses {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Responses {
    fn on_response(&self, _request: &Request, response: &Response, _branch: &Branch) -> Result<Outcome> {
        if response.status() == 604 {
            return Ok(Outcome::replace(Reply::new(404, "")));
        }
        Ok(Outcome::edit([Edit::remove("Server"), Edit::remove("X-Internal-Id")]))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_things_are_taken_out() {
        let plugin: Responses = crate::configured("responses");
        let branch = Branch { tag: String::new(), attempt: 1, elapsed: Duration::ZERO };
        let outcome = |response: &str| plugin.on_response(&Request::parse("INVITE sip:1@sbc.example"), &Response::parse(response), &branch);
        let edits = [Edit::remove("Server"), Edit::remove("X-Internal-Id")];
        assert_eq!(outcome("200 OK\nServer: PBX 1.2").unwrap(), Outcome::edit(edits));
        assert_eq!(outcome("604 Does Not Exist Anywhere").unwrap(), Outcome::replace(Reply::new(404, "")));
    }
}
