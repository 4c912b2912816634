//! Words that several findings share.

use std::time::Duration;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name, reason_phrase};

/// Letters of a text from the network that are shown.
const LETTERS: usize = 160;

/// What somebody else has written, fit for one line of a terminal.
pub(crate) fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let mut shown: String = text.chars().take(LETTERS).map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if text.chars().nth(LETTERS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A URI as it is shown.
pub(crate) fn uri(uri: &Bytes) -> String {
    printable(uri)
}

/// `403 Forbidden`, with what else the answer says about why.
pub(crate) fn status(response: &Message) -> String {
    let status = response.status();
    let mut text = match (response.reason(), reason_phrase(status)) {
        (b"", usual) => format!("{status} {usual}"),
        (reason, _) => format!("{status} {}", printable(reason)),
    };
    for (name, told) in [(Name::Warning, "Warning"), (Name::Reason, "Reason"), (Name::RetryAfter, "Retry-After")] {
        if let Some(value) = response.field(&name) {
            text.push_str(&format!(", {told}: {}", printable(value)));
        }
    }
    text
}

/// `0.123 ms`, `12.3 ms`, `1.5 s`.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("0.{micros:03} ms"),
        1_000..10_000 => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
        10_000..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// `a, b and 3 more`.
pub(crate) fn list(items: impl IntoIterator<Item = String>, most: usize) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(most).collect();
    match items.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A number of things.
pub(crate) fn times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        number => format!("{number} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(printable(b"a\x1b[2Jb\r\nc\xff"), "a?[2Jb??c\u{fffd}");
        assert_eq!(printable(&[b'x'; 500]).len(), LETTERS + 3);
    }

    #[test]
    fn times_have_as_many_digits_as_they_mean() {
        for (micros, text) in [(0, "0.000 ms"), (12, "0.012 ms"), (1_239, "1.23 ms"), (12_345, "12.3 ms"), (1_560_000, "1.5 s")] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn lists_are_bounded() {
        let numbers = |count: u32| (0..count).map(|number| number.to_string());
        assert_eq!((list(numbers(2), 3), list(numbers(5), 3)), ("0, 1".to_owned(), "0, 1, 2 and 2 more".to_owned()));
    }
}
