//! Something that is done again and again, beside the calls.

use jackfield::kv::Bucket;
use jackfield::prelude::*;
use jackfield::{http, timers};

// page:begin
/// Fetches what all calls need to know, so that no call waits for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    url: String,
    seconds: u64,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Timer {
    fn start(&self) -> Result<()> {
        Ok(timers::every("refresh", Duration::from_secs(self.seconds))?)
    }

    fn on_timer(&self, _id: &str) {
        if let Err(error) = self.refresh() {
            jackfield::warn!("the trunk stays as it was: {error}");
        }
    }

    fn on_request(&self, _request: &Request) -> Result<Decision> {
        Ok(match Bucket::open("settings")?.get_string("trunk")? {
            Some(trunk) => Decision::forward(Target::unchanged().trunk(trunk)),
            None => Decision::pass(),
        })
    }
}

impl Timer {
    fn refresh(&self) -> Result<()> {
        let answer = http::get(&self.url).send()?.success()?;
        Ok(Bucket::open("settings")?.set("trunk", answer.text()?.trim())?)
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn trunk_is_what_was_fetched_last() {
        let plugin: Timer = crate::configured("timer");
        plugin.start().unwrap();
        let request = Request::parse("INVITE sip:1@sbc.example");
        assert_eq!(plugin.on_request(&request).unwrap(), Decision::pass());
        testing::answer_http("https://api.example.com/trunk", 200, "telekom\n");
        testing::run_timers(&plugin, Duration::from_secs(60));
        assert_eq!(plugin.on_request(&request).unwrap().targets()[0].option_value("trunk"), Some("telekom"));
        testing::answer_http("https://api.example.com/trunk", 503, "");
        testing::run_timers(&plugin, Duration::from_secs(60));
        assert_eq!(plugin.on_request(&request).unwrap().targets()[0].option_value("trunk"), Some("telekom"));
        assert_eq!(testing::take_log().len(), 1);
    }
}
