//! Sources that change, break and come back.

mod consul;
mod fake_consul;
mod file;
mod real_consul;
mod secure;

use std::time::Duration;

use jackfield_sipproxy::{Document, Documents, Entry, Timing};
use tokio::sync::watch::Receiver;

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// As by default, but with no pause that a test would have to wait for.
fn quick() -> Timing {
    Timing {
        debounce: Duration::from_millis(20),
        look: Duration::from_millis(200),
        wait: Duration::from_secs(60),
        answer: Duration::from_secs(10),
        start: Duration::from_secs(10),
        pace: Duration::from_millis(5),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
    }
}

/// A document with one provider.
fn one(provider: &str, proxy: &str) -> String {
    format!("{{\"{provider}\": {{\"proxy\": \"{proxy}\", \"options\": \"\\ntransport=tcp\\n\"}}}}\n")
}

/// Waits until the documents are as they should be.
async fn until(documents: &mut Receiver<Documents>, what: &str, wanted: impl Fn(&Documents) -> bool) -> Documents {
    let last = documents.clone();
    match tokio::time::timeout(DEADLINE, documents.wait_for(|documents| wanted(documents))).await {
        Ok(found) => found.expect("the source lives").clone(),
        Err(_) => panic!("never: {what}; but {:?}", last.borrow()),
    }
}

/// The proxy of each provider.
fn proxies(documents: &Documents) -> Vec<String> {
    let text = |entry: &Entry| format!("{} via {}", entry.provider, entry.proxy.as_ref().map_or("-", |proxy| &proxy.host));
    documents.entries().map(|(_, entry)| text(entry)).collect()
}

fn parse(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect("a good document")
}
