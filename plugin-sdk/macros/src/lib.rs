//! The attribute `#[jackfield::plugin]`.

mod attribute;
mod expand;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a plugin of an `impl Plugin for Type`.
///
/// ```ignore
/// #[jackfield::plugin(methods("INVITE"), if_header("X-Account"))]
/// impl Plugin for Accounts {
///     fn on_request(&self, request: &Request) -> Result<Decision> { ... }
///
///     #[subscribe(statuses("5xx"))]
///     fn on_failure(&self, request: &Request, response: Option<&Response>, failure: &Failure) -> Result<Recovery> { ... }
/// }
/// ```
///
/// The hooks that are written (`on_request`, `on_response`, `on_failure`, `on_registration`, `on_timer`, `on_complete`) are the hooks that
/// the host calls. The arguments of the attribute narrow all of them but `on_registration` and `on_timer`, which have no message that they
/// could look at, and `on_complete` by method, status and dialog only; `#[subscribe(...)]` on a hook narrows that hook instead, and more
/// than one are alternatives:
///
/// | argument | the host calls only for |
/// |---|---|
/// | `methods("INVITE", ...)` | these methods |
/// | `statuses("503", "5xx", ...)` | these statuses or classes (`on_response`, `on_failure` and `on_complete`) |
/// | `if_header("X-Account", ...)` | messages with at least one of these header fields |
/// | `if_uri_param("line")` | requests with this parameter in the Request-URI or in the URI of To |
/// | `initial_only` | requests outside a dialog; so it is unless `in_dialog` is given |
/// | `in_dialog` | requests within a dialog too |
///
/// The type is its own configuration unless `fn new(config: SomeType) -> Result<Self>` is written. A hand-written
/// `fn subscriptions(&self)` replaces what the attribute derives.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::plugin(arguments.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
