//! The granted services as a test plays them.

use jackfield::dns::{self, Naptr};
use jackfield::kv::Bucket;
use jackfield::prelude::*;
use jackfield::tables::Table;
use jackfield::testing::{self, Service};
use jackfield::{http, state, timers};

#[test]
fn value_set_for_a_time_goes_when_it_is_over() {
    let bucket = Bucket::open("b").unwrap();
    bucket.set("stays", "1").unwrap();
    bucket.set_for("goes", "text", Duration::from_secs(5)).unwrap();
    testing::advance(Duration::from_millis(4999));
    assert_eq!(bucket.get_string("goes").unwrap().as_deref(), Some("text"));
    testing::advance(Duration::from_millis(1));
    assert_eq!(bucket.get("goes").unwrap(), None);
    assert_eq!(bucket.get_number("stays").unwrap(), Some(1));
    bucket.delete("stays").unwrap();
    bucket.delete("stays").unwrap();
    assert_eq!(bucket.get("stays").unwrap(), None);
    assert_eq!(Bucket::open("other").unwrap().get("goes").unwrap(), None, "buckets have keys of their own");
}

#[test]
fn window_of_a_counter_begins_with_its_first_count() {
    let bucket = Bucket::open("b").unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(bucket.increment_for("k", 2, minute).unwrap(), 2);
    testing::advance(Duration::from_secs(59));
    assert_eq!(bucket.increment_for("k", -3, minute).unwrap(), -1);
    testing::advance(Duration::from_secs(1));
    assert_eq!(bucket.increment("k", 1).unwrap(), 1);
    bucket.set("k", i64::MAX.to_string()).unwrap();
    assert!(matches!(bucket.increment("k", 1), Err(ServiceError::Invalid(_))));
    bucket.set("k", "x").unwrap();
    let error = bucket.increment("k", 1).unwrap_err();
    assert_eq!(error.to_string(), "invalid: key k of bucket b: the value is no number");
    assert!(matches!(bucket.get_number("k"), Err(ServiceError::Invalid(_))));
    bucket.set("k", [0xff]).unwrap();
    assert!(matches!(bucket.get_string("k"), Err(ServiceError::Invalid(_))));
    assert!(matches!(bucket.get(&"k".repeat(513)), Err(ServiceError::Invalid(_))));
    assert!(matches!(bucket.set("k", vec![0; 65_537]), Err(ServiceError::Invalid(_))));
}

#[test]
fn value_is_written_only_over_the_expected_one() {
    let bucket = Bucket::open("b").unwrap();
    assert!(bucket.set_new_for("lock", "me", Duration::from_secs(1)).unwrap());
    assert!(!bucket.set_new("lock", "you").unwrap());
    assert!(!bucket.compare_set("lock", "you", "x").unwrap());
    assert!(bucket.compare_set_for("lock", "me", "still me", Duration::from_secs(1)).unwrap());
    assert_eq!(bucket.get("lock").unwrap().as_deref(), Some(b"still me".as_slice()));
}

#[test]
fn store_that_is_away_is_back_with_what_it_had() {
    let bucket = Bucket::open("b").unwrap();
    bucket.set("k", "v").unwrap();
    testing::fail(Service::Kv, ServiceError::Unavailable("connection refused".to_owned()));
    let error = Error::from(bucket.get("k").unwrap_err());
    assert_eq!(error.to_string(), "unavailable: key k of bucket b: connection refused");
    assert!(Bucket::open("b").is_ok(), "a store is not asked whether a bucket is granted");
    testing::mend(Service::Kv);
    assert_eq!(bucket.get_string("k").unwrap().as_deref(), Some("v"));
    testing::fail(Service::Kv, ServiceError::Denied(String::new()));
    assert_eq!(Bucket::open("b").err().unwrap().to_string(), "not granted: bucket b");
}

#[test]
fn rows_are_found_by_key_prefix_and_network() {
    testing::set_table("rates", "prefix, trunk, price\n49, berlin, 2\n4989, munich, 3\n, abroad, 9");
    let rates = Table::named("rates");
    let trunk = |number: &str| rates.prefix(number).unwrap().unwrap().text("trunk").unwrap().to_owned();
    assert_eq!([trunk("49891"), trunk("4930"), trunk("1")], ["munich", "berlin", "abroad"]);
    assert_eq!(rates.get("4930").unwrap(), None);
    let row = rates.get("4989").unwrap().unwrap();
    assert_eq!((row.parse::<u32>("price").unwrap(), row.get("nothing")), (3, None));
    assert_eq!(row.text("nothing").unwrap_err().to_string(), "table rates has no column nothing");
    let error = row.parse::<u32>("trunk").unwrap_err().to_string();
    assert_eq!(error, "table rates, column trunk: \"munich\" is not what the plugin expects");

    testing::set_table("nets", "net, name\n10.0.0.0/8, wide\n10.1.0.0/16, narrow\n2001:db8::/32, six\n0.0.0.0/0, any\n192.0.2.7, one");
    let nets = Table::named("nets");
    let name = |address: &str| nets.network(address).unwrap().map(|row| row.values()[1].clone());
    assert_eq!(name("10.1.2.3").as_deref(), Some("narrow"));
    assert_eq!(name("10.2.2.3").as_deref(), Some("wide"));
    assert_eq!(name("192.0.2.7").as_deref(), Some("one"));
    assert_eq!(name("203.0.113.1").as_deref(), Some("any"));
    assert_eq!(name("2001:db8::1").as_deref(), Some("six"));
    assert!(!nets.contains("2001:db9::1").unwrap());
    assert!(matches!(nets.contains("host"), Err(ServiceError::Invalid(_))));
    assert!(matches!(Table::named("none").columns(), Err(ServiceError::Denied(_))));
}

