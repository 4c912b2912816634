//! `[sipproxy]`: the outbound proxies that a PBX writes into Consul, and into a file; both change, break and go away while calls run.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::support::config::Config;
use crate::support::consul::{Agent, Consul, StandIn, put};
use crate::support::load::{AnsweringMachine, Load, Order};
use crate::support::peer::Peer;
use crate::support::proxy::{Proxy, run_once};
use crate::support::scene::{Scene, invite, start, whole_call};
use crate::support::wait;

/// The key as a PBX of this host writes it.
fn key() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the system tells its name");
    format!("config/{}/system/outboundproxy", name.trim())
}

/// A document with one provider that is reached through a proxy.
fn document(provider: &str, proxy: SocketAddr) -> String {
    format!("{{\n  \"{provider}\": {{ \"proxy\": \"{proxy}\", \"options\": \"\\ntransport=udp\\n\" }}\n}}\n")
}

/// A document whose third line is wrong.
fn broken(provider: &str) -> String {
    format!("{{\n  \"{provider}\": {{\n    \"proxy\": 127.0.0.1\n  }}\n}}\n")
}

/// A proxy of the PBX: 127.0.0.X, so that the log tells them apart.
fn machine(last: u8) -> AnsweringMachine {
    AnsweringMachine::at((Ipv4Addr::new(127, 0, 0, last), 0).into())
}

/// Lines of the log that say that the trunk goes this way.
fn announced(proxy: &Proxy, machine: &AnsweringMachine) -> usize {
    let words = format!("Will route trunk [provider.test] via proxy [{}]", machine.address.ip());
    proxy.log().lines().filter(|line| line.contains(&words)).count()
}

fn calls(proxy: &Proxy) -> Load {
    let order = |_| Order { uri: "sip:49@provider.test".to_owned(), headers: Vec::new(), class: "all" };
    Load::start(proxy.address(), 60, order)
}

/// Waits until calls go to a machine, and says that from then on none goes to another.
fn all_go_to(machine: &AnsweringMachine, others: &[&AnsweringMachine], load: &Load) {
    let before = machine.invites();
    wait::until("call by the new way", || (machine.invites() > before).then_some(()));
    let (taken, placed) = (others.iter().map(|other| other.invites()).sum::<u64>(), load.placed());
    wait::until("further calls", || (load.placed() > placed + 30).then_some(()));
    let later = others.iter().map(|other| other.invites()).sum::<u64>();
    // The one that was on its way when the first call was seen by the new way.
    assert!(later <= taken + 1, "{later} calls by other ways, and {taken} when the change was seen");
}

/// The whole story, with either kind of Consul.
fn calls_follow_the_key(consul: &mut dyn Consul) {
    let (first, second, third) = (machine(1), machine(2), machine(3));
    put(consul, &key(), &document("provider.test", first.address));
    let url = format!("http://{}", consul.address());
    let table = format!("[sipproxy]\nconsul = {{ url = \"{url}\", key = \"config/HOSTNAME/system/outboundproxy\" }}");
    let mut proxy = Proxy::start(&Config::new().table(&table), &[]);
    let load = calls(&proxy);
    all_go_to(&first, &[&second, &third], &load);

    let begun = Instant::now();
    put(consul, &key(), &document("provider.test", second.address));
    wait::until("announcement of the new way", || (announced(&proxy, &second) == 1).then_some(()));
    println!("a change of the key was in force after {:.0?}", begun.elapsed());
    all_go_to(&second, &[&first, &third], &load);

    put(consul, &key(), &broken("provider.test"));
    let line = proxy.logged(&["ERROR", "Consul ", ":3:", "provider.test"]);
    println!("{line}");
    all_go_to(&second, &[&first, &third], &load);

    consul.kill();
    proxy.logged(&["Consul does not tell", "what it said last stays in force"]);
    all_go_to(&second, &[&first, &third], &load);
    consul.start();
    proxy.logged(&["Consul has no such key any more"]);
    all_go_to(&second, &[&first, &third], &load);
    put(consul, &key(), &document("provider.test", third.address));
    wait::until("announcement of the third way", || (announced(&proxy, &third) == 1).then_some(()));
    all_go_to(&third, &[&first, &second], &load);
    assert_eq!((announced(&proxy, &first), announced(&proxy, &second)), (1, 1), "nothing else has changed anything");

    let placed = load.placed();
    let tallies = load.finish();
    println!("{placed} calls: {:?}", tallies["all"]);
    assert_eq!(tallies["all"].failed(), 0, "{tallies:?}");
    assert!(tallies["all"].completed >= placed, "{tallies:?}");

    consul.kill();
    proxy.logged(&["Consul does not tell"]);
    proxy.restart_after_kill();
    proxy.logged(&["kept of Consul on disk are in force"]);
    let load = calls(&proxy);
    all_go_to(&third, &[&first, &second], &load);
    assert_eq!(load.finish()["all"].failed(), 0);
}

