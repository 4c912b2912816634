//! A list of unwanted callers at a service, with the answers kept for a while.

use jackfield::prelude::*;
use jackfield::{http, kv::Bucket};

// page:begin
/// Callers are looked up once in ten minutes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocklist {
    url: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Blocklist {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let Some(caller) = request.header_uri_user("From") else { return Ok(Decision::pass()) };
        match self.blocked(&caller) {
            Ok(true) => Ok(Decision::reply(603, "")),
            Ok(false) => Ok(Decision::pass()),
            // Better one unwanted call than none at all.
            Err(error) => {
                jackfield::warn!("callers are not looked up: {error}");
                Ok(Decision::pass())
            }
        }
    }
}

impl Blocklist {
    fn blocked(&self, caller: &str) -> Result<bool> {
        let known = Bucket::open("callers")?;
        if let Some(answer) = known.get_string(caller)? {
            return Ok(answer == "blocked");
        }
        let status = http::get(format!("{}{caller}", self.url)).timeout(Duration::from_millis(300)).send()?.status();
        let answer = if status == 200 { "blocked" } else { "fine" };
        known.set_for(caller, answer, Duration::from_secs(600))?;
        Ok(status == 200)
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing::{self, Service};

    #[test]
    fn caller_is_looked_up_once_in_ten_minutes() {
        let plugin: Blocklist = crate::configured("blocklist");
        testing::answer_http("https://block.example.com/callers/666", 200, "");
        let call = Request::parse("INVITE sip:1@sbc.example\nFrom: <sip:666@a.example>;tag=1");
        (0..3).for_each(|_| assert_eq!(plugin.on_request(&call).unwrap().status(), Some(603)));
        assert_eq!(testing::take_http().len(), 1);
        testing::advance(Duration::from_secs(600));
        testing::fail(Service::Http, ServiceError::Timeout(String::new()));
        assert_eq!(plugin.on_request(&call).unwrap(), Decision::pass());
    }
}
