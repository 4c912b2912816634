//! The core by its public face: scenarios in simulated time, named by the behaviour they show.

mod support;
mod validation;
