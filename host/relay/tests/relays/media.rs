//! Packets through rtpengine itself: they come to who answered, from the port that he was told to send to.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use jackfield_relay::{Note, RelaySettings, Treatment};

use crate::support::{CALL_ID, Rtpengine, ask, client, request, response, server};

/// An end that sends and hears.
struct Telephone {
    rtp: UdpSocket,
    tag: &'static str,
}

impl Telephone {
    fn new(tag: &'static str) -> Self {
        // RTCP has the port above (RFC 3550 11); nothing is sent there.
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        rtp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { rtp, tag }
    }

    fn sdp(&self) -> String {
        let port = self.rtp.local_addr().unwrap().port();
        format!(
            "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
        )
    }

    /// Sends packets to where an SDP says until the other one has heard some.
    fn is_heard_by(&self, told: &str, other: &Self) {
        let to = told_address(told);
        let end = Instant::now() + Duration::from_secs(10);
        let mut sequence = 0_u16;
        let mut octets = [0; 2_048];
        loop {
            assert!(Instant::now() < end, "{} is not heard by {}", self.tag, other.tag);
            sequence += 1;
            self.rtp.send_to(&packet(self.tag, sequence), to).unwrap();
            while let Ok(length) = other.rtp.recv(&mut octets) {
                if octets[12..length].starts_with(self.tag.as_bytes()) {
                    return;
                }
            }
        }
    }
}

/// 20 ms of PCMA that begin with the sender's tag (RFC 3550 5.1).
fn packet(tag: &str, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([0, 0, 0, tag.as_bytes()[0]]);
    packet.extend(tag.as_bytes());
    packet.resize(12 + 160, 0xd5);
    packet
}

fn told_address(sdp: &str) -> SocketAddr {
    let line = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let address: Ipv4Addr = line("c=IN IP4 ").parse().unwrap();
    let port = line("m=audio ").split(' ').next().unwrap().parse().unwrap();
    (address, port).into()
}

#[tokio::test]
async fn whoever_of_several_answered_last_talks_with_the_caller() {
    let Some(rtpengine) = Rtpengine::start() else { return };
    let (client, _) = client(RelaySettings { servers: vec![server("one", rtpengine.address)], ..RelaySettings::default() });
    let plain = Treatment::default();
    let (alice, bob, carol) = (Telephone::new("alice"), Telephone::new("bob"), Telephone::new("carol"));
    let carried = async |response: Option<&_>, invite: &_, note: Option<Note>| {
        let answered = ask(&client, (invite, response), (&plain, &plain), note).await.unwrap();
        (Some(answered.note), String::from_utf8(answered.sdp.to_vec()).unwrap())
    };

    // A proxy beyond us forks: both are told the same.
    let invite = request("INVITE", alice.tag, "", &alice.sdp());
    let (note, offer) = carried(None, &invite, None).await;
    let mut told = Vec::new();
    for (status, callee) in [(183, &bob), (183, &carol), (200, &bob)] {
        let response = response(status, "INVITE", alice.tag, callee.tag, &callee.sdp());
        let (_, answer) = carried(Some(&response), &invite, note).await;
        callee.is_heard_by(&offer, &alice);
        alice.is_heard_by(&answer, callee);
        told.push(told_address(&answer));
    }
    assert_eq!(told[0], told[2], "who answers as before is told as before");

    // And after an offer of the callee's in the dialog.
    let invite = request("INVITE", bob.tag, alice.tag, &bob.sdp());
    let (_, offer) = carried(None, &invite, note).await;
    let (_, answer) = carried(Some(&response(200, "INVITE", bob.tag, alice.tag, &alice.sdp())), &invite, note).await;
    alice.is_heard_by(&offer, &bob);
    bob.is_heard_by(&answer, &alice);
    assert_eq!(rtpengine.calls().len(), 1, "{CALL_ID}");
}
