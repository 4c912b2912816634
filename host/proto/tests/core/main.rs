//! The core by its public face: scenarios in simulated time, named by the behaviour they show.

mod cancelling;
mod candidates;
mod flow_tokens;
mod forking;
mod hooks;
mod hunting;
mod limits;
mod nat;
mod path;
mod paths;
mod record_route;
mod replay;
mod retired;
mod retransmissions;
mod routing;
mod simulation;
mod support;
mod validation;
