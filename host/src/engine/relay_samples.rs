//! The figures of media relays for the metrics.

use jackfield_relay::{Counts, Health, Pool, Status};

use crate::metrics::Sample;

/// How each relay is, what it was asked, and what came of that.
pub(super) fn samples(pool: &Pool) -> Vec<Sample> {
    let relays = pool.snapshot();
    if relays.is_empty() {
        return Vec::new();
    }
    let mut samples: Vec<Sample> = relays.iter().flat_map(of_relay).collect();
    let Counts { late, malformed, foreign, busy, deleted, undeleted } = pool.counts();
    samples.push(Sample::counter("media_calls_ended", "Calls that a media relay was told of the end of", deleted));
    let help = "What went wrong with questions to media relays and their answers";
    let troubles = [("late", late), ("malformed", malformed), ("foreign", foreign), ("busy", busy), ("undeleted", undeleted)];
    samples.extend(troubles.map(|(trouble, count)| Sample::counter("media_troubles", help, count).label("trouble", trouble)));
    samples
}

fn of_relay(relay: &Status) -> [Sample; 4] {
    let is_up = u64::from(relay.health == Health::Up);
    [
        Sample::gauge("media_relay_up", "Whether a media relay answers", is_up),
        Sample::counter("media_questions", "Offers and answers that a media relay was asked about", relay.asked),
        Sample::counter("media_refusals", "Questions that a media relay refused, or whose answer could not be read", relay.failed),
        Sample::counter("media_timeouts", "Questions that a media relay left unanswered", relay.timed_out),
    ]
    .map(|sample| sample.label("relay", relay.name.to_string()))
}

#[cfg(test)]
mod tests {
    use jackfield_relay::{RelaySettings, Server};

    use super::*;

    #[test]
    fn each_relay_has_its_figures_and_where_there_is_none_there_are_none() {
        assert_eq!(samples(&Pool::new(RelaySettings::default())), []);
        let server = |name: &str, port| Server { name: name.into(), address: ([127, 0, 0, 1], port).into(), weight: 1 };
        let pool = Pool::new(RelaySettings { servers: vec![server("one", 1), server("two", 2)], ..RelaySettings::default() });
        let samples = samples(&pool);
        let up: Vec<_> =
            samples.iter().filter(|sample| sample.name == "media_relay_up").map(|sample| (&*sample.labels, sample.value)).collect();
        assert_eq!(up, [(&[("relay", "one".into())][..], 1), (&[("relay", "two".into())][..], 1)]);
        for name in ["media_questions", "media_refusals", "media_timeouts"] {
            assert_eq!(samples.iter().filter(|sample| sample.name == name).count(), 2, "{name}");
        }
    }
}
