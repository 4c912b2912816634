//! What one side of a border must not read of the other: looked for in all octets that it has got, and in what these say once they are
//! decoded as anybody could (RFC 3986 2.1, RFC 4648). What is encrypted says nothing.

use std::net::{IpAddr, SocketAddr};

const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Characters of the shortest word that could hold an address with its port.
const SHORTEST: usize = 10;

/// What names a side: parts of hosts and of addresses, and sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) words: Vec<String>,
    pub(crate) sockets: Vec<SocketAddr>,
}

impl Secrets {
    /// What of it can be read in these octets, and how.
    pub(crate) fn read_in(&self, octets: &[u8]) -> Vec<String> {
        let mut all = self.found("as it stands", octets);
        all.extend(self.found("with its escapes resolved", &unescaped(octets)));
        for (name, alphabet) in [("base 64", BASE64URL), ("base 32", BASE32)] {
            for word in octets.split(|octet| !alphabet.contains(octet)).filter(|word| word.len() >= SHORTEST) {
                // A prefix may be of the same letters: the text may begin anywhere behind it.
                let texts = (0..8).filter_map(|skipped| Some(decoded(word.get(skipped..)?, alphabet)));
                all.extend(texts.flat_map(|text| self.found(name, &text)));
            }
        }
        all.sort();
        all.dedup();
        all
    }

    fn found(&self, how: &str, octets: &[u8]) -> Vec<String> {
        let text = octets.to_ascii_lowercase();
        let holds = |octets: &[u8], part: &[u8]| octets.windows(part.len()).any(|window| window == part);
        let words = self.words.iter().filter(|word| holds(&text, word.to_ascii_lowercase().as_bytes())).cloned();
        let sockets = self.sockets.iter().filter(|socket| packed(**socket).iter().any(|packed| holds(octets, packed)));
        words.chain(sockets.map(ToString::to_string)).map(|what| format!("{what} ({how})")).collect()
    }
}

/// An address with its port, in either order.
fn packed(socket: SocketAddr) -> [Vec<u8>; 2] {
    let (address, port) = match socket.ip() {
        IpAddr::V4(address) => (address.octets().to_vec(), socket.port().to_be_bytes()),
        IpAddr::V6(address) => (address.octets().to_vec(), socket.port().to_be_bytes()),
    };
    [[address.as_slice(), port.as_slice()].concat(), [port.as_slice(), address.as_slice()].concat()]
}

fn unescaped(octets: &[u8]) -> Vec<u8> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    let (mut text, mut rest) = (Vec::with_capacity(octets.len()), octets);
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(16 * high + low).ok()),
            _ => None,
        };
        text.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    text
}

/// The octets that a word of an alphabet of 32 or 64 letters stands for.
fn decoded(word: &[u8], alphabet: &[u8]) -> Vec<u8> {
    let (bits, mut held, mut count, mut octets) = (alphabet.len().trailing_zeros(), 0_u32, 0, Vec::new());
    for value in word.iter().filter_map(|octet| alphabet.iter().position(|letter| letter == octet)) {
        held = held << bits | u32::try_from(value).unwrap_or_default();
        count += bits;
        if count >= 8 {
            count -= 8;
            octets.push(u8::try_from(held >> count & 0xff).unwrap_or_default());
        }
    }
    octets
}

#[test]
fn what_is_encoded_is_read_and_what_is_not_there_is_not() {
    let secrets = Secrets { words: vec!["127.0.1.".to_owned()], sockets: vec![SocketAddr::from(([127, 0, 1, 6], 15_100))] };
    let says = |text: &str| secrets.read_in(text.as_bytes()).len();
    assert_eq!(says("Contact: <sip:a@127.0.2.6:15100>"), 0);
    assert_eq!(says("Contact: <sip:a@127.0.1.9>"), 2, "as it stands, and with its escapes resolved");
    assert_eq!(says("Refer-To: <sip:a@127%2E0%2e1.9>"), 1);
    // `sip:a@127.0.1.7`, and 0, 0, port, address, 0, 0.
    assert_eq!(says("<sip:jh-c2lwOmFAMTI3LjAuMS43@127.0.2.1>"), 1);
    assert_eq!(says("<sip:127.0.2.1;lr;jf=aaadv7d7aaaqmaaa>"), 1);
}
