//! Listening to hooks, recording them, and making single hook calls again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_plugin_host::plain::{Decision, Outcome};
use jackfield_plugin_host::record::{Reader, RecordOrder, RecordSettings, Recorded, Recording, Recordings};
use jackfield_plugin_host::settings::{Breaker, Change, Plugin, Plugins};
use jackfield_plugin_host::trace::{Event, Listen, Skip, Tracer};
use jackfield_plugin_host::{Machine, PluginHost, PluginSettings, Prepared, Trial};
use jackfield_services::ask::{Answer, Ask, Question, ServiceError};

use crate::guests::{BEHAVE, behave_two};
use crate::rig::{PATIENCE, ask, directory, request};

#[derive(Debug, Default)]
struct Ears(Mutex<Vec<Event>>);

impl Listen for Ears {
    fn hear(&self, call_id: &[u8], event: Event) {
        assert_eq!(call_id, b"c");
        self.0.lock().unwrap().push(event);
    }
}

#[derive(Debug)]
struct Nobody;

impl Ask for Nobody {
    fn ask(&self, question: Question, _: Duration) -> Result<Answer, ServiceError> {
        match question {
            Question::RandomOctets { length } => Ok(Answer::Octets(vec![7; length as usize])),
            _ => Ok(Answer::Number(1)),
        }
    }
}

fn traced(plugins: &[(&str, &str)], tracer: &Arc<Tracer>) -> (tempfile::TempDir, Arc<PluginHost>) {
    traced_with(plugins, tracer, |_| {})
}

fn traced_with(plugins: &[(&str, &str)], tracer: &Arc<Tracer>, change: fn(&mut Plugins)) -> (tempfile::TempDir, Arc<PluginHost>) {
    let (directory, mut plugins) = directory(plugins);
    change(&mut plugins);
    let metrics = Arc::new(jackfield_metrics::Metrics::new(1));
    let settings = PluginSettings { workers: 1, state_directory: None, metrics, tracer: Arc::clone(tracer), services: Arc::new(Machine) };
    let host = PluginHost::start(plugins, settings).unwrap();
    (directory, host)
}

