//! Tables for RFC 3263 4.1 and 4.2.

use std::cell::RefCell;
use std::collections::HashMap;

use jackfield_proto::net::Reach;

use super::*;
use crate::record::Srv;

/// Records in lines like a zone file's: `NAME TYPE DATA`, or `NAME FAILS TYPE`.
#[derive(Default)]
struct Fake {
    sets: HashMap<(Kind, String), Records>,
    hosts: HashMap<String, Vec<IpAddr>>,
    /// Sets that nobody can answer about.
    failing: Vec<(Kind, String)>,
    /// Sets that are asked for and not known; without this, they do not exist.
    unknown: Option<RefCell<Vec<String>>>,
}

impl Zone for Fake {
    fn records(&self, kind: Kind, name: &str) -> Known<'_> {
        let key = (kind, name.trim_end_matches('.').to_owned());
        if self.failing.contains(&key) {
            return Known::Unanswered;
        }
        let set = self.sets.get(&key);
        match &self.unknown {
            Some(unknown) if set.is_none() => {
                unknown.borrow_mut().push(format!("{kind:?} {name}"));
                Known::Asked
            }
            _ => Known::Records(set.unwrap_or(NOTHING)),
        }
    }

    fn host(&self, name: &str) -> Option<&[IpAddr]> {
        self.hosts.get(name).map(Vec::as_slice)
    }
}

fn zone(lines: &str) -> Fake {
    let mut fake = Fake::default();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| words[index].parse::<u16>().expect("a number");
        let name = words[0].to_owned();
        match words[1] {
            "HOSTS" => fake.hosts.entry(name).or_default().push(words[2].parse().unwrap()),
            "A" | "AAAA" => {
                let kind = if words[1] == "A" { Kind::A } else { Kind::Aaaa };
                let set = fake.sets.entry((kind, name)).or_insert_with(|| Records::Addresses(Vec::new()));
                let Records::Addresses(list) = set else { unreachable!() };
                list.push(words[2].parse().unwrap());
            }
            "SRV" => {
                let set = fake.sets.entry((Kind::Srv, name)).or_insert_with(|| Records::Srv(Vec::new()));
                let Records::Srv(list) = set else { unreachable!() };
                list.push(Srv { priority: number(2), weight: number(3), port: number(4), target: words[5].into() });
            }
            "NAPTR" => {
                let set = fake.sets.entry((Kind::Naptr, name)).or_insert_with(|| Records::Naptr(Vec::new()));
                let Records::Naptr(list) = set else { unreachable!() };
                list.extend(Naptr::of_fields(number(2), number(3), b"s", words[4].as_bytes(), b"", words[5]));
            }
            "FAILS" => {
                let kinds = [("NAPTR", Kind::Naptr), ("SRV", Kind::Srv), ("A", Kind::A), ("AAAA", Kind::Aaaa)];
                fake.failing.extend(kinds.into_iter().filter(|(word, _)| *word == words[2]).map(|(_, kind)| (kind, name.clone())));
            }
            other => panic!("{other}"),
        }
    }
    fake
}

/// A URI in short: `sip:HOST[:PORT][;TRANSPORT]`.
fn query(uri: &str, reach: Reach) -> Query {
    let (scheme, rest) = uri.split_once(':').unwrap();
    let (rest, transport) = rest.split_once(';').map_or((rest, None), |(rest, transport)| (rest, Some(transport)));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().unwrap())),
        _ => (rest, None),
    };
    let transport = transport.map(|name| Transport::from_name(name.as_bytes()).unwrap());
    Query { host: host.to_owned(), port, transport, secure: scheme == "sips", reach }
}

fn reach(words: &str) -> Reach {
    let mut reach = Reach::default();
    for word in words.split_whitespace() {
        let (transport, address) = match word.strip_suffix('6') {
            Some(name) => (name, IpAddr::V6(Ipv6Addr::LOCALHOST)),
            None => (word, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        reach.insert(Transport::from_name(transport.as_bytes()).unwrap(), address);
    }
    reach
}

fn run(query: &Query, zone: &Fake, family: Family, draw: &dyn Fn(u32) -> u32) -> Option<String> {
    let prefer = [Transport::Tls, Transport::Tcp, Transport::Udp];
    let rules = Rules { prefer: &prefer, family, draw, routable: &|_| true };
    let hops = candidates(query, &rules, zone)?;
    Some(hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address)).collect::<Vec<_>>().join(", "))
}

