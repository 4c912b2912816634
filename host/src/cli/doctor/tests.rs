use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use clap::Parser;
use jackfield_proto::message::{Framing, Limits, Message, respond};

use super::super::{Cli, Hooks, execute};
use super::*;

const HOOKS: Hooks = Hooks { run: |_, _| anyhow::bail!("not to be run"), check_plugins: |_| Vec::new() };

/// What the command prints to standard output and to standard error, and how it ends.
fn executed(arguments: &[&str]) -> (String, String, Exit) {
    let cli = Cli::try_parse_from(["jackfield", "doctor"].iter().chain(arguments)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = execute(cli, HOOKS, &mut out, &mut err).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
}

/// A provider that answers every request with 200, until the test ends.
fn provider() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, remote)) = socket.recv_from(&mut buffer) {
            let request = Message::parse(buffer[..length].to_vec().into(), Framing::Datagram, &Limits::default()).unwrap();
            socket.send_to(&respond(&request, 200, None).to_tag(b"p").finish(), remote).unwrap();
        }
    });
    address
}

fn configuration(directory: &Path, trunk: &str) -> String {
    let file = directory.join("jackfield.toml");
    let text = format!("state-directory = \"{}\"\n[listen.wan]\naddress = \"127.0.0.1:0\"\n{trunk}", directory.display());
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_trunk_that_works_ends_with_success_and_one_that_does_not_says_what_to_do() {
    let (directory, provider) = (tempfile::tempdir().unwrap(), provider());
    let good = format!("[trunk.good]\nprovider = \"provider.test\"\nproxy = \"sip:{provider};lr\"\negress = \"wan\"\n");
    let strict = format!("[trunk.strict]\nprovider = \"other.test\"\nproxy = \"sip:{provider}\"\n");
    let file = configuration(directory.path(), &(good + &strict));

    let (out, err, exit) = executed(&["good", "--config", &file, "--count", "2"]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""), "{out}");
    assert!(out.contains("good  OPTIONS is answered 200 OK"), "{out}");
    assert!(out.ends_with("nothing is wrong\n"), "{out}");

    let (out, _, exit) = executed(&["other.test", "--config", &file]);
    assert_eq!(exit, Exit::Invalid);
    assert!(out.contains(&format!("BAD   the route `sip:{provider}` has no `;lr`")), "{out}");
    assert!(out.contains(&format!("\n      -> write \"sip:{provider};lr\" in trunk.strict.proxy\n")), "{out}");
    assert!(out.ends_with("1 thing is wrong\n"), "{out}");
}

#[test]
fn only_the_secret_of_the_trunk_itself_is_read() {
    let (directory, provider) = (tempfile::tempdir().unwrap(), provider());
    let way = format!("proxy = \"sip:{provider};lr\"\n");
    let other = format!("[trunk.b]\nprovider = \"b.test\"\n{way}username = \"u\"\npassword-file = \"/nowhere/b\"\n");
    let file = configuration(directory.path(), &format!("[trunk.a]\nprovider = \"a.test\"\n{way}{other}"));
    assert_eq!(executed(&["a", "--config", &file]).2, Exit::Good);
    let (_, err, exit) = executed(&["b", "--config", &file, "--register"]);
    assert_eq!(exit, Exit::Invalid);
    assert!(err.contains("trunk.b.password-file") && err.contains("/nowhere/b"), "{err}");
}

#[test]
fn who_does_not_register_needs_no_password() {
    let (directory, provider) = (tempfile::tempdir().unwrap(), provider());
    let trunk =
        format!("[trunk.a]\nprovider = \"a.test\"\nproxy = \"sip:{provider};lr\"\nusername = \"u\"\npassword-env = \"JF_SET_NOWHERE\"\n");
    let file = configuration(directory.path(), &trunk);
    let (out, err, exit) = executed(&["a", "--config", &file]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""), "{out}");
    assert!(out.contains("note  trunk.a.password-env: ") && out.contains("JF_SET_NOWHERE"), "{out}");
    assert!(out.contains("good  OPTIONS is answered 200 OK"), "{out}");
}

#[test]
fn whoever_may_still_be_registered_counts() {
    use jackfield_trunk::registrations::{BindingState, BindingView, Overview, TrunkCount};
    let failed = |expires_in| BindingView { trunk: "a".into(), state: BindingState::Failed, expires_in, ..BindingView::default() };
    let count = |registered, overdue| TrunkCount { trunk: "a".into(), registered, overdue, failed: 9, expired: 9 };
    for (count, bindings, expected) in [
        (count(0, 0), vec![failed(None)], Registered::Nobody),
        (count(0, 0), vec![failed(Some(7)), failed(None)], Registered::Live(1)),
        (count(2, 1), vec![], Registered::Live(3)),
    ] {
        let overview = Overview { trunks: vec![count], bindings, ..Overview::default() };
        assert_eq!(registered(&overview, "a"), expected);
        assert_eq!(registered(&overview, "b"), Registered::Nobody);
    }
}

#[test]
fn a_trunk_that_is_not_there_is_a_wrong_argument() {
    let directory = tempfile::tempdir().unwrap();
    let file = configuration(directory.path(), "[trunk.a]\nprovider = \"a.test\"\n");
    let (_, err, exit) = executed(&["c", "--config", &file]);
    assert_eq!((exit, err.as_str()), (Exit::Usage, "jackfield: there is no trunk `c`; there are: a\n"));
    let (_, _, exit) = executed(&["a", "--config", "/nowhere.toml"]);
    assert_eq!(exit, Exit::Usage);
}

#[test]
fn a_provider_of_sipproxy_json_is_examined_by_its_host() {
    let (directory, provider) = (tempfile::tempdir().unwrap(), provider());
    std::fs::write(directory.path().join("sipproxy.json"), format!("{{ \"tel.test\": {{ \"proxy\": \"{provider}\" }} }}")).unwrap();
    let file = configuration(directory.path(), "[sipproxy]\nfile = \"sipproxy.json\"\n");
    let (out, err, exit) = executed(&["tel.test", "--config", &file]);
    assert_eq!((exit, err.as_str()), (Exit::Good, ""), "{out}");
    assert!(out.contains("note  this trunk is of [sipproxy] (file)"), "{out}");
    assert!(out.contains("good  OPTIONS is answered 200 OK"), "{out}");
    assert_eq!(executed(&["other.test", "--config", &file]).2, Exit::Usage);
}
