//! The reference of the plugin interface, `docs/reference.md`, is what is generated from `wit/plugin.wit`.

mod render;

use std::path::Path;

use wit_parser::Resolve;

const WIT: &str = "wit/plugin.wit";
const PAGE: &str = "docs/reference.md";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn generated(wit: &str) -> String {
    let mut resolve = Resolve::default();
    let package = resolve.push_source(WIT, wit).unwrap_or_else(|error| panic!("{WIT}: {error:#}"));
    render::page(&resolve, package)
}

#[test]
fn reference_is_what_the_interface_says() {
    let page = generated(&read(WIT));
    if std::env::var_os("JACKFIELD_RENEW").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page).unwrap();
    } else {
        let hint = "Renew it with: JACKFIELD_RENEW=1 cargo test -p jackfield-plugin-sdk --test reference";
        assert!(read(PAGE) == page, "plugin-sdk/{PAGE} is not what is generated from plugin-sdk/{WIT}. {hint}");
    }
}

#[test]
fn everything_of_an_interface_is_told() {
    let page = generated(
        "package a:b@0.1.0;
        interface kinds {
          /// What a thing is.
          record thing { /// its size
            size: u8, parts: list<tuple<string, option<u16>>> }
          enum colour { red, green }
          flags sides { left, /// the other
            right }
          variant outcome { /// fine
            fine(thing), bad(string), nothing }
          type name = string;
          resource box { constructor(of: thing); open: func() -> result<thing, string>; make: static func() -> box; }
          /// Look into it.
          look: func(into: borrow<box>, how: colour) -> result<_, outcome>;
        }
        interface hook { use kinds.{thing}; handle: func(of: thing); }
        /// All of it.
        world all { import kinds; export hook; }",
    );
    for line in [
        "# The plugin interface, `a:b@0.1.0`",
        "- `size`: `u8`  \n  its size",
        "- `parts`: `list<tuple<string, option<u16>>>`",
        "### enum `colour`\n\n`red`, `green`",
        "- `right`  \n  the other",
        "- `fine(thing)`  \n  fine\n- `bad(string)`\n- `nothing`",
        "### type `name`\n\n`string`",
        "### resource `box`\n\n- `constructor(of: thing)`\n- `open() -> result<thing, string>`\n- static `make() -> box`",
        "- `look(into: borrow<box>, how: colour) -> result<_, outcome>`  \n  Look into it.",
        "### world `all`\n\nAll of it.\n\n- imports [`kinds`](#kinds)\n- exports [`hook`](#hook)",
    ] {
        assert!(page.contains(line), "{line:?} is missing in:\n{page}");
    }
}
