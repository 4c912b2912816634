//! From the author's `impl Plugin for Type` to the whole implementation and the component's exports.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Result, Type, parse_quote};

use crate::attribute::{Filter, take_subscribe};

/// The hooks and how the SDK names them.
const HOOKS: [(&str, &str); 6] = [
    ("on_request", "Request"),
    ("on_response", "Response"),
    ("on_failure", "Failure"),
    ("on_registration", "Registration"),
    ("on_timer", "Timer"),
    ("on_complete", "Complete"),
];

/// What else may be written.
const OTHERS: [&str; 6] = ["new", "validate", "subscriptions", "start", "self_check", "shutdown"];

pub(crate) fn plugin(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let common: Filter = syn::parse2(arguments)?;
    let mut item: ItemImpl = syn::parse2(item)?;
    check_header(&item)?;
    let written = written(&item)?;
    let subscriptions = subscriptions(&mut item, &common)?;
    item.trait_ = Some((None, parse_quote!(::jackfield::Plugin), Default::default()));
    complete(&mut item, &written, &subscriptions)?;
    let exports = exports(&item.self_ty);
    Ok(quote!(#item #exports))
}

fn check_header(item: &ItemImpl) -> Result<()> {
    let named_plugin = |path: &syn::Path| path.segments.last().is_some_and(|segment| segment.ident == "Plugin");
    match &item.trait_ {
        Some((None, path, _)) if named_plugin(path) => {}
        _ => return Err(Error::new_spanned(&item.self_ty, "#[jackfield::plugin] stands on `impl Plugin for YourType`")),
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "a plugin is one type: it cannot have parameters"));
    }
    Ok(())
}

/// The names of the functions written, each checked to be one that a plugin has.
fn written(item: &ItemImpl) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for member in &item.items {
        let ImplItem::Fn(function) = member else {
            return Err(Error::new_spanned(member, "only functions belong here; put everything else into an `impl` of its own"));
        };
        let name = function.sig.ident.to_string();
        if !HOOKS.iter().any(|(hook, _)| *hook == name) && !OTHERS.contains(&name.as_str()) {
            let known = "a plugin has on_request, on_response, on_failure, on_registration, on_timer, on_complete, new, validate, subscriptions, start, \
                         self_check and shutdown; \
                         put other functions into an `impl` of their own";
            return Err(Error::new_spanned(&function.sig.ident, known));
        }
        names.push(name);
    }
    if !names.iter().any(|name| HOOKS.iter().any(|(hook, _)| hook == name)) {
        return Err(Error::new_spanned(
            &item.self_ty,
            "a plugin needs at least one of on_request, on_response, on_failure, on_registration, on_timer and on_complete",
        ));
    }
    Ok(names)
}

/// One expression of type `Subscription` for each filter of each hook.
fn subscriptions(item: &mut ItemImpl, common: &Filter) -> Result<Vec<TokenStream>> {
    let mut expressions = Vec::new();
    let mut plain = Vec::new();
    for member in &mut item.items {
        let ImplItem::Fn(function) = member else { continue };
        let filters = take_subscribe(&mut function.attrs)?;
        let name = function.sig.ident.to_string();
        let Some((_, hook)) = HOOKS.iter().find(|(hook, _)| *hook == name) else {
            if filters.is_empty() {
                continue;
            }
            return Err(Error::new_spanned(&function.sig.ident, "#[subscribe] belongs on a hook"));
        };
        let hook = format_ident!("{hook}");
        if hook == "Registration" || hook == "Timer" {
            // Filters look at messages, and these hooks have none: neither their own nor the common ones could narrow them.
            if !filters.is_empty() {
                let refusal = format!("#[subscribe] looks at messages: {name} is told everything");
                return Err(Error::new_spanned(&function.sig.ident, refusal));
            }
            expressions.push(quote!(::jackfield::Subscription::to([::jackfield::Hook::#hook])));
            continue;
        }
        if hook == "Complete" {
            filters.iter().try_for_each(Filter::refuse_looks)?;
            let all = if filters.is_empty() { vec![common.afterwards()] } else { filters };
            expressions.extend(all.iter().map(|filter| filter.subscription(&[quote!(#hook)])));
            continue;
        }
        for filter in &filters {
            if hook == "Request" {
                filter.refuse_statuses()?;
            }
            expressions.push(filter.subscription(&[quote!(#hook)]));
        }
        if filters.is_empty() {
            if hook == "Request" {
                common.refuse_statuses()?;
            }
            plain.push(quote!(#hook));
        }
    }
    if !plain.is_empty() {
        expressions.push(common.subscription(&plain));
    }
    Ok(expressions)
}

/// Adds what the author left out.
fn complete(item: &mut ItemImpl, written: &[String], subscriptions: &[TokenStream]) -> Result<()> {
    let has = |name: &str| written.iter().any(|known| known == name);
    if has("new") {
        let config = item.items.iter().find_map(config_type).unwrap_or_else(|| Err(Error::new_spanned(&item.self_ty, "new is missing")))?;
        item.items.push(parse_quote!(type Config = #config;));
    } else {
        item.items.push(parse_quote!(
            type Config = Self;
        ));
        item.items.push(parse_quote! {
            fn new(config: Self) -> ::jackfield::Result<Self> {
                ::core::result::Result::Ok(config)
            }
        });
    }
    if !has("subscriptions") {
        item.items.push(parse_quote! {
            fn subscriptions(&self) -> ::std::vec::Vec<::jackfield::Subscription> {
                ::std::vec![#(#subscriptions),*]
            }
        });
    }
    Ok(())
}

/// The type of the one argument of `new`.
fn config_type(member: &ImplItem) -> Option<Result<Type>> {
    let ImplItem::Fn(ImplItemFn { sig, .. }) = member else { return None };
    if sig.ident != "new" {
        return None;
    }
    let mut inputs = sig.inputs.iter();
    Some(match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(config)), None) => Ok((*config.ty).clone()),
        _ => Err(Error::new_spanned(sig, "new takes the configuration and nothing else: `fn new(config: Config) -> Result<Self>`")),
    })
}

/// The exports of the component. They exist only where a component is built, so that tests link without a host.
fn exports(plugin: &Type) -> TokenStream {
    quote! {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the exports of the component, generated from its interface")]
        const _: () = {
            type Exports = ::jackfield::guest::Exports<#plugin>;
            ::jackfield::guest::bindings::export!(Exports with_types_in ::jackfield::guest::bindings);
        };
        // Where no component is built, nothing makes a plugin but tests; the compiler should not call a private one unused.
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&str) -> ::jackfield::Result<#plugin> = <#plugin as ::jackfield::Plugin>::from_json;
    }
}