fn found(uri: &str, reach: Reach, zone: &Fake) -> String {
    run(&query(uri, reach), zone, Family::PreferIpv4, &|_| 0).expect("everything is known")
}

const FULL: &str = "
    a.test NAPTR 50 50 SIPS+D2T _sips._tcp.a.test
    a.test NAPTR 90 50 SIP+D2T _sip._tcp.a.test
    a.test NAPTR 100 50 SIP+D2U _sip._udp.a.test
    _sips._tcp.a.test SRV 1 1 5061 one.a.test
    _sip._tcp.a.test SRV 1 1 5060 one.a.test
    _sip._udp.a.test SRV 1 1 5060 one.a.test
    _sip._udp.a.test SRV 2 1 5062 two.a.test
    one.a.test A 192.0.2.1
    two.a.test A 192.0.2.2
    a.test A 192.0.2.9
    s.test A 192.0.2.3
    _sip._udp.u.test SRV 1 1 5070 one.a.test
    _sip._tcp.u.test SRV 1 1 5071 one.a.test
    six.test AAAA 2001:db8::1
    six.test A 192.0.2.6
    six.test A 192.0.2.7";

#[test]
fn rfc3263_4_1_the_transport() {
    let zone = zone(FULL);
    let all = reach("udp tcp tls ws wss");
    for (uri, reach, expected) in [
        // Numeric: UDP, or TLS for sips, and the default port of it.
        ("sip:192.0.2.8", all, "udp 192.0.2.8:5060"),
        ("sips:192.0.2.8", all, "tls 192.0.2.8:5061"),
        ("sip:192.0.2.8:7000;tcp", all, "tcp 192.0.2.8:7000"),
        ("sip:192.0.2.8;wss", all, "wss 192.0.2.8:443"),
        ("sip:[2001:db8::8]", Reach::ALL, "udp [2001:db8::8]:5060"),
        ("sip:[2001:db8::8]", all, ""),
        ("sip:192.0.2.8", reach("tcp tls"), "tcp 192.0.2.8:5060"),
        ("sip:192.0.2.8", reach("ws"), ""),
        // A port, so no NAPTR and no SRV.
        ("sip:a.test:5080", all, "udp 192.0.2.9:5080"),
        ("sips:a.test:5080", all, "tls 192.0.2.9:5080"),
        ("sip:a.test:5080;tcp", all, "tcp 192.0.2.9:5080"),
        // A transport, so no NAPTR.
        ("sip:a.test;tcp", all, "tcp 192.0.2.1:5060"),
        ("sip:s.test;tcp", all, "tcp 192.0.2.3:5060"),
        ("sip:a.test;ws", all, "ws 192.0.2.9:80"),
        ("sips:a.test;tcp", all, "tls 192.0.2.1:5061"),
        ("sips:a.test;ws", all, "wss 192.0.2.9:443"),
        ("sips:a.test;udp", all, ""),
        ("sip:a.test;tls", reach("udp tcp"), ""),
        // NAPTR, as far as we speak what it names.
        ("sip:a.test", all, "tls 192.0.2.1:5061, tcp 192.0.2.1:5060, udp 192.0.2.1:5060, udp 192.0.2.2:5062"),
        ("sip:a.test", reach("udp tcp"), "tcp 192.0.2.1:5060, udp 192.0.2.1:5060, udp 192.0.2.2:5062"),
        ("sips:a.test", all, "tls 192.0.2.1:5061"),
        ("sips:a.test", reach("udp tcp"), ""),
        // No NAPTR: SRV by our preference.
        ("sip:u.test", all, "tcp 192.0.2.1:5071, udp 192.0.2.1:5070"),
        ("sip:u.test", reach("udp"), "udp 192.0.2.1:5070"),
        // Neither: addresses.
        ("sip:s.test", all, "udp 192.0.2.3:5060"),
        ("sip:s.test", reach("tcp"), "tcp 192.0.2.3:5060"),
        ("sips:s.test", all, "tls 192.0.2.3:5061"),
        ("sip:nothing.test", all, ""),
        ("sip:not a name", all, ""),
    ] {
        assert_eq!(found(uri, reach, &zone), expected, "{uri}");
    }
}

