//! The client of media relays against relays: one that does what a test says, and rtpengine itself.

mod calls;
mod faults;
mod media;
mod outages;
mod scripted;
mod support;
