//! Documents, good and bad.

use jackfield_proto::net::Transport;

use super::*;

const SAMPLE: &str = r#"{
    "tel.t-online.de": {
        "proxy": "csphost01-ifens5.cs-proxy.service.pascom",
        "options": "\ntransport=tcp\n"
    }
}
"#;

fn faults(text: &str) -> Vec<String> {
    Document::parse(text.as_bytes()).expect_err(text).lines()
}

#[test]
fn what_a_pbx_writes_is_read_as_it_is() {
    let document = Document::parse(SAMPLE.as_bytes()).unwrap();
    let [entry] = document.entries.as_slice() else { panic!("{document:?}") };
    assert_eq!((&*entry.provider, entry.line), ("tel.t-online.de", 2));
    let proxy = entry.proxy.as_ref().unwrap();
    assert_eq!(&*proxy.uri, "sip:csphost01-ifens5.cs-proxy.service.pascom;lr");
    assert_eq!(entry.options, Options { transport: Some(Transport::Tcp), ..Options::default() });
    assert_eq!(document.entry("tel.t-online.de"), Some(entry));
    assert_eq!(Document::parse(b" {}\n").unwrap(), Document::default());
}

#[test]
fn an_entry_may_have_only_a_proxy_or_only_options() {
    let text =
        r#"{"A.example":{"proxy":"p:5070"},"192.0.2.1":{"proxy":"","options":"egress=wan"},"2001:db8::1":{"options":"contact=token"}}"#;
    let document = Document::parse(text.as_bytes()).unwrap();
    let found: Vec<_> = document.entries.iter().map(|entry| (&*entry.provider, entry.proxy.as_ref().map(|proxy| &*proxy.uri))).collect();
    assert_eq!(found, [("a.example", Some("sip:p:5070;lr")), ("192.0.2.1", None), ("[2001:db8::1]", None)]);
}

#[test]
fn bad_json_names_the_provider_and_the_place() {
    for (text, expected) in [
        ("{ \"tel.t-online.de\": ", "1:21: tel.t-online.de: not valid JSON: EOF while parsing a value"),
        ("{\n \"a.de\": {\"proxy\": \"p\"},\n \"b.de\": {\"proxy\": p}\n}", "3:20: b.de: not valid JSON: expected value"),
        ("{\"a.de\": {\"proxy\": \"p\",}}", "1:24: a.de: not valid JSON: key must be a string"),
        (
            "{\"a.de\": {\"options\": \"\ntransport=tcp\"}}",
            "1:22: a.de: not valid JSON: control character (\\u0000-\\u001F) found while parsing a string",
        ),
        ("{} x", "1:4: not valid JSON: trailing characters"),
        ("", "1:1: is empty; write {} for no providers"),
        ("  \n", "2:1: is empty; write {} for no providers"),
        ("[]", "1:1: is a list; write an object with a member for each provider"),
        ("\n null", "2:2: is null; write an object with a member for each provider"),
    ] {
        assert_eq!(faults(text), [expected], "{text:?}");
    }
    assert_eq!(Document::parse(b"{\n\"\xff\"").unwrap_err().lines(), ["2:2: not valid UTF-8"]);
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let text = r#"{
  "a.de": { "proxy": 5, "options": ["transport=tcp"], "port": 5060 },
  "-b": { "proxy": "p" },
  "c.de": "p",
  "d.de": { "proxy": "a b", "options": "transport=tcp\n\ntransprt=tcp\nport=x" },
  "e.de": { "proxi": "p" },
  "f.de": { "proxy": "p", "proxy": "q" },
  "g.de": { "options": "port=5060" },
  "h.de": { "proxy": "p", "options": "fallback=H.de" },
  "D.DE": { "proxy": "p" },
  "i.de:5060": { "proxy": "p" },
  "j.de": { "proxy": "\ud800" },
  "k.de": { "proxy": "", "options": "\n" }
}"#;
    assert_eq!(
        faults(text),
        [
            "2:22: a.de: proxy: is a number; write a string",
            "2:36: a.de: options: is a list; write a string",
            "2:55: a.de: unknown key `port`; known are proxy, options",
            "3:3: -b: is no host; write a name or an address alone, like \"tel.example.com\"",
            "4:11: c.de: is a string; write an object with `proxy` and `options`",
            "5:22: d.de: proxy: `a b` is no host and no SIP URI; write it like \"proxy.example.com\", \"192.0.2.1:5070\" or \"sip:proxy.example.com;transport=tcp\"",
            "5:58: d.de: options, line 3: unknown option `transprt`; did you mean `transport`?",
            "5:72: d.de: options, line 4: port `x` is out of range; write a number from 1 to 65535",
            "6:13: e.de: unknown key `proxi`; did you mean `proxy`?",
            "7:27: f.de: `proxy` is here twice; remove one",
            "8:11: g.de: options: port belongs to a proxy, and there is none",
            "9:11: h.de: options: falls back to itself; name another provider or trunk",
            "10:3: d.de: is already in line 5; remove one",
            "11:3: i.de:5060: is no host; write a name or an address alone, like \"tel.example.com\"",
            "12:22: j.de: proxy: has half of a surrogate pair in it; write \\u escapes in pairs",
            "13:11: k.de: has no proxy and no options; write \"proxy\": \"HOST\", or remove it",
        ]
    );
}

