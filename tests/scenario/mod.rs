//! Behaviour, one test for each statement about it. The names are the statements.

mod author;
mod cancel;
mod certificates;
mod check;
mod control;
mod crowd;
mod dialog;
mod examples;
mod fork;
mod interfaces;
mod lifecycle;
mod limits;
mod listeners;
mod misbehaviour;
mod nat;
mod outbound_proxy;
mod pairs;
mod policing;
mod quickstart;
mod reload;
mod reload_under_load;
mod shipped;
mod stream;
mod tls;
mod tls_next_hop;
mod websocket;
