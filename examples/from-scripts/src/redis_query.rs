//! A value that another program has put into Redis.

use jackfield::kv::Bucket;
use jackfield::prelude::*;

// page:begin
/// A portal writes where a number is forwarded to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisQuery {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for RedisQuery {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let number = request.uri_user().unwrap_or_default();
        match Bucket::open("forwards")?.get_string(&number)? {
            Some(uri) => Ok(Decision::forward(Target::to(uri).header("X-Forwarded-For", number))),
            None => Ok(Decision::pass()),
        }
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_number_goes_where_the_store_says() {
        Bucket::open("forwards").unwrap().set("21", "sip:+49171@tel.example").unwrap();
        let plugin: RedisQuery = crate::configured("redis_query");
        let decision = plugin.on_request(&Request::parse("INVITE sip:21@sbc.example")).unwrap();
        assert_eq!(decision.targets()[0].uri.as_deref(), Some("sip:+49171@tel.example"));
        assert_eq!(plugin.on_request(&Request::parse("INVITE sip:22@sbc.example")).unwrap(), Decision::pass());
    }
}
