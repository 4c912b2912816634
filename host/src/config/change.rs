//! What a running proxy can take up of a changed file.

use super::Config;

impl Config {
    /// The keys that differ in `new` and are taken up only by a restart; a running proxy goes on with their old values.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let differing = [
            ("listen", self.listen != new.listen),
            ("workers", self.workers != new.workers),
            ("state-directory", self.state_directory != new.state_directory),
            ("token-key-file", self.token_key_file != new.token_key_file),
            ("admin", self.admin != new.admin),
            ("log.format", self.log.format != new.log.format),
        ];
        differing.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
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
            ("workers = 2\n[listen.a]\naddress = \"127.0.0.2\"\n[log]\nformat = \"json\"\n", &["listen", "workers", "log.format"]),
            ("state-directory = \"/s\"\n[listen.a]\naddress = \"127.0.0.1\"\n", &["state-directory", "admin"]),
            (
                "token-key-file = \"k\"\n[listen.a]\naddress = \"127.0.0.1\"\n[admin]\nmetrics = \"127.0.0.1:1\"\n",
                &["token-key-file", "admin"],
            ),
        ] {
            assert_eq!(old.restart_needed(&parse(text)), keys, "{text}");
        }
    }
}
