//! A telephone in a web page and an old one on plain RTP: the example does what it says.

use crate::peers::browser::jssip;
use crate::support::example::Example;

#[test]
fn a_page_calls_an_old_telephone_and_is_called_by_it() {
    let example = Example::new("webrtc");
    let output = example.command().arg("--jssip").arg(jssip()).arg("--exit").output().expect("cargo build --release has made it");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("All 8 steps went as they should."), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
}