#[test]
fn who_listens_hears_what_each_plugin_decided_and_which_were_passed_over() {
    let ears = Arc::new(Ears::default());
    let tracer = Tracer::to(Arc::clone(&ears) as Arc<dyn Listen>);
    let (_directory, host) = traced(&[("a", r#"{"methods":"OPTIONS"}"#), ("b", "{}")], &tracer);
    ask(&host.chain(), &request("X-Do: note-then-panic\r\n"));
    let heard = std::mem::take(&mut *ears.0.lock().unwrap());
    assert!(matches!(&heard[0], Event::Skipped { plugin, .. } if plugin == "a"), "{heard:?}");
    assert!(matches!(&heard[1], Event::HookFailed { plugin, why, .. } if plugin == "b" && why.reason == "trap"), "{heard:?}");
    tracer.listen(None);
    ask(&host.chain(), &request("X-Do: note-then-panic\r\n"));
    assert!(ears.0.lock().unwrap().is_empty());
}

/// What is not asked decides nothing: an open breaker is told as such, and a replay has nothing to compare.
#[test]
fn a_plugin_whose_breaker_is_open_is_told_as_not_called_and_is_not_recorded() {
    let ears = Arc::new(Ears::default());
    let tracer = Tracer::to(Arc::clone(&ears) as Arc<dyn Listen>);
    let (directory, host) = traced_with(&[("b", "{}")], &tracer, |plugins| {
        plugins.table.get_mut("b").unwrap().breaker = Some(Breaker { failures: 3, ..Breaker::default() });
    });
    let recordings = Recordings::new(Arc::clone(&tracer), RecordSettings::in_directory(directory.path().join("r")));
    recordings.start(&RecordOrder::default()).unwrap();
    (0..5).for_each(|_| drop(ask(&host.chain(), &request("X-Do: error\r\n"))));
    assert_eq!(recordings.stop().hook_calls, 3);
    let heard = std::mem::take(&mut *ears.0.lock().unwrap());
    assert!(heard[..3].iter().all(|event| matches!(event, Event::HookFailed { .. })), "{heard:?}");
    let skipped =
        |event: &Event| matches!(event, Event::Skipped { why: Skip::BreakerOpen, then: Some(then), .. } if then == "on-error: reply 503");
    assert!(heard.len() == 5 && heard[3..].iter().all(skipped), "{heard:?}");
}

/// What a shadow says about copies is compared and kept elsewhere.
#[test]
fn a_shadow_is_neither_heard_nor_recorded() {
    let ears = Arc::new(Ears::default());
    let tracer = Tracer::to(Arc::clone(&ears) as Arc<dyn Listen>);
    let (directory, host) = traced_with(&[("b", "{}")], &tracer, |plugins| plugins.table.get_mut("b").unwrap().change = Change::Shadow);
    let serving = host.status()[0].version.clone().unwrap();
    let unfinished = directory.path().join("unfinished");
    std::fs::write(&unfinished, behave_two()).unwrap();
    std::fs::rename(unfinished, directory.path().join("plugins/b.wasm")).unwrap();
    assert!(host.wait_until(PATIENCE, |all| all[0].change.candidate.is_some()));
    let recordings = Recordings::new(Arc::clone(&tracer), RecordSettings::in_directory(directory.path().join("r")));
    recordings.start(&RecordOrder::default()).unwrap();
    for what in ["version", "reply", "nothing"] {
        ask(&host.chain(), &request(&format!("X-Do: {what}\r\n")));
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    let compared = || host.status()[0].change.candidate.as_ref().map(|candidate| (candidate.equal, candidate.different));
    while compared() != Some((2, 1)) {
        assert!(std::time::Instant::now() < deadline, "{:?}", host.status());
        std::thread::yield_now();
    }
    assert_eq!(recordings.stop().hook_calls, 3);
    let heard = std::mem::take(&mut *ears.0.lock().unwrap());
    assert!(
        heard.len() == 3 && heard.iter().all(|event| matches!(event, Event::Decided { version, .. } if *version == serving)),
        "{heard:?}"
    );
}

fn recorded(file: &std::path::Path) -> (Vec<(Recorded, Prepared)>, Recording) {
    let mut reader = Reader::open(file).unwrap();
    let mut all = Vec::new();
    while let Some(recorded) = reader.next_call().unwrap() {
        assert_eq!(reader.plugin(recorded.plugin).unwrap().name, "b");
        let prepared = Prepared::read(reader.scene(recorded.scene).unwrap(), &recorded.given).unwrap();
        all.push((recorded, prepared));
    }
    (all, reader.state().clone())
}

#[test]
fn a_recorded_hook_call_can_be_made_again_and_comes_to_the_same() {
    let tracer = Arc::<Tracer>::default();
    let (directory, host) = traced(&[("b", "{}")], &tracer);
    let recordings = Recordings::new(Arc::clone(&tracer), RecordSettings::in_directory(directory.path().join("r")));
    let begun = recordings.start(&RecordOrder::default()).unwrap();
    assert!(recordings.start(&RecordOrder::default()).is_err(), "one at a time");
    for what in ["version", "note-then-panic", "nothing"] {
        ask(&host.chain(), &request(&format!("X-Do: {what}\r\nProxy-Authorization: Digest response=\"hidden\"\r\n")));
    }
    let ended = recordings.stop();
    assert_eq!((ended.calls, ended.hook_calls, ended.dropped, ended.running), (1, 3, 0, false));
    assert!(!tracer.is_awake());
    let file = begun.file.unwrap();
    let (all, state) = recorded(&file);
    assert!(matches!(state, Recording::Ended(end) if end.reason == "stopped"));
    let trial = Trial::load("b", &BEHAVE, &Plugin::default(), Arc::new(Nobody)).unwrap();
    for (recorded, prepared) in &all {
        assert!(trial.wants(prepared));
        assert!(trial.run(prepared).outcome.is_like(&recorded.outcome), "{recorded:?}");
    }
    assert!(matches!(&all[0].0.outcome, Outcome::Request(Decision::Reply(_))), "{:?}", all[0].0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hidden"), "{text}");
    // What was cut short is good as far as it goes.
    std::fs::write(&file, &text[..text.len() - 150]).unwrap();
    let (all, state) = recorded(&file);
    assert_eq!(state, Recording::CutShort);
    assert!(!all.is_empty() && all.len() <= 3);
}

#[test]
fn a_recording_that_is_full_ends_and_says_so() {
    let tracer = Arc::<Tracer>::default();
    let (directory, host) = traced(&[("b", "{}")], &tracer);
    let recordings = Recordings::new(Arc::clone(&tracer), RecordSettings::in_directory(directory.path().join("r")));
    recordings.start(&RecordOrder { size: Some(1), ..RecordOrder::default() }).unwrap();
    ask(&host.chain(), &request("X-Do: nothing\r\n"));
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while recordings.status().running {
        assert!(std::time::Instant::now() < deadline, "{:?}", recordings.status());
        std::thread::yield_now();
    }
    let status = recordings.stop();
    assert_eq!((status.hook_calls, status.ended.as_deref()), (1, Some("it has its 1 octets")));
}
