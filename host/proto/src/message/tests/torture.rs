//! Our own torture messages: tests/fixtures/torture, with the treatment that its manifest asks for.

use std::path::Path;

use bytes::Bytes;

use super::super::{Defect, Framing, Limits, Message};

/// What the proxy does with these octets as far as parsing decides it, in the manifest's words.
fn treatment(octets: Bytes) -> String {
    let Ok(message) = Message::parse(octets, Framing::Datagram, &Limits::default()) else { return "drop".into() };
    match message.defect() {
        None => "forward".into(),
        Some(_) if !message.is_request() || message.top_via().is_none() => "drop".into(),
        Some(defect) => format!("reject {}", Defect::status(&defect)),
    }
}

#[test]
fn every_message_is_treated_as_the_manifest_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/torture");
    let manifest: toml::Table = std::fs::read_to_string(folder.join("manifest.toml")).unwrap().parse().unwrap();
    let rows = manifest["message"].as_array().unwrap();
    let text = |row: &toml::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for row in rows {
        let octets = std::fs::read(folder.join(text(row, "file"))).unwrap();
        let seen = treatment(octets.into());
        if seen != text(row, "treatment") {
            wrong.push(format!("{}: {seen} instead of {} ({})", text(row, "file"), text(row, "treatment"), text(row, "note")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let files =
        std::fs::read_dir(&folder).unwrap().filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sip")).count();
    assert_eq!(files, rows.len(), "each file has its row");
    assert!(rows.len() >= 40);
}