#[test]
fn http_request_is_kept_and_its_answer_is_the_tests() {
    #[derive(Debug, Deserialize)]
    struct Route {
        port: u16,
    }
    let url = "http://api.example/route";
    testing::answer_http_with(url, 200, &[("X-Cost", "7")], r#"{"port": 5062}"#);
    let request = http::post(url).header("X-Key", "k").json(&HashMap::from([("number", "1")])).unwrap();
    let response = request.timeout(Duration::from_millis(300)).send().unwrap();
    assert_eq!((response.status(), response.header("x-cost")), (200, Some("7")));
    assert_eq!(response.json::<Route>().unwrap().port, 5062);
    let sent = testing::take_http().pop().unwrap();
    assert_eq!((sent.method.as_str(), sent.body.as_slice()), ("POST", br#"{"number":"1"}"#.as_slice()));
    assert_eq!(sent.headers[1], ("Content-Type".to_owned(), "application/json".to_owned()));

    testing::answer_http(url, 503, r#"{"port": "x"}"#);
    let error = http::get(url).send().unwrap().json::<Route>().unwrap_err().to_string();
    assert!(error.starts_with("GET http://api.example/route: port: invalid type"), "{error}");
    assert_eq!(http::get(url).send().unwrap().success().unwrap_err().to_string(), "GET http://api.example/route: status 503");
    assert!(matches!(http::get("http://other.example/").send(), Err(ServiceError::Denied(_))));
}

#[test]
fn names_and_trunks_are_what_the_test_has_set() {
    let endpoint = Endpoint { address: "192.0.2.9".to_owned(), port: 5061, transport: Transport::Tls };
    testing::set_location("sips:a.example", [endpoint.clone()]);
    testing::set_addresses("a.example", &["192.0.2.9"]);
    testing::set_txt("a.example", &["hello"]);
    let naptr = Naptr {
        order: 1,
        preference: 2,
        flags: "s".to_owned(),
        service: "SIP+D2T".to_owned(),
        regexp: String::new(),
        replacement: "_sip._tcp.a.example".to_owned(),
    };
    testing::set_naptr("a.example", [naptr.clone()]);
    assert_eq!(dns::locate("sips:a.example").unwrap(), [endpoint]);
    assert_eq!(dns::addresses("a.example").unwrap(), ["192.0.2.9"]);
    assert_eq!(dns::naptr("a.example").unwrap(), [naptr]);
    assert_eq!(dns::txt("a.example").unwrap(), ["hello"]);
    testing::fail(Service::Dns, ServiceError::Timeout(String::new()));
    assert_eq!(dns::srv("b.example").unwrap_err().to_string(), "no answer in time: DNS for b.example");

    let contact = state::Contact { uri: "sip:1@10.0.0.1".to_owned(), line: None, trunk: None, expires_in: Duration::from_secs(9) };
    testing::set_contacts("sip:1@a.example", [contact.clone()]);
    testing::set_trunk_up("up", 3);
    testing::set_trunk_down("down");
    testing::set_active_calls("tag", 4);
    assert_eq!(state::contacts("sip:1@a.example").unwrap(), [contact]);
    assert_eq!([state::trunk_up("up"), state::trunk_up("down"), state::trunk_up("no")], [Ok(Some(true)), Ok(Some(false)), Ok(None)]);
    assert_eq!([state::trunk_calls("up"), state::trunk_calls("no")], [Ok(Some(3)), Ok(None)]);
    assert_eq!(state::active_calls("tag"), Ok(4));
}

#[derive(Deserialize)]
struct Clockwork {}

#[jackfield::plugin]
impl Plugin for Clockwork {
    fn start(&self) -> Result<()> {
        timers::after_then_every("tick", Duration::from_secs(1), Duration::from_secs(2))?;
        Ok(timers::after("once", Duration::from_secs(2))?)
    }

    fn on_timer(&self, id: &str) {
        jackfield::info!("{id} {}", clock::unix_ms());
        if id == "once" {
            timers::after("again", Duration::from_millis(500)).unwrap();
        }
    }
}

#[test]
fn timers_run_out_in_their_order_and_at_their_time() {
    testing::set_unix_ms(0);
    let plugin = Clockwork::from_toml("").unwrap();
    plugin.start().unwrap();
    assert_eq!(testing::timers(), [("once".to_owned(), Duration::from_secs(2)), ("tick".to_owned(), Duration::from_secs(1))]);
    testing::run_timers(&plugin, Duration::from_secs(3));
    let lines: Vec<String> = testing::take_log().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["tick 1000", "once 2000", "again 2500", "tick 3000"]);
    timers::stop("tick").unwrap();
    assert!(testing::timers().is_empty());
    assert!(matches!(timers::after("short", Duration::from_millis(9)), Err(ServiceError::Invalid(_))));
}

#[test]
fn reset_forgets_all() {
    Bucket::open("b").unwrap().set("k", "v").unwrap();
    testing::set_unix_ms(7);
    testing::reset();
    assert_eq!(Bucket::open("b").unwrap().get("k").unwrap(), None);
    assert_ne!(clock::unix_ms(), 7);
}

#[test]
#[should_panic(expected = "table t has 2 columns")]
fn row_of_another_length_fails_the_test_that_wrote_it() {
    testing::set_table("t", "a, b\n1");
}
