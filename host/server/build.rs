//! Lays the guests into the binary: every `.wasm` file of the folder that
//! `INNKEEPER_GUEST_MODULES` names. Without the variable there are none, and nothing fails:
//! `cargo check` and `cargo test` work on a machine that cannot compile to WebAssembly.
//!
//! The modules are copied into `OUT_DIR` first, so that the binary does not depend on where
//! they were.

// A build script has no runtime and no data folder.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// The variable that names the folder.
const VARIABLE: &str = "INNKEEPER_GUEST_MODULES";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut source = String::from("static GUESTS: &[Guest] = &[\n");
    for (name, module) in modules()? {
        let copy = out.join(format!("{name}.wasm"));
        let bytes = fs::read(&module)?;
        if fs::read(&copy).ok().as_deref() != Some(&bytes) {
            fs::write(&copy, bytes)?;
        }
        writeln!(
            source,
            "    Guest {{ name: {name:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\")) }},"
        )?;
    }
    source.push_str("];\n");
    fs::write(out.join("guests.rs"), source)?;
    Ok(())
}

/// Names and files, by name.
fn modules() -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
        return Ok(Vec::new());
    };
    let folder = PathBuf::from(folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    if !folder.is_dir() {
        println!(
            "cargo::warning={VARIABLE} names no folder: {}",
            folder.display()
        );
        return Ok(Vec::new());
    }
    let mut modules = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // A hidden file is a module that is just being copied.
        if file.extension().is_some_and(|it| it == "wasm") && !name.starts_with('.') {
            println!("cargo::rerun-if-changed={}", file.display());
            modules.push((name.to_owned(), file));
        }
    }
    modules.sort();
    Ok(modules)
}
