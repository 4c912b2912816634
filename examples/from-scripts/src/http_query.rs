//! Asking an HTTP service where a call goes.

use jackfield::http;
use jackfield::prelude::*;

// page:begin
/// The service that knows the routes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpQuery {
    url: String,
}

#[derive(Deserialize)]
struct Route {
    trunk: String,
    number: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for HttpQuery {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let number = request.uri_user().unwrap_or_default();
        let answer = http::get(format!("{}{number}", self.url)).timeout(Duration::from_millis(800)).send()?;
        if answer.status() == 404 {
            return Ok(Decision::reply(404, ""));
        }
        let route: Route = answer.success()?.json()?;
        let uri = format!("sip:{}@{}", route.number, request.uri_host());
        Ok(Decision::forward(Target::to(uri).trunk(route.trunk)))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing::{self, Service};

    #[test]
    fn service_says_trunk_and_number() {
        let plugin: HttpQuery = crate::configured("http_query");
        testing::answer_http("https://api.example.com/route/21", 200, r#"{"trunk": "telekom", "number": "+493021"}"#);
        testing::answer_http("https://api.example.com/route/22", 404, "");
        testing::answer_http("https://api.example.com/route/23", 500, "");
        let decide = |number: &str| plugin.on_request(&Request::parse(&format!("INVITE sip:{number}@sbc.example")));
        let decision = decide("21").unwrap();
        assert_eq!(decision.targets()[0].uri.as_deref(), Some("sip:+493021@sbc.example"));
        assert_eq!(decide("22").unwrap().status(), Some(404));
        assert_eq!(decide("23").unwrap_err().to_string(), "GET https://api.example.com/route/23: status 500");
        testing::fail(Service::Http, ServiceError::Timeout(String::new()));
        assert!(decide("21").is_err(), "on-error of the configuration says what becomes of the call");
    }
}