#[test]
fn rfc7118_websocket_is_found_by_naptr() {
    let zone = zone(
        "w.test NAPTR 1 1 SIPS+D2W _sips._ws.w.test
         w.test NAPTR 1 2 SIP+D2W _sip._ws.w.test
         w.test NAPTR 1 3 SIP+D2U _sip._udp.w.test
         _sips._ws.w.test SRV 1 1 7443 h.w.test
         _sip._ws.w.test SRV 1 1 7080 h.w.test
         h.w.test A 192.0.2.1",
    );
    assert_eq!(found("sip:w.test", reach("udp ws wss"), &zone), "wss 192.0.2.1:7443, ws 192.0.2.1:7080");
    assert_eq!(found("sips:w.test", reach("udp ws wss"), &zone), "wss 192.0.2.1:7443");
    // Of NAPTR records that lead nowhere, the transport remains.
    assert_eq!(found("sip:w.test", reach("udp"), &zone), "");
}

#[test]
fn rfc3263_4_2_a_service_without_srv_records_is_at_the_domain() {
    let zone = zone("n.test NAPTR 1 1 SIP+D2T _sip._tcp.n.test\nn.test A 192.0.2.4");
    assert_eq!(found("sip:n.test", reach("udp tcp"), &zone), "tcp 192.0.2.4:5060");
}

#[test]
fn rfc3263_4_2_a_service_that_nobody_can_answer_about_is_not_at_the_domain() {
    let zone = |lines: &str| zone(&format!("f.test A 192.0.2.4\nh.test A 192.0.2.5\n{lines}"));
    let naptr = "f.test NAPTR 1 1 SIPS+D2T _t.f.test\nf.test NAPTR 2 1 SIP+D2U _u.f.test\n_u.f.test SRV 1 1 5070 h.test\n";
    let udp = "_sip._udp.f.test SRV 1 1 5070 h.test\n";
    for (uri, lines, expected) in [
        // No addresses of the domain, whichever way led to the SRV name.
        ("sip:f.test;tcp", "_sip._tcp.f.test FAILS SRV".to_owned(), ""),
        ("sip:f.test", "_sips._tcp.f.test FAILS SRV".to_owned(), ""),
        ("sip:f.test", "_sip._udp.f.test FAILS SRV".to_owned(), ""),
        ("sips:f.test", "_sips._tcp.f.test FAILS SRV".to_owned(), ""),
        ("sip:f.test", "f.test NAPTR 1 1 SIP+D2T _t.f.test\n_t.f.test FAILS SRV".to_owned(), ""),
        // In the clear only if it is known that there is nothing better.
        ("sip:f.test", format!("{udp}_sips._tcp.f.test FAILS SRV"), ""),
        ("sip:f.test", format!("{naptr}_t.f.test FAILS SRV"), ""),
        ("sip:f.test", format!("{udp}_sip._tcp.f.test FAILS SRV"), "udp 192.0.2.5:5070"),
        ("sip:f.test;udp", format!("{udp}_sips._tcp.f.test FAILS SRV"), "udp 192.0.2.5:5070"),
        // NAPTR is not needed as long as there is an answer about SRV.
        ("sip:f.test", format!("{udp}f.test FAILS NAPTR"), "udp 192.0.2.5:5070"),
        ("sip:f.test", "f.test FAILS NAPTR".to_owned(), "udp 192.0.2.4:5060"),
        ("sip:f.test", "f.test FAILS NAPTR\n_sip._tcp.f.test FAILS SRV".to_owned(), ""),
    ] {
        assert_eq!(found(uri, reach("udp tcp tls"), &zone(&lines)), expected, "{uri}: {lines}");
    }
}

#[test]
fn rfc2782_a_dot_says_that_there_is_no_such_service() {
    let zone = zone(
        "_sip._udp.d.test SRV 0 0 0 .
         d.test A 192.0.2.5
         _sip._udp.e.test SRV 0 0 0 .
         _sip._tcp.e.test SRV 0 0 5060 d.test",
    );
    assert_eq!(found("sip:d.test", reach("udp tcp"), &zone), "");
    assert_eq!(found("sip:d.test;udp", reach("udp tcp"), &zone), "");
    assert_eq!(found("sip:d.test;tcp", reach("udp tcp"), &zone), "tcp 192.0.2.5:5060");
    assert_eq!(found("sip:e.test", reach("udp tcp"), &zone), "tcp 192.0.2.5:5060");
}

