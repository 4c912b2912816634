//! Calls at rtpengine itself.

use jackfield_relay::{Client, Codecs, Family, Found, Ice, Note, Pool, Profile, RelaySettings, RtcpMux, Transport, Treatment};
use std::sync::Arc;

use jackfield_proto::message::Message;

use crate::support::{CALL_ID, Rtpengine, ask, client, eventually, request, response, server};

/// What a telephone says.
const PLAIN: &str = "v=0\r\no=- 7 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5004 RTP/AVP 8 0\r\n\
                     a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n";

/// What a browser says before it has candidates.
const WEB: &str = "v=0\r\no=- 46117314 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
                   a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\na=fingerprint:sha-256 \
                   00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
                   a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
                   a=rtpmap:8 PCMA/8000\r\n";

fn web() -> Treatment {
    let profile = Profile { transport: Transport::Dtls, ice: Ice::Force, rtcp_mux: RtcpMux::Require, ..Profile::default() };
    Treatment::new(&Profile { interface: Some("public".into()), ..profile })
}

fn lan() -> Treatment {
    let profile = Profile { transport: Transport::Rtp, ice: Ice::Remove, rtcp_mux: RtcpMux::Demux, ..Profile::default() };
    Treatment::new(&Profile { interface: Some("private".into()), ..profile })
}

/// One call at one relay.
struct Talk {
    rtpengine: Rtpengine,
    client: Client,
    pool: Arc<Pool>,
    note: Option<Note>,
}

impl Talk {
    fn begin() -> Option<Self> {
        Self::begin_at(Rtpengine::start()?)
    }

    fn begin_at(rtpengine: Rtpengine) -> Option<Self> {
        let (client, pool) = client(RelaySettings { servers: vec![server("one", rtpengine.address)], ..RelaySettings::default() });
        Some(Self { rtpengine, client, pool, note: None })
    }

    /// The SDP that goes on in the place of a message's.
    async fn carried(&mut self, request: &Message, response: Option<&Message>, sides: (&Treatment, &Treatment)) -> String {
        let answered = ask(&self.client, (request, response), sides, self.note).await.unwrap();
        assert!(self.note.is_none_or(|note| note == answered.note));
        self.note = Some(answered.note);
        String::from_utf8(answered.sdp.to_vec()).unwrap()
    }

    /// An INVITE with SDP and its 2xx: what the callee gets, and what the caller gets.
    async fn invite(&mut self, tags: (&str, &str, &str), sides: (&Treatment, &Treatment), sdp: (&str, &str)) -> (String, String) {
        let (from, to, answerer) = tags;
        let invite = request("INVITE", from, to, sdp.0);
        let offer = self.carried(&invite, None, sides).await;
        let ok = response(200, "INVITE", from, answerer, sdp.1);
        (offer, self.carried(&invite, Some(&ok), (sides.1, sides.0)).await)
    }

    /// Ends it: nothing is left at the relay.
    async fn end(self) {
        assert!(self.rtpengine.calls().iter().all(|call| call.starts_with(CALL_ID)));
        assert_eq!(self.rtpengine.calls().len(), 1, "all was about one call");
        self.client.delete(&self.note.unwrap(), CALL_ID.as_bytes());
        eventually("it is deleted", || self.pool.counts().deleted == 1).await;
        assert_eq!(self.rtpengine.calls(), [""; 0], "at once and with all its branches");
    }
}

fn is_plain(sdp: &str) {
    assert!(sdp.contains(" RTP/AVP ") && sdp.contains("c=IN IP4 127.0.0.2"), "{sdp}");
    assert!(
        ["sendonly", "inactive", "ice-", "fingerprint", "candidate", "rtcp-mux", "192.0.2.7", "0.0.0.0"]
            .iter()
            .all(|other| !sdp.contains(other)),
        "{sdp}"
    );
}

fn is_web(sdp: &str) {
    let all =
        [" UDP/TLS/RTP/SAVPF ", "c=IN IP4 127.0.0.1", "a=ice-ufrag:", "a=fingerprint:", "a=candidate:", "a=rtcp-mux", "a=mid:", "a=setup:"];
    assert!(all.iter().all(|one| sdp.contains(one)) && !sdp.contains("crypto") && !sdp.contains("192.0.2.7"), "{sdp}");
}

