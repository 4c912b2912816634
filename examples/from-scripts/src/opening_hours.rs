//! Routing by time of day.

use jackfield::prelude::*;

// page:begin
/// From Monday to Friday between two hours it rings; else voicemail answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningHours {
    zone: String,
    from: u8,
    to: u8,
    desk: String,
    voicemail: String,
}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for OpeningHours {
    fn on_request(&self, _request: &Request) -> Result<Decision> {
        let now = clock::local(&self.zone)?;
        let open = now.weekday <= 5 && (self.from..self.to).contains(&now.hour);
        let next_hop = if open { &self.desk } else { &self.voicemail };
        Ok(Decision::forward(Target::unchanged().next_hop(next_hop)))
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn desk_rings_in_working_hours() {
        let plugin: OpeningHours = crate::configured("opening_hours");
        for (weekday, hour, next_hop) in
            [(1, 8, "sip:10.0.0.20"), (5, 17, "sip:10.0.0.20"), (5, 18, "sip:10.0.0.40"), (6, 10, "sip:10.0.0.40")]
        {
            testing::set_local_time(clock::LocalTime { year: 2026, month: 1, day: 5, hour, minute: 0, second: 0, weekday });
            let decision = plugin.on_request(&Request::parse("INVITE sip:1@sbc.example")).unwrap();
            assert_eq!(decision.targets()[0].option_value("next-hop"), Some(next_hop), "{weekday} {hour}");
        }
    }
}
