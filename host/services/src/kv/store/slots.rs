//! The slots of a cluster: which key is in which, and what `CLUSTER SLOTS` says of the nodes that have them.

use redis::Value;

use crate::settings::Server;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key. If it has braces with something between them, that alone counts.
pub(super) fn slot(key: &str) -> u16 {
    let key = key.as_bytes();
    let tagged = || {
        let open = key.iter().position(|octet| *octet == b'{')?;
        let inside = key.get(open + 1..)?;
        let close = inside.iter().position(|octet| *octet == b'}')?;
        inside.get(..close).filter(|tag| !tag.is_empty())
    };
    crc16(tagged().unwrap_or(key)) % SLOTS
}

/// CRC-16 with the polynomial 0x1021 and nothing else (XMODEM).
fn crc16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        let crc = crc ^ u16::from(*octet) << 8;
        (0..8).fold(crc, |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// First and last slot, and their master.
pub(super) type Range = (u16, u16, Server);

/// What a reply to `CLUSTER SLOTS` says; a node without a host is the one that was asked.
pub(super) fn ranges(reply: &Value, asked: &Server) -> Option<Vec<Range>> {
    let Value::Array(rows) = reply else { return None };
    rows.iter().map(|row| range(row, asked)).collect()
}

fn range(row: &Value, asked: &Server) -> Option<Range> {
    let Value::Array(row) = row else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = row.as_slice() else { return None };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => str::from_utf8(host).ok()?.to_owned(),
        Value::BulkString(_) | Value::Nil => asked.host.clone(),
        _ => return None,
    };
    (first <= last && last < SLOTS).then_some((first, last, Server { host, port: u16::try_from(*port).ok()? }))
}

/// A server as a redirection writes it: the address without brackets, nothing in front of the colon for the node that was asked.
pub(super) fn redirected(text: &str, asked: &Server) -> Option<Server> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = if host.is_empty() { asked.host.clone() } else { host.to_owned() };
    Some(Server { host, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_computes() {
        // `redis-cli cluster keyslot` says these.
        for (key, expected) in [("123456789", 12_739), ("foo", 12_182), ("{foo}.bar", 12_182), ("foo{}{bar}", 8_363), ("", 0)] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn replies_that_make_no_sense_are_none() {
        let asked = Server { host: "h".into(), port: 1 };
        let master = |host: Value| Value::Array(vec![host, Value::Int(7000), Value::BulkString(b"id".to_vec())]);
        let row = |first, last, master| Value::Array(vec![Value::Array(vec![Value::Int(first), Value::Int(last), master])]);
        let host = |text: &str| Value::BulkString(text.into());
        let found = |host: &str| Some(vec![(0, 5, Server { host: host.into(), port: 7000 })]);
        assert_eq!(ranges(&row(0, 5, master(host("a"))), &asked), found("a"));
        assert_eq!(ranges(&row(0, 5, master(host(""))), &asked), found("h"));
        assert_eq!(ranges(&row(0, 5, master(Value::Nil)), &asked), found("h"));
        assert_eq!(ranges(&Value::Array(vec![]), &asked), Some(vec![]));
        for bad in [
            row(5, 0, master(host("a"))),
            row(0, 16_384, master(host("a"))),
            row(-1, 5, master(host("a"))),
            row(0, 5, Value::Nil),
            Value::Okay,
        ] {
            assert_eq!(ranges(&bad, &asked), None, "{bad:?}");
        }
    }

    #[test]
    fn redirections_are_read() {
        let asked = Server { host: "h".into(), port: 1 };
        for (text, expected) in [
            ("127.0.0.1:7001", Some("127.0.0.1")),
            (":7001", Some("h")),
            ("::1:7001", Some("::1")),
            ("[::1]:7001", Some("::1")),
            ("x", None),
            ("a:b", None),
        ] {
            assert_eq!(redirected(text, &asked).map(|server| server.host), expected.map(str::to_owned), "{text}");
        }
    }
}