/// What a browser answers to an offer: it names media as the offer does.
fn web_answer(offer: &str) -> String {
    let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap();
    WEB.replace("actpass", "active").replace("a=mid:0", &format!("a=mid:{mid}")).replace("BUNDLE 0", &format!("BUNDLE {mid}"))
}

#[tokio::test]
async fn both_sides_see_the_relay_alone() {
    let Some(mut talk) = Talk::begin() else { return };
    let side = |interface: &str| Treatment::new(&Profile { interface: Some(interface.into()), ..Profile::default() });
    let (public, private) = (side("public"), side("private"));
    let (offer, answer) = talk.invite(("a", "", "b"), (&public, &private), (PLAIN, PLAIN)).await;
    for (sdp, address) in [(&offer, "127.0.0.2"), (&answer, "127.0.0.1")] {
        assert!(sdp.contains(&format!("c=IN IP4 {address}")) && sdp.contains(&format!("o=- 7 1 IN IP4 {address}")), "{sdp}");
        assert!(!sdp.contains("192.0.2.7") && sdp.contains("a=rtpmap:8 PCMA/8000"), "{sdp}");
    }
    talk.end().await;
}

#[tokio::test]
async fn a_browser_calls_a_telephone_and_either_changes_the_session() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    for (from, to) in [("a", ""), ("a", "b")] {
        let (offer, answer) = talk.invite((from, to, "b"), (&web, &lan), (WEB, PLAIN)).await;
        is_plain(&offer);
        is_web(&answer);
        let offer = talk.carried(&request("INVITE", "b", "a", PLAIN), None, (&lan, &web)).await;
        is_web(&offer);
        let ok = response(200, "INVITE", "b", "a", &web_answer(&offer));
        is_plain(&talk.carried(&request("INVITE", "b", "a", PLAIN), Some(&ok), (&web, &lan)).await);
    }
    talk.end().await;
}

#[tokio::test]
async fn a_telephone_calls_a_browser_and_either_changes_the_session() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    for to in ["", "b"] {
        let invite = request("INVITE", "a", to, PLAIN);
        let offer = talk.carried(&invite, None, (&lan, &web)).await;
        is_web(&offer);
        let ok = response(200, "INVITE", "a", "b", &web_answer(&offer));
        is_plain(&talk.carried(&invite, Some(&ok), (&web, &lan)).await);
        let again = WEB.replace("a=mid:0", offer.lines().find(|line| line.starts_with("a=mid:")).unwrap());
        let (offer, answer) = talk.invite(("b", "a", "a"), (&web, &lan), (&again, PLAIN)).await;
        is_plain(&offer);
        is_web(&answer);
    }
    talk.end().await;
}

#[tokio::test]
async fn a_delayed_offer_comes_from_who_was_called() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    talk.note = Some(talk.client.begin_without_offer(&request("INVITE", "a", "", ""), None).unwrap());
    let invite = request("INVITE", "a", "", "");
    let ok = response(200, "INVITE", "a", "b", PLAIN);
    let offer = talk.carried(&invite, Some(&ok), (&lan, &web)).await;
    is_web(&offer);
    is_plain(&talk.carried(&request("ACK", "a", "b", &web_answer(&offer)), None, (&web, &lan)).await);
    // And again in the dialog, asked for by the other end.
    let ok = response(200, "INVITE", "b", "a", &web_answer(&offer).replace("active", "actpass"));
    is_plain(&talk.carried(&request("INVITE", "b", "a", ""), Some(&ok), (&web, &lan)).await);
    is_web(&talk.carried(&request("ACK", "b", "a", PLAIN), None, (&lan, &web)).await);
    talk.end().await;
}