#[test]
fn rfc7984_families_come_in_turn() {
    let zone = zone("x.test A 192.0.2.1\nx.test A 192.0.2.2\nx.test AAAA 2001:db8::1\nx.test AAAA 2001:db8::2\nx.test AAAA 2001:db8::3");
    let (v4, v6) = (["udp 192.0.2.1:5", "udp 192.0.2.2:5"], ["udp [2001:db8::1]:5", "udp [2001:db8::2]:5", "udp [2001:db8::3]:5"]);
    let list = |order: &[&str]| order.join(", ");
    for (family, words, expected) in [
        (Family::PreferIpv4, "udp udp6", list(&[v4[0], v6[0], v4[1], v6[1], v6[2]])),
        (Family::PreferIpv6, "udp udp6", list(&[v6[0], v4[0], v6[1], v4[1], v6[2]])),
        (Family::Any, "udp udp6", list(&[v6[0], v4[0], v6[1], v4[1], v6[2]])),
        (Family::Ipv4, "udp udp6", list(&v4)),
        (Family::Ipv6, "udp udp6", list(&v6)),
        (Family::PreferIpv4, "udp6", list(&v6)),
        (Family::PreferIpv6, "udp tcp6", list(&v4)),
        (Family::Ipv6, "udp", String::new()),
    ] {
        let query = query("sip:x.test:5", reach(words));
        assert_eq!(run(&query, &zone, family, &|_| 0).unwrap(), expected, "{family:?} {words}");
    }
    let query = query("sip:x.test:5", reach("udp udp6"));
    assert_eq!(run(&query, &zone, Family::Ipv4, &|last| last).unwrap(), list(&[v4[1], v4[0]]), "the lot says where to begin");
    let rules = Rules { prefer: &[], family: Family::Any, draw: &|_| 0, routable: &|_| false };
    assert!(candidates(&query, &rules, &zone).unwrap()[0].address.is_ipv4(), "RFC 6724: no way to IPv6, so IPv4 first");
}

#[test]
fn what_stands_in_the_hosts_file_is_asked_of_nobody() {
    let mut zone = zone("pbx HOSTS 192.0.2.1\npbx HOSTS 2001:db8::1\nlocalhost HOSTS 127.0.0.2");
    zone.unknown = Some(RefCell::default());
    assert_eq!(found("sip:pbx", reach("udp udp6"), &zone), "udp 192.0.2.1:5060, udp [2001:db8::1]:5060");
    assert_eq!(found("sip:PBX.;tcp", reach("tcp"), &zone), "tcp 192.0.2.1:5060");
    assert_eq!(found("sip:localhost", reach("udp udp6"), &zone), "udp 127.0.0.2:5060");
    assert_eq!(found("sip:a.localhost", reach("udp udp6"), &zone), "udp 127.0.0.1:5060, udp [::1]:5060");
    assert_eq!(found("sip:x.invalid:7", reach("udp"), &zone), "");
    assert_eq!(zone.unknown.unwrap().take(), [""; 0]);
}

#[test]
fn what_a_stage_needs_is_asked_for_together_and_no_more() {
    let missing = |uri: &str, lines: &str| {
        let mut zone = zone(lines);
        zone.unknown = Some(RefCell::default());
        assert_eq!(run(&query(uri, reach("udp tcp udp6")), &zone, Family::PreferIpv4, &|_| 0), None);
        zone.unknown.unwrap().take()
    };
    assert_eq!(missing("sip:a.test", ""), ["Naptr a.test"]);
    let srv = "a.test NAPTR 1 1 SIP+D2T _t.a.test\na.test NAPTR 2 1 SIP+D2U _u.a.test\n";
    assert_eq!(missing("sip:a.test", srv), ["Srv _t.a.test", "Srv _u.a.test"]);
    let addresses = format!("{srv} _t.a.test SRV 1 1 1 h.test\n_u.a.test SRV 1 1 1 h.test\n_u.a.test SRV 2 1 1 i.test.");
    assert_eq!(missing("sip:a.test", &addresses), ["A h.test", "A h.test", "Aaaa h.test", "A i.test.", "Aaaa i.test."]);
    assert_eq!(missing("sip:a.test;tcp", ""), ["Srv _sip._tcp.a.test"]);
    assert_eq!(missing("sip:a.test:1", ""), ["A a.test", "Aaaa a.test"]);
}

#[test]
fn candidates_are_bounded_and_none_comes_twice() {
    let mut lines: String = (0..200).map(|n| format!("_sip._udp.m.test SRV 1 1 {} h.test\n", 1000 + n / 2)).collect();
    lines += "h.test A 192.0.2.1\nh.test A 192.0.2.1\n";
    let hops = found("sip:m.test;udp", reach("udp"), &zone(&lines));
    let mut hops: Vec<&str> = hops.split(", ").collect();
    hops.sort_unstable();
    hops.dedup();
    assert_eq!(hops.len(), TARGETS / 2);
}
