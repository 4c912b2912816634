//! The macro of the plugin SDK.
