//! The guests of the tests and of the binary, as `make guests` built them, for every test that
//! needs one. A missing guest fails the test: a test without its guest proves nothing.
#![allow(dead_code, reason = "a test uses the bytes or the path")]

use std::path::{Path, PathBuf};

/// The module of a guest. Panics where it was not built.
pub fn guest(name: &str) -> Vec<u8> {
    let path = guest_path(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{} cannot be read ({error}): run `make guests`",
            path.display()
        )
    })
}

/// The file of a guest's module, for a command that reads it. Panics where it was not built.
pub fn guest_path(name: &str) -> PathBuf {
    let folder = std::env::var_os("INNKEEPER_GUEST_MODULES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest-modules"),
        PathBuf::from,
    );
    let path = folder.join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `make guests`",
        path.display()
    );
    path
}
