//! `jackfield plugin new`, `build`, `test`, `inspect` and `bench`: what the desk has, as commands.

pub(super) mod bench;
pub(super) mod build;
pub(super) mod create;
pub(super) mod inspect;
pub(super) mod test;
