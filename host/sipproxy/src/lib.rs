//! The outbound proxies that a PBX has written down.
