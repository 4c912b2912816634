//! Lines in the host's log. Each carries the plugin's name and version; inside a hook, the transaction's id too.

use std::fmt;

use crate::backend::services as backend;

/// How much a line matters. Addresses and numbers of callers belong at [`Debug`](Level::Debug) or below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For someone who looks for a fault.
    Debug,
    /// For the operator.
    Info,
    /// The operator should look at this.
    Warn,
    /// Something does not work.
    Error,
}

/// Whether the host would keep a line of this level.
pub fn enabled(level: Level) -> bool {
    backend::log_enabled(level)
}

/// Writes a line with fields.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    backend::log(level, message, fields);
}

/// Writes a line unless its level is off; the text is not even put together then. What the log macros call.
pub fn line(level: Level, message: fmt::Arguments<'_>) {
    if enabled(level) {
        match message.as_str() {
            Some(text) => write(level, text, &[]),
            None => write(level, &message.to_string(), &[]),
        }
    }
}

/// Writes a line at [`Level::Trace`], written as for [`format!`].
#[macro_export]
macro_rules! trace { ($($text:tt)+) => { $crate::log::line($crate::log::Level::Trace, ::core::format_args!($($text)+)) }; }
/// Writes a line at [`Level::Debug`], written as for [`format!`].
#[macro_export]
macro_rules! debug { ($($text:tt)+) => { $crate::log::line($crate::log::Level::Debug, ::core::format_args!($($text)+)) }; }
/// Writes a line at [`Level::Info`], written as for [`format!`].
#[macro_export]
macro_rules! info { ($($text:tt)+) => { $crate::log::line($crate::log::Level::Info, ::core::format_args!($($text)+)) }; }
/// Writes a line at [`Level::Warn`], written as for [`format!`].
#[macro_export]
macro_rules! warn { ($($text:tt)+) => { $crate::log::line($crate::log::Level::Warn, ::core::format_args!($($text)+)) }; }
/// Writes a line at [`Level::Error`], written as for [`format!`].
#[macro_export]
macro_rules! error { ($($text:tt)+) => { $crate::log::line($crate::log::Level::Error, ::core::format_args!($($text)+)) }; }
