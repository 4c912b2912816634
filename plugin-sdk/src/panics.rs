//! What is left of a panic: the trap that follows says only that there was one.

use std::io::Write;

use crate::log::{self, Level};

/// Writes a line of the log that says where, and the words to standard error: the host keeps what it last read there as the reason of the
/// trap, which is all that an operator sees of a panic in `init`.
pub(crate) fn report(message: &str, place: &str, stderr: &mut impl Write) {
    log::write(Level::Error, &format!("panic: {message}"), &[("location", place)]);
    // Not eprintln!, which would panic in its turn where it cannot write.
    let _ = writeln!(stderr, "panicked at {place}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::take_log;

    #[test]
    fn words_of_a_panic_reach_the_log_and_standard_error() {
        let mut stderr = Vec::new();
        report("no trunk", "src/lib.rs:7", &mut stderr);
        assert_eq!(String::from_utf8(stderr).unwrap(), "panicked at src/lib.rs:7: no trunk\n");
        assert_eq!(take_log(), [(Level::Error, "panic: no trunk location=src/lib.rs:7".to_owned())]);
    }

    #[test]
    fn standard_error_that_is_closed_is_no_second_panic() {
        report("no trunk", "src/lib.rs:7", &mut [0; 4].as_mut_slice());
    }
}
