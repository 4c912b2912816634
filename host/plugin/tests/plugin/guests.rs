//! Builds the guests, once for all tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

static BUILT: LazyLock<PathBuf> = LazyLock::new(build);

/// The component that behaves as it is asked to.
pub(crate) static BEHAVE: LazyLock<Vec<u8>> = LazyLock::new(|| component("behave"));

/// A component whose on-request hook has another type.
pub(crate) static MISTYPED: LazyLock<Vec<u8>> = LazyLock::new(|| component("mistyped"));

/// A component that was built for interface 0.1.0.
pub(crate) static EARLIEST: LazyLock<Vec<u8>> = LazyLock::new(|| component("earliest"));

/// A component that waits for what it asks.
pub(crate) static WAITS: LazyLock<Vec<u8>> = LazyLock::new(|| component("waits"));

/// Another version of [`BEHAVE`]: it says so when it is asked for its version.
pub(crate) fn behave_two() -> Vec<u8> {
    replaced(&BEHAVE, "VERSION-ONE", "VERSION-TWO")
}

/// Replaces text by text of the same length, which leaves a component valid.
pub(crate) fn replaced(octets: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut octets = octets.to_vec();
    let places: Vec<_> = octets.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "`{from}` is not in the component");
    places.into_iter().for_each(|at| octets[at..at + to.len()].copy_from_slice(to.as_bytes()));
    octets
}

fn component(name: &str) -> Vec<u8> {
    let file = BUILT.join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// They have a target directory of their own, so that this build does not wait for the one that runs the tests.
fn build() -> PathBuf {
    // The benchmark of another crate uses this file as well.
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|place| place.join("tests/fixtures/guests"));
    let source = places.into_iter().find(|place| place.is_dir()).expect("the guests are in the workspace");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "the guests in {} do not build", source.display());
    target.join("wasm32-wasip2/release")
}
