//! What a running proxy can take up of a changed file.

use super::{Config, Secret};

impl Config {
    /// `new` as a running proxy can take it up: with the old values of what is bound to the process, so that the status tells the truth and
    /// the next change is compared with it. With it come the keys that differ and are taken up only by a restart.
    pub fn take_up(&self, new: &Self) -> (Self, Vec<&'static str>) {
        let (mut taken, mut left) = (new.clone(), Vec::new());
        keep("workers", &self.workers, &mut taken.workers, &mut left);
        keep("state-directory", &self.state_directory, &mut taken.state_directory, &mut left);
        let key = taken.token_keys.as_ref().or(self.token_keys.as_ref()).map_or("token-key-file", Secret::token_key);
        keep(key, &self.token_keys, &mut taken.token_keys, &mut left);
        keep("admin", &self.admin, &mut taken.admin, &mut left);
        keep("log.format", &self.log.format, &mut taken.log.format, &mut left);
        (taken, left)
    }
}

fn keep<T: Clone + PartialEq>(key: &'static str, running: &T, taken: &mut T, left: &mut Vec<&'static str>) {
    if running != taken {
        taken.clone_from(running);
        left.push(key);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Environment;
    use super::*;

    #[test]
    fn only_what_is_bound_to_the_process_needs_a_restart() {
        let parse = |text: &str| {
            let environment = Environment { root: true, cores: 1, ..Environment::default() };
            Config::parse(Path::new("f"), text, &environment).unwrap()
        };
        let old = parse("[listen.a]\naddress = \"127.0.0.1\"\n");
        for (text, keys) in [
            ("\n# moved\n[listen.a]\naddress = \"127.0.0.1:5060\"\n", &[][..]),
            ("domains = [\"a\"]\n[listen.a]\naddress = \"127.0.0.1\"\n[timers]\nt1 = \"1s\"\n[log]\nlevel = \"debug\"\n", &[]),
            ("workers = 2\n[listen.a]\naddress = \"127.0.0.2\"\n[log]\nformat = \"json\"\n", &["workers", "log.format"]),
            ("state-directory = \"/s\"\n[listen.a]\naddress = \"127.0.0.1\"\n", &["state-directory", "admin"]),
            (
                "token-key-file = \"k\"\n[listen.a]\naddress = \"127.0.0.1\"\n[admin]\nmetrics = \"127.0.0.1:1\"\n",
                &["token-key-file", "admin"],
            ),
            ("token-key-env = \"K\"\n[listen.a]\naddress = \"127.0.0.1\"\n", &["token-key-env"]),
            (
                "[listen.a]\naddress = \"127.0.0.1\"\nmedia = \"relay\"\nhide = true\n[media.relay.one]\naddress = \"127.0.0.1:22222\"\n",
                &[],
            ),
        ] {
            let (taken, left) = old.take_up(&parse(text));
            assert_eq!(left, keys, "{text}");
            assert_eq!(old.take_up(&taken).1, &[] as &[&str], "what runs on has the old values: {text}");
        }
    }
}
