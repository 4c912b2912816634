//! A bench for the core: a clock that tests turn, peers that are scripted, and everything that leaves is written down.

mod bench;
mod dialog;
mod media;
mod plans;
mod random;
mod wire;

pub(crate) use bench::{Bench, Challenge, Sent, settings};
pub(crate) use dialog::{call, edge_flow, edge_settings};
pub(crate) use media::note;
pub(crate) use plans::{group, kept, parallel, plan, serial, spaced, target};
pub(crate) use random::Random;
pub(crate) use wire::{Request, address, flow, message, peer_of, text_of};
