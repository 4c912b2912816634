//! `jackfield hash-password`: lines of a users file from a password.

use std::io::{self, BufRead, IsTerminal, Write};

use jackfield_auth::{Hash, line};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Exit;

/// Octets of a password.
const PASSWORD_MAX: usize = 4096;

/// A terminal that does not show what is typed, until this is dropped.
pub(super) struct Hidden(Termios);

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Asks for the password, if standard input is a terminal.
pub(super) fn prompt(name: &str, err: &mut dyn Write) -> io::Result<Option<Hidden>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let hidden = hide();
    if let Err(error) = &hidden {
        writeln!(err, "jackfield: the terminal will show what is typed: {error}")?;
    }
    write!(err, "Password of {}: ", name.escape_debug())?;
    err.flush()?;
    Ok(hidden.ok())
}

fn hide() -> io::Result<Hidden> {
    let shown = tcgetattr(io::stdin())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // The line still has to end.
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
    Ok(Hidden(shown))
}

/// Prints a line for each hash function, from the password that is the first line of `input`.
pub(super) fn hash_password(
    name: &str,
    realm: &str,
    hashes: &[Hash],
    input: impl BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Exit> {
    let mut password = String::new();
    io::Read::take(input, PASSWORD_MAX as u64 + 2).read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_MAX {
        writeln!(err, "jackfield: standard input holds no password of 1 to {PASSWORD_MAX} octets in its first line")?;
        return Ok(Exit::Usage);
    }
    let lines: Option<Vec<String>> = hashes.iter().map(|hash| line(name, realm, *hash, password)).collect();
    let Some(lines) = lines else {
        writeln!(
            err,
            "jackfield: {name:?} of {realm:?} cannot stand in a line: neither may be empty or have blanks around it, a name has no colon"
        )?;
        return Ok(Exit::Usage);
    };
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use jackfield_auth::Users;

    use super::*;

    fn hashed(name: &str, input: &str) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = hash_password(name, "example.test", &[Hash::Sha256, Hash::Md5], input.as_bytes(), &mut out, &mut err).unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn lines_are_those_of_a_users_file() {
        let (exit, lines, _) = hashed("alice", "secret\r\nnot this\n");
        assert_eq!((exit, lines.lines().count()), (Exit::Good, 2));
        assert!(lines.starts_with("alice:example.test:SHA-256:"), "{lines}");
        assert_eq!(Users::parse(&lines, "example.test").unwrap().common_hashes(), [Hash::Sha256, Hash::Md5]);
        assert_eq!(hashed("alice", "secret").1, lines, "a line end is no part of a password");
    }

    #[test]
    fn what_makes_no_line_is_refused() {
        for (name, input) in [("alice", ""), ("alice", "\nsecret\n"), ("al:ice", "secret\n"), ("alice", &"x".repeat(PASSWORD_MAX + 1))] {
            let (exit, out, err) = hashed(name, input);
            assert!(exit == Exit::Usage && out.is_empty() && err.starts_with("jackfield: "), "{name:?} {out} {err}");
        }
    }
}
