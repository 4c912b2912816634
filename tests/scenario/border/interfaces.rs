//! Two interfaces, and a packet filter that lets nothing pass by the wrong one: what is on the wire of either side names nobody of the other.

use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jackfield_proto::net::Transport;
use socket2::{Domain, Protocol, Socket, Type};

use super::ALL;
use crate::scenario::interfaces::{PORT, Side, Town};
use crate::support::config::Config;
use crate::support::dialog::Dialog;
use crate::support::netns::can_be_made;
use crate::support::peer::Peer;
use crate::support::proxy::Proxy;
use crate::support::scene::{Scene, establish, hang_up, invite, reinvite};
use crate::support::secrets::Secrets;

/// All frames that pass the interface of a side, in either direction.
struct Capture {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Every protocol (packet(7)), in network order.
const ALL_PROTOCOLS: i32 = 0x0300;

impl Capture {
    fn of(side: &Side) -> Self {
        let socket = side.namespace.inside(|| Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ALL_PROTOCOLS))));
        let mut socket = socket.expect("root may look at packets");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket of ours");
        let (frames, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                match socket.read(&mut buffer) {
                    Ok(count) => lock(&kept).push(buffer.get(..count).unwrap_or_default().to_vec()),
                    // What was on the wire before the end has been read.
                    Err(_) if stopped.load(Ordering::Relaxed) => return,
                    Err(_) => {}
                }
            }
        });
        Self { frames, stop, thread: Some(thread) }
    }

    /// Ends it, and gives what it has seen.
    fn finish(mut self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it does not fail");
        std::mem::take(&mut *lock(&self.frames))
    }
}

fn lock(frames: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What must not be on the other side's wire: the addresses of this one, as text and in the heads of packets.
fn shown(frames: &[Vec<u8>], side: &Side, phone: &Peer) -> Vec<String> {
    let words = vec![side.peer.to_string(), side.ours.to_string()];
    let secrets = Secrets { words, sockets: vec![phone.address, side.listener()] };
    let raw = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let is_raw = |frame: &[u8]| [side.ours, side.peer].map(raw).iter().any(|raw| frame.windows(raw.len()).any(|octets| octets == raw));
    let says = |frame: &Vec<u8>| {
        let mut read = secrets.read_in(frame);
        if is_raw(frame) {
            read.push("an address in octets".to_owned());
        }
        (!read.is_empty()).then(|| format!("{read:?} in {}", String::from_utf8_lossy(frame)))
    };
    frames.iter().filter_map(says).collect()
}

/// A listener at each side, and the way to the telephone of each by a domain: its address is hidden from who calls.
fn config(town: &Town, phones: &[Peer; 2], transport: Transport, hide: &str) -> Config {
    let ready = town.lan.listener();
    let listener = |name: &str, place: String| format!("[listen.{name}]\n{place}\ntransports = [\"udp\", \"tcp\"]\n{hide}");
    let config = Config::new()
        .listening_only_as_its_tables_say(ready)
        .table(&listener("lan", format!("address = \"{ready}\"")))
        .table(&listener("wan", format!("interface = \"wan0\"\nport = {PORT}")));
    let way = |config: Config, (phone, egress): (&Peer, &str)| {
        let next_hop = phone.uri_by("x", transport).replace("x@", "");
        config.table(&format!(
            "[trunk.{0}]\nprovider = \"{0}.test\"\nnext-hop = {next_hop:?}\negress = {egress:?}\nprobe.interval = \"off\"\nallow = [\"0.0.0.0/0\"]",
            phone.name
        ))
    };
    phones.iter().zip(["lan", "wan"]).fold(config, way)
}

/// Who hangs up.
#[derive(Clone, Copy)]
enum Ends {
    Caller,
    Callee,
}

/// A call, with a re-INVITE of either end.
fn call(caller: (&Peer, &Side), callee: (&Peer, &Side), transport: Transport, ends: Ends) {
    let ((caller, at), (callee, there)) = (caller, callee);
    let (link, back) = (at.link(caller, transport), there.link(callee, transport));
    let (taken, mut of_caller) = establish(caller, callee, &invite(caller, &format!("sip:{0}@{0}.test", callee.name), &link), &link);
    let mut of_callee = Dialog::of_callee(&taken, callee);
    reinvite(caller, callee, &mut of_caller, &link);
    reinvite(callee, caller, &mut of_callee, &back);
    match ends {
        Ends::Caller => hang_up(caller, callee, &mut of_caller, &link),
        Ends::Callee => hang_up(callee, caller, &mut of_callee, &back),
    }
}

/// What captures at the lan and at the wan show of the other side, after calls both ways by UDP and TCP.
fn captured(hide: &str) -> [Vec<String>; 2] {
    let (scene, town) = (Scene::new(), Town::new(false));
    let [lan, wan] = [&town.lan, &town.wan].map(Capture::of);
    let phones = [town.lan.phone(&scene, "alice"), town.wan.phone(&scene, "bob")];
    for transport in [Transport::Udp, Transport::Tcp] {
        let config = config(&town, &phones, transport, hide);
        let _proxy = town.proxy.inside(|| Proxy::start(&config, &[]));
        let [alice, bob] = [(&phones[0], &town.lan), (&phones[1], &town.wan)];
        for ends in [Ends::Caller, Ends::Callee] {
            call(alice, bob, transport, ends);
            call(bob, alice, transport, ends);
        }
    }
    town.nothing_went_astray();
    let (at_lan, at_wan) = (lan.finish(), wan.finish());
    for (frames, side) in [(&at_lan, &town.lan), (&at_wan, &town.wan)] {
        assert!(!shown(frames, side, &phones[0]).is_empty(), "the capture sees its own side, in {} frames", frames.len());
    }
    [shown(&at_lan, &town.wan, &phones[1]), shown(&at_wan, &town.lan, &phones[0])]
}

#[test]
fn a_capture_on_either_side_shows_no_address_of_the_other() {
    if can_be_made("captures on both sides of a border") {
        for (side, shown) in ["lan", "wan"].into_iter().zip(captured(ALL)) {
            assert!(shown.is_empty(), "at the {side}, {} frames, first: {}", shown.len(), shown[0]);
        }
    }
}

/// The same without hiding: so the captures would show it.
#[test]
fn a_capture_on_either_side_shows_the_other_where_nothing_is_hidden() {
    if can_be_made("captures on both sides of a proxy that hides nothing") {
        for (side, shown) in ["lan", "wan"].into_iter().zip(captured("")) {
            assert!(!shown.is_empty(), "at the {side}");
        }
    }
}
