//! The languages that plugins are written in here.

use std::path::Path;
use std::str::FromStr;

/// A language with a template and a way to build it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// With the SDK, by cargo.
    Rust,
    /// By componentize-js, from npm.
    JavaScript,
    /// By componentize-py, from PyPI.
    Python,
    /// By clang, with bindings that this program makes.
    C,
}

/// It is none of those that plugins are written in.
#[derive(Debug, thiserror::Error)]
#[error("it is one of {}", Language::ALL.map(Language::name).join(", "))]
pub struct UnknownLanguage;

/// There is nothing in the directory that says what it is.
#[derive(Debug, thiserror::Error)]
#[error("there is no plugin in {0}: no Cargo.toml, package.json, pyproject.toml or plugin.c; `jackfield plugin new NAME` makes one")]
pub struct NoPlugin(String);

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::JavaScript, Self::Python, Self::C];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The file that says that a directory is a plugin in this language.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "package.json",
            Self::Python => "pyproject.toml",
            Self::C => "plugin.c",
        }
    }

    /// What a plugin's directory is written in.
    ///
    /// # Errors
    /// There is no plugin in it.
    pub fn of(directory: &Path) -> Result<Self, NoPlugin> {
        let found = Self::ALL.into_iter().find(|language| directory.join(language.mark()).is_file());
        found.ok_or_else(|| NoPlugin(directory.display().to_string()))
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(name: &str) -> Result<Self, UnknownLanguage> {
        Self::ALL.into_iter().find(|language| language.name() == name).ok_or(UnknownLanguage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_its_mark() {
        let directory = tempfile::tempdir().unwrap();
        let nothing = Language::of(directory.path()).unwrap_err().to_string();
        assert!(nothing.starts_with("there is no plugin in") && nothing.contains("plugin new NAME"), "{nothing}");
        for language in Language::ALL {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(language.mark()), "").unwrap();
            assert_eq!(Language::of(directory.path()).unwrap(), language);
            assert_eq!(language.name().parse::<Language>().unwrap(), language);
        }
    }

    #[test]
    fn an_unknown_language_is_told_the_known_ones() {
        assert_eq!("perl".parse::<Language>().unwrap_err().to_string(), "it is one of rust, javascript, python, c");
    }
}
