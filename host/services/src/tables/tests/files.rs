//! Files that are good, and files that are not: with the line, and what to do.

use super::*;

#[test]
fn json_may_be_a_list_of_objects_or_an_object_of_objects_or_values() {
    for (json, columns, found) in [
        (r#"[{"k": "a", "n": 1, "t": true}, {"t": false, "n": 0.10, "k": "b"}]"#, "k|n|t", "b|0.1|false"),
        (r#"{"a": {"n": -1}, "b": {"n": 2.5}}"#, "key|n", "b|2.5"),
        (r#"{"a": 18446744073709551615, "b": "x"}"#, "key|value", "b|x"),
        ("[]", "key", ""),
        ("{}\n", "key", ""),
    ] {
        let place = Place::new("t.json", Matching::Exact);
        let table = place.write(json).load().unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(table.columns().collect::<Vec<_>>().join("|"), columns, "{json}");
        assert_eq!(row(table.exact("b").unwrap()).unwrap_or_default(), found, "{json}");
    }
}

#[test]
fn a_file_without_rows_and_one_with_a_mark_of_its_order_of_octets_are_tables() {
    let place = Place::new("t.csv", Matching::Exact);
    assert!(place.write("a,b\n").load().unwrap().is_empty());
    let table = place.write("\u{feff}a,b\n1,2\n\n3,4\n").load().unwrap();
    assert_eq!((table.columns().next(), table.len()), (Some("a"), 2));
}

/// A file, how it is to be matched, the line, and what the error has to say.
type Bad = (&'static str, Matching, &'static [u8], Option<u64>, &'static str);

const BAD: &[Bad] = &[
    ("t.csv", Matching::Exact, b"", Some(1), "there is no header"),
    ("t.csv", Matching::Exact, b"a,\n", Some(1), "column 2 of the header has no name"),
    ("t.csv", Matching::Exact, b"a,a\n", Some(1), "`a` is in the header twice"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n3\n", Some(3), "has 1 fields, the header has 2"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n3,4,5\n", Some(3), "has 3 fields, the header has 2"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n3,\xe4\n", Some(3), "not UTF-8"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n,4\n", Some(3), "the key is empty"),
    ("t.csv", Matching::Exact, b"a,b\n1,\"2\n2\"\n3,4\n1,5\n", Some(5), "the key `1` is here twice, first in line 2"),
    ("t.csv", Matching::LongestPrefix, b"a,b\n+1,2\n3,4\n+1,5\n3,5\n", Some(4), "the key `+1` is here twice, first in line 2"),
    ("t.csv", Matching::LongestPrefix, b"a,b\n\xc3\xa4*#,2\n3,4\n\xc3\xa4*#,5\n", Some(4), "the key `\u{e4}*#` is here twice"),
    ("t.csv", Matching::Network, b"a\n10.0.0.1/8\n", Some(2), "bits set beyond the prefix; the block is 10.0.0.0/8; write an address"),
    ("t.csv", Matching::Network, b"a\npbx\n", Some(2), "`pbx` is no IP address"),
    ("t.csv", Matching::Network, b"a\n10.0.0.1\n::ffff:10.0.0.1/128\n", Some(3), "10.0.0.1/32 is here twice, first in line 2"),
    ("t.csv", Matching::Network, b"a\n2001:db8::/32\n2001:db8::/32\n", Some(3), "2001:db8::/32 is here twice, first in line 2"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n3,4", Some(3), "may be cut short"),
    ("t.csv", Matching::Exact, b"a,b\n1,2\n3,\"4\n", Some(3), "a quotation mark is missing"),
    ("t.json", Matching::Exact, b"", Some(1), "cut short"),
    ("t.json", Matching::Exact, b"[{\"k\": \"a\"},\n{\"k\": ", Some(2), "cut short"),
    ("t.json", Matching::Exact, b"[{\"k\": \"a\"}]\n]", Some(2), "trailing"),
    ("t.json", Matching::Exact, b"[\n1]", Some(2), "has to be an object"),
    ("t.json", Matching::Exact, b"\"x\"", Some(1), "a list of objects"),
    ("t.json", Matching::Exact, b"[\n{\"k\": null}]", Some(2), "expected a string, a number or a truth value"),
    ("t.json", Matching::Exact, b"[\n{\"k\":\n[1]}]", Some(3), "expected a string, a number or a truth value"),
    ("t.json", Matching::Exact, b"[{\"k\": \"a\"},\n\n{\"j\": \"b\"}]", Some(3), "`j` is not in the first row"),
    ("t.json", Matching::Exact, b"[{\"k\": \"a\", \"j\": 1},\n\n{\"j\": \"b\"}]", Some(3), "the row has no `k`"),
    ("t.json", Matching::Exact, b"[{\"k\": \"a\"},\n{\"k\": \"b\", \"k\": 1}]", Some(2), "`k` is in the row twice"),
    (
        "t.json",
        Matching::Exact,
        b"[{\"k\": \"a\"},\n{\"k\": \"b\"},\n{\"k\": \"a\"}]",
        Some(3),
        "the key `a` is here twice, first in line 1",
    ),
    ("t.json", Matching::LongestPrefix, b"{\"49\": 1,\n\"43\": 2,\n\"49\": 3}", Some(3), "the key `49` is here twice, first in line 1"),
    ("t.json", Matching::Exact, b"{\"a\":\n4912345678901234567890}", Some(2), "write it as a string"),
    ("t.json", Matching::Exact, b"{\"a\":\n\"\xe4\"}", Some(2), "not UTF-8"),
    ("t.json", Matching::Exact, b"{\"a\": 1,\n\"\": 2}", Some(2), "the key is empty"),
    ("t.txt", Matching::Exact, b"a\n", None, "neither in .csv nor in .json"),
];

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    for (file, matching, content, line, says) in BAD {
        let place = Place::new(file, *matching);
        let error = place.write(content).load().expect_err(says);
        let content = String::from_utf8_lossy(content);
        assert_eq!(error.line, *line, "{content:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(says), "{content:?}: {text}");
        assert!(text.starts_with(&format!("[table.t] {}", place.file().display())), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_or_no_file_is_an_error() {
    let place = Place::new("t.csv", Matching::Exact);
    assert!(place.load().unwrap_err().to_string().contains("cannot be read"));
    fs::create_dir(place.file()).unwrap();
    assert!(place.load().unwrap_err().to_string().contains("no regular file"));
}

#[test]
fn the_key_has_to_be_a_column() {
    let mut place = Place::new("t.csv", Matching::Exact);
    place.settings.key = Some("c".into());
    let text = place.write("a,b\n1,2\n").load().unwrap_err().to_string();
    assert!(text.ends_with("line 1: there is no column `c`; the columns are a, b; correct `key` of the table or the header"), "{text}");
}

#[test]
fn what_is_too_large_is_refused() {
    let mut place = Place::new("t.csv", Matching::Exact);
    place.settings.rows = 2;
    let refused = |place: &Place, content: String| place.write(content).load().unwrap_err().to_string();
    assert!(refused(&place, "a\n1\n2\n3\n".into()).contains("line 4: has more than 2 rows"));
    assert!(
        refused(&place, format!("a,b\n1,{}\n", "x".repeat(CELL + 1))).contains("line 2: the cell of column `b` has more than 4096 octets")
    );
    let columns: Vec<_> = (0..=COLUMNS).map(|number| number.to_string()).collect();
    assert!(refused(&place, columns.join(",") + "\n").contains("has 65 columns"));
    place.settings.size = 5;
    assert!(refused(&place, "a\n1\n2\n".into()).contains("has more than 5 octets"));
    assert!(place.write(format!("{}\n", "a".repeat(4))).load().is_ok());
}
