//! The shell of Jackfield.
