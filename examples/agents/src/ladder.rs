//! What passed between the parties of a call, and how that looks on paper.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jackfield_proto::message::Message;

/// The proxy's name in a ladder.
pub const PROXY: &str = "jackfield";

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Step {
    at: Instant,
    from: String,
    to: String,
    text: String,
    call_id: Vec<u8>,
}

/// The steps that all agents of this process saw.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<Step>>>);

impl Record {
    /// Notes a message between two parties.
    pub fn note(&self, from: &str, to: &str, message: &Message) {
        let text = if message.is_request() {
            String::from_utf8_lossy(message.method().as_bytes()).into_owned()
        } else {
            format!("{} {}", message.status(), String::from_utf8_lossy(message.reason()))
        };
        let call_id = message.call_id().to_vec();
        let step = Step { at: Instant::now(), from: from.to_owned(), to: to.to_owned(), text, call_id };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Whether somebody has sent somebody a message like `OPTIONS` or `200 OK`.
    pub fn has(&self, from: &str, to: &str, text: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|step| step.from == from && step.to == to && step.text == text)
    }

    /// Takes out the steps of one call, in the order of time.
    pub fn take(&self, call_id: &[u8]) -> Vec<Step> {
        self.take_all(&[call_id])
    }

    /// The same for a call that has another Call-ID on the other side.
    pub fn take_all(&self, call_ids: &[&[u8]]) -> Vec<Step> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut mine, others): (Vec<Step>, Vec<Step>) = all.drain(..).partition(|step| call_ids.contains(&step.call_id.as_slice()));
        *all = others;
        mine.sort_by_key(|step| step.at);
        mine
    }
}

/// How to print: with colours on a terminal, plain otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    /// For what the eye should find first.
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For good news.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For bad news.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// For what may be overlooked.
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn request(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns from the middle of one party to the middle of the next.
const SPAN: usize = 26;
const MARGIN: usize = 6;

/// Draws the steps of one call between the parties that took part, who began on the left.
pub fn draw(steps: &[Step], paint: Paint) -> String {
    let mut parties: Vec<&str> = Vec::new();
    for name in steps.iter().flat_map(|step| [step.from.as_str(), step.to.as_str()]) {
        if !parties.contains(&name) {
            parties.push(name);
        }
    }
    let Some(first) = steps.first() else { return String::new() };
    parties.sort_by_key(|name| (*name != first.from, *name != PROXY));
    let start = first.at;
    let mut text = heading(&parties, paint);
    for step in steps {
        let place = |name: &str| parties.iter().position(|party| *party == name).unwrap_or(0);
        let milliseconds = step.at.duration_since(start).as_secs_f64() * 1000.0;
        let line = rung(parties.len(), place(&step.from), place(&step.to), &step.text, paint);
        let _ = writeln!(text, "{line}  {}", paint.faint(&format!("{milliseconds:7.1} ms")));
    }
    text
}

fn heading(parties: &[&str], paint: Paint) -> String {
    let mut line = String::new();
    for (index, name) in parties.iter().enumerate() {
        let middle = MARGIN + index * SPAN;
        let start = middle.saturating_sub(name.len() / 2);
        line += &" ".repeat(start.saturating_sub(line.len()));
        line += name;
    }
    format!("{}\n", paint.strong(&line))
}

fn rung(parties: usize, from: usize, to: usize, label: &str, paint: Paint) -> String {
    let mut line = format!("{}|", " ".repeat(MARGIN));
    for gap in 0..parties.saturating_sub(1) {
        let filled = if gap >= from.min(to) && gap < from.max(to) {
            // A blank, two dashes, the label between blanks, more dashes, and the head: SPAN - 2 in all.
            let room = SPAN - 8;
            let shown: String = label.chars().take(room).collect();
            let dashes = "-".repeat(room - shown.chars().count());
            let arrow = if from < to { format!(" -- {shown} {dashes}>") } else { format!(" <- {shown} {dashes}-") };
            if label.starts_with(|first: char| first.is_ascii_digit()) { paint.good(&arrow) } else { paint.request(&arrow) }
        } else {
            " ".repeat(SPAN - 2)
        };
        let _ = write!(line, "{filled} |");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: &str, to: &str, text: &str) -> Step {
        Step { at: Instant::now(), from: from.to_owned(), to: to.to_owned(), text: text.to_owned(), call_id: b"x".to_vec() }
    }

    #[test]
    fn rungs_stand_in_columns_with_who_began_on_the_left() {
        let steps = [
            step("caller", PROXY, "INVITE"),
            step(PROXY, "telekom", "INVITE"),
            step("telekom", PROXY, "180 Ringing"),
            step(PROXY, "caller", "200 A reason phrase that is longer than the room between two parties"),
        ];
        let drawn = draw(&steps, Paint(false));
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[0].find("caller") < lines[0].find(PROXY) && lines[0].find(PROXY) < lines[0].find("telekom"), "{drawn}");
        let columns = |line: &str| line.match_indices('|').map(|(at, _)| at).collect::<Vec<_>>();
        for line in &lines[1..] {
            assert_eq!(columns(line), [MARGIN, MARGIN + SPAN, MARGIN + 2 * SPAN], "{drawn}");
        }
        assert!(lines[2].contains("| -- INVITE ------------> |") && lines[3].contains("| <- 180 Ringing -------- |"), "{drawn}");
    }
}
