use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn set(bucket: &Bucket, key: &str, value: &str, ttl: Option<Duration>, now: Instant) -> Result<Answer, ServiceError> {
    bucket.run(key, Operation::Set { value: value.into(), ttl }, now)
}

fn get(bucket: &Bucket, key: &str, now: Instant) -> Option<String> {
    match bucket.run(key, Operation::Get, now) {
        Ok(Answer::Value(value)) => value.map(|value| String::from_utf8(value).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_expired_is_not_there() {
    let (bucket, now) = (Bucket::new(10, 1 << 20), Instant::now());
    set(&bucket, "k", "v", Some(MINUTE), now).unwrap();
    assert_eq!(get(&bucket, "k", now + MINUTE - Duration::from_millis(1)).as_deref(), Some("v"));
    assert_eq!(get(&bucket, "k", now + MINUTE), None);
    assert_eq!((bucket.entries(), bucket.octets()), (0, 0), "and its room is free");
}

#[test]
fn a_value_written_anew_has_the_new_time_to_live() {
    let (bucket, now) = (Bucket::new(10, 1 << 20), Instant::now());
    set(&bucket, "k", "1", Some(MINUTE), now).unwrap();
    set(&bucket, "k", "2", None, now).unwrap();
    assert_eq!(get(&bucket, "k", now + 9 * MINUTE).as_deref(), Some("2"));
    bucket.sweep(now + 9 * MINUTE);
    assert_eq!(get(&bucket, "k", now + 9 * MINUTE).as_deref(), Some("2"), "the old time is forgotten");
}

#[test]
fn a_counter_lives_from_its_first_count_on() {
    let (bucket, now) = (Bucket::new(10, 1 << 20), Instant::now());
    let count = |at| bucket.run("k", Operation::Increment { by: 1, ttl: Some(MINUTE) }, at);
    assert_eq!(count(now), Ok(Answer::Count(1)));
    assert_eq!(count(now + MINUTE / 2), Ok(Answer::Count(2)));
    assert_eq!(count(now + MINUTE), Ok(Answer::Count(1)));
}

#[test]
fn a_full_bucket_refuses_new_keys_and_nothing_else() {
    let (bucket, now) = (Bucket::new(3, 1 << 20), Instant::now());
    for key in ["a", "b"] {
        set(&bucket, key, "v", None, now).unwrap();
    }
    set(&bucket, "c", "v", Some(MINUTE), now).unwrap();
    let error = set(&bucket, "d", "v", None, now).unwrap_err();
    assert!(error.to_string().starts_with("unavailable: the bucket is full with 3 keys in "), "{error}");
    assert_eq!(bucket.run("e", Operation::Increment { by: 1, ttl: None }, now), Err(error));
    assert_eq!(set(&bucket, "a", "w", None, now), Ok(Answer::Done), "a key that is there can be written");
    assert_eq!(set(&bucket, "d", "v", None, now + MINUTE), Ok(Answer::Done), "what has expired makes room");
    assert_eq!(get(&bucket, "a", now + MINUTE).as_deref(), Some("w"), "nothing else does");
    bucket.run("a", Operation::Delete, now).unwrap();
    assert_eq!(set(&bucket, "f", "v", None, now), Ok(Answer::Done));
}

#[test]
fn octets_are_bounded_too() {
    let (bucket, now) = (Bucket::new(10, 2 * OVERHEAD + 20), Instant::now());
    set(&bucket, "a", "123456789", None, now).unwrap();
    set(&bucket, "b", "123456789", None, now).unwrap();
    assert_eq!(bucket.octets(), 2 * OVERHEAD + 20);
    assert!(set(&bucket, "a", "1234567890", None, now).is_err(), "one octet more");
    assert_eq!(get(&bucket, "a", now).as_deref(), Some("123456789"), "and what was there stays");
    assert_eq!(set(&bucket, "a", "1", None, now), Ok(Answer::Done));
    assert_eq!(set(&bucket, "b", "12345678901234567", None, now), Ok(Answer::Done));
    assert_eq!(bucket.entries(), 2);
}

#[test]
fn narrower_bounds_keep_what_is_there() {
    let (bucket, now) = (Bucket::new(10, 1 << 20), Instant::now());
    for key in ["a", "b", "c"] {
        set(&bucket, key, "v", None, now).unwrap();
    }
    bucket.bound(2, 1 << 20);
    assert_eq!(set(&bucket, "a", "longer", None, now), Ok(Answer::Done));
    assert!(set(&bucket, "d", "v", None, now).is_err());
    assert_eq!(get(&bucket, "c", now).as_deref(), Some("v"));
    bucket.bound(4, 1 << 20);
    assert_eq!(set(&bucket, "d", "v", None, now), Ok(Answer::Done));
}

/// Random operations against the plainest model of a bucket. Fails with the seed.
#[test]
fn it_does_what_a_plain_map_does() {
    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let bucket = Bucket::new(1000, 1 << 20);
        let mut model: HashMap<String, (String, Option<Instant>)> = HashMap::new();
        let mut now = Instant::now();
        for step in 0..200 {
            now += Duration::from_millis(random(20));
            model.retain(|_, (_, expires)| expires.is_none_or(|at| at > now));
            let (key, value) = (format!("k{}", random(8)), random(5).to_string());
            let ttl = (random(2) == 0).then(|| Duration::from_millis(1 + random(50)));
            let expires = ttl.map(|ttl| now + ttl);
            match random(5) {
                0 => assert_eq!(get(&bucket, &key, now), model.get(&key).map(|(value, _)| value.clone()), "seed {seed}, step {step}"),
                1 => {
                    set(&bucket, &key, &value, ttl, now).unwrap();
                    model.insert(key, (value, expires));
                }
                2 => {
                    bucket.run(&key, Operation::Delete, now).unwrap();
                    model.remove(&key);
                }
                3 => {
                    let entry = model.entry(key.clone()).or_insert(("0".into(), expires));
                    let count = entry.0.parse::<i64>().unwrap() + 3;
                    entry.0 = count.to_string();
                    let counted = bucket.run(&key, Operation::Increment { by: 3, ttl }, now);
                    assert_eq!(counted, Ok(Answer::Count(count)), "seed {seed}, step {step}");
                }
                _ => {
                    let expect = (random(3) > 0).then(|| random(5).to_string());
                    let same = model.get(&key).map(|(value, _)| value) == expect.as_ref();
                    let operation = Operation::CompareSet { expect: expect.map(String::into_bytes), value: value.clone().into(), ttl };
                    assert_eq!(bucket.run(&key, operation, now), Ok(Answer::Truth(same)), "seed {seed}, step {step}");
                    if same {
                        model.insert(key, (value, expires));
                    }
                }
            }
        }
        bucket.sweep(now);
        model.retain(|_, (_, expires)| expires.is_none_or(|at| at > now));
        let octets: usize = model.iter().map(|(key, (value, _))| cost(key, value.as_bytes())).sum();
        assert_eq!((bucket.entries(), bucket.octets()), (model.len(), octets), "seed {seed}");
    }
}

#[test]
fn threads_that_count_lose_no_count() {
    let bucket = Bucket::new(100, 1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    bucket.run("k", Operation::Increment { by: 1, ttl: None }, Instant::now()).unwrap();
                }
            });
        }
    });
    assert_eq!(get(&bucket, "k", Instant::now()).as_deref(), Some("4000"));
}
