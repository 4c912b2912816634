//! From the parsed interface to Markdown: every interface with its types and functions in the order of the file, then the worlds.

use std::fmt::Write as _;

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, PackageId, Resolve, Type, TypeDef, TypeDefKind, TypeId, World, WorldItem,
};

/// The whole page.
pub(super) fn page(resolve: &Resolve, package: PackageId) -> String {
    let package = &resolve.packages[package];
    let mut out = format!("# The plugin interface, `{}`\n\n", package.name);
    out.push_str("Generated from [plugin.wit](../wit/plugin.wit): change that, and renew this as the test `reference` says. ");
    out.push_str("The [guide](guide.md) says how it is used.\n\n");
    paragraph(&mut out, &package.docs);
    for (name, _) in &package.interfaces {
        let _ = writeln!(out, "- [`{name}`](#{name})");
    }
    out.push_str("- [worlds](#worlds)\n\n");
    for (name, id) in &package.interfaces {
        interface(&mut out, resolve, name, &resolve.interfaces[*id]);
    }
    out.push_str("## worlds\n\n");
    for (name, id) in &package.worlds {
        world(&mut out, resolve, name, &resolve.worlds[*id]);
    }
    format!("{}\n", out.trim_end())
}

fn paragraph(out: &mut String, docs: &Docs) {
    // The parser takes the headings between the parts of the file for words about what follows.
    let lines: Vec<&str> = docs.contents.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with("----")).collect();
    let text = lines.join("\n");
    if !text.trim().is_empty() {
        let _ = write!(out, "{}\n\n", text.trim());
    }
}

/// An item of a list, with what is said of it on the lines below.
fn item(out: &mut String, code: &str, docs: &Docs) {
    match &docs.contents {
        Some(text) => {
            let _ = writeln!(out, "- {code}  \n  {}", text.trim().replace('\n', "\n  "));
        }
        None => {
            let _ = writeln!(out, "- {code}");
        }
    }
}

fn interface(out: &mut String, resolve: &Resolve, name: &str, interface: &Interface) {
    let _ = write!(out, "## {name}\n\n");
    paragraph(out, &interface.docs);
    for (name, id) in &interface.types {
        // A type that `use` has brought in is told where it is made.
        if !is_used(resolve, *id) {
            definition(out, resolve, interface, name, *id);
        }
    }
    let free: Vec<&Function> = interface.functions.values().filter(|function| function.kind.resource().is_none()).collect();
    if !free.is_empty() {
        out.push_str("### functions\n\n");
        free.iter().for_each(|function| item(out, &signature(resolve, function), &function.docs));
        out.push('\n');
    }
}

/// Whether the type is another interface's, under the name that it has there.
fn is_used(resolve: &Resolve, id: TypeId) -> bool {
    let here = &resolve.types[id];
    match here.kind {
        TypeDefKind::Type(Type::Id(of)) => resolve.types[of].owner != here.owner && resolve.types[of].name.is_some(),
        _ => false,
    }
}

fn definition(out: &mut String, resolve: &Resolve, interface: &Interface, name: &str, id: TypeId) {
    let TypeDef { kind, docs, .. } = &resolve.types[id];
    let _ = write!(out, "### {} `{name}`\n\n", kind.as_str());
    paragraph(out, docs);
    let none = Docs::default();
    match kind {
        TypeDefKind::Record(record) => {
            for field in &record.fields {
                item(out, &format!("`{}`: `{}`", field.name, text(resolve, field.ty)), &field.docs);
            }
        }
        TypeDefKind::Variant(variant) => {
            for case in &variant.cases {
                let content = case.ty.map(|of| format!("({})", text(resolve, of))).unwrap_or_default();
                item(out, &format!("`{}{content}`", case.name), &case.docs);
            }
        }
        TypeDefKind::Enum(cases) => named(out, cases.cases.iter().map(|case| (case.name.as_str(), &case.docs))),
        TypeDefKind::Flags(flags) => named(out, flags.flags.iter().map(|flag| (flag.name.as_str(), &flag.docs))),
        TypeDefKind::Resource => {
            for function in interface.functions.values().filter(|function| function.kind.resource() == Some(id)) {
                item(out, &signature(resolve, function), &function.docs);
            }
        }
        TypeDefKind::Type(of) => {
            let _ = writeln!(out, "`{}`", text(resolve, *of));
        }
        _ => item(out, &format!("`{}`", structure(resolve, id)), &none),
    }
    out.push('\n');
}

/// Names in a row, or one below the other if something is said of one.
fn named<'a>(out: &mut String, names: impl Iterator<Item = (&'a str, &'a Docs)> + Clone) {
    if names.clone().all(|(_, docs)| docs.is_empty()) {
        let row: Vec<String> = names.map(|(name, _)| format!("`{name}`")).collect();
        let _ = writeln!(out, "{}", row.join(", "));
    } else {
        names.for_each(|(name, docs)| item(out, &format!("`{name}`"), docs));
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let method = matches!(function.kind, FunctionKind::Method(_));
    // The first parameter of a method is the resource.
    let params = function.params.iter().skip(usize::from(method));
    let params: Vec<String> = params.map(|param| format!("{}: {}", param.name, text(resolve, param.ty))).collect();
    let (name, result) = match function.kind {
        FunctionKind::Constructor(_) => ("constructor", None),
        _ => (function.item_name(), function.result),
    };
    let result = result.map(|result| format!(" -> {}", text(resolve, result))).unwrap_or_default();
    let fixed = if matches!(function.kind, FunctionKind::Static(_)) { "static " } else { "" };
    format!("{fixed}`{name}({}){result}`", params.join(", "))
}

/// A type as it is written.
fn text(resolve: &Resolve, of: Type) -> String {
    match of {
        Type::Id(id) => match &resolve.types[id].name {
            Some(name) => name.clone(),
            None => structure(resolve, id),
        },
        Type::Bool => "bool".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn structure(resolve: &Resolve, id: TypeId) -> String {
    let optional = |of: &Option<Type>| of.map_or_else(|| "_".to_owned(), |of| text(resolve, of));
    match &resolve.types[id].kind {
        TypeDefKind::List(of) => format!("list<{}>", text(resolve, *of)),
        TypeDefKind::Option(of) => format!("option<{}>", text(resolve, *of)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<String> = tuple.types.iter().map(|of| text(resolve, *of)).collect();
            format!("tuple<{}>", parts.join(", "))
        }
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (ok, None) => format!("result<{}>", optional(ok)),
            (ok, err) => format!("result<{}, {}>", optional(ok), optional(err)),
        },
        TypeDefKind::Handle(Handle::Borrow(of)) => format!("borrow<{}>", text(resolve, Type::Id(*of))),
        TypeDefKind::Handle(Handle::Own(of)) => text(resolve, Type::Id(*of)),
        other => other.as_str().to_owned(),
    }
}

fn world(out: &mut String, resolve: &Resolve, name: &str, world: &World) {
    let _ = write!(out, "### world `{name}`\n\n");
    paragraph(out, &world.docs);
    let interfaces = [("imports", &world.imports), ("exports", &world.exports)];
    for (verb, items) in interfaces {
        let names = items.values().filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.as_deref(),
            _ => None,
        });
        let links: Vec<String> = names.map(|name| format!("[`{name}`](#{name})")).collect();
        if !links.is_empty() {
            let _ = writeln!(out, "- {verb} {}", links.join(", "));
        }
    }
    out.push('\n');
}
