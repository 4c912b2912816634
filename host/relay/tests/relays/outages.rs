//! A relay that goes away under questions, and one that has its fill.

use std::time::{Duration, Instant};

use jackfield_relay::{Health, Note, RelayId, RelaySettings, Treatment};
use tokio::task::JoinSet;

use crate::support::{CALL_ID, Rtpengine, ask, client, eventually, request, server};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5004 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";

#[tokio::test]
async fn new_calls_are_the_other_relays_within_two_seconds() {
    let (Some(mut first), Some(second)) = (Rtpengine::start(), Rtpengine::start()) else { return };
    let servers = vec![server("first", first.address), server("second", second.address)];
    let (client, pool) = client(RelaySettings { servers, ..RelaySettings::default() });
    let pinging = client.clone();
    tokio::spawn(async move { pinging.ping().await });

    let mut calls = JoinSet::new();
    let mut killed = None;
    for number in 0..400 {
        let client = client.clone();
        calls.spawn(async move {
            let (invite, plain) = (request("INVITE", "a", "", SDP), Treatment::default());
            let start = Instant::now();
            (start, ask(&client, (&invite, None), (&plain, &plain), None).await, start.elapsed())
        });
        if number == 100 {
            eventually("both have calls", || !first.calls().is_empty() && !second.calls().is_empty()).await;
            first.kill();
            killed = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed = killed.unwrap();
    let mut notes: Vec<Note> = Vec::new();
    while let Some(done) = calls.join_next().await {
        let (start, answered, took) = done.unwrap();
        let note = answered.expect("every call is taken").note;
        assert!(took < Duration::from_secs(2), "it took {took:?}");
        let late = start > killed + Duration::from_millis(1_500);
        assert!(!late || (note.relay == RelayId::of("second") && took < Duration::from_secs(1)), "{note} after {took:?}");
        notes.push(note);
    }
    assert!(notes.iter().any(|note| note.relay == RelayId::of("first")), "some were its own before");
    assert_eq!(pool.snapshot()[0].health, Health::Down);
    for note in notes.iter().filter(|note| note.relay == RelayId::of("second")) {
        client.delete(note, CALL_ID.as_bytes());
    }
    eventually("no call is left", || second.calls().is_empty()).await;
}

#[tokio::test]
async fn one_that_has_its_fill_sends_new_calls_to_the_other() {
    let (Some(small), Some(large)) = (Rtpengine::start_with(&["--max-sessions=2"]), Rtpengine::start()) else { return };
    let mut servers = vec![server("small", small.address), server("large", large.address)];
    servers[1].weight = 0;
    let (client, pool) = client(RelaySettings { servers, ..RelaySettings::default() });
    let mut taken_by_large = 0;
    for _ in 0..5 {
        let (invite, plain) = (request("INVITE", "a", "", SDP), Treatment::default());
        let note = ask(&client, (&invite, None), (&plain, &plain), None).await.unwrap().note;
        taken_by_large += usize::from(note.relay == RelayId::of("large"));
    }
    assert_eq!((small.calls().len(), large.calls().len()), (2, 3));
    assert_eq!(taken_by_large, 3);
    assert_eq!(pool.snapshot()[0].health, Health::Up, "it is there, it has only its fill");
}

#[tokio::test]
async fn calls_that_are_given_up_at_any_moment_leave_nothing() {
    let Some(rtpengine) = Rtpengine::start() else { return };
    let (client, pool) = client(RelaySettings { servers: vec![server("one", rtpengine.address)], ..RelaySettings::default() });
    const CALLS: usize = 600;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut begun = 0;
    for _ in 0..CALLS {
        let asking = client.clone();
        let call = tokio::spawn(async move {
            let (invite, plain) = (request("INVITE", "a", "", SDP), Treatment::default());
            let note = ask(&asking, (&invite, None), (&plain, &plain), None).await.unwrap().note;
            asking.delete(&note, CALL_ID.as_bytes());
        });
        // Before it is sent, on its way, about when it is answered, and after.
        for _ in 0..random.usize(..12) {
            tokio::task::yield_now().await;
        }
        if random.bool() {
            tokio::time::sleep(Duration::from_micros(random.u64(..1_500))).await;
        }
        call.abort();
        begun += usize::from(call.await.is_ok());
    }
    println!("{begun} of {CALLS} were answered");
    assert!(begun > 0 && begun < CALLS);
    eventually("every deletion is done", || {
        let asked = pool.snapshot()[0].asked;
        pool.counts().deleted == asked
    })
    .await;
    assert_eq!((pool.counts().undeleted, rtpengine.calls()), (0, Vec::<String>::new()));
}
