//! The core by its public face: scenarios in simulated time, named by the behaviour they show.

mod cancelling;
mod candidates;
mod forking;
mod hooks;
mod hunting;
mod limits;
mod paths;
mod replay;
mod retired;
mod retransmissions;
mod routing;
mod simulation;
mod support;
mod validation;
