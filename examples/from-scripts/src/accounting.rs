//! Call detail records.

use jackfield::kv::Bucket;
use jackfield::prelude::*;

// page:begin
/// A line of the log for each call that was refused, and for each that has ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounting {}

#[jackfield::plugin(methods("INVITE"))]
impl Plugin for Accounting {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        request.set_note("caller", &request.header_uri_user("From").unwrap_or_default());
        Ok(Decision::pass())
    }

    #[subscribe(methods("INVITE"))]
    #[subscribe(methods("BYE"), in_dialog)]
    fn on_complete(&self, event: &Completed) {
        if let Err(error) = account(event) {
            jackfield::error!("no record of {}: {error}", event.call_id());
        }
    }
}

fn account(event: &Completed) -> Result<()> {
    let (calls, now) = (Bucket::open("calls")?, clock::unix_ms());
    match (event.method().as_str(), event.status()) {
        ("INVITE", Some(200..300)) => {
            let caller = event.note("caller").unwrap_or_default();
            calls.set_for(&event.call_id(), format!("{now} {caller} {}", event.uri()), Duration::from_secs(12 * 3600))?;
        }
        ("INVITE", status) => record(&event.note("caller").unwrap_or_default(), &event.uri(), status.unwrap_or_default(), 0),
        _ => {
            let Some(begun) = calls.get_string(&event.call_id())? else { return Ok(()) };
            calls.delete(&event.call_id())?;
            let [at, caller, callee] = begun.splitn(3, ' ').collect::<Vec<_>>()[..] else { return Ok(()) };
            record(caller, callee, 200, now.saturating_sub(at.parse()?) / 1000);
        }
    }
    Ok(())
}

fn record(caller: &str, callee: &str, status: u16, seconds: u64) {
    let (status, seconds) = (status.to_string(), seconds.to_string());
    log::write(log::Level::Info, "cdr", &[("caller", caller), ("callee", callee), ("status", &status), ("seconds", &seconds)]);
}
// page:end

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::testing;

    #[test]
    fn call_is_recorded_when_it_ends() {
        let plugin: Accounting = crate::configured("accounting");
        let invite = Request::parse("INVITE sip:49@sbc.example\nFrom: <sip:21@pbx.example>;tag=1\nCall-ID: a");
        plugin.on_request(&invite).unwrap();
        plugin.on_complete(&Completed::of(&invite, 200));
        assert!(testing::take_log().is_empty(), "it has not ended yet");
        testing::advance(Duration::from_secs(95));
        let bye = Request::parse("BYE sip:49@sbc.example\nCall-ID: a");
        plugin.on_complete(&Completed::of(&bye, 200));
        plugin.on_complete(&Completed::of(&bye, 200));
        plugin.on_complete(&Completed::of(&invite, 486));
        let lines: Vec<String> = testing::take_log().into_iter().map(|(_, line)| line).collect();
        let ended = "cdr caller=21 callee=sip:49@sbc.example status=200 seconds=95";
        assert_eq!(lines, [ended, "cdr caller=21 callee=sip:49@sbc.example status=486 seconds=0"]);
    }
}