#[test]
fn what_is_too_large_is_not_read() {
    let entries = |count: usize| (0..count).map(|n| format!("\"h{n}.de\":{{\"proxy\":\"p\"}}")).collect::<Vec<_>>().join(",");
    let full = format!("{{{}}}", entries(MAX_PROVIDERS));
    assert_eq!(Document::parse(full.as_bytes()).unwrap().entries.len(), MAX_PROVIDERS);
    let more = format!("{{{}}}", entries(MAX_PROVIDERS + 1));
    assert_eq!(faults(&more), ["1:1: names 10001 providers; 10000 may be in a document"]);
    let blank = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    assert!(Document::parse(blank(MAX_OCTETS).as_bytes()).is_ok());
    assert_eq!(faults(&blank(MAX_OCTETS + 1)), ["1:1: has more than 512 KiB; it is not read"]);
}

/// What is bad costs no more than what is good: reading is one walk, whatever is wrong and however often.
#[test]
fn a_document_full_of_faults_is_read_in_no_time() {
    let fill = |head: &str, part: &str, tail: &str| {
        let room = MAX_OCTETS - head.len() - tail.len();
        format!("{head}{}{tail}", part.repeat(room / part.len()))
    };
    let entries = |provider: &dyn Fn(usize) -> String| {
        let entries: Vec<_> = (0..MAX_PROVIDERS).map(|n| format!("\"{}\":{{\"options\":\"x\\ny=1\"}}", provider(n))).collect();
        format!("{{{}}}", entries.join(","))
    };
    for (what, text) in [
        ("lines that are no options", fill("{\"a.de\":{\"options\":\"", "x\\n", "\"}}")),
        ("unknown options", fill("{\"a.de\":{\"options\":\"", "trasport=\\n", "\"}}")),
        ("one option again and again", fill("{\"a.de\":{\"options\":\"", "port=1\\n", "\"}}")),
        ("fallbacks", fill("{\"a.de\":{\"options\":\"", "fallback=b\\n", "\"}}")),
        ("an unknown option without end", fill("{\"a.de\":{\"options\":\"", "x", "=1\"}}")),
        ("unknown keys", fill("{\"a.de\":{", "\"x\":0,", "\"y\":0}}")),
        ("one provider again and again", entries(&|_| "a.de".to_owned())),
        ("faults of many providers", entries(&|n| format!("h{n}.de"))),
    ] {
        let begun = std::time::Instant::now();
        let faults = Document::parse(text.as_bytes()).expect_err(what);
        let took = begun.elapsed();
        assert!(faults.faults.len() <= MAX_FAULTS && !faults.faults.is_empty(), "{what}");
        // What is quadratic takes half a minute.
        assert!(took < std::time::Duration::from_secs(3), "{what}: {took:?}");
    }
}