#[tokio::test]
async fn a_reliable_response_offers_and_prack_answers() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    talk.note = Some(talk.client.begin_without_offer(&request("INVITE", "a", "", ""), None).unwrap());
    let invite = request("INVITE", "a", "", "");
    let offer = talk.carried(&invite, Some(&response(183, "INVITE", "a", "b", PLAIN)), (&lan, &web)).await;
    is_web(&offer);
    is_plain(&talk.carried(&request("PRACK", "a", "b", &web_answer(&offer)), None, (&web, &lan)).await);
    // UPDATE offers from either end while the INVITE goes on.
    let update = request("UPDATE", "b", "a", PLAIN);
    let offer = talk.carried(&update, None, (&lan, &web)).await;
    is_web(&offer);
    let ok = response(200, "UPDATE", "b", "a", &web_answer(&offer));
    is_plain(&talk.carried(&update, Some(&ok), (&web, &lan)).await);
    talk.end().await;
}

#[tokio::test]
async fn several_answer_one_offer_and_one_order_deletes_all() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    let invite = request("INVITE", "a", "", WEB);
    is_plain(&talk.carried(&invite, None, (&web, &lan)).await);
    let mut answers = Vec::new();
    for (status, to) in [(183, "b"), (180, "c"), (183, "d"), (200, "c"), (200, "c")] {
        answers.push(talk.carried(&invite, Some(&response(status, "INVITE", "a", to, PLAIN)), (&lan, &web)).await);
        is_web(&answers[answers.len() - 1]);
    }
    let ports = |sdp: &String| sdp.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect::<Vec<_>>();
    assert!(answers.iter().all(|answer| ports(answer) == ports(&answers[0])), "the browser has one relay for all: {answers:?}");
    // In the dialog of whoever it is, from either end.
    is_web(&talk.carried(&request("INVITE", "c", "a", PLAIN), None, (&lan, &web)).await);
    is_plain(&talk.carried(&request("INVITE", "a", "b", WEB), None, (&web, &lan)).await);
    talk.end().await;
}

#[tokio::test]
async fn copies_of_one_invite_are_calls_of_their_own() {
    let Some(mut talk) = Talk::begin() else { return };
    let (web, lan) = (web(), lan());
    let invite = request("INVITE", "a", "", WEB);
    is_plain(&talk.carried(&invite, None, (&web, &lan)).await);
    let first = talk.note.take().unwrap();
    is_plain(&talk.carried(&invite, None, (&web, &lan)).await);
    assert_eq!(talk.rtpengine.calls().len(), 2);
    talk.client.delete(&first, CALL_ID.as_bytes());
    eventually("the first is deleted", || talk.rtpengine.calls().len() == 1).await;
    is_web(&talk.carried(&invite, Some(&response(200, "INVITE", "a", "b", PLAIN)), (&lan, &web)).await);
    // A call that is gone already is no failure.
    talk.client.delete(&first, CALL_ID.as_bytes());
    eventually("it counts as deleted", || talk.pool.counts().deleted == 2).await;
}

#[tokio::test]
async fn a_multipart_body_goes_on_whole() {
    let Some(mut talk) = Talk::begin() else { return };
    let (before, behind) = (
        "--parts\r\nContent-Type: application/isup;version=itu-t92+\r\n\r\n\u{1}\0\u{11}\r\n--parts\r\nContent-Type: application/sdp\r\n\r\n",
        "\r\n--parts--\r\n",
    );
    let invite = request("INVITE", "a", "", &format!("{before}{PLAIN}{behind}"));
    let sdp = talk.carried(&invite, None, (&web(), &lan())).await;
    is_plain(&sdp);
    let body = Found::in_message(&invite).unwrap().with(&sdp.clone().into());
    assert_eq!(body, format!("{before}{sdp}{behind}"));
    talk.end().await;
}

