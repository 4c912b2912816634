//! What the name servers said, and for how long it counts. A function of the time that it is given.
//!
//! ```text
//!            answer                    3/4 of the TTL          TTL              TTL + stale
//!   absent ---------> fresh ----------------+-----------------+---------------------+----> absent
//!      |                                    | used: refreshed | servers silent, or  |
//!      | failure                            | meanwhile       | a refresh failed:   |
//!      v                                    |                 | given out at once,  |
//!   failed, asked again with back-off       |                 | else after patience |
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::record::{Answer, Asked, Kind, Question, Records};
use crate::settings::Settings;

/// The pause after a first failure; it doubles with each that follows.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The part of the entries that goes when there is no room: one of so many.
const EVICTED_AT_ONCE: usize = 16;

/// What one use of the cache puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Only what counts now.
    Fresh,
    /// Expired answers too: patience has run out.
    Stale,
    /// Nothing at all too: time has run out.
    Nothing,
}

/// What is known of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'c> {
    /// Use these records.
    Usable(&'c Records, Use),
    /// No server could answer: do without for now. Whether there are any records is not known.
    Unanswered(Refresh),
    /// There is an expired answer: ask, and do not wait for longer than patience allows.
    Expired,
    /// Nothing is known: ask.
    Absent,
}

/// How records may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// They count.
    Fresh(Refresh),
    /// They have expired.
    Stale(Refresh),
}

/// Whether the question wants to be asked again beside the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// It does.
    Wanted,
    /// It does not yet.
    NotNow,
}

impl Refresh {
    fn when(wanted: bool) -> Self {
        if wanted { Self::Wanted } else { Self::NotNow }
    }
}

/// Record sets by type and name.
#[derive(Debug)]
pub(crate) struct Cache {
    sets: [HashMap<Box<str>, Entry>; 6],
    /// What the times of use are counted from.
    origin: Instant,
    limits: Limits,
    evicted: u64,
}

/// Bounds of times and room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    stale: Duration,
    min_ttl: Duration,
    max_ttl: Duration,
    negative_ttl: Duration,
    entries: usize,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        let Settings { stale, min_ttl, max_ttl, negative_ttl, cache_size, .. } = *settings;
        Self { stale, min_ttl, max_ttl, negative_ttl, entries: cache_size.max(1) }
    }
}

#[derive(Debug)]
struct Entry {
    known: Option<Known>,
    failed: Option<Failed>,
    asked: Arc<Asked>,
    /// Milliseconds from the cache's origin to the last use.
    used: AtomicU64,
}

#[derive(Debug)]
struct Known {
    records: Records,
    refresh_from: Instant,
    fresh_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    retry_at: Instant,
}

