//! What the documents for authors of plugins say about the program: its commands and its configuration are there as they are written.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::proxy::{program, run_once};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of this language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut lines = text.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == opening) {
        found.push(lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect());
    }
    found
}

/// Commands that have commands of their own.
const GROUPS: [&str; 2] = ["plugin", "record"];

/// What `--help` says about the command of this line, and the options that the line has.
fn help(line: &str) -> (String, Vec<&str>) {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let depth = if GROUPS.contains(&words[0]) { 2 } else { 1 };
    let output = Command::new(program()).args(&words[..depth]).arg("--help").output().expect("the program starts");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    (text, words.into_iter().filter(|word| word.starts_with("--")).collect())
}

#[test]
fn commands_of_the_guide_are_commands_of_the_program() {
    let guide = document("guide.md");
    let consoles = blocks(&guide, "console");
    let lines: Vec<&str> = consoles.iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("jackfield ")).collect();
    assert!(lines.len() >= 15, "{lines:?}");
    for line in lines {
        let (text, options) = help(line);
        for option in options {
            assert!(text.contains(option), "{line}: {option} is not in\n{text}");
        }
    }
}

/// The files that the configurations name.
const FILES: [(&str, &str); 5] = [
    ("rates.csv", "prefix,trunks,trunk,cents\n49,telekom,telekom,2\n"),
    ("peers.csv", "network,name,trunk\n198.51.100.0/24,carrier,pbx\n"),
    ("accounts.csv", "user,number,trunk\nalice,49301,telekom\n"),
    ("customers.csv", "customer,calls,trunk\nacme,2,telekom\n"),
    ("users", "alice:sbc.example:SHA-256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"),
];

/// Has the program check a configuration; it may warn, of plugins outside of the chain for one thing.
fn check(what: &str, text: &str) {
    let directory = tempfile::tempdir().expect("a directory of the test's own");
    for (name, content) in FILES {
        std::fs::write(directory.path().join(name), content).expect("a file");
    }
    let path: PathBuf = directory.path().join("jackfield.toml");
    std::fs::write(&path, text).expect("a file");
    let (status, output) = run_once(&["check"], &path);
    assert!(status.success(), "{what}:\n{text}\n{output}");
}

/// Puts the tables of `more` into `all`, as if they stood in one file.
fn merge(all: &mut toml::Table, more: toml::Table) {
    for (key, value) in more {
        match (all.get_mut(&key), value) {
            (Some(toml::Value::Table(known)), toml::Value::Table(table)) => merge(known, table),
            (_, value) => drop(all.insert(key, value)),
        }
    }
}

/// With a listener, if there is none, and without a chain: there are no components here.
fn complete(mut table: toml::Table) -> String {
    let listener: toml::Table = toml::from_str("[listen.lan]\naddress = \"127.0.0.1:5060\"").expect("a listener");
    if !table.contains_key("listen") {
        merge(&mut table, listener);
    }
    if let Some(plugins) = table.get_mut("plugins").and_then(toml::Value::as_table_mut) {
        plugins.remove("chain");
        plugins.remove("directory");
    }
    table.insert("state-directory".to_owned(), toml::Value::from("state"));
    toml::to_string(&table).expect("a table can be written")
}

#[test]
fn configuration_of_the_guide_is_accepted() {
    let mut all = toml::Table::new();
    for block in blocks(&document("guide.md"), "toml") {
        merge(&mut all, toml::from_str(&block).unwrap_or_else(|error| panic!("{error}:\n{block}")));
    }
    assert!(all.contains_key("plugins") && all.contains_key("table") && all.contains_key("store"), "{all:?}");
    check("guide.md", &complete(all));
}

#[test]
fn configuration_of_services_in_the_readme_is_accepted() {
    let readme = document("../../README.md");
    let (_, services) = readme.split_once("### Services for plugins").expect("the README is about services");
    let block = blocks(services, "toml").into_iter().next().expect("the README shows how services are granted");
    check("README.md", &complete(toml::from_str(&block).unwrap_or_else(|error| panic!("{error}:\n{block}"))));
}

#[test]
fn configurations_for_those_who_come_from_scripts_are_accepted() {
    let configurations = blocks(&document("from-scripts.md"), "toml");
    assert!(configurations.len() >= 20, "{}", configurations.len());
    for text in configurations {
        let table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        check("from-scripts.md", &complete(table));
    }
}
