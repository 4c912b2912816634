//! Behaviour, one test for each statement about it. The names are the statements.

mod author;
mod cancel;
mod check;
mod control;
mod dialog;
mod fork;
mod lifecycle;
mod limits;
mod misbehaviour;
mod outbound_proxy;
mod policing;
mod quickstart;
mod reload;
mod reload_under_load;
mod shipped;
mod stream;
