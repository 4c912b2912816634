//! The proxy as its peers see it: the real program, real plugins, real sockets on 127.0.0.1 and \[::1\].
//!
//! One binary, so that it links once. `support` holds what every scenario needs; `scenario` states behaviour; `torture` sends
//! messages that are hard to read; `peers` runs SIPp, baresip and knot; `architecture` reads the sources.

mod architecture;
mod peers;
mod scenario;
mod support;
mod torture;