#[test]
fn calls_follow_the_key_of_a_consul_agent_that_changes_breaks_and_dies_under_load() {
    if let Some(mut agent) = Agent::try_start("a real Consul agent, its key changed under load") {
        calls_follow_the_key(&mut agent);
    }
}

#[test]
fn calls_follow_the_key_of_a_stand_in_for_consul_under_load() {
    calls_follow_the_key(&mut StandIn::new());
}

#[test]
fn calls_follow_the_file_that_changes_breaks_and_is_mended_under_load() {
    let (first, second, third) = (machine(1), machine(2), machine(3));
    let config =
        Config::new().table("[sipproxy]\nfile = \"sipproxy.json\"").file("sipproxy.json", document("provider.test", first.address));
    let proxy = Proxy::start(&config, &[]);
    let load = calls(&proxy);
    let write = |text: String| std::fs::write(proxy.file("sipproxy.json"), text).expect("the proxy's own directory");
    all_go_to(&first, &[&second, &third], &load);
    let begun = Instant::now();
    write(document("provider.test", second.address));
    wait::until("announcement of the new way", || (announced(&proxy, &second) == 1).then_some(()));
    println!("a change of the file was in force after {:.0?}", begun.elapsed());
    all_go_to(&second, &[&first, &third], &load);
    write(broken("provider.test"));
    println!("{}", proxy.logged(&["ERROR", "sipproxy.json:3:", "provider.test"]));
    all_go_to(&second, &[&first, &third], &load);
    write(document("provider.test", third.address));
    wait::until("announcement of the third way", || (announced(&proxy, &third) == 1).then_some(()));
    all_go_to(&third, &[&first, &second], &load);
    let tallies = load.finish();
    assert_eq!(tallies["all"].failed(), 0, "{tallies:?}");
}

/// Who names a provider in the configuration has the last word; then the file; then Consul.
#[test]
fn the_configuration_stands_above_the_file_and_the_file_above_consul() {
    let scene = Scene::new();
    let pbx = scene.peer("pbx");
    let [of_toml, of_file, of_consul] = ["toml", "file", "consul"].map(|name| scene.peer(name));
    let entry = |host: &str, peer: &Peer| format!("\"{host}\": {{ \"proxy\": \"{}\" }}", peer.address);
    let hosts = ["one.test", "two.test", "three.test"];
    let of_hosts = |hosts: &[&str], peer| format!("{{\n{}\n}}", hosts.iter().map(|host| entry(host, peer)).collect::<Vec<_>>().join(",\n"));
    let consul = StandIn::new();
    put(&consul, "k", &of_hosts(&hosts, &of_consul));
    let tables = format!(
        "[trunk.first]\nprovider = \"one.test\"\nnext-hop = {:?}\nprobe.interval = \"off\"\n\
         [sipproxy]\nfile = \"sipproxy.json\"\nconsul = {{ url = \"http://{}\", key = \"k\" }}",
        of_toml.uri(""),
        consul.address()
    );
    let config = Config::new().table(&tables).file("sipproxy.json", of_hosts(&hosts[..2], &of_file));
    let (proxy, link) = start(&config, &[], &pbx);
    let goes_to = |host: &str, peer: &Peer| {
        whole_call(&pbx, peer, &invite(&pbx, &format!("sip:49@{host}"), &link), &link);
    };
    goes_to("one.test", &of_toml);
    goes_to("two.test", &of_file);
    goes_to("three.test", &of_consul);
    proxy.logged(&["trunk [one.test] of file is passed over", "trunk [first] of configuration"]);
    proxy.logged(&["trunk [two.test] of Consul is passed over", "trunk [two.test] of file"]);
    // What stood above goes, and what stood below comes into force.
    std::fs::write(proxy.file("sipproxy.json"), of_hosts(&hosts[..1], &of_file)).expect("the proxy's own directory");
    wait::within(Duration::from_secs(20), "trunk of Consul in the place of the file's", || {
        let log = proxy.log();
        log.lines().any(|line| line.contains("Will route trunk [two.test]") && line.contains("origin=Consul")).then_some(())
    });
    goes_to("two.test", &of_consul);
    let (_, checked) = run_once(&["check"], &proxy.file("proxy.toml"));
    let row = |words: &[&str]| checked.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(row(&["first", "one.test", "proxy.toml:", "sipproxy.json:2, Consul:2"]) && row(&["two.test", "Consul:3"]), "{checked}");
}
