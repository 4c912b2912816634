//! Scanners, by what they call themselves.

use jackfield::prelude::*;

// page:begin
/// Parts of the User-Agent of programs that look for open proxies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scanners {
    agents: Vec<String>,
}

#[jackfield::plugin(if_header("User-Agent"))]
impl Plugin for Scanners {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        let agent = request.header("User-Agent").unwrap_or_default().to_ascii_lowercase();
        if self.agents.iter().any(|part| agent.contains(part)) {
            metrics::Counter::new("scans", &[]).add(1);
            return Ok(Decision::Drop);
        }
        Ok(Decision::pass())
    }
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanner_gets_no_answer() {
        let plugin: Scanners = crate::configured("scanners");
        let decide = |agent: &str| plugin.on_request(&Request::parse(&format!("OPTIONS sip:1@sbc.example\nUser-Agent: {agent}"))).unwrap();
        assert_eq!(decide("Friendly-Scanner"), Decision::Drop);
        assert_eq!(decide("Snom 760"), Decision::pass());
        assert_eq!(jackfield::testing::metric("scans", &[]), 1.0);
    }
}
