//! Media relays: rtpengine over its ng protocol, in pools with weights, health and failover.
