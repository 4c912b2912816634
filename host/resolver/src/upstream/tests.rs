//! hickory against name servers that the test has written: which server is asked what, and what is made of the answer.

mod look_up;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::thread;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV, TXT};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};

use super::*;

/// A zone file in lines: `NAME TTL TYPE DATA`; or `NAME RCODE`, `NAME SILENT`, `NAME TRUNCATED`.
type Zone = Vec<Vec<String>>;

/// A name server with one port for datagrams and connections, for as long as the test runs.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(zone: &str) -> Self {
        Self::start_at(zone, (Ipv4Addr::LOCALHOST, 0).into())
    }

    fn start_at(zone: &str, address: SocketAddr) -> Self {
        let zone: Zone =
            zone.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).filter(|w: &Vec<_>| !w.is_empty()).collect();
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind(address).unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let server = Self { address: tcp.local_addr().unwrap(), asked: Arc::default() };
        let (zone, asked) = (Arc::new(zone), Arc::clone(&server.asked));
        let of_tcp = (Arc::clone(&zone), Arc::clone(&asked));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if let Some(answer) = respond(&zone, &buffer[..length], "udp", &asked) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        thread::spawn(move || {
            use std::io::{Read, Write};
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut octets).unwrap();
                    if let Some(answer) = respond(&of_tcp.0, &octets, "tcp", &of_tcp.1) {
                        stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                        stream.write_all(&answer).unwrap();
                    }
                }
            }
        });
        server
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn respond(zone: &Zone, octets: &[u8], over: &str, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let question = Message::from_bytes(octets).unwrap();
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    asked.lock().unwrap().push(format!("{over} {} {name}", query.query_type()));
    let mut answer = Message::response(question.id, OpCode::Query);
    answer.add_query(query.clone());
    for words in zone.iter().filter(|words| words[0] == name) {
        match words[1].as_str() {
            "SILENT" => return None,
            "REFUSED" => answer.metadata.response_code = ResponseCode::Refused,
            "SERVFAIL" => answer.metadata.response_code = ResponseCode::ServFail,
            "NXDOMAIN" => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                let soa = SOA::new(Name::root(), Name::root(), 1, 2, 3, 4, words[2].parse().unwrap());
                answer.authorities.push(Record::from_rdata(Name::root(), 86_400, RData::SOA(soa)));
            }
            "TRUNCATED" => {
                if over == "udp" {
                    answer.metadata.truncation = true;
                    break;
                }
            }
            ttl => {
                let record = Record::from_rdata(absolute(&words[0]), ttl.parse().unwrap(), data(&words[2..]));
                if record.record_type() == query.query_type() || record.record_type() == RecordType::CNAME {
                    answer.add_answer(record);
                }
            }
        }
    }
    Some(answer.to_bytes().unwrap())
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}

