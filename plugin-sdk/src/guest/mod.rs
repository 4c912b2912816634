//! The WebAssembly side: the bindings of the plugin interface and the exports that lead to the author's hooks.

/// Generated from `wit/plugin.wit`.
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "full",
        pub_export_macro: true,
        default_bindings_module: "jackfield::guest::bindings",
        generate_all,
    });
}

pub(crate) mod asking;
pub(crate) mod completed;
mod convert;
mod export;
pub(crate) mod message;
pub(crate) mod registration;
pub(crate) mod services;

pub use export::Exports;
