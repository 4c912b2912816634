//! A limit of calls in a time, by source.

use jackfield::kv::Bucket;
use jackfield::prelude::*;

// page:begin
/// So many calls of one address in so many seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    calls: i64,
    seconds: u64,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Counters {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let window = Duration::from_secs(self.seconds);
        match Bucket::open("limits")?.increment_for(&request.source().address, 1, window) {
            Ok(calls) if calls > self.calls => Ok(Reply::new(503, "Too Many Calls").header("Retry-After", self.seconds.to_string()).into()),
            Ok(_) => Ok(Decision::pass()),
            // A store that is away is no reason to refuse calls.
            Err(error) => {
                jackfield::warn!("not counted: {error}");
                Ok(Decision::pass())
            }
        }
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing::{self, Service};

    #[test]
    fn window_is_counted_by_source() {
        let plugin: Counters = crate::configured("counters");
        let from = |address: &str| Request::parse("INVITE sip:1@sbc.example").with_source(address, 5060, Transport::Udp);
        let status = |address: &str| plugin.on_request(&from(address)).unwrap().status();
        (0..20).for_each(|_| assert_eq!(status("192.0.2.1"), None));
        assert_eq!([status("192.0.2.1"), status("192.0.2.2")], [Some(503), None]);
        testing::advance(Duration::from_secs(10));
        assert_eq!(status("192.0.2.1"), None);
    }

    #[test]
    fn store_that_is_away_refuses_nobody() {
        let plugin: Counters = crate::configured("counters");
        testing::fail(Service::Kv, ServiceError::Timeout(String::new()));
        assert_eq!(plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap(), Decision::pass());
    }
}
