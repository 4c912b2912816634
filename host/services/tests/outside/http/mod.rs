//! HTTP as plugins use it.

pub(crate) mod authority;
mod server;

use std::fs;
use std::time::{Duration, Instant};

use jackfield_services::ask::{Answer, HttpRequest, HttpResponse, Question, ServiceError};
use jackfield_services::settings::{HttpSettings, Settings};
use jackfield_services::{Granted, Outside};

use authority::Authority;
use server::Server;

/// What a busy machine may add to a time before a thread runs again.
const SLACK: Duration = Duration::from_millis(500);

struct Client {
    outside: Outside,
    granted: Granted,
}

impl Client {
    fn with(http: HttpSettings, prefix: &str) -> Self {
        let outside = Outside::new(&Settings { http, ..Settings::default() }).unwrap();
        Self { outside, granted: Granted::new(&[], &[prefix.to_owned()]).unwrap() }
    }

    fn of(server: &Server) -> Self {
        let http = HttpSettings { timeout: Duration::from_secs(30), body: 10_000, ..HttpSettings::default() };
        Self::with(http, &server.url("/ok/"))
    }

    fn send(&self, request: HttpRequest, within: Duration) -> Result<HttpResponse, ServiceError> {
        match self.outside.answer(&self.granted, Question::Http(request), within)? {
            Answer::Http(response) => Ok(response),
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&self, url: &str) -> Result<HttpResponse, ServiceError> {
        self.send(get(url), Duration::from_secs(60))
    }
}

fn get(url: &str) -> HttpRequest {
    HttpRequest { method: "GET".into(), url: url.into(), headers: vec![], body: vec![], timeout_ms: 0 }
}

#[test]
fn a_request_goes_out_as_it_is_and_the_response_comes_back_whole() {
    let server = Server::start();
    let client = Client::of(&server);
    let headers = vec![("X-Account".to_owned(), "ä1".to_owned()), ("Content-Type".to_owned(), "application/json".to_owned())];
    let request = HttpRequest {
        method: "POST".into(),
        url: server.url("/ok/echo?to=%2B4930&x=1#part"),
        headers,
        body: b"{\"a\":\xff\0}".to_vec(),
        timeout_ms: 0,
    };
    let response = client.send(request, Duration::from_secs(60)).unwrap();
    let expected = [("x-mixed-case", "Yes"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "8")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(response, HttpResponse { status: 200, headers: expected, body: b"{\"a\":\xff\0}".to_vec() });
    let [seen] = server.requests().try_into().unwrap();
    assert_eq!(seen.line, "POST /ok/echo?to=%2B4930&x=1 HTTP/1.1");
    for header in ["x-account: ä1", "content-type: application/json", &format!("host: {}", server.address)] {
        assert!(seen.headers.iter().any(|line| line == header), "{header}: {seen:?}");
    }
}

#[test]
fn any_status_is_a_response_and_redirects_are_not_followed() {
    let server = Server::start();
    let client = Client::of(&server);
    for (path, status) in [("/ok/missing", 404), ("/ok/broken", 500), ("/ok/elsewhere", 302)] {
        assert_eq!(client.fetch(&server.url(path)).unwrap().status, status, "{path}");
    }
    assert!(server.requests().iter().all(|request| !request.line.contains("secret")));
}

#[test]
fn connections_are_used_again() {
    let server = Server::start();
    let client = Client::of(&server);
    for _ in 0..20 {
        assert_eq!(client.fetch(&server.url("/ok/echo")).unwrap().status, 200);
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_is_not_granted_is_denied_before_anything_is_sent() {
    let server = Server::start();
    let client = Client::of(&server);
    for path in ["/secret", "/ok", "/okay", "/ok/../secret", "/ok/%2e%2e/secret", "/ok/..%2fsecret"] {
        assert_eq!(client.fetch(&server.url(path)), Err(ServiceError::Denied), "{path}");
    }
    assert_eq!(client.fetch(&server.url("/ok/").replace("http://", "http://me:pw@")), Err(ServiceError::Denied));
    assert_eq!(client.fetch(&server.url("/ok/").replace("http:", "https:")), Err(ServiceError::Denied));
    assert_eq!(server.connections(), 0);
    let denied = client.outside.answer(&Granted::default(), Question::Http(get(&server.url("/ok/"))), SLACK);
    assert_eq!(denied, Err(ServiceError::Denied));
}

#[test]
fn requests_that_make_no_sense_are_refused_before_anything_is_sent() {
    let server = Server::start();
    let client = Client::of(&server);
    let url = server.url("/ok/echo");
    let field = |name: &str, value: &str| HttpRequest { headers: vec![(name.into(), value.into())], ..get(&url) };
    for request in [
        get("no url"),
        get(&format!("{url}?{}", "x".repeat(9000))),
        HttpRequest { method: "CONNECT".into(), ..get(&url) },
        HttpRequest { method: "GET /ok/ HTTP/1.1\r\nX: ".into(), ..get(&url) },
        HttpRequest { body: vec![0; 10_001], ..get(&url) },
        HttpRequest { headers: vec![("x".into(), "y".into()); 65], ..get(&url) },
        field("x", &"y".repeat(33_000)),
        field("x y", "z"),
        field("", "z"),
        field("x", "y\r\nz: 1"),
        field("Host", "other.test"),
        field("content-length", "5"),
        field("Transfer-Encoding", "chunked"),
    ] {
        let answer = client.send(request.clone(), Duration::from_secs(60));
        assert!(matches!(answer, Err(ServiceError::Invalid(_))), "{request:?}: {answer:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn servers_that_misbehave_are_unavailable() {
    let server = Server::start();
    let client = Client::of(&server);
    for path in
        ["close", "close-in-body", "announce-too-much", "send-too-much", "many-headers", "long-headers", "endless-headers", "no-http"]
    {
        let url = server.url(&format!("/ok/{path}?token=geheim"));
        let answer = client.fetch(&url);
        let Err(ServiceError::Unavailable(why)) = answer else { panic!("{path}: {answer:?}") };
        assert!(!why.contains("geheim"), "{why}");
    }
    assert_eq!(client.fetch(&server.url("/ok/echo")).unwrap().status, 200, "and it goes on");
}

#[test]
fn the_longest_body_is_exactly_what_is_configured() {
    let server = Server::start();
    let client = Client::of(&server);
    let of = |length: usize| HttpRequest { method: "PUT".into(), body: vec![b'x'; length], ..get(&server.url("/ok/echo")) };
    assert_eq!(client.send(of(10_000), Duration::from_secs(60)).unwrap().body.len(), 10_000);
}

#[test]
fn a_server_that_stalls_takes_no_longer_than_the_shortest_of_all_times() {
    let server = Server::start();
    let (mute, _listener) = server::mute();
    let short = Duration::from_millis(100);
    let settings = |timeout| HttpSettings { timeout, ..HttpSettings::default() };
    for url in [server.url("/ok/stall"), server.url("/ok/stall-in-body"), format!("http://{mute}/ok/"), format!("https://{mute}/ok/")] {
        let prefix = format!("{}/ok/", url.split("/ok/").next().unwrap());
        let (patient, hasty) = (Client::with(settings(Duration::from_secs(30)), &prefix), Client::with(settings(short), &prefix));
        let by_request = HttpRequest { timeout_ms: 100, ..get(&url) };
        let long = Duration::from_secs(60);
        for (client, request, within) in [(&patient, by_request, long), (&patient, get(&url), short), (&hasty, get(&url), long)] {
            let begun = Instant::now();
            assert_eq!(client.send(request, within), Err(ServiceError::Timeout), "{url}");
            assert!(begun.elapsed() < short + SLACK, "{url}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn nobody_there_is_told() {
    let address = server::nobody();
    let client = Client::with(HttpSettings::default(), &format!("http://{address}/"));
    let answer = client.fetch(&format!("http://{address}/x"));
    let Err(ServiceError::Unavailable(why)) = answer else { panic!("{answer:?}") };
    assert!(why.starts_with("no connection: Connection refused"), "{why}");
}

#[test]
fn requests_under_way_are_bounded() {
    let server = Server::start();
    let settings = HttpSettings { timeout: Duration::from_secs(2), requests: 2, ..HttpSettings::default() };
    let client = Client::with(settings, &server.url("/ok/"));
    std::thread::scope(|scope| {
        let stalled: Vec<_> = (0..2).map(|_| scope.spawn(|| client.fetch(&server.url("/ok/stall")))).collect();
        crate::support::until("two requests", || (server.requests().len() == 2).then_some(()));
        let full = Err(ServiceError::Unavailable("2 HTTP requests are under way; raise `requests` of [http]".into()));
        assert_eq!(client.fetch(&server.url("/ok/echo")), full);
        for thread in stalled {
            assert_eq!(thread.join().unwrap(), Err(ServiceError::Timeout));
        }
    });
    let counts = client.outside.samples().http;
    assert_eq!((counts.operations, counts.errors, counts.timeouts), (3, 1, 2));
    assert!(counts.time > Duration::from_secs(3));
    crate::support::until("free place", || client.fetch(&server.url("/ok/echo")).ok());
}

#[test]
fn tls_is_trusted_if_the_given_authority_vouches_for_the_server() {
    let authority = Authority::new();
    let server = Server::start_secure(&authority);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let with = |ca: Option<&Authority>| {
        if let Some(ca) = ca {
            fs::write(&file, ca.pem()).unwrap();
        }
        let certificate_authority = ca.map(|_| file.clone());
        Client::with(
            HttpSettings { certificate_authority, timeout: Duration::from_secs(30), ..HttpSettings::default() },
            &server.url("/ok/"),
        )
    };
    assert_eq!(with(Some(&authority)).fetch(&server.url("/ok/echo")).unwrap().status, 200);
    for client in [with(Some(&Authority::new())), with(None)] {
        let answer = client.fetch(&server.url("/ok/echo"));
        let Err(ServiceError::Unavailable(why)) = answer else { panic!("{answer:?}") };
        assert!(why.starts_with("no connection: invalid peer certificate"), "{why}");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let settings =
        Settings { http: HttpSettings { certificate_authority: Some(file.clone()), ..HttpSettings::default() }, ..Settings::default() };
    let error = || Outside::new(&settings).unwrap_err().to_string();
    let place = file.display();
    assert_eq!(error(), format!("[http]: cannot use the certificates in {place}: No such file or directory (os error 2)"));
    fs::write(&file, "nothing").unwrap();
    let none = "there is none in it; it must be PEM with `-----BEGIN CERTIFICATE-----`";
    assert_eq!(error(), format!("[http]: cannot use the certificates in {place}: {none}"));
}

#[test]
fn proxies_that_the_environment_names_are_not_used() {
    // Nextest runs each test in a process of its own; where it does not, the other tests do not use proxies either.
    let server = Server::start();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "http::connections_are_used_again", "--nocapture"])
        .env("http_proxy", server.url("/"))
        .env("HTTP_PROXY", server.url("/"))
        .env("ALL_PROXY", server.url("/"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(server.connections(), 0);
}
