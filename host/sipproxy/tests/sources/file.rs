//! A file that is written in all the ways that files are written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use jackfield_sipproxy::{Documents, Settings, Source, Trouble};

use super::{one, proxies, quick, until};

async fn source(file: &Path) -> Source {
    Source::start(Settings { file: Some(file.to_owned()), timing: quick(), ..Settings::default() }).await
}

fn via(proxy: &str) -> impl Fn(&Documents) -> bool {
    let wanted = format!("a.de via {proxy}");
    move |documents| proxies(documents) == [wanted.as_str()] && documents.troubles().next().is_none()
}

fn missing(documents: &Documents) -> bool {
    documents.troubles().any(|(_, trouble)| *trouble == Trouble::Missing)
}

#[tokio::test]
async fn a_file_counts_however_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file = path("sipproxy.json");
    fs::write(&file, one("a.de", "p1")).unwrap();
    let source = source(&file).await;
    let mut documents = source.documents();
    assert_eq!(proxies(&documents.borrow()), ["a.de via p1"]);
    fs::write(&file, one("a.de", "p2")).unwrap();
    until(&mut documents, "written in place", via("p2")).await;
    fs::write(path("new"), one("a.de", "p3")).unwrap();
    fs::rename(path("new"), &file).unwrap();
    until(&mut documents, "renamed over", via("p3")).await;
    fs::write(path("other"), one("a.de", "p4")).unwrap();
    fs::remove_file(&file).unwrap();
    symlink(path("other"), &file).unwrap();
    until(&mut documents, "a symlink", via("p4")).await;
}

#[tokio::test]
async fn a_file_may_come_later_and_its_directory_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pbx/sipproxy.json");
    let source = source(&file).await;
    let mut documents = source.documents();
    assert!(missing(&documents.borrow()) && proxies(&documents.borrow()).is_empty());
    fs::create_dir(directory.path().join("pbx")).unwrap();
    fs::write(&file, one("a.de", "p1")).unwrap();
    until(&mut documents, "the first document", via("p1")).await;
}

#[tokio::test]
async fn a_file_that_is_gone_or_bad_leaves_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sipproxy.json");
    fs::write(&file, one("a.de", "p1")).unwrap();
    let source = source(&file).await;
    let mut documents = source.documents();
    fs::remove_file(&file).unwrap();
    let found = until(&mut documents, "missing", missing).await;
    assert_eq!(proxies(&found), ["a.de via p1"]);
    fs::write(&file, "{\n \"a.de\": {\"proxy\": \"p2\", \"options\": \"transprt=tcp\"}}").unwrap();
    let refused = |documents: &Documents| documents.troubles().any(|(_, trouble)| matches!(trouble, Trouble::Refused(_)));
    let found = until(&mut documents, "refused", refused).await;
    let said = found.troubles().next().unwrap().1.to_string();
    assert_eq!(said, "2:38: a.de: options, line 1: unknown option `transprt`; did you mean `transport`?");
    assert_eq!(proxies(&found), ["a.de via p1"]);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let unreadable = |documents: &Documents| documents.troubles().any(|(_, trouble)| matches!(trouble, Trouble::Unreadable(_)));
    until(&mut documents, "unreadable", unreadable).await;
    fs::remove_dir(&file).unwrap();
    fs::write(&file, one("a.de", "p3")).unwrap();
    until(&mut documents, "good again", via("p3")).await;
}

#[tokio::test]
async fn a_bad_file_at_the_start_is_no_reason_not_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sipproxy.json");
    fs::write(&file, "{").unwrap();
    let source = source(&file).await;
    let mut documents = source.documents();
    assert!(proxies(&documents.borrow()).is_empty() && documents.borrow().troubles().count() == 1);
    fs::write(&file, one("a.de", "p1")).unwrap();
    until(&mut documents, "good", via("p1")).await;
}