impl Cache {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self { sets: Default::default(), origin: now, limits, evicted: 0 }
    }

    /// Takes up other limits. What is known counts no more if `servers` have changed too: it is asked again, and serves as an expired
    /// answer until then.
    pub(crate) fn reconfigure(&mut self, limits: Limits, servers: Changed, now: Instant) {
        self.limits = limits;
        if servers == Changed::Yes {
            for entry in self.sets.iter_mut().flat_map(HashMap::values_mut) {
                entry.failed = None;
                if let Some(known) = &mut entry.known {
                    known.fresh_until = known.fresh_until.min(now);
                }
            }
        }
    }

    /// What is known of a question.
    pub(crate) fn find(&self, kind: Kind, name: &str, now: Instant, tolerance: Tolerance) -> Found<'_> {
        let none = || if tolerance == Tolerance::Nothing { Found::Unanswered(Refresh::NotNow) } else { Found::Absent };
        let Some(entry) = self.sets.get(kind as usize).and_then(|sets| sets.get(name)) else { return none() };
        entry.used.store(self.stamp(now), Ordering::Relaxed);
        let retry = entry.failed.is_none_or(|failed| now >= failed.retry_at);
        match (&entry.known, entry.failed) {
            (Some(known), _) if now < known.fresh_until => {
                Found::Usable(&known.records, Use::Fresh(Refresh::when(retry && now >= known.refresh_from)))
            }
            (Some(known), failed) if now < known.fresh_until + self.limits.stale => {
                match failed.is_some() || entry.asked.are_silent() || tolerance != Tolerance::Fresh {
                    true => Found::Usable(&known.records, Use::Stale(Refresh::when(retry))),
                    false => Found::Expired,
                }
            }
            (_, Some(_)) if !retry => Found::Unanswered(Refresh::NotNow),
            // Servers that cannot answer these at all are common, and the others suffice for a call: nobody waits for them again and again.
            (_, Some(_)) if matches!(kind, Kind::Naptr | Kind::Aaaa) => Found::Unanswered(Refresh::Wanted),
            (_, Some(_) | None) => none(),
        }
    }

    /// Takes an answer up; one without records is believed as well.
    pub(crate) fn answered(&mut self, question: &Question, answer: Answer, asked: Arc<Asked>, now: Instant) {
        let limits = self.limits;
        let longest = match answer.records.is_empty() {
            true => limits.negative_ttl,
            false => limits.max_ttl.max(limits.min_ttl),
        };
        let ttl = answer.ttl.max(limits.min_ttl).min(longest);
        let known = Known { records: answer.records, refresh_from: now + ttl * 3 / 4, fresh_until: now + ttl };
        let entry = self.entry(question, asked, now);
        entry.known = Some(known);
        entry.failed = None;
    }

    /// Remembers that a question found no answer. What was known before stays.
    pub(crate) fn failed(&mut self, question: &Question, asked: Arc<Asked>, now: Instant) {
        let entry = self.entry(question, asked, now);
        let times = entry.failed.map_or(0, |failed| failed.times);
        let pause = BACKOFF_FIRST.saturating_mul(1 << times.min(8)).min(BACKOFF_MAX);
        entry.failed = Some(Failed { times: times + 1, retry_at: now + pause });
    }

    /// Record sets that are kept.
    pub(crate) fn len(&self) -> usize {
        self.sets.iter().map(HashMap::len).sum()
    }

    /// Record sets that went to make room, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn entry(&mut self, question: &Question, asked: Arc<Asked>, now: Instant) -> &mut Entry {
        let there = self.sets.get(question.kind as usize).is_some_and(|sets| sets.contains_key(&*question.name));
        if !there && self.len() >= self.limits.entries {
            self.make_room(now);
        }
        let used = AtomicU64::new(self.stamp(now));
        let new = Entry { known: None, failed: None, asked: Arc::clone(&asked), used };
        let [naptr, srv, a, aaaa, any_naptr, txt] = &mut self.sets;
        let sets = match question.kind {
            Kind::Naptr => naptr,
            Kind::Srv => srv,
            Kind::A => a,
            Kind::Aaaa => aaaa,
            Kind::AnyNaptr => any_naptr,
            Kind::Txt => txt,
        };
        let entry = sets.entry(Box::from(&*question.name)).or_insert(new);
        entry.asked = asked;
        entry
    }

    /// Forgets what nobody can use any more; else what was not used for the longest time.
    fn make_room(&mut self, now: Instant) {
        let (before, limits) = (self.len(), self.limits);
        let dead = |entry: &Entry| entry.known.as_ref().is_none_or(|known| now >= known.fresh_until + limits.stale);
        self.sets.iter_mut().for_each(|sets| sets.retain(|_, entry| !dead(entry)));
        let left = self.len();
        if left >= limits.entries {
            let mut uses: Vec<u64> = self.sets.iter().flat_map(HashMap::values).map(|entry| entry.used.load(Ordering::Relaxed)).collect();
            let mut excess = left - limits.entries + limits.entries.div_ceil(EVICTED_AT_ONCE);
            let (_, oldest, _) = uses.select_nth_unstable(excess.min(left).saturating_sub(1));
            let oldest = *oldest;
            let mut stays = |entry: &Entry| {
                let goes = excess > 0 && entry.used.load(Ordering::Relaxed) <= oldest;
                excess -= usize::from(goes);
                !goes
            };
            self.sets.iter_mut().for_each(|sets| sets.retain(|_, entry| stays(entry)));
        }
        self.evicted += u64::try_from(before - self.len()).unwrap_or(0);
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It has.
    Yes,
    /// It has not.
    No,
}

