//! The core by its public face: scenarios in simulated time, named by the behaviour they show.

mod admission;
mod cancelling;
mod candidates;
mod challenges;
mod contacts;
mod cseq;
mod flow_tokens;
mod flows_ended;
mod forking;
mod hooks;
mod hunting;
mod late_challenges;
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
mod target_flows;
mod trunks;
mod validation;