fn data(words: &[String]) -> RData {
    let number = |index: usize| words[index].parse::<u16>().unwrap();
    let octets = |index: usize| words[index].trim_matches('"').as_bytes().to_vec().into_boxed_slice();
    match words[0].as_str() {
        "A" => RData::A(A(words[1].parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(words[1].parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(absolute(&words[1]))),
        "SRV" => RData::SRV(SRV::new(number(1), number(2), number(3), absolute(&words[4]))),
        "NAPTR" => RData::NAPTR(NAPTR::new(number(1), number(2), octets(3), octets(4), octets(5), absolute(&words[6]))),
        "TXT" => RData::TXT(TXT::new(words[1..].iter().map(|word| word.trim_matches('"').to_owned()).collect())),
        other => panic!("{other}"),
    }
}

fn settings(servers: &[&Server]) -> Settings {
    Settings { servers: servers.iter().map(|server| server.address).collect(), timeout: Duration::from_millis(300), ..Settings::default() }
}

fn upstream(settings: &Settings) -> Upstream {
    let system = System { servers: Vec::new(), search: vec!["corp.test".to_owned()], ndots: 1 };
    Upstream::new(settings, &system, None).unwrap()
}

async fn ask(upstream: &Upstream, kind: Kind, name: &str) -> Result<(Records, u64), Failure> {
    upstream.ask(Question { name: name.into(), kind }).await.map(|answer| (answer.records, answer.ttl.as_secs()))
}

fn addresses(list: &[&str], ttl: u64) -> Result<(Records, u64), Failure> {
    Ok((Records::Addresses(list.iter().map(|address| address.parse().unwrap()).collect()), ttl))
}

#[tokio::test]
async fn records_come_as_the_zone_has_them() {
    let server = Server::start(
        "a.test 60 A 192.0.2.1
         a.test 50 A 192.0.2.2
         a.test 40 AAAA 2001:db8::1
         a.test 30 NAPTR 10 20 \"s\" \"SIP+D2U\" \"\" _sip._udp.A.test
         a.test 20 NAPTR 10 20 \"u\" \"E2U+sip\" \"!a!b!\" .
         e.test 20 NAPTR 10 20 \"u\" \"E2U+sip\" \"!a!b!\" .
         _sip._udp.a.test 20 SRV 1 2 5060 H_1.test
         _sip._tcp.a.test 20 SRV 0 0 0 .",
    );
    let upstream = upstream(&settings(&[&server]));
    assert_eq!(ask(&upstream, Kind::A, "a.test").await, addresses(&["192.0.2.1", "192.0.2.2"], 50));
    assert_eq!(ask(&upstream, Kind::Aaaa, "a.test.").await, addresses(&["2001:db8::1"], 40));
    let naptr =
        Naptr { order: 10, preference: 20, transport: jackfield_proto::net::Transport::Udp, replacement: "_sip._udp.a.test.".into() };
    assert_eq!(ask(&upstream, Kind::Naptr, "a.test").await, Ok((Records::Naptr(vec![naptr]), 20)));
    assert_eq!(ask(&upstream, Kind::Naptr, "e.test").await, Ok((Records::Naptr(Vec::new()), 20)), "there are some, none of them ours");
    let srv = |priority, weight, port, target: &str| Ok((Records::Srv(vec![Srv { priority, weight, port, target: target.into() }]), 20));
    assert_eq!(ask(&upstream, Kind::Srv, "_sip._udp.a.test").await, srv(1, 2, 5060, "h_1.test."));
    assert_eq!(ask(&upstream, Kind::Srv, "_sip._tcp.a.test").await, srv(0, 0, 0, "."));
}

#[tokio::test]
async fn rfc2308_what_does_not_exist_does_not_for_the_minimum_of_the_soa() {
    let server = Server::start("n.test NXDOMAIN 77\ns.test SERVFAIL\na.test 60 A 192.0.2.1");
    let upstream = upstream(&settings(&[&server]));
    assert_eq!(ask(&upstream, Kind::A, "n.test.").await, addresses(&[], 77));
    assert_eq!(ask(&upstream, Kind::Srv, "n.test").await, Ok((Records::Srv(Vec::new()), 77)));
    assert_eq!(ask(&upstream, Kind::Aaaa, "a.test.").await, addresses(&[], 0), "no SOA, no memory (RFC 2308 5)");
    assert!(matches!(ask(&upstream, Kind::A, "s.test.").await, Err(Failure::Refused(_))));
}

#[tokio::test]
async fn aliases_are_followed_with_the_least_ttl_and_not_for_ever() {
    let server = Server::start(
        "a.test 30 CNAME b.test
         b.test 60 CNAME c.test
         c.test 90 A 192.0.2.3
         x.test 10 CNAME y.test
         y.test 10 CNAME x.test
         d.test 10 CNAME n.test
         n.test NXDOMAIN 5
         _sip._udp.a.test 40 CNAME _sip._udp.b.test
         _sip._udp.b.test 50 SRV 1 1 5060 c.test",
    );
    let upstream = upstream(&settings(&[&server]));
    assert_eq!(ask(&upstream, Kind::A, "a.test.").await, addresses(&["192.0.2.3"], 30));
    assert_eq!(ask(&upstream, Kind::A, "d.test.").await, addresses(&[], 5));
    let srv = Srv { priority: 1, weight: 1, port: 5060, target: "c.test.".into() };
    assert_eq!(ask(&upstream, Kind::Srv, "_sip._udp.a.test").await, Ok((Records::Srv(vec![srv]), 40)));
    assert!(matches!(ask(&upstream, Kind::A, "x.test.").await, Err(Failure::Refused(_))));
    assert!(server.take_asked().len() < 2 * CNAMES + 10);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let lines: String = (1..=60).map(|n| format!("big.test 60 A 192.0.2.{n}\n")).collect();
    let server = Server::start(&format!("big.test TRUNCATED\n{lines}"));
    let upstream = upstream(&settings(&[&server]));
    let (records, _) = ask(&upstream, Kind::A, "big.test.").await.unwrap();
    assert_eq!(records.addresses().len(), 60);
    assert_eq!(server.take_asked(), ["udp A big.test", "tcp A big.test"]);
}

#[tokio::test]
async fn domains_have_servers_of_their_own_and_the_longest_wins() {
    let servers =
        ["1", "2", "3"].map(|n| Server::start(&format!("a.b.consul 9 A 192.0.2.{n}\na.consul 9 A 192.0.2.{n}\nxconsul 9 A 192.0.2.{n}")));
    let [default, consul, inner] = &servers;
    let domain = |domain: &str, server: &Server| crate::settings::Servers { domain: domain.to_owned(), servers: vec![server.address] };
    let settings = Settings { domains: vec![domain("consul", consul), domain("b.consul", inner)], ..settings(&[default]) };
    let upstream = upstream(&settings);
    for (name, address) in [("a.b.consul.", "192.0.2.3"), ("a.consul.", "192.0.2.2"), ("xconsul.", "192.0.2.1")] {
        assert_eq!(ask(&upstream, Kind::A, name).await, addresses(&[address], 9), "{name}");
    }
    assert!(!Arc::ptr_eq(&upstream.asked("a.consul"), &upstream.asked("a.test")), "they fail apart");
}

#[tokio::test]
async fn names_of_few_dots_are_looked_for_in_the_search_list() {
    let server = Server::start("pbx.corp.test 9 A 192.0.2.1\npbx 9 A 192.0.2.2\nother 9 A 192.0.2.3\npbx.corp.test 9 SRV 1 1 1 a");
    let upstream = upstream(&settings(&[&server]));
    assert_eq!(ask(&upstream, Kind::A, "pbx").await, addresses(&["192.0.2.1"], 9));
    assert_eq!(ask(&upstream, Kind::A, "pbx.").await, addresses(&["192.0.2.2"], 9), "absolute");
    assert_eq!(ask(&upstream, Kind::A, "other").await, addresses(&["192.0.2.3"], 9), "at last as it is");
    server.take_asked();
    assert_eq!(ask(&upstream, Kind::Srv, "pbx").await, Ok((Records::Srv(Vec::new()), 0)));
    assert_eq!(server.take_asked(), ["udp SRV pbx"]);
}

#[tokio::test]
async fn silent_servers_are_given_up_and_the_next_one_is_asked() {
    let (silent, living) = (Server::start("a.test SILENT"), Server::start("a.test 9 A 192.0.2.1"));
    let both = upstream(&settings(&[&silent, &living]));
    assert_eq!(ask(&both, Kind::A, "a.test.").await, addresses(&["192.0.2.1"], 9));
    let alone = upstream(&settings(&[&silent]));
    let begun = std::time::Instant::now();
    assert_eq!(ask(&alone, Kind::A, "a.test.").await, Err(Failure::Silent));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_refuses_does_not_beat_one_that_knows() {
    let refusing = ["SERVFAIL", "REFUSED"].map(|code| Server::start(&format!("a.test {code}\nn.test {code}\nz.test {code}")));
    let [servfail, refused] = &refusing;
    let living = Server::start("a.test 9 A 192.0.2.1\nn.test NXDOMAIN 7\nz.test SERVFAIL");
    for servers in [[servfail, &living], [&living, servfail], [refused, &living], [&living, refused]] {
        let upstream = upstream(&settings(&servers));
        for _ in 0..5 {
            assert_eq!(ask(&upstream, Kind::A, "a.test.").await, addresses(&["192.0.2.1"], 9));
            assert_eq!(ask(&upstream, Kind::A, "n.test.").await, addresses(&[], 7));
        }
        for server in servers {
            server.take_asked();
        }
        assert!(matches!(ask(&upstream, Kind::A, "z.test.").await, Err(Failure::Refused(_))));
        assert_eq!(servers.map(|server| server.take_asked().len()), [1, 1], "each once");
    }
}

#[tokio::test]
async fn a_server_that_refuses_beside_a_silent_one_leaves_it_its_attempts() {
    let (refusing, silent) = (Server::start("a.test REFUSED"), Server::start("a.test SILENT"));
    let upstream = upstream(&settings(&[&refusing, &silent]));
    assert!(matches!(ask(&upstream, Kind::A, "a.test.").await, Err(Failure::Refused(_))));
    assert!(silent.take_asked().len() >= 2);
}

#[tokio::test]
async fn a_search_domain_that_is_broken_does_not_hide_the_others() {
    let server = Server::start("pbx.corp.test SERVFAIL\npbx 9 A 192.0.2.1\nother.corp.test SERVFAIL\nother NXDOMAIN 9");
    let upstream = upstream(&settings(&[&server]));
    assert_eq!(ask(&upstream, Kind::A, "pbx").await, addresses(&["192.0.2.1"], 9));
    assert!(matches!(ask(&upstream, Kind::A, "other").await, Err(Failure::Refused(_))), "it may be in the domain that is broken");
}

#[tokio::test]
async fn a_question_ends_in_bounded_time_however_long_the_search_list_is() {
    let silent: String = (0..6).map(|n| format!("pbx.s{n}.test SILENT\n")).collect();
    let server = Server::start(&silent);
    let system = System { search: (0..6).map(|n| format!("s{n}.test")).collect(), ..System::default() };
    let mut upstream = Upstream::new(&settings(&[&server]), &system, None).unwrap();
    assert_eq!(upstream.0.longest, LONGEST);
    Arc::get_mut(&mut upstream.0).unwrap().longest = Duration::from_millis(700);
    let begun = std::time::Instant::now();
    assert_eq!(ask(&upstream, Kind::A, "pbx").await, Err(Failure::Silent));
    assert!(begun.elapsed() < Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_systems_file_counts_only_where_no_servers_are_named() {
    let server = Server::start("pbx 9 A 192.0.2.1");
    let settings = Settings { system: "/nowhere/resolv.conf".into(), ..settings(&[&server]) };
    let of = |settings: &Settings| Upstream::of_system(settings, 1).unwrap();
    let named = of(&settings);
    assert!(named.0.unread.is_none(), "nobody looks for it");
    assert_eq!(ask(&named, Kind::A, "pbx").await, addresses(&["192.0.2.1"], 9));
    let domain = crate::settings::Servers { domain: "pbx".to_owned(), servers: vec![server.address] };
    let of_system = of(&Settings { servers: Vec::new(), domains: vec![domain], ..settings });
    assert_eq!(ask(&of_system, Kind::A, "pbx").await, addresses(&["192.0.2.1"], 9));
    assert!(!of_system.0.complained.load(Ordering::Relaxed), "no question went there");
    assert_eq!(ask(&of_system, Kind::A, "a.test.").await, Err(Failure::Silent));
    assert!(of_system.0.complained.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_server_that_is_gone_does_not_hold_up_the_others() {
    let server = Server::start("a.test 9 A 192.0.2.1");
    let address = server.address;
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let gone = Settings { servers: vec![probe.local_addr().unwrap(), address], ..settings(&[&server]) };
    drop(probe);
    let upstream = upstream(&gone);
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(ask(&upstream, Kind::A, "a.test.").await, addresses(&["192.0.2.1"], 9));
    }
    assert!(begun.elapsed() < gone.timeout, "both are asked at once: {:?}", begun.elapsed());
}

/// Asks until the answer is this one.
async fn leads_to(resolver: &crate::Resolver, host: &str, address: &str) {
    let query = jackfield_proto::proxy::Query {
        host: host.to_owned(),
        port: Some(5060),
        transport: None,
        secure: false,
        reach: jackfield_proto::net::Reach::ALL,
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found = match resolver.cached(&query) {
            Some(found) => found,
            None => resolver.resolve(&query).await,
        };
        if found.first().is_some_and(|located| located.hop.address.ip().to_string() == address) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{host} does not lead to {address}: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_resolver_with_a_thread_serves_several_runtimes_and_follows_files_and_settings() {
    let servers = ["1", "2"].map(|n| Server::start(&format!("a.test 600 A 127.0.0.{n}")));
    let directory = std::env::temp_dir().join(format!("jackfield-resolver-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let hosts = directory.join("hosts");
    std::fs::write(&hosts, "127.0.0.5 pbx\n").unwrap();
    let before = Settings { hosts: hosts.clone(), ..settings(&[&servers[0]]) };
    let resolver = crate::Resolver::start(before.clone()).unwrap();
    let run = |future: Pin<Box<dyn Future<Output = ()> + '_>>| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    };
    run(Box::pin(leads_to(&resolver, "a.test", "127.0.0.1")));
    run(Box::pin(leads_to(&resolver, "pbx", "127.0.0.5")));
    std::fs::write(&hosts, "127.0.0.66 pbx\n").unwrap();
    run(Box::pin(leads_to(&resolver, "pbx", "127.0.0.66")));
    resolver.reconfigure(Settings { servers: vec![servers[1].address], ..before }).unwrap();
    run(Box::pin(leads_to(&resolver, "a.test", "127.0.0.2")));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_systems_name_servers_are_followed_when_the_file_changes() {
    let first = Server::start("a.test 600 A 127.0.0.1");
    let mut second = first.address;
    second.set_ip([127, 0, 0, 2].into());
    let _second = Server::start_at("a.test 600 A 127.0.0.2", second);
    let directory = std::env::temp_dir().join(format!("jackfield-resolver-system-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let system = directory.join("resolv.conf");
    std::fs::write(&system, "nameserver 127.0.0.1\n").unwrap();
    let settings = Settings { servers: Vec::new(), hosts: "/nowhere/hosts".into(), system: system.clone(), ..settings(&[]) };
    let resolver = crate::Resolver::start_at(settings, first.address.port()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(leads_to(&resolver, "a.test", "127.0.0.1"));
    std::fs::write(&system, "# by hand\nnameserver 127.0.0.2\n").unwrap();
    runtime.block_on(leads_to(&resolver, "a.test", "127.0.0.2"));
    std::fs::remove_dir_all(&directory).unwrap();
}