impl Changed {
    pub(crate) fn when(changed: bool) -> Self {
        if changed { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a.test";

    struct Bench {
        cache: Cache,
        asked: Arc<Asked>,
        start: Instant,
    }

    impl Bench {
        fn new(settings: &Settings) -> Self {
            let start = Instant::now();
            Self { cache: Cache::new(settings.into(), start), asked: Arc::default(), start }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn answer(&mut self, kind: Kind, address: Option<&str>, ttl: u64, seconds: f64) {
            let records = Records::Addresses(address.map(|text| text.parse().unwrap()).into_iter().collect());
            let answer = Answer { records, ttl: Duration::from_secs(ttl) };
            self.cache.answered(&question(kind, NAME), answer, Arc::clone(&self.asked), self.at(seconds));
        }

        fn fail(&mut self, kind: Kind, seconds: f64) {
            self.cache.failed(&question(kind, NAME), Arc::clone(&self.asked), self.at(seconds));
        }

        /// In short: `fresh`, `stale`, `unanswered`, each with `+` if a refresh is wanted; `expired`, `absent`.
        fn sees(&self, kind: Kind, tolerance: Tolerance, seconds: f64) -> String {
            let plus = |word: &str, refresh: Refresh| word.to_owned() + if refresh == Refresh::Wanted { "+" } else { "" };
            match self.cache.find(kind, NAME, self.at(seconds), tolerance) {
                Found::Usable(records, Use::Fresh(refresh)) => plus(if records.is_empty() { "none" } else { "fresh" }, refresh),
                Found::Usable(_, Use::Stale(refresh)) => plus("stale", refresh),
                Found::Unanswered(refresh) => plus("unanswered", refresh),
                Found::Expired => "expired".to_owned(),
                Found::Absent => "absent".to_owned(),
            }
        }
    }

    fn question(kind: Kind, name: &str) -> Question {
        Question { name: name.into(), kind }
    }

    #[test]
    fn an_answer_ages_as_its_ttl_says() {
        let mut bench = Bench::new(&Settings { stale: Duration::from_secs(100), ..Settings::default() });
        bench.answer(Kind::A, Some("192.0.2.1"), 40, 0.0);
        for (seconds, tolerance, expected) in [
            (29.9, Tolerance::Fresh, "fresh"),
            (30.0, Tolerance::Fresh, "fresh+"),
            (39.9, Tolerance::Fresh, "fresh+"),
            (40.0, Tolerance::Fresh, "expired"),
            (40.0, Tolerance::Stale, "stale+"),
            (139.9, Tolerance::Fresh, "expired"),
            (140.0, Tolerance::Fresh, "absent"),
            (140.0, Tolerance::Nothing, "unanswered"),
        ] {
            assert_eq!(bench.sees(Kind::A, tolerance, seconds), expected, "{seconds} {tolerance:?}");
        }
    }

    #[test]
    fn rfc8767_stale_answers_are_given_at_once_while_servers_fail_and_asked_for_with_back_off() {
        let mut bench = Bench::new(&Settings::default());
        bench.answer(Kind::Srv, None, 40, 0.0);
        bench.answer(Kind::A, Some("192.0.2.1"), 40, 0.0);
        // A refresh ahead of time that fails costs nothing.
        bench.fail(Kind::A, 35.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 35.5), "fresh");
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 36.0), "fresh+");
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 41.0), "stale+");
        // Pauses of 1, 2, 4, 8, 10, 10 s.
        for (at, pause) in [(50.0, 2.0), (60.0, 4.0), (70.0, 8.0), (80.0, 10.0), (90.0, 10.0)] {
            bench.fail(Kind::A, at);
            assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, at + pause - 0.1), "stale");
            assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, at + pause), "stale+");
        }
        // Another name of the same servers: not asked yet, and yet not waited for.
        assert_eq!(bench.sees(Kind::Srv, Tolerance::Fresh, 41.0), "expired");
        bench.asked.kept_silent(&question(Kind::A, NAME), bench.at(41.0));
        assert_eq!(bench.sees(Kind::Srv, Tolerance::Fresh, 41.0), "stale+");
        bench.asked.answered(&question(Kind::A, NAME), bench.at(100.0));
        bench.answer(Kind::A, Some("192.0.2.2"), 40, 100.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 101.0), "fresh");
    }

    #[test]
    fn rfc2308_that_there_is_nothing_is_believed_for_a_bounded_time() {
        let mut bench = Bench::new(&Settings::default());
        bench.answer(Kind::A, Some("192.0.2.1"), 3600, 0.0);
        bench.answer(Kind::A, None, 3600, 10.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 11.0), "none");
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 70.0), "expired");
    }

    #[test]
    fn ttls_are_bounded_by_the_settings() {
        let settings = Settings { min_ttl: Duration::from_secs(5), max_ttl: Duration::from_secs(100), ..Settings::default() };
        let mut bench = Bench::new(&settings);
        bench.answer(Kind::A, Some("192.0.2.1"), 0, 0.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 4.9), "fresh+");
        bench.answer(Kind::A, Some("192.0.2.1"), 4_000_000_000, 0.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 100.0), "expired");
    }

    #[test]
    fn rfc2308_nothing_counts_as_not_existing_for_longer_than_negative_ttl() {
        let settings = Settings { min_ttl: Duration::from_secs(600), negative_ttl: Duration::from_secs(8), ..Settings::default() };
        let mut bench = Bench::new(&settings);
        for ttl in [0, 60, 86_400] {
            bench.answer(Kind::A, None, ttl, 0.0);
            assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 5.9), "none", "{ttl}");
            assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 8.0), "expired", "{ttl}");
        }
        bench.answer(Kind::A, Some("192.0.2.1"), 1, 0.0);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 599.0), "fresh+");
    }

    #[test]
    fn a_question_that_failed_is_not_asked_again_at_once() {
        let mut bench = Bench::new(&Settings::default());
        for (kind, afterwards) in [(Kind::A, "absent"), (Kind::Srv, "absent"), (Kind::Naptr, "unanswered+"), (Kind::Aaaa, "unanswered+")] {
            bench.fail(kind, 0.0);
            assert_eq!(bench.sees(kind, Tolerance::Fresh, 0.9), "unanswered");
            assert_eq!(bench.sees(kind, Tolerance::Fresh, 1.0), afterwards, "{kind:?}");
        }
    }

    #[test]
    fn what_was_not_used_goes_when_there_is_no_room() {
        let settings = Settings { cache_size: 32, ..Settings::default() };
        let start = Instant::now();
        let mut cache = Cache::new((&settings).into(), start);
        let at = |number: u64| start + Duration::from_millis(number);
        let answer = Answer { records: Records::Addresses(Vec::new()), ttl: Duration::from_secs(60) };
        for number in 0..1000 {
            cache.answered(&question(Kind::A, &format!("n{number}.test")), answer.clone(), Arc::default(), at(number));
            assert!(matches!(cache.find(Kind::A, "n0.test", at(number), Tolerance::Fresh), Found::Usable(..)), "n0 is used all the time");
            assert!(cache.len() <= 32);
        }
        assert!(matches!(cache.find(Kind::A, "n999.test", at(1000), Tolerance::Fresh), Found::Usable(..)));
        assert_eq!(cache.find(Kind::A, "n500.test", at(1000), Tolerance::Fresh), Found::Absent);
        assert_eq!(cache.evicted() + cache.len() as u64, 1000);
    }

    #[test]
    fn other_name_servers_are_asked_anew() {
        let mut bench = Bench::new(&Settings::default());
        bench.answer(Kind::A, Some("192.0.2.1"), 3600, 0.0);
        let (limits, now) = (bench.cache.limits, bench.at(10.0));
        bench.cache.reconfigure(limits, Changed::No, now);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 11.0), "fresh");
        bench.cache.reconfigure(limits, Changed::Yes, now);
        assert_eq!(bench.sees(Kind::A, Tolerance::Fresh, 11.0), "expired");
    }
}
