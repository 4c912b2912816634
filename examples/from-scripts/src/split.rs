//! A share of the callers to a new platform.

use jackfield::prelude::*;

// page:begin
/// So many of a hundred callers; a caller is always at the same side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    percent: u64,
    old: String,
    new: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Split {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let caller = request.header_uri_user("From").unwrap_or_default();
        let old = Target::unchanged().next_hop(&self.old).tag("old");
        if fnv_1a(&caller) % 100 >= self.percent {
            return Ok(Decision::forward(old));
        }
        // What the new one cannot do, the old one does.
        let new = Target::unchanged().next_hop(&self.new).timeout(Duration::from_secs(1)).tag("new");
        Ok(Decision::forward(Plan::serial([new, old]).next_on("408 5xx")))
    }
}

fn fnv_1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_the_callers_goes_to_the_new_platform() {
        let plugin: Split = crate::configured("split");
        let first = |caller: u32| {
            let request = Request::parse(&format!("INVITE sip:1@sbc.example\nFrom: <sip:{caller}@a.example>;tag=1"));
            plugin.on_request(&request).unwrap().targets()[0].tag.clone()
        };
        let new = (1000..2000).filter(|caller| first(*caller) == "new").count();
        assert!((50..150).contains(&new), "{new} of 1000, and 100 are meant");
        assert_eq!(first(7), first(7));
    }
}