#[tokio::test]
async fn codecs_are_those_that_a_side_may_have() {
    let Some(mut talk) = Talk::begin() else { return };
    let with = |codecs| Treatment::new(&Profile { codecs, ..Profile::default() });
    let alaw = with(Codecs { allow: vec!["PCMA".into()], ..Codecs::default() });
    let opus = with(Codecs { allow: vec!["PCMU".into()], transcode: vec!["opus".into()], ..Codecs::default() });
    let both = PLAIN.to_owned();
    let media = |sdp: &str| sdp.lines().filter(|line| line.starts_with("a=rtpmap:")).map(|line| line[9..].to_owned()).collect::<Vec<_>>();
    let (offer, answer) = talk.invite(("a", "", "b"), (&Treatment::default(), &alaw), (&both, PLAIN)).await;
    assert_eq!(media(&offer), ["8 PCMA/8000"]);
    assert_eq!(media(&answer), ["8 PCMA/8000"]);
    talk.client.delete(&talk.note.take().unwrap(), CALL_ID.as_bytes());
    let (_, answer) = talk.invite(("a", "", "b"), (&alaw, &Treatment::default()), (&both, PLAIN)).await;
    assert_eq!(media(&answer), ["8 PCMA/8000"], "an answer carries what its receiver may have");
    talk.client.delete(&talk.note.take().unwrap(), CALL_ID.as_bytes());
    let offer = talk.carried(&request("INVITE", "a", "", PLAIN), None, (&Treatment::default(), &opus)).await;
    let offered = media(&offer);
    assert!(offered.contains(&"0 PCMU/8000".to_owned()) && offered.iter().any(|codec| codec.ends_with("opus/48000/2")), "{offer}");
    assert!(!offer.contains("PCMA"), "{offer}");
}

/// A codec that the caller may not have is not what the callee can choose: there would be no codec left to talk by.
#[tokio::test]
async fn who_may_not_have_a_codec_does_not_offer_it() {
    let Some(mut talk) = Talk::begin() else { return };
    let codecs = Codecs { allow: vec!["PCMA".into(), "telephone-event".into()], ..Codecs::default() };
    let provider = Treatment::new(&Profile { codecs, ..Profile::default() });
    let sdp = |types: &str| {
        let maps = [("9", "G722"), ("8", "PCMA"), ("101", "telephone-event")].into_iter().filter(|(number, _)| types.contains(number));
        let maps: String = maps.map(|(number, name)| format!("a=rtpmap:{number} {name}/8000\r\n")).collect();
        format!("v=0\r\no=- 7 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5004 RTP/AVP {types}\r\n{maps}")
    };
    let formats = |sdp: &str| sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap().split_once("AVP ").unwrap().1.to_owned();
    let sides = (&provider, &Treatment::default());
    let (offer, answer) = talk.invite(("a", "", "b"), sides, (&sdp("9 8 101"), &sdp("8 101"))).await;
    assert_eq!((formats(&offer), formats(&answer)), ("8 101".to_owned(), "8 101".to_owned()), "{offer}{answer}");
    talk.end().await;
}

#[tokio::test]
async fn a_side_with_ipv6_and_one_with_ipv4_each_get_an_address_of_their_own_kind() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("SKIPPED: relays between IPv4 and IPv6: this machine has no ::1");
        return;
    }
    let Some(mut talk) = Rtpengine::start_with(&["--interface=six/::1"]).and_then(Talk::begin_at) else { return };
    let side = |interface: &str, family| Treatment::new(&Profile { interface: Some(interface.into()), family, ..Profile::default() });
    let (four, six) = (side("private", Family::Ipv4), side("six", Family::Ipv6));
    let plain_six = PLAIN.replace("IN IP4 192.0.2.7", "IN IP6 2001:db8::7");
    let is_of = |sdp: &str, address: &str, other: &str| {
        assert!(sdp.contains(&format!("c=IN {address}\r\n")), "{sdp}");
        assert!(!sdp.contains(other), "{sdp}");
    };
    let (offer, answer) = talk.invite(("a", "", "b"), (&four, &six), (PLAIN, &plain_six)).await;
    is_of(&offer, "IP6 ::1", "IP4");
    is_of(&answer, "IP4 127.0.0.2", "IP6");
    // And from the other end.
    let (offer, answer) = talk.invite(("b", "a", "a"), (&six, &four), (&plain_six, PLAIN)).await;
    is_of(&offer, "IP4 127.0.0.2", "IP6");
    is_of(&answer, "IP6 ::1", "IP4");
    talk.end().await;
}
