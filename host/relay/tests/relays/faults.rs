//! What a relay, or the way to it, can do wrong.

use std::time::{Duration, Instant};

use jackfield_relay::{AskError, Client, Health, InviteOffer, Note, Pool, Probe, RelayId, RelaySettings, Treatment};

use crate::scripted::{Reply, Scripted, taken};
use crate::support::{ask, client, eventually, request, server};

const TIMEOUT: Duration = Duration::from_millis(600);

fn settings(relays: &[(&str, &Scripted)]) -> RelaySettings {
    let servers = relays.iter().map(|(name, relay)| server(name, relay.address)).collect();
    RelaySettings { servers, timeout: TIMEOUT, ..RelaySettings::default() }
}

/// Asks about the INVITE of a new call; what it gets, or why not.
async fn offer(client: &Client, note: Option<Note>) -> Result<(Note, String), AskError> {
    let (invite, plain) = (request("INVITE", "a", "", "v=0\r\n"), Treatment::default());
    let answered = ask(client, (&invite, None), (&plain, &plain), note).await?;
    Ok((answered.note, String::from_utf8(answered.sdp.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_relay_is_asked_by_ipv6_as_well() {
    let relay = Scripted::start_at("[::1]:0", |question, _| question.answered(&taken("v=1"))).await;
    let (client, _) = client(settings(&[("one", &relay)]));
    assert_eq!(offer(&client, None).await.unwrap().1, "v=1");
}

#[tokio::test]
async fn what_is_larger_than_a_datagram_is_asked_of_nobody() {
    let willing = Scripted::willing("v=1").await;
    let (client, pool) = client(settings(&[("one", &willing), ("two", &Scripted::willing("v=1").await)]));
    let (invite, plain) = (request("INVITE", "a", "", &"v".repeat(65_500)), Treatment::default());
    let asked = ask(&client, (&invite, None), (&plain, &plain), None).await;
    assert!(matches!(asked, Err(AskError::Unsent { error: std::io::ErrorKind::InvalidInput, .. })), "{asked:?}");
    assert_eq!(pool.snapshot().iter().map(|status| status.asked).sum::<u64>(), 1, "the other one cannot take it either");
    assert_eq!(health(&pool), [Health::Up, Health::Up]);
}

/// Relays of which `first` gets all new calls unless it is down.
fn preferring(first: &Scripted, second: &Scripted) -> RelaySettings {
    let mut settings = settings(&[("first", first), ("second", second)]);
    settings.servers[1].weight = 0;
    settings
}

fn health(pool: &Pool) -> Vec<Health> {
    pool.snapshot().iter().map(|status| status.health).collect()
}

#[tokio::test]
async fn a_lost_question_is_repeated_with_its_cookie() {
    let relay = Scripted::start(|question, before| if before < 2 { Vec::new() } else { question.answered(&taken("v=1")) }).await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    let start = Instant::now();
    assert_eq!(offer(&client, None).await.unwrap().1, "v=1");
    assert!(start.elapsed() >= Duration::from_millis(450), "150 ms and then 300: {:?}", start.elapsed());
    let asked = relay.asked("offer");
    assert!(asked.len() == 3 && asked.windows(2).all(|two| two[0] == two[1]), "{asked:?}");
    assert_eq!((health(&pool), pool.snapshot()[0].asked), (vec![Health::Up], 1));
}

#[tokio::test]
async fn a_silent_relay_is_down_at_once_and_keeps_no_call() {
    let (silent, willing) = (Scripted::silent().await, Scripted::willing("v=1").await);
    let (client, pool) = client(preferring(&silent, &willing));
    let (note, sdp) = offer(&client, None).await.unwrap();
    assert_eq!((note.relay, &*sdp), (RelayId::of("second"), "v=1"));
    assert_eq!((health(&pool), pool.snapshot()[0].timed_out), (vec![Health::Down, Health::Up], 1));
    // The next call does not wait for it.
    let start = Instant::now();
    offer(&client, None).await.unwrap();
    assert!(start.elapsed() < TIMEOUT);
    // It may have been slow and have the call all the same.
    eventually("the call is deleted", || !silent.asked("delete").is_empty()).await;
}

#[tokio::test]
async fn silent_relays_are_asked_within_a_bound() {
    let relays = [Scripted::silent().await, Scripted::silent().await, Scripted::silent().await];
    let mut settings = settings(&[("a", &relays[0]), ("b", &relays[1]), ("c", &relays[2])]);
    settings.total = TIMEOUT + TIMEOUT / 2;
    let (client, pool) = client(settings);
    let start = Instant::now();
    assert!(matches!(offer(&client, None).await, Err(AskError::Timeout { .. })));
    assert!(start.elapsed() < TIMEOUT * 2, "{:?}", start.elapsed());
    assert_eq!(pool.snapshot().iter().filter(|status| status.asked == 1).count(), 2);
    let left = offer(&client, None).await;
    assert!(matches!(left, Err(AskError::Timeout { .. })));
    assert_eq!(offer(&client, None).await, Err(AskError::NoRelay), "all are down");
}

#[tokio::test]
async fn one_that_takes_no_more_calls_stays_up_and_the_next_is_asked() {
    for full in ["d6:result10:load limit7:message4:fulle", "d6:result5:error12:error-reason17:Ran out of ports.e"] {
        let relay = Scripted::start(move |question, _| question.answered(full)).await;
        let willing = Scripted::willing("v=1").await;
        let (client, pool) = client(preferring(&relay, &willing));
        assert_eq!(offer(&client, None).await.unwrap().0.relay, RelayId::of("second"));
        assert_eq!((health(&pool), pool.snapshot()[0].failed), (vec![Health::Up, Health::Up], 1));
        assert_eq!(relay.asked("offer").len(), 1);
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_sdp_is_asked_about_once() {
    let relay = Scripted::start(|question, _| question.answered("d6:result5:error12:error-reason19:Failed to parse SDPe")).await;
    let willing = Scripted::willing("v=1").await;
    let (client, _) = client(preferring(&relay, &willing));
    let refused = offer(&client, None).await;
    assert_eq!(refused, Err(AskError::Refused { relay: "first".into(), reason: "Failed to parse SDP".to_owned() }));
    assert!(willing.asked("offer").is_empty());
}

#[tokio::test]
async fn only_the_answer_to_the_question_is_taken_and_only_from_who_was_asked() {
    let relay = Scripted::start(|question, before| {
        let with = |cookie: &str, sdp: &str| format!("{cookie} {}", taken(sdp)).into_bytes();
        let wrong = question.cookie.chars().rev().collect::<String>();
        match before {
            0 => vec![
                Reply::Other(with(&question.cookie, "v=foreign")),
                Reply::Own(with(&wrong, "v=wrong")),
                Reply::Own(b"\0rubbish".to_vec()),
                Reply::Own(Vec::new()),
                Reply::Own(with(&question.cookie[1..], "v=short")),
            ],
            _ => vec![Reply::Own(with(&question.cookie, "v=1")), Reply::Own(with(&question.cookie, "v=again"))],
        }
    })
    .await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    assert_eq!(offer(&client, None).await.unwrap().1, "v=1");
    eventually("all are counted", || pool.counts().late == 2).await;
    let counts = pool.counts();
    assert_eq!((counts.foreign, counts.malformed), (1, 3), "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_none() {
    for rubbish in ["d6:result2:ok", "le", "", "d6:result2:oke"] {
        let relay = Scripted::start(move |question, _| question.answered(rubbish)).await;
        let (client, pool) = client(settings(&[("one", &relay)]));
        assert_eq!(offer(&client, None).await, Err(AskError::Malformed { relay: "one".into() }), "{rubbish:?}");
        assert_eq!(pool.snapshot()[0].failed, 1);
    }
}

#[tokio::test]
async fn a_call_stays_with_its_relay() {
    let (silent, willing) = (Scripted::silent().await, Scripted::willing("v=1").await);
    let (client, pool) = client(settings(&[("first", &silent), ("second", &willing)]));
    let note = Note { relay: RelayId::of("first"), leg: 1, offer: InviteOffer::Present, profile: None };
    assert_eq!(offer(&client, Some(note)).await, Err(AskError::Timeout { relay: "first".into() }));
    assert!(willing.asked("offer").is_empty());
    pool.reconfigure(settings(&[("second", &willing)]));
    assert_eq!(offer(&client, Some(note)).await, Err(AskError::Gone));
    assert_eq!(offer(&client, None).await.unwrap().1, "v=1");
}

#[tokio::test]
async fn a_deletion_is_repeated_until_it_is_answered() {
    // What is within one time-out goes unanswered, and the first of the next.
    let relay =
        Scripted::start(|question, before| if before < 4 { Vec::new() } else { question.answered("d7:warning4:gone6:result2:oke") }).await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    client.delete(&Note { relay: RelayId::of("one"), leg: 0xab, offer: InviteOffer::Present, profile: None }, b"id");
    eventually("it is deleted", || pool.counts().deleted == 1).await;
    let asked = relay.asked("delete");
    assert!(asked[0].text.contains("7:call-id21:id-jf00000000000000ab12:delete delayi0e"), "{asked:?}");
    assert_ne!(asked[0].cookie, asked[asked.len() - 1].cookie);
}

#[tokio::test]
async fn a_deletion_that_a_relay_refuses_is_tried_again() {
    let relay = Scripted::start(|question, before| match before {
        0 => question.answered("d6:result5:error12:error-reason13:Shutting downe"),
        _ => question.answered("d6:result2:oke"),
    })
    .await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    client.delete(&Note { relay: RelayId::of("one"), leg: 1, offer: InviteOffer::Present, profile: None }, b"id");
    eventually("it is deleted", || pool.counts().deleted == 1).await;
    assert_eq!(pool.counts().undeleted, 0);
}

#[tokio::test]
async fn a_silent_relay_takes_no_place_from_deletions_at_another() {
    let (silent, willing) = (Scripted::silent().await, Scripted::willing("v=1").await);
    let (client, pool) = client(preferring(&silent, &willing));
    offer(&client, None).await.unwrap();
    assert_eq!(health(&pool), [Health::Down, Health::Up]);
    let at = |relay: &str| Note { relay: RelayId::of(relay), leg: 1, offer: InviteOffer::Present, profile: None };
    for _ in 0..=Client::OPEN_DELETIONS {
        client.delete(&at("first"), b"id");
    }
    assert!(pool.counts().undeleted > 0);
    client.delete(&at("second"), b"id");
    eventually("it is deleted", || pool.counts().deleted == 1).await;
}

#[tokio::test]
async fn a_question_that_is_dropped_leaves_no_call() {
    let relay = Scripted::start(|question, _| if question.is("delete") { question.answered("d6:result2:oke") } else { Vec::new() }).await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    let task = tokio::spawn({
        let client = client.clone();
        async move { offer(&client, None).await }
    });
    eventually("it is asked", || !relay.asked("offer").is_empty()).await;
    task.abort();
    eventually("it is deleted", || pool.counts().deleted == 1).await;
    let leg = |text: &str| text.split("-jf").nth(1).map(|rest| rest[..16].to_owned());
    assert_eq!(leg(&relay.asked("offer")[0].text), leg(&relay.asked("delete")[0].text));
}

#[tokio::test]
async fn an_order_to_delete_that_overtakes_its_question_is_repeated() {
    let relay = Scripted::start(|question, before| match question {
        question if question.is("delete") && before == 0 => question.answered("d7:warning18:Call-ID not found.6:result2:oke"),
        question if question.is("delete") => question.answered("d6:result2:oke"),
        _ => Vec::new(),
    })
    .await;
    let (client, pool) = client(settings(&[("one", &relay)]));
    assert!(matches!(offer(&client, None).await, Err(AskError::Timeout { .. })));
    eventually("it is deleted", || pool.counts().deleted == 1).await;
    assert_eq!(relay.asked("delete").len(), 2);
    // One that is known to have begun, and is not known any more, has ended.
    let note = Note { relay: RelayId::of("one"), leg: 1, offer: InviteOffer::Present, profile: None };
    let gone = Scripted::start(|question, _| question.answered("d7:warning18:Call-ID not found.6:result2:oke")).await;
    pool.reconfigure(settings(&[("one", &gone)]));
    client.delete(&note, b"id");
    eventually("it counts as deleted", || pool.counts().deleted == 2).await;
    assert_eq!(gone.asked("delete").len(), 1);
}

#[tokio::test]
async fn pings_find_out_who_is_there() {
    let mut talks = false;
    let (sender, receiver) = std::sync::mpsc::channel();
    let relay = Scripted::start(move |question, _| {
        talks = receiver.try_recv().unwrap_or(talks);
        if talks { question.answered("d6:result4:ponge") } else { Vec::new() }
    })
    .await;
    let probe = Probe { interval: Duration::from_millis(20), failures: 2, successes: 2 };
    let (client, pool) = client(RelaySettings { probe, timeout: Duration::from_millis(100), ..settings(&[("one", &relay)]) });
    tokio::spawn(async move { client.ping().await });
    eventually("it is down", || health(&pool) == [Health::Down]).await;
    assert!(relay.asked("ping").len() >= 2, "one silence is none");
    let down = pool.snapshot()[0].since;
    sender.send(true).unwrap();
    eventually("it is up", || health(&pool) == [Health::Up]).await;
    assert!(pool.snapshot()[0].since > down);
}

#[tokio::test]
async fn a_silent_relay_does_not_keep_the_others_from_their_pings() {
    let willing = Scripted::willing("v=1").await;
    let probe = Probe { interval: Duration::from_millis(5), ..Probe::default() };
    let time = Duration::from_secs(30);
    let servers = settings(&[("one", &Scripted::silent().await), ("two", &willing)]);
    let (client, _) = client(RelaySettings { probe, timeout: time, total: time, ..servers });
    tokio::spawn(async move { client.ping().await });
    eventually("it is asked again and again", || willing.asked("ping").len() >= 3).await;
}

#[tokio::test]
async fn one_that_was_only_slow_is_back_before_the_next_interval() {
    let relay = Scripted::start(|question, before| match question {
        question if question.is("ping") => question.answered("d6:result4:ponge"),
        _ if before < 9 => Vec::new(),
        question => question.answered(&taken("v=1")),
    })
    .await;
    let probe = Probe { interval: Duration::from_secs(3_600), ..Probe::default() };
    let (client, pool) = client(RelaySettings { probe, ..settings(&[("one", &relay)]) });
    let pinging = client.clone();
    tokio::spawn(async move { pinging.ping().await });
    assert!(matches!(offer(&client, None).await, Err(AskError::Timeout { .. })));
    eventually("it is up", || health(&pool) == [Health::Up]).await;
}
