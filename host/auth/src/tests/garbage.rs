//! What nobody means: nothing of it may do more than be refused.

use jackfield_proto::message::Name;
use jackfield_proto::proxy::{Edit, Reply};
use jackfield_proto::time::Timestamp;

use super::{account, request, response};
use crate::{Asked, Authenticator, Challenge, Challenged, Hash, Memory, NonceKey, Outcome, Role, Settings, Users, answer, line};

/// Numbers that look random (xorshift64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// A value made of pieces that are likely to be taken for something, and of one whole that has been damaged.
    fn value(&mut self) -> String {
        const PIECES: [&str; 32] = [
            "Digest",
            "Basic",
            " ",
            ",",
            "=",
            "\"",
            "\\",
            "\"r\"",
            "realm",
            "nonce",
            "qop",
            "auth",
            "auth-int",
            "nc",
            "00000001",
            "response",
            "uri",
            "algorithm",
            "MD5",
            "SHA-256-sess",
            "stale",
            "true",
            "username",
            "\"alice\"",
            "cnonce",
            ";",
            "\t",
            "\r\n ",
            "\u{e4}",
            "\0",
            "/",
            "opaque",
        ];
        let whole = "Digest username=\"alice\", realm=\"r\", nonce=\"n\", uri=\"sip:bob@example.test\", qop=auth, nc=00000001, cnonce=\"c\", \
                     response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, opaque=\"\\\"\"";
        let mut text = match self.below(2) {
            0 => String::from("Digest realm=\"r\", nonce=n, "),
            _ => whole.to_owned(),
        };
        for _ in 0..self.below(24) {
            let mut at = self.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match self.below(3) {
                0 => text.truncate(at),
                _ => text.insert_str(at, PIECES[self.below(PIECES.len())]),
            }
        }
        text
    }
}

/// What the proxy writes holds no line end, whatever it has read.
fn assert_clean(edits: &[Edit]) {
    for edit in edits {
        if let Edit::Add(_, value) | Edit::Set(_, value) = edit {
            assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n')), "{edit:?}");
        }
    }
}

#[test]
fn no_field_does_harm() {
    for seed in 1..=20_000 {
        let mut seeded = Seeded(seed * 0x9e37_79b9_7f4a_7c15);
        let values = [seeded.value(), seeded.value()];
        let invite = request("INVITE", &format!("Proxy-Authorization: {}\r\nProxy-Authorization: {}\r\n", values[0], values[1]));
        let challenge = Reply::status(407).header("Proxy-Authenticate", values[0].clone()).header("WWW-Authenticate", values[1].clone());
        let response = response(&invite, &challenge);
        let challenged = Challenged { request: &invite, uri: invite.request_uri(), response: &response, answered: 0, previous: &[] };
        match answer(&account(None), challenged, "cnonce") {
            Ok(edits) => assert_clean(&edits),
            Err(error) => assert!(!error.to_string().contains(['\r', '\n', '\0']), "seed {seed}: {error}"),
        }
        assert!(
            Challenge::all_of(&response)
                .iter()
                .all(|challenge| matches!(challenge.answered_in(), Name::Authorization | Name::ProxyAuthorization))
        );
        let users = Users::parse(&line("alice", "r", Hash::Md5, "secret").unwrap(), "r").unwrap();
        let settings = Settings { realm: "r".into(), algorithms: vec![], nonce_life: std::time::Duration::MAX, wrong_per_minute: 0 };
        let authenticator = Authenticator::new(settings, users).unwrap();
        let asked = Asked { request: &invite, source: "[::1]:1".parse().unwrap(), role: Role::Proxy, now: Timestamp::ZERO, random: seed };
        let memory = Memory::new(NonceKey([0; 16]));
        assert!(matches!(authenticator.judge(&memory, asked), Outcome::Refused { .. }), "seed {seed}: {values:?}");
    }
}
