use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::plugin;

/// What the compiler tells the author.
fn refusal(arguments: TokenStream, item: TokenStream) -> String {
    plugin(arguments, item).expect_err("this is no plugin").to_string()
}

#[test]
fn author_learns_what_is_wrong() {
    let hook = quote!(
        impl Plugin for X {
            fn on_request(&self, request: &Request) -> Result<Decision> {}
        }
    );
    for (arguments, item, error) in [
        (quote!(), quote!(impl X {}), "#[jackfield::plugin] stands on `impl Plugin for YourType`"),
        (
            quote!(),
            quote!(impl Plugin for X {}),
            "a plugin needs at least one of on_request, on_response, on_failure, on_registration, on_timer and on_complete",
        ),
        (
            quote!(),
            quote!(
                impl<T> Plugin for X<T> {}
            ),
            "a plugin is one type: it cannot have parameters",
        ),
        (quote!(methods("invite")), hook.clone(), "methods are case-sensitive: write INVITE, not invite"),
        (quote!(methods()), hook.clone(), "methods needs at least one text, like methods(\"...\")"),
        (quote!(statuses("5xx")), hook.clone(), "a request has no status: put #[subscribe(statuses(...))] on the other hook"),
        (quote!(if_uri_param("a", "b")), hook.clone(), "if_uri_param takes one name"),
        (
            quote!(method("INVITE")),
            hook,
            "expected methods(...), statuses(...), if_header(...), if_uri_param(...), initial_only or in_dialog",
        ),
    ] {
        assert_eq!(refusal(arguments, item), error);
    }
}

#[test]
fn misplaced_functions_are_named() {
    let misspelt = quote!(
        impl Plugin for X {
            fn on_requst(&self) {}
        }
    );
    assert!(refusal(quote!(), misspelt).starts_with("a plugin has on_request, on_response, on_failure, on_registration"));
    let subscribed = quote!(
        impl Plugin for X {
            #[subscribe(methods("INVITE"))]
            fn validate(&self) {}
            fn on_request(&self) {}
        }
    );
    assert_eq!(refusal(quote!(), subscribed), "#[subscribe] belongs on a hook");
    let status = quote!(
        impl Plugin for X {
            #[subscribe(statuses("7xx"))]
            fn on_response(&self) {}
        }
    );
    assert_eq!(refusal(quote!(), status), "expected a status like \"503\" or a class like \"5xx\"");
    let narrowed = quote!(
        impl Plugin for X {
            #[subscribe(methods("REGISTER"))]
            fn on_registration(&self) {}
        }
    );
    assert_eq!(refusal(quote!(), narrowed), "#[subscribe] looks at messages: on_registration is told everything");
    let timed = quote!(
        impl Plugin for X {
            #[subscribe(in_dialog)]
            fn on_timer(&self, id: &str) {}
        }
    );
    assert_eq!(refusal(quote!(), timed), "#[subscribe] looks at messages: on_timer is told everything");
    let gone = quote!(
        impl Plugin for X {
            #[subscribe(if_header("X-Account"))]
            fn on_complete(&self, event: &Completed) {}
        }
    );
    assert_eq!(refusal(quote!(), gone), "on_complete goes by methods(...), statuses(...) and in_dialog: the request is gone");
    let constructor = quote!(
        impl Plugin for X {
            fn new() -> Self {}
            fn on_request(&self) {}
        }
    );
    assert!(refusal(quote!(), constructor).starts_with("new takes the configuration and nothing else"));
}
