//! The arguments of `#[plugin(...)]` and `#[subscribe(...)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, parenthesized};

/// A filter as written.
#[derive(Clone, Default)]
pub(crate) struct Filter {
    methods: Vec<LitStr>,
    statuses: Vec<LitStr>,
    if_header: Vec<LitStr>,
    if_uri_param: Option<LitStr>,
    in_dialog: bool,
}

impl Parse for Filter {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut filter = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            match name.to_string().as_str() {
                "methods" => filter.methods = strings(input, &name, check_method)?,
                "statuses" => filter.statuses = strings(input, &name, check_status)?,
                "if_header" => filter.if_header = strings(input, &name, |_| Ok(()))?,
                "if_uri_param" => {
                    let mut names = strings(input, &name, |_| Ok(()))?;
                    filter.if_uri_param = names.pop();
                    if let Some(more) = names.pop() {
                        return Err(Error::new(more.span(), "if_uri_param takes one name"));
                    }
                }
                "initial_only" => filter.in_dialog = false,
                "in_dialog" => filter.in_dialog = true,
                _ => {
                    let known = "expected methods(...), statuses(...), if_header(...), if_uri_param(...), initial_only or in_dialog";
                    return Err(Error::new(name.span(), known));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(filter)
    }
}

impl Filter {
    /// An expression of type `Subscription` for these hooks.
    pub(crate) fn subscription(&self, hooks: &[TokenStream]) -> TokenStream {
        let Self { methods, statuses, if_header, if_uri_param, in_dialog } = self;
        let mut built = quote!(::jackfield::Subscription::to([#(::jackfield::Hook::#hooks),*]));
        for (setter, values) in [(quote!(methods), methods), (quote!(statuses), statuses), (quote!(if_header), if_header)] {
            if !values.is_empty() {
                built = quote!(#built.#setter([#(#values),*]));
            }
        }
        if let Some(name) = if_uri_param {
            built = quote!(#built.if_uri_param(#name));
        }
        if *in_dialog { quote!(#built.in_dialog()) } else { built }
    }

    /// The same without what looks at the request, for a hook that comes when it is gone.
    pub(crate) fn afterwards(&self) -> Self {
        Self { if_header: Vec::new(), if_uri_param: None, ..self.clone() }
    }

    /// A request that has ended is not looked at any more.
    pub(crate) fn refuse_looks(&self) -> Result<()> {
        match self.if_header.first().or(self.if_uri_param.as_ref()) {
            Some(name) => {
                Err(Error::new(name.span(), "on_complete goes by methods(...), statuses(...) and in_dialog: the request is gone"))
            }
            None => Ok(()),
        }
    }

    /// A request has no status.
    pub(crate) fn refuse_statuses(&self) -> Result<()> {
        match self.statuses.first() {
            Some(status) => Err(Error::new(status.span(), "a request has no status: put #[subscribe(statuses(...))] on the other hook")),
            None => Ok(()),
        }
    }
}

/// `("a", "b")` after a name.
fn strings(input: ParseStream<'_>, name: &Ident, check: fn(&LitStr) -> Result<()>) -> Result<Vec<LitStr>> {
    let content;
    parenthesized!(content in input);
    let values = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
    if values.is_empty() {
        return Err(Error::new(name.span(), format!("{name} needs at least one text, like {name}(\"...\")")));
    }
    values.iter().try_for_each(check)?;
    Ok(values.into_iter().collect())
}

fn check_method(method: &LitStr) -> Result<()> {
    // RFC 3261 7.1: methods are case-sensitive. A lower-case one is a slip that would never match.
    let text = method.value();
    if text.is_empty() || text.chars().any(|c| c.is_lowercase()) {
        return Err(Error::new(method.span(), "methods are case-sensitive: write INVITE, not invite"));
    }
    Ok(())
}

fn check_status(status: &LitStr) -> Result<()> {
    let text = status.value();
    let good = match text.strip_suffix("xx") {
        Some(class) => matches!(class, "1" | "2" | "3" | "4" | "5" | "6"),
        None => text.parse().is_ok_and(|status: u16| (100..700).contains(&status)),
    };
    if good { Ok(()) } else { Err(Error::new(status.span(), "expected a status like \"503\" or a class like \"5xx\"")) }
}

/// Takes the `#[subscribe(...)]` attributes off a hook.
pub(crate) fn take_subscribe(attributes: &mut Vec<syn::Attribute>) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    let mut failure: Option<Error> = None;
    attributes.retain(|attribute| {
        if !attribute.path().is_ident("subscribe") {
            return true;
        }
        match attribute.parse_args::<Filter>() {
            Ok(filter) => filters.push(filter),
            Err(error) => match &mut failure {
                Some(all) => all.combine(error),
                None => failure = Some(error),
            },
        }
        false
    });
    failure.map_or(Ok(filters), Err)
}
